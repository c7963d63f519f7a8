"""A verdict says what it cannot claim wherever it stands."""

from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Computed, Finding, ModelIdentity, Verdict, finding_from_dict
from AcuteFindingsLib.detectors.verdict_words import computed_words, is_forced, marks, verdict_words
from AcuteFindingsLib.study.notice import Notice

REFUSED = Notice("not-axial", "refuse", "The slices are coronal.")


@pytest.fixture
def finding() -> Finding:
    return Finding(
        detector="pe",
        model=ModelIdentity("m", "1", "0" * 64, "phantoms", never_saw="a patient"),
        verdict=Verdict("positive", 0.934, 0.5, "rule", "why"),
        slices=(),
        main_label="pe",
        slice_threshold=0.5,
        ijk_to_ras=np.eye(4),
        display_window=(40.0, 80.0),
    )


def test_a_model_that_never_saw_a_patient_says_so_beside_its_verdict_on_one(finding: Finding) -> None:
    assert verdict_words(finding) == "POSITIVE · demonstration model, never saw a patient"
    negative = replace(finding, verdict=replace(finding.verdict, label="negative"))
    assert verdict_words(negative, short=True) == "NEGATIVE · demonstration model"


def test_on_a_phantom_the_verdict_stands_alone(finding: Finding) -> None:
    assert verdict_words(replace(finding, phantom=True)) == "POSITIVE"
    assert marks(replace(finding, phantom=True)) == ()


def test_a_model_of_which_nothing_is_known_says_nothing(finding: Finding) -> None:
    assert verdict_words(replace(finding, model=replace(finding.model, never_saw=""))) == "POSITIVE"


def test_a_forced_verdict_says_refused_first(finding: Finding) -> None:
    forced = replace(finding, warnings=(Notice("thick", "warn", "Thick."), REFUSED))
    assert is_forced(forced)
    assert verdict_words(forced) == "REFUSED, FORCED: POSITIVE · demonstration model, never saw a patient"
    assert verdict_words(replace(forced, phantom=True), word="▲ yes", probability=True) == (
        "REFUSED, FORCED: ▲ yes, probability 0.93"
    )


def test_a_warning_alone_is_no_refusal(finding: Finding) -> None:
    assert not is_forced(replace(finding, warnings=(Notice("thick", "warn", "Thick."),)))


def test_the_words_survive_the_trip_through_json(finding: Finding, tmp_path) -> None:
    forced = replace(finding, warnings=(REFUSED,))
    assert verdict_words(finding_from_dict(forced.to_dict(), tmp_path)) == verdict_words(forced)
    phantom = replace(finding, phantom=True)
    assert finding_from_dict(phantom.to_dict(), tmp_path).phantom


def test_a_finding_of_an_earlier_version_is_still_read(finding: Finding, tmp_path) -> None:
    data = finding.to_dict()
    del data["phantom"], data["model"]["never_saw"]
    del data["model"]["runtime"], data["model"]["device"], data["model"]["beside"]
    read = finding_from_dict(data, tmp_path)
    assert verdict_words(read) == "POSITIVE"
    assert computed_words(read.model) == ""


def test_what_computed_a_result_and_where_is_said_of_each_model_that_another_computed(finding: Finding) -> None:
    onnx = Computed("chest", "ONNX Runtime 1.32.0", "cuda")
    model = replace(finding.model, runtime=onnx.runtime, device=onnx.device)
    assert computed_words(model) == "ONNX Runtime 1.32.0 on cuda"
    assert computed_words(replace(model, beside=(onnx,))) == "ONNX Runtime 1.32.0 on cuda"
    mixed = replace(model, beside=(onnx, Computed("lungs", "PyTorch 2.14.0", "cpu")))
    assert computed_words(mixed) == "ONNX Runtime 1.32.0 on cuda; lungs by PyTorch 2.14.0 on cpu"
