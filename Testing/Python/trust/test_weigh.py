"""A verdict is weighed by likeness and reasons, and outlives a fault in either."""

from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Finding, ModelIdentity, Verdict
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.weigh import weigh

KIND = find_kind("pneumothorax")
FINDING = Finding(
    "pneumothorax",
    ModelIdentity("m", "1", "ab", "phantoms"),
    Verdict("negative", 0.1, 0.5, "a rule", "It stays below."),
    (),
    "pneumothorax",
    0.5,
    np.eye(4),
    (0.0, 1.0),
)


def broken(*_args: object) -> tuple[()]:
    """A rule with a fault."""
    raise ZeroDivisionError("of Jane Doe")


BROKEN = f"{__name__}:broken"


@pytest.fixture(scope="module")
def film() -> Study:
    return phantom_study(make_chest_xray(1, size=128))


@pytest.fixture(scope="module")
def shipped() -> ModelPackage:
    return read_package(resource_path("Models", "pneumothorax-unet-small"))


def test_a_verdict_outlives_reasons_that_fail_and_says_so(
    film: Study, shipped: ModelPackage, caplog: pytest.LogCaptureFixture
):
    whole = weigh(FINDING, film, kind=KIND, package=shipped)
    assert whole.reasons
    assert not whole.warnings
    cut = weigh(FINDING, film, kind=replace(KIND, reasons=BROKEN), package=shipped)
    assert cut.verdict == whole.verdict
    assert cut.reasons == ()
    (notice,) = cut.warnings
    assert (notice.code, notice.severity) == ("reasons-failed", "warn")
    assert "ZeroDivisionError" in notice.text
    assert "Jane Doe" not in notice.text
    assert "ZeroDivisionError" in caplog.text


def test_a_study_whose_likeness_fails_gets_no_plain_verdict(film: Study, shipped: ModelPackage):
    found = weigh(FINDING, film, kind=replace(KIND, features=BROKEN), package=shipped)
    assert (found.verdict.label, found.verdict.by_rule) == ("indeterminate", "negative")
    assert found.likeness is not None
    assert found.likeness.label == "unlike"
    assert [notice.code for notice in found.warnings] == ["likeness-failed"]
    assert found.reasons
