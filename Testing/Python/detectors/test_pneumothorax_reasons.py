"""Reasons of a verdict on pneumothorax: each sentence is right on a phantom that shows exactly that."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.finding import Finding, Heatmap, Measurement, ModelIdentity, Reason, Verdict, mask_of
from AcuteFindingsLib.detectors.pneumothorax.kind import KIND
from AcuteFindingsLib.detectors.pneumothorax.reasons import RISE, reasons_of, rise_toward
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.phantoms.phantom import Phantom

SIZE = 256


@cache
def film(seed: int = 603, *, positive: bool = True, variants: tuple[str, ...] = ()) -> Phantom:
    return make_chest_xray(
        seed, positive=positive, collapse="apical" if positive else None, size=SIZE, variants=variants,
        finding="pneumothorax",
    )  # fmt: skip


def reasons(
    phantom: Phantom,
    label: str = "positive",
    *,
    outline: np.ndarray | None = None,
    lungs: bool = True,
    measured: dict[str, float] | None = None,
    spacing_known: bool = True,
    heat: np.ndarray | None = None,
    probability: float | None = None,
) -> dict[str, Reason]:
    study = replace(phantom_study(phantom), pixel_spacing_known=spacing_known)
    drawn = [outline, *(phantom.masks[name] if lungs else None for name in ("right_lung", "left_lung"))]
    finding = Finding(
        "pneumothorax",
        ModelIdentity("m", "1.0.0", "ab" * 32, "nothing"),
        Verdict(label, probability or (0.9 if label == "positive" else 0.1), 0.5, "rule", "explanation"),
        (),
        "pneumothorax",
        0.5,
        study.ijk_to_ras,
        (0.5, 1.0),
        masks=tuple(
            mask_of(segment, mask) for segment, mask in zip(KIND.segments, drawn, strict=True) if mask is not None
        ),
        heatmap=None if heat is None else Heatmap("Grad-CAM", heat, study.ijk_to_ras),
        measurements=tuple(Measurement(name, value, "1") for name, value in (measured or {}).items()),
    )
    return {reason.code: reason for reason in reasons_of(study, finding)}


def a_cap(phantom: Phantom, side: str, rows: int) -> np.ndarray:
    """The uppermost rows of one lung, as an outline."""
    lung = phantom.masks[f"{side}_lung"]
    top = int(np.flatnonzero(lung.any(axis=(0, 2)))[0])
    cap = lung.copy()
    cap[:, top + rows :] = 0
    return cap


@pytest.mark.parametrize("side", ["right", "left"])
def test_apical_depth_and_side_are_those_of_the_outline(side: str) -> None:
    phantom = film(positive=False)
    found = reasons(phantom, outline=a_cap(phantom, side, 20))["apical-depth"]
    assert found.values[0].name == f"Apical depth, {side}"
    assert found.values[0].value == pytest.approx(20 * phantom.spacing[1], rel=0.01)
    assert found.values[1].value == 0
    assert f"On the {side}" in found.text


def test_a_rim_between_the_outlines_of_lung_and_pneumothorax_is_no_lung_at_the_apex() -> None:
    phantom = film()
    cap = a_cap(phantom, "right", 20)
    loose = ndimage.binary_erosion(cap, np.ones((1, 3, 3))).astype(np.uint8)
    assert (phantom.masks["right_lung"] > loose)[:, : np.flatnonzero(loose.any(axis=(0, 2)))[0]].any()
    depth = reasons(phantom, outline=loose)["apical-depth"].values[0].value
    assert depth == pytest.approx(20 * phantom.spacing[1], abs=2 * phantom.spacing[1])


def test_an_outline_along_the_side_has_a_width_at_mid_height_and_no_depth_at_the_apex() -> None:
    phantom = film(positive=False)
    lung = phantom.masks["right_lung"]
    rows = np.flatnonzero(lung.any(axis=(0, 2)))
    outline = np.zeros_like(lung)
    for y in rows[len(rows) // 4 : 3 * len(rows) // 4]:
        first = np.flatnonzero(lung[0, y])[0]
        outline[0, y, first : first + 12] = 1
    depth, width = (item.value for item in reasons(phantom, outline=outline)["not-at-the-apex"].values)
    assert depth == 0
    assert width == pytest.approx(12 * phantom.spacing[2], rel=0.01)


def test_without_the_size_of_a_pixel_nothing_is_told_in_millimeters() -> None:
    phantom = film(positive=False)
    text = reasons(phantom, outline=a_cap(phantom, "right", 20), spacing_known=False)["apical-depth"].text
    assert "% of the chest cavity's height" in text
    assert " mm deep" not in text


def test_a_pixel_that_makes_a_chest_of_no_adult_is_not_believed() -> None:
    phantom = film(positive=False)
    small = replace(phantom, spacing=(1.0, 0.4 * phantom.spacing[1], 0.4 * phantom.spacing[2]))
    text = reasons(small, outline=a_cap(phantom, "right", 20))["apical-depth"].text
    assert "as no adult's are" in text
    assert " mm deep" not in text


def test_without_lungs_the_outline_itself_is_measured_and_the_lack_is_told() -> None:
    phantom = film()
    found = reasons(phantom, outline=phantom.masks["pneumothorax"], lungs=False)
    assert {"outline", "lungs-not-outlined"} <= set(found)
    assert "no-outline" in reasons(phantom, lungs=False)


def test_both_sides_are_told_apart() -> None:
    phantom = film(positive=False)
    study = phantom_study(phantom)
    outline = a_cap(phantom, "right", 20) | a_cap(phantom, "left", 12)
    masks = tuple(
        mask_of(segment, mask)
        for segment, mask in zip(
            KIND.segments, (outline, phantom.masks["right_lung"], phantom.masks["left_lung"]), strict=True
        )
    )
    finding = Finding(
        "pneumothorax", ModelIdentity("m", "1", "ab", "n"), Verdict("positive", 0.9, 0.5, "", ""), (), "pneumothorax",
        0.5, study.ijk_to_ras, (0.5, 1.0), masks=masks,
    )  # fmt: skip
    depths = [reason.text for reason in reasons_of(study, finding) if reason.code == "apical-depth"]
    assert ["right" in text for text in depths] == [True, False]


def test_density_rises_toward_a_skin_fold_and_not_toward_a_pleural_line() -> None:
    fold = film(604, positive=False, variants=("skin-fold",))
    changed = np.abs(fold.array - film(604, positive=False).array)[0] > 0.02
    side = "right" if np.nonzero(changed)[1].mean() < SIZE / 2 else "left"
    lung = fold.masks[f"{side}_lung"][0] > 0
    beyond = np.zeros_like(lung)
    for y in np.flatnonzero(changed.any(axis=1)):
        columns = np.flatnonzero(changed[y])
        beyond[y] = lung[y]
        beyond[y, columns[0] :] &= side == "left"
        beyond[y, : columns[-1] + 1] &= side == "right"
    assert rise_toward(fold.array[0], beyond, lung, pixel_mm=fold.spacing[1]) > RISE
    told = reasons(fold, outline=beyond[None].astype(np.uint8))
    assert told["skin-fold-pattern"].bearing == "caution"
    real = film()
    assert "no-skin-fold-pattern" in reasons(real, outline=real.masks["pneumothorax"])


@pytest.mark.parametrize(("left", "bearing", "words"), [(0.1, "for", "11 %"), (0.8, "caution", "outside the lungs")])
def test_the_share_of_the_answer_that_does_not_come_from_the_lungs_is_told(
    left: float, bearing: str, words: str
) -> None:
    found = reasons(
        film(),
        outline=film().masks["pneumothorax"],
        measured={
            "Pneumothorax probability, whole picture": 0.9,
            "Pneumothorax probability, lungs removed": left,
        },
    )["share-lungs-removed"]
    assert found.bearing == bearing
    assert words in found.text


def test_a_drain_is_told_where_the_chest_findings_model_sees_one() -> None:
    assert "drain" in reasons(film(), measured={"Probability: Chest drain": 0.93})
    assert "drain" not in reasons(film(), measured={"Probability: Chest drain": 0.1})


def test_a_negative_verdict_tells_why_it_stayed_below_the_hottest_place_and_what_was_not_covered() -> None:
    phantom = film(positive=False)
    lung = phantom.masks["left_lung"]
    heat = np.zeros(lung.shape, np.uint8)
    rows = np.flatnonzero(lung.any(axis=(0, 2)))
    y = int(rows[len(rows) // 8])
    heat[0, y, int(np.flatnonzero(lung[0, y]).mean())] = 200
    found = reasons(phantom, "negative", heat=heat)
    assert "stays below the operating point of 0.50" in found["most-suspicious"].text
    assert "left upper zone" in found["most-suspicious"].text
    assert found["coverage"].bearing == "looked"
    assert "coverage" in reasons(phantom, "negative", lungs=False)
    cut = replace(phantom, array=phantom.array[:, y:], masks={n: m[:, y:] for n, m in phantom.masks.items()})
    assert "cut off at the top" in reasons(cut, "negative")["lungs-cut-off"].text


def test_a_negative_verdict_above_the_operating_point_is_not_said_to_be_below() -> None:
    """Such as by a site's calibration."""
    told = reasons(film(positive=False), "negative", probability=0.6)["most-suspicious"].text
    assert "0.60" in told
    assert "stays below" not in told
    assert "stays below" in reasons(film(positive=False), "negative")["most-suspicious"].text


def test_an_outline_below_the_apex_is_told_as_that_and_not_as_a_depth_of_nothing() -> None:
    phantom = film(positive=False)
    outline = a_cap(phantom, "left", 80) - a_cap(phantom, "left", 50)
    found = reasons(phantom, outline=outline)
    assert "apical-depth" not in found
    assert found["not-at-the-apex"].bearing == "caution"
    assert "on the left" in found["not-at-the-apex"].text
