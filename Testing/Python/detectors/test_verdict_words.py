"""A verdict says what it cannot claim wherever it stands."""

import json
from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import (
    Computed,
    Finding,
    Likeness,
    Measurement,
    ModelIdentity,
    Reason,
    Verdict,
    finding_from_dict,
)
from AcuteFindingsLib.detectors.verdict_words import computed_words, is_forced, likeness_words, marks, verdict_words
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


UNLIKE = Likeness("unlike", 2.51, "600 phantoms", ("much finer noise",), {"noise": 14.0})


def test_a_study_unlike_the_models_images_says_so_beside_the_verdict(finding: Finding) -> None:
    phantom = replace(finding, phantom=True, likeness=UNLIKE)
    assert verdict_words(phantom) == "POSITIVE · unlike the images that this model was made from"
    assert verdict_words(phantom, short=True) == "POSITIVE · unlike its images"
    assert verdict_words(replace(phantom, likeness=replace(UNLIKE, label="like"))) == "POSITIVE"


def test_a_verdict_by_a_sites_calibration_names_the_site(finding: Finding) -> None:
    calibrated = replace(finding, phantom=True, verdict=replace(finding.verdict, calibration="North Hospital"))
    assert verdict_words(calibrated) == "POSITIVE · calibrated for North Hospital"


def test_likeness_in_words() -> None:
    assert likeness_words(UNLIKE) == (
        "This study is unlike the images that the model was made from (distance 2.51, limit 1): much finer noise. "
        "The limit was set on 600 phantoms."
    )
    assert "not known" in likeness_words(Likeness("unknown"))


def test_reasons_and_likeness_survive_the_trip_through_json(finding: Finding, tmp_path) -> None:
    reason = Reason("dense", "against", "Too dense.", "docs/sources.md 4", (Measurement("High", 118.0, "[hnsf'U]"),), 3)
    said = replace(finding, reasons=(reason,), likeness=UNLIKE)
    back = finding_from_dict(json.loads(json.dumps(said.to_dict())), tmp_path)
    assert (back.reasons, back.likeness) == (said.reasons, UNLIKE)


def test_findings_of_earlier_versions_have_neither_reasons_nor_likeness(finding: Finding, tmp_path) -> None:
    data = finding.to_dict()
    for name in ("reasons", "likeness"):
        del data[name]
    for name in ("by_rule", "calibration"):
        del data["verdict"][name]
    back = finding_from_dict(data, tmp_path)
    assert (back.reasons, back.likeness, back.verdict.by_rule, back.verdict.calibration) == ((), None, None, "")
