"""Reasons of hemorrhage verdicts: each says what a phantom shows, and only that."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.finding import Finding, Heatmap, ModelIdentity, Reason, SliceResult, Verdict, mask_of
from AcuteFindingsLib.detectors.hemorrhage.head import depth_mm, small_head
from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.detectors.hemorrhage.reasons import DOUBT, reasons
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.reasons import doubted

SEED, THRESHOLD = 5, 0.5


@cache
def head(*variants: str, kind: str = "", seed: int = SEED, spacing: float = 5.0) -> Phantom:
    """A head with variants, and with a bleed of a kind."""
    return make_head_ct(
        seed,
        bleed_types=[kind] if kind else [],
        matrix=160,
        slice_spacing=spacing,
        variants=variants,
        finding="hemorrhage",
    )


def added(*variants: str, hu: float = 30.0) -> np.ndarray:
    """Where variants are brighter than the plain head: what a model that takes them for blood would draw."""
    return np.asarray(head(*variants).array - head().array > hu)


def finding_of(study: Study, mask: np.ndarray | None = None, label: str | None = None) -> Finding:
    """A finding with an outline; the slices that show it are positive."""
    drawn = np.zeros(study.array.shape, bool) if mask is None else mask
    shown = drawn.any(axis=(1, 2))
    slices = tuple(
        SliceResult(
            s.index,
            s.position_ras,
            "",
            {"any": 0.9 if shown[min(round(s.k), len(shown) - 1)] else 0.1 + 0.01 * (s.index == 7)},
            s.k,
        )
        for s in study.sources
    )
    said = label or ("positive" if shown.any() else "negative")
    return Finding(
        detector="hemorrhage",
        model=ModelIdentity("m", "1", "0" * 64, "phantoms"),
        verdict=Verdict(said, 0.9 if shown.any() else 0.1, THRESHOLD, "a rule", "as it is."),
        slices=slices,
        main_label="any",
        slice_threshold=THRESHOLD,
        ijk_to_ras=study.ijk_to_ras,
        display_window=(40.0, 80.0),
        masks=(mask_of(KIND.segments[0], drawn.astype(np.uint8)),) if mask is not None else (),
        phantom=True,
    )


def told(phantom: Phantom, mask: np.ndarray | None = None) -> dict[str, Reason]:
    """The first reason of each code."""
    study = phantom_study(phantom)
    found = reasons(study, finding_of(study, mask))
    return {reason.code: reason for reason in reversed(found)}


def truth(phantom: Phantom) -> np.ndarray:
    """What is drawn where the model is right."""
    return phantom.masks["hemorrhage"].astype(bool)


def value(reason: Reason, name: str) -> float:
    """A figure of a reason."""
    return next(item.value for item in reason.values if item.name == name)


@pytest.mark.parametrize("variant", ["falx-calcification", "choroid-calcification", "basal-ganglia-calcification"])
def test_calcification_speaks_against_blood_and_leaves_the_verdict_indeterminate(variant: str) -> None:
    mask, study = added(variant), phantom_study(head(variant))
    given = finding_of(study, mask)
    found = reasons(study, given)
    assert found[0].code == DOUBT
    first = next(reason for reason in found if reason.code == "denser-than-blood")
    assert first.bearing == "against"
    assert value(first, "Share above 90 HU") > 30
    assert "calcification" in first.text
    assert first.index in np.flatnonzero(mask.any(axis=(1, 2)))
    after = doubted(replace(given, reasons=found), KIND)
    assert (after.verdict.label, after.verdict.by_rule) == ("indeterminate", "positive")


@pytest.mark.parametrize("variant", ["choroid-calcification", "basal-ganglia-calcification"])
def test_calcification_on_both_sides_is_said_to_be_alike(variant: str) -> None:
    reason = told(head(variant), added(variant))["alike-on-both-sides"]
    assert reason.bearing == "against"
    assert "usual in choroid plexus and basal ganglia" in reason.text


def test_calcified_falx_is_not_compared_with_the_other_side_but_said_to_lie_in_the_middle() -> None:
    found = told(head("falx-calcification"), added("falx-calcification"))
    assert "alike-on-both-sides" not in found
    assert "falx" in found["in-the-middle"].text


@pytest.mark.parametrize("kind", ["intraparenchymal", "epidural", "subdural"])
def test_blood_speaks_for_itself_and_is_not_doubted(kind: str) -> None:
    phantom = head(kind=kind, seed=21)
    study = phantom_study(phantom)
    given = finding_of(study, truth(phantom))
    found = reasons(study, given)
    codes = {reason.code for reason in found}
    assert DOUBT not in codes
    assert "denser-than-blood" not in codes
    density = next(reason for reason in found if reason.code == "as-dense-as-blood")
    assert density.bearing == "for"
    assert value(density, "Mean density") == pytest.approx(phantom.array[truth(phantom)].mean(), abs=4)
    assert doubted(replace(given, reasons=found), KIND).verdict.label == "positive"


def test_blood_beside_calcification_is_not_doubted() -> None:
    phantom = make_head_ct(
        SEED,
        bleed_types=["intraparenchymal"],
        matrix=160,
        slice_spacing=5.0,
        variants=["falx-calcification"],
        finding="hemorrhage",
    )
    found = told(phantom, truth(phantom) | added("falx-calcification", hu=60))
    assert DOUBT not in found
    assert {"as-dense-as-blood", "denser-than-blood"} <= set(found)


def test_calcification_does_not_explain_slices_that_show_nothing() -> None:
    mask, study = added("falx-calcification"), phantom_study(head("falx-calcification"))
    given = finding_of(study, mask)
    everywhere = tuple(replace(item, probabilities={"any": 0.9}) for item in given.slices)
    assert DOUBT not in {reason.code for reason in reasons(study, replace(given, slices=everywhere))}


def test_parenchymal_blood_differs_from_the_other_side() -> None:
    phantom = head(kind="intraparenchymal", seed=21)
    reason = told(phantom, truth(phantom))["other-side-differs"]
    assert reason.bearing == "for"
    assert value(reason, "Density of the other side") < 45


def test_bone_in_an_outline_is_called_bone_and_not_calcification() -> None:
    phantom = head()
    wall = (phantom.array > 400) & (np.arange(160)[None, None, :] > 100)
    mask = np.zeros(phantom.array.shape, bool)
    mask[18:21] = wall[18:21]
    found = told(phantom, mask)
    assert "bone" in found["bone-in-outline"].text
    assert "denser-than-blood" not in found


def test_epidural_blood_lies_along_the_skull_on_its_side() -> None:
    phantom = head(kind="epidural", seed=21)
    found = told(phantom, truth(phantom))
    side = "left" if phantom.parameters["bleeds"][0]["side"] > 0 else "right"
    assert side in found["size-and-place"].text
    assert value(found["size-and-place"], "Volume") == pytest.approx(phantom.study_labels["volume_ml"], rel=0.1)


def test_metal_near_an_outline_is_warned_of() -> None:
    phantom = head()
    mask = np.zeros(phantom.array.shape, bool)
    mask[18, 76:80, 50:55] = True
    clipped = replace(phantom, array=phantom.array.copy())
    clipped.array[18, 77:79, 58:60] = 3000
    assert "metal-nearby" in told(clipped, mask)
    assert "metal-nearby" not in told(phantom, mask)


def test_blood_in_the_ventricles_borders_on_their_fluid() -> None:
    phantom = head(kind="intraventricular", seed=30)
    assert phantom.parameters["bleeds"][0]["place"] == "layering"
    assert "ventricles" in told(phantom, truth(phantom))["borders-on-ventricles"].text


def test_midline_is_measured_to_the_side_to_which_the_bleed_pushes() -> None:
    phantom = head(kind="subdural", seed=41)
    bleed = phantom.parameters["bleeds"][0]
    reason = told(phantom, truth(phantom))["midline-shifted"]
    assert reason.bearing == "for"
    measured = value(reason, "Midline shift")
    assert np.sign(measured) == -bleed["side"]
    assert abs(measured) == pytest.approx(0.8 * bleed["push_mm"], abs=2)


@pytest.mark.parametrize("seed", [1, 2, 4, 9])
def test_midline_of_a_head_without_blood_is_in_place(seed: int) -> None:
    reason = told(head(seed=seed))["midline-in-place"]
    assert reason.bearing == "looked"
    assert abs(value(reason, "Midline shift")) < 3


def test_streaks_are_warned_of_where_they_are() -> None:
    hardened = head("beam-hardening")
    bands = np.abs(hardened.array - head().array)
    worst = int(bands.mean(axis=(1, 2)).argmax())
    mask = np.zeros(bands.shape, bool)
    mask[worst, 84:90, 76:84] = True
    assert told(hardened, mask)["streaks"].bearing == "caution"
    assert "streaks" not in told(head(), mask)


def test_negative_says_what_was_looked_at_and_what_is_not_covered() -> None:
    found = told(head())
    assert found["most-suspicious-slice"].index == 7
    assert "0.11, below the operating point of 0.50" in found["most-suspicious-slice"].text
    assert {"brain-seen", "densest-place", "not-covered", "midline-in-place"} <= set(found)
    assert not {"for", "against"} & {reason.bearing for reason in found.values()}


def test_calcification_that_is_not_drawn_is_the_densest_place() -> None:
    reason = told(head("choroid-calcification"))["densest-place"]
    assert value(reason, "Highest density") > 130
    assert "denser than blood" in reason.text


def test_series_that_ends_within_the_brain_and_thick_slices_are_said() -> None:
    phantom = head()
    part = replace(
        phantom,
        array=phantom.array[:22],
        masks={name: mask[:22] for name, mask in phantom.masks.items()},
        slice_labels={name: flags[:22] for name, flags in phantom.slice_labels.items()},
    )
    assert "above" in told(part)["brain-cut-off"].text
    assert "brain-cut-off" not in told(phantom)
    assert "thick-slices" in told(head(spacing=8.0))
    assert "thick-slices" not in told(phantom)


def test_pictures_in_one_window_say_that_density_was_not_checked() -> None:
    study = replace(phantom_study(head()), intensity="windowed", array=np.clip(head().array / 80, 0, 1))
    found = {reason.code for reason in reasons(study, finding_of(study))}
    assert found == {"most-suspicious-slice", "density-not-checked"}
    single = replace(study, array=study.array[15:16], sources=(replace(study.sources[15], k=0.0),))
    assert {reason.code for reason in reasons(single, finding_of(single))} == {*found, "one-slice"}


def test_a_single_slice_of_a_head_is_measured_too() -> None:
    phantom = head(kind="intraparenchymal", seed=21)
    most = int(truth(phantom).sum(axis=(1, 2)).argmax())
    study = phantom_study(replace(phantom, array=phantom.array[most : most + 1]))
    assert len(study.sources) == 1
    codes = {reason.code for reason in reasons(study, finding_of(study, truth(phantom)[most : most + 1]))}
    assert {"as-dense-as-blood", "other-side-differs", "one-slice"} <= codes
    assert not {"brain-cut-off", "brain-seen", "thick-slices"} & codes


def test_what_is_no_head_is_said_not_to_be_checked() -> None:
    study = replace(phantom_study(head()), array=np.full(head().array.shape, 30.0, np.float32))
    assert "no-skull-seen" in {reason.code for reason in reasons(study, finding_of(study))}


def test_model_without_outlines_gets_what_is_brightest_where_it_looked_and_no_size() -> None:
    phantom = head(kind="intraparenchymal", seed=21)
    study = phantom_study(phantom)
    heat = np.where(truth(phantom), 200, 0).astype(np.uint8)
    given = finding_of(study, None, "positive")
    looked = replace(given, heatmap=Heatmap("gradcam", heat, study.ijk_to_ras))
    found = {reason.code: reason for reason in reasons(study, looked)}
    assert "where the model looked" in found["as-dense-as-blood"].text
    assert "size-and-place" not in found
    empty = np.zeros(heat.shape, np.uint8)
    empty[15, 67:70, 50:54] = 200
    dark = replace(given, heatmap=Heatmap("gradcam", empty, study.ijk_to_ras))
    assert "nothing-bright-there" in {reason.code for reason in reasons(study, dark)}


def test_reasons_do_not_depend_on_how_the_slices_run() -> None:
    phantom = head(kind="intraparenchymal", seed=21)
    study, mask = phantom_study(phantom), truth(phantom)
    turned = np.diag([1.0, 1.0, -1.0, 1.0])
    turned[2, 3] = len(mask) - 1
    sources = tuple(
        replace(old, position_ras=new.position_ras)
        for old, new in zip(study.sources, reversed(study.sources), strict=True)
    )
    other = replace(study, array=study.array[::-1], ijk_to_ras=study.ijk_to_ras @ turned, sources=sources)
    first = {r.code: r.text for r in reasons(study, finding_of(study, mask)) if "slice" not in r.text}
    again = {r.code: r.text for r in reasons(other, finding_of(other, mask[::-1]))}
    assert {"as-dense-as-blood", "other-side-differs"} <= set(first)
    assert {code: again[code] for code in first} == first


def test_reasons_name_no_patient_and_no_file() -> None:
    study = phantom_study(head())
    named = replace(study, source_name="DOE^JANE.dcm")
    assert not any("DOE" in reason.text for reason in reasons(named, finding_of(named)))


@pytest.fixture(scope="module")
def real_head(data_folder: Path) -> Study:
    """A real head CT without blood, its gantry tilted by 18.5 degrees and the head turned by 12."""
    return read_study(data_folder / "head-ct-dicom", requirements=KIND.requirements)


def test_real_head_without_blood_has_its_midline_in_place(real_head: Study) -> None:
    found = {reason.code: reason for reason in reasons(real_head, finding_of(real_head))}
    assert abs(value(found["midline-in-place"], "Midline shift")) < 2
    assert "brain-cut-off" not in found
    assert "streaks" not in found


def test_real_choroid_plexus_is_denser_than_blood_and_alike_on_both_sides(real_head: Study) -> None:
    axial = to_axial(real_head)
    small = small_head(axial)
    assert small is not None
    depth = depth_mm(small)
    dense = (small.hu > 90) & (depth > 30) & ~small.skull
    k = int(dense[19:23].sum(axis=(1, 2)).argmax()) + 19
    plane = np.asarray(axial.array[k])
    rows, columns = (
        np.minimum(np.arange(n) * m // n, m - 1) for n, m in zip(plane.shape, dense.shape[1:], strict=True)
    )
    near = ndimage.binary_dilation(dense[k], iterations=2)[np.ix_(rows, columns)]
    mask = np.zeros(axial.array.shape, bool)
    mask[k] = near & (plane > 60)
    study = replace(real_head, sources=tuple(replace(s, index=n) for n, s in enumerate(real_head.sources)))
    given = finding_of(study)
    drawn = replace(given, masks=(mask_of(KIND.segments[0], axial.restore(mask.astype(np.uint8))),))
    codes = {reason.code for reason in reasons(study, drawn)}
    assert {"denser-than-blood", "alike-on-both-sides"} <= codes
    assert "bone-in-outline" not in codes


def test_a_skull_that_the_picture_cuts_off_has_no_sides():
    """Half a head has a middle of its own: what is left of it would be called right."""
    study = phantom_study(head(kind="intraparenchymal"))
    width = study.array.shape[2]
    for half in (slice(0, width // 2), slice(width // 2, width)):
        part = replace(study, array=study.array[:, :, half])
        codes = {
            reason.code for reason in reasons(part, finding_of(part, truth(head(kind="intraparenchymal"))[..., half]))
        }
        assert "no-skull-seen" in codes
        assert "size-and-place" not in codes


def test_what_is_drawn_in_air_is_no_blood():
    drawn = np.zeros_like(head().array, bool)
    drawn[10, 2:8, 2:8] = True
    assert told(head(), drawn)["less-dense-than-water"].bearing == "against"


def test_an_outline_larger_than_a_brain_is_no_bleed():
    found = told(head(), np.ones_like(head().array, bool))
    assert found["larger-than-a-brain"].bearing == "against"
    assert "size-and-place" not in found
