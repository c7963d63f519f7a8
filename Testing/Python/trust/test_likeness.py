"""Whether a study is like the images that its model was made from, and what follows for the verdict."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Likeness, Verdict
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.pe.kind import KIND as PE
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.likeness import after_likeness, image_set, likeness_of, sets_of
from AcuteFindingsLib.trust.likeness_fit import fit_images, usable_features
from AcuteFindingsLib.trust.site_images import site_images

RNG = np.random.default_rng(3)
ROWS = [{"a, HU": float(x), "b, %": float(x + y)} for x, y in RNG.normal(10, 1, (200, 2))]
VERDICT = Verdict("positive", 0.9, 0.5, "a rule", "It is met.")


@pytest.fixture(scope="module")
def phantom() -> Study:
    return phantom_study(make_ctpa(4321, matrix=96, slice_spacing=6.0))


@pytest.fixture(scope="module")
def shipped() -> ModelPackage:
    return read_package(resource_path("Models", "pe-sequence-small"))


def test_nearly_all_of_a_sets_images_are_within_its_limit_and_others_are_not():
    one = fit_images(ROWS, name="n", told="t", kept=0.95)
    fresh = [{"a, HU": float(x), "b, %": float(x + y)} for x, y in RNG.normal(10, 1, (2000, 2))]
    assert np.mean([one.distance(row) <= 1 for row in fresh]) == pytest.approx(0.95, abs=0.03)
    # Each feature by itself is usual; together they are not.
    assert one.distance({"a, HU": 12.0, "b, %": 18.0}) > 1


def test_a_study_without_a_feature_that_all_images_have_is_unlike_and_says_so(phantom: Study, shipped: ModelPackage):
    one = fit_images(ROWS, name="n", told="t")
    assert one.distance({"a, HU": 10.0}) > 1
    assert one.distance({}) > 1
    of_air = replace(phantom, array=np.full_like(phantom.array, -1000))
    likeness = likeness_of(of_air, kind=PE, package=shipped)
    assert likeness.label == "unlike"
    assert any(words.startswith("not measurable here, but in all of the model's images: ") for words in likeness.unlike)


def test_a_feature_that_some_images_lack_may_be_missing():
    rows = [{"b, %": row["b, %"]} if number % 7 == 0 else row for number, row in enumerate(ROWS)]
    one = fit_images(rows, name="n", told="t")
    assert one.lacking == ("a, HU",)
    assert image_set(one.to_dict()).lacking == one.lacking
    assert one.distance({"b, %": 20.0}) < 1 < one.distance({"a, HU": 10.0})


def test_a_study_that_no_set_holds_for_is_unlike(phantom: Study):
    """Such as a single slice to a model that was made from stacks alone."""
    card = SimpleNamespace(training_data=SimpleNamespace(phantoms_only=False))
    package = SimpleNamespace(sha256="0" * 64, card=card)
    other = fit_images(ROWS, name="n", told="t", holds=(("a, HU", 9.0, 11.0),))
    likeness = likeness_of(phantom, kind=PE, package=package, further=(other,))
    assert likeness.label == "unlike"
    assert likeness.unlike


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="30 are needed"):
        fit_images(ROWS[:29], name="n", told="t")


def test_a_set_is_the_same_after_a_trip_through_json():
    one = fit_images(ROWS, name="n", told="t")
    again = image_set(json.loads(json.dumps(one.to_dict())))
    assert again.distance({"a, HU": 14.0, "b, %": 18.0}) == pytest.approx(
        one.distance({"a, HU": 14.0, "b, %": 18.0}), rel=1e-3
    )


def test_an_unlike_study_has_no_plain_verdict_and_keeps_what_the_rule_said():
    verdict = after_likeness(VERDICT, Likeness("unlike", 2.0))
    assert (verdict.label, verdict.by_rule, verdict.probability) == ("indeterminate", "positive", 0.9)
    assert verdict.explanation.startswith("Unlike the images that this model was made from")
    assert VERDICT.explanation in verdict.explanation
    changed = after_likeness(replace(VERDICT, by_rule="negative"), Likeness("unlike", 2.0))
    assert changed.by_rule == "negative"
    assert "by the model's own rule it would be negative" in changed.explanation


@pytest.mark.parametrize("label", ["like", "unknown"])
def test_other_verdicts_stay(label):
    assert after_likeness(VERDICT, Likeness(label)) is VERDICT


def test_a_phantom_is_like_the_images_of_a_model_made_from_phantoms(phantom: Study, shipped: ModelPackage):
    likeness = likeness_of(phantom, kind=PE, package=shipped)
    assert likeness.label == "like"
    assert likeness.distance is not None
    assert likeness.distance < 1
    assert "phantoms" in likeness.made_from


def test_what_a_header_says_does_not_count(phantom: Study, shipped: ModelPackage):
    """A chest of another build with the header of a phantom: its tissue is as dense as no phantom's."""
    denser = np.where(phantom.array > -300, phantom.array + 60, phantom.array).astype(np.float32)
    likeness = likeness_of(replace(phantom, array=denser), kind=PE, package=shipped)
    assert phantom.is_phantom
    assert likeness.label == "unlike"
    assert any(words.startswith("soft tissue denser than usual") for words in likeness.unlike)


def test_any_model_made_from_phantoms_alone_has_the_images_of_its_kind(shipped: ModelPackage):
    card = SimpleNamespace(training_data=SimpleNamespace(phantoms_only=True))
    unlisted = SimpleNamespace(sha256="0" * 64, card=card)
    assert [one.name for one in sets_of(PE, unlisted)] == ["phantoms"]
    assert [one.name for one in sets_of(find_kind("hemorrhage"), unlisted)] == ["phantoms", "phantom-slices"]
    card.training_data.phantoms_only = False
    assert sets_of(PE, unlisted) == ()


@pytest.mark.parametrize("drawn", ["hemorrhage", "pneumothorax"])
def test_a_model_made_from_phantoms_alone_is_unlike_what_does_not_say_that_it_is_one(drawn: str):
    """Features of heads and films do not tell every patient from a phantom: the header must."""
    study = phantom_study(
        make_head_ct(1, matrix=96, slice_spacing=8.0) if drawn == "hemorrhage" else make_chest_xray(1, size=256)
    )
    card = SimpleNamespace(training_data=SimpleNamespace(phantoms_only=True))
    package = SimpleNamespace(sha256="0" * 64, card=card)
    kind = find_kind(drawn)
    assert likeness_of(study, kind=kind, package=package).label == "like"
    unnamed = replace(study, dicom=type(study.dicom)())
    assert not unnamed.is_phantom
    assert likeness_of(unnamed, kind=kind, package=package).label == "unlike"
    assert likeness_of(unnamed, kind=replace(kind, features=""), package=package).label == "unlike"


def test_of_a_model_whose_images_nobody_knows_likeness_is_unknown(phantom: Study):
    card = SimpleNamespace(training_data=SimpleNamespace(phantoms_only=False))
    likeness = likeness_of(phantom, kind=PE, package=SimpleNamespace(sha256="0" * 64, card=card))
    assert (likeness.label, likeness.distance) == ("unknown", None)
    assert likeness.features


def test_a_kind_without_features_says_unknown(phantom: Study, shipped: ModelPackage):
    kind: DetectorKind = replace(PE, features="")
    assert likeness_of(phantom, kind=kind, package=shipped) == Likeness("unknown")


def test_a_set_says_nothing_of_studies_that_it_does_not_hold_for(phantom: Study, shipped: ModelPackage):
    one = fit_images(ROWS, name="n", told="t", holds=(("a, HU", 9.0, 11.0),))
    assert one.features == ("b, %",)
    assert one.holds_for({"a, HU": 10.0})
    assert not one.holds_for({"a, HU": 12.0})
    assert not one.holds_for({})


def test_features_that_hardly_an_image_has_or_that_never_differ_are_left_out():
    rows = [{**row, "same": 1.0} for row in ROWS]
    rows[0]["rare"], rows[1]["rare"] = 1.0, 2.0
    assert usable_features(rows) == ("a, HU", "b, %")
    with pytest.raises(ValueError, match="do not differ"):
        fit_images([{"same": 1.0}] * 40, name="n", told="t")


def _calibration(features: list[dict[str, float]]) -> SimpleNamespace:
    return SimpleNamespace(site="Example", studies=[SimpleNamespace(features=one) for one in features])


def test_studies_that_a_model_of_patients_was_calibrated_on_are_images_like_its_own(shipped: ModelPackage):
    of_patients = SimpleNamespace(card=SimpleNamespace(training_data=SimpleNamespace(phantoms_only=False)))
    (one,) = site_images(_calibration(ROWS), of_patients)
    assert one.count == len(ROWS)
    assert one.distance({"a, HU": 10.0, "b, %": 20.0}) < 1 < one.distance({"a, HU": 30.0, "b, %": 20.0})
    assert site_images(_calibration(ROWS[:29]), of_patients) == ()
    assert site_images(_calibration([{}] * 100), of_patients) == ()
    assert site_images(_calibration(ROWS), shipped) == ()


def test_what_is_unlike_is_said_in_words_with_what_it_means_first(phantom: Study, shipped: ModelPackage):
    abdomen = np.where(phantom.array < -300, 40, phantom.array).astype(np.float32)
    likeness = likeness_of(replace(phantom, array=abdomen), kind=PE, package=shipped)
    assert likeness.label == "unlike"
    assert likeness.unlike[0].startswith("hardly any lung: another part of the body (lungs 0 % of the chest, ")
    assert len(likeness.unlike) <= 3


def test_flags_name_features_that_are_measured(phantom: Study):
    head = phantom_study(make_head_ct(1, matrix=64, slice_spacing=8.0))
    film = phantom_study(make_chest_xray(1, size=128))
    for kind, study in (("pe", phantom), ("hemorrhage", head), ("pneumothorax", film)):
        one = find_kind(kind)
        assert set(load_reference(one.flags)) <= set(load_reference(one.features)(study))
