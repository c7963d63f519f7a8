"""Reasons of a verdict on pulmonary embolism: each sentence is right on a phantom that shows exactly that."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.detector import analysis_sources, slice_results
from AcuteFindingsLib.detectors.finding import Finding, Heatmap, ModelIdentity, Reason, Verdict, mask_of
from AcuteFindingsLib.detectors.pe.kind import KIND
from AcuteFindingsLib.detectors.pe.reasons import reasons_of
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.reasons import doubted

WITH_CLOT, WITHOUT = 506, 502


@cache
def chest(seed: int = WITH_CLOT, *, matrix: int = 320, variants: tuple[str, ...] = ()) -> Phantom:
    positive = seed != WITHOUT
    return make_ctpa(seed, positive=positive, matrix=matrix, slice_spacing=3.0, variants=variants, finding="pe")


def finding_of(study: Study, label: str, *, mask: np.ndarray | None = None, heat: np.ndarray | None = None) -> Finding:
    """A finding whose slices are positive where its mask or its heat map is; both lie on the study's own grid."""
    axial = to_axial(study)
    sources = analysis_sources(study, axial)
    shown = mask if mask is not None else heat
    flags = np.zeros(len(sources), bool) if shown is None else axial.view(shown).any(axis=(1, 2))
    seen = np.flatnonzero(flags)
    return Finding(
        "pe",
        ModelIdentity("m", "1.0.0", "ab" * 32, "nothing"),
        Verdict(label, 0.9, 0.5, "rule", "It reaches 0.90."),
        slice_results(sources, ("pe",), np.where(flags, 0.9, 0.2)[:, None]),
        "pe",
        0.5,
        study.ijk_to_ras,
        (100.0, 700.0),
        positive_runs=((int(seen[0]), int(seen[-1])),) if len(seen) else (),
        masks=() if mask is None else (mask_of(KIND.segments[0], mask),),
        heatmap=None if heat is None else Heatmap("Grad-CAM", axial.view(heat), axial.ijk_to_ras),
    )


def reasons(study: Study, label: str, **drawn: np.ndarray) -> dict[str, Reason]:
    return {reason.code: reason for reason in reasons_of(study, finding_of(study, label, **drawn))}


def value(reason: Reason, name: str) -> float:
    return next(item.value for item in reason.values if item.name == name)


def around(mask: np.ndarray, by: int = 5) -> np.ndarray:
    """The boxes of the slices of a mask, as a coarse heat map shows them."""
    heat = np.zeros(mask.shape, np.uint8)
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        rows, columns = np.nonzero(mask[z])
        heat[z, rows.min() - by : rows.max() + by, columns.min() - by : columns.max() + by] = 200
    return heat


def test_a_drawn_clot_is_told_with_its_density_the_blood_around_it_its_vessel_and_its_side() -> None:
    phantom = chest()
    clot = phantom.masks["embolus"]
    found = reasons(replace(phantom_study(phantom), source_name="SMITH^JOHN"), "positive", mask=clot)
    assert not any("SMITH" in reason.text for reason in found.values())
    drawn = found["defect-drawn"]
    blood = phantom.parameters["enhancement"]["pulmonary_artery"]
    assert drawn.bearing == "for"
    assert 20 < value(drawn, "Attenuation of the defect") < 110
    assert value(drawn, "Attenuation of the blood around it") == pytest.approx(blood, rel=0.25)
    assert value(drawn, "Width of the vessel") > 4
    assert drawn.index in np.flatnonzero(clot.any(axis=(1, 2)))
    right = np.nonzero(clot[drawn.index])[1].mean() < clot.shape[2] / 2
    assert f"on the {'right' if right else 'left'}" in drawn.text


def test_a_clot_where_the_network_looked_is_found_without_a_mask() -> None:
    phantom = chest()
    found = reasons(phantom_study(phantom), "positive", heat=around(phantom.masks["embolus"]))
    seen = found["defect-seen"]
    assert 20 < value(seen, "Attenuation of the defect") < 120
    at = np.flatnonzero(phantom.masks["embolus"].any(axis=(1, 2)))
    assert at.min() - 1 <= seen.index <= at.max() + 1


def test_the_same_is_found_in_a_coronal_stack() -> None:
    phantom = chest()
    study = phantom_study(phantom)
    ijk_to_ras = study.ijk_to_ras[:, [0, 2, 1, 3]]
    array = np.ascontiguousarray(study.array.transpose(1, 0, 2))
    turned = replace(
        study, array=array, ijk_to_ras=ijk_to_ras, orientation="coronal", sources=study.sources[:1] * len(array)
    )
    heat = np.ascontiguousarray(around(phantom.masks["embolus"]).transpose(1, 0, 2))
    one = reasons(study, "positive", heat=around(phantom.masks["embolus"]))["defect-seen"]
    other = reasons(turned, "positive", heat=heat)["defect-seen"]
    assert other.text == one.text


def test_what_is_drawn_on_blood_is_no_filling_defect_and_leaves_the_verdict_open() -> None:
    phantom = chest(WITHOUT)
    artery = ndimage.binary_erosion(phantom.masks["pulmonary_artery"], iterations=3).astype(np.uint8)
    study = phantom_study(phantom)
    finding = finding_of(study, "positive", mask=artery)
    weighed = doubted(replace(finding, reasons=reasons_of(study, finding)), KIND)
    assert weighed.reasons[0].code == "as-bright-as-blood"
    assert (weighed.verdict.label, weighed.verdict.by_rule) == ("indeterminate", "positive")


def test_what_is_drawn_in_lung_is_not_as_dense_as_clot() -> None:
    phantom = chest(WITHOUT)
    lungs = phantom.masks["lungs"]
    mask = np.zeros_like(lungs)
    z, y, _ = (int(v) for v in np.argwhere(lungs).mean(axis=0))
    row = np.flatnonzero(lungs[z, y])[5]
    mask[z : z + 2, y : y + 4, row : row + 4] = 1
    found = reasons(phantom_study(phantom), "positive", mask=mask)
    assert found["not-as-dense-as-clot"].bearing == "against"


@cache
def codes_without_artifact() -> set[str]:
    return set(reasons(phantom_study(chest(WITHOUT)), "negative"))


def away_from_arteries(phantom: Phantom) -> np.ndarray:
    heat = np.zeros(phantom.array.shape, np.uint8)
    heat[40:43, 140:154, 30:60] = 255
    return heat


def test_a_network_that_looked_where_no_defect_is_is_told_so_and_on_a_sharp_image_the_verdict_stays() -> None:
    study = phantom_study(chest(WITHOUT))
    finding = finding_of(study, "positive", heat=away_from_arteries(chest(WITHOUT)))
    told = reasons_of(study, finding)
    assert "mostly on the right" in next(item.text for item in told if item.code == "defect-not-found")
    assert doubted(replace(finding, reasons=told), KIND).verdict.label == "positive"


@pytest.mark.parametrize(
    ("variant", "code"), [("breathing", "breathing"), ("dense-cava", "streaks"), ("pulsation", "pulsation")]
)
def test_an_artifact_is_told_and_a_verdict_that_rests_on_it_alone_is_left_open(variant: str, code: str) -> None:
    phantom = chest(WITHOUT, variants=(variant,))
    study = phantom_study(phantom)
    assert code not in codes_without_artifact()
    finding = finding_of(study, "positive", heat=away_from_arteries(phantom))
    weighed = doubted(replace(finding, reasons=reasons_of(study, finding)), KIND)
    assert code in {reason.code for reason in weighed.reasons}
    assert weighed.verdict.label == "indeterminate"
    assert "may have taken for clot" in weighed.verdict.explanation


@pytest.mark.parametrize("seed", [501, 507])
def test_the_ratio_of_the_ventricles_is_that_of_the_phantom(seed: int) -> None:
    phantom = chest(seed, matrix=224)
    found = reasons(phantom_study(phantom), "positive")["rv-lv-ratio"]
    ratio = phantom.study_labels["rv_lv_ratio"]
    assert value(found, "RV/LV diameter ratio") == pytest.approx(ratio, abs=0.1)
    assert found.bearing == ("for" if ratio >= 1 else "looked")


def test_on_coarse_pixels_no_ratio_is_told() -> None:
    coarse = make_ctpa(501, positive=True, matrix=64, slice_spacing=8.0)
    assert "rv-lv-not-measured" in reasons(phantom_study(coarse), "positive")


def test_the_attenuation_of_the_trunk_is_that_of_the_phantom() -> None:
    phantom = chest()
    found = reasons(phantom_study(phantom), "negative")
    measured = value(found["contrast-adequate"], "Attenuation of the pulmonary trunk")
    assert measured == pytest.approx(phantom.parameters["enhancement"]["pulmonary_artery"], rel=0.06)


@pytest.mark.parametrize(("contrast", "code"), [(0.0, "contrast-none"), (170.0, "contrast-poor")])
def test_poor_contrast_is_told_and_without_any_no_positive_verdict_stands(contrast: float, code: str) -> None:
    phantom = make_ctpa(3, positive=False, matrix=128, slice_spacing=5.0, contrast=contrast)
    study = phantom_study(phantom)
    finding = finding_of(study, "positive")
    told = reasons_of(study, finding)
    assert code in {reason.code for reason in told}
    label = doubted(replace(finding, reasons=told), KIND).verdict.label
    assert label == ("indeterminate" if code == "contrast-none" else "positive")


def test_a_negative_verdict_tells_what_was_read_what_was_most_suspicious_and_what_was_not_covered() -> None:
    study = phantom_study(chest(WITHOUT))
    found = reasons(study, "negative")
    assert "stays below the operating point of 0.50" in found["most-suspicious"].text
    assert f"{len(study.array)} slices were read" in found["coverage"].text
    assert "lungs-cut-off" not in found
    cut = replace(study, array=study.array[30:60], sources=study.sources[:30])
    assert "lowest and the uppermost slice" in reasons(cut, "negative")["lungs-cut-off"].text


@pytest.mark.parametrize("change", [{"intensity": "windowed"}, {"array": np.zeros((1, 64, 64), np.float32)}])
def test_where_nothing_can_be_measured_that_is_said(change: dict) -> None:
    study = phantom_study(chest(WITHOUT))
    study = replace(study, **change)
    study = replace(study, sources=study.sources[: len(study.array)])
    assert "not-measured" in reasons(study, "negative")


def part_of(study: Study, first: int, last: int) -> Study:
    """Slices of a study, as a study of its own."""
    sources = tuple(replace(source, k=source.k - first) for source in study.sources[first:last])
    return replace(study, array=study.array[first:last], sources=sources)


def test_a_heart_that_is_cut_off_has_no_ratio() -> None:
    study = phantom_study(chest())
    whole = value(reasons(study, "positive")["rv-lv-ratio"], "RV/LV diameter ratio")
    assert whole > 1
    z = reasons(study, "positive")["rv-lv-ratio"].index
    assert z is not None
    assert "rv-lv-ratio" not in reasons(part_of(study, z - 2, z + 2), "positive")
    left = replace(study, array=study.array[:, :, study.array.shape[2] // 2 :])
    assert "rv-lv-ratio" not in reasons(left, "positive")


def test_slices_below_the_heart_say_nothing_of_contrast_agent() -> None:
    found = reasons(part_of(phantom_study(chest()), 0, 20), "positive")
    assert "contrast-none" not in found
    assert "24 mm" in found["contrast-not-measured"].text
