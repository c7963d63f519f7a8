import numpy as np
import pytest

from AcuteFindingsLib.detectors.hemorrhage.drawn import (
    BLEED,
    LABEL,
    Drawn,
    drawn_levels,
    hemorrhage_finding,
    reached_levels,
)
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.providers.totalsegmentator.bleeds import package_of

RED = (1.0, 0.0, 0.0)


def bleed(first: int, last: int, shape=(12, 40, 40)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[first : last + 1, 10:20, 10:20] = True
    return mask


def finding_of(study, drawn, levels):
    return hemorrhage_finding(
        study,
        to_axial(study),
        drawn,
        levels,
        package=package_of(version="2.18.0", sha256="ab" * 32),
        notices=(),
        timings={},
        rule_words="a slice is positive where the test says so",
    )


@pytest.mark.parametrize(("last", "label"), [(3, "indeterminate"), (4, "positive"), (8, "positive")])
def test_three_consecutive_slices_make_a_positive_study(make_ct, last, label) -> None:
    study, mask = make_ct(np.zeros((12, 40, 40))), bleed(2 + (last == 3), last)
    mask[:2] = False
    finding = finding_of(study, [Drawn("Hemorrhage", mask, BLEED.type, RED)], drawn_levels(mask, (2.0, 1.0, 1.0)))
    assert finding.verdict.label == label


def test_no_mask_is_negative_with_all_slices_at_zero(make_ct) -> None:
    study, mask = make_ct(np.zeros((12, 40, 40))), np.zeros((12, 40, 40), bool)
    finding = finding_of(study, [Drawn("Hemorrhage", mask, BLEED.type, RED)], drawn_levels(mask, (2.0, 1.0, 1.0)))
    assert finding.verdict.label == "negative"
    assert {item.probabilities[LABEL] for item in finding.slices} == {0.0}


@pytest.mark.parametrize("flip_z", [False, True])
def test_mask_and_slices_agree_whichever_way_the_series_runs(make_ct, flip_z) -> None:
    array = np.zeros((12, 40, 40))
    array[2:7, 10:20, 25:30] = 60
    study = make_ct(array, flip_z=flip_z)
    axial = to_axial(study)
    mask = axial.array > 50
    finding = finding_of(study, [Drawn("Hemorrhage", mask, BLEED.type, RED)], drawn_levels(mask, axial.spacing))
    np.testing.assert_array_equal(finding.masks[0].array, array > 50)
    positive = [item.index for item in finding.slices if item.probabilities[LABEL] > 0.5]
    assert positive == [2, 3, 4, 5, 6]
    assert finding.positive_runs == ((2, 6),)


def test_volumes_are_of_the_voxels_and_edema_counts_as_no_bleed(make_ct) -> None:
    study = make_ct(np.zeros((12, 40, 40)))
    blood, water = bleed(2, 5), np.zeros((12, 40, 40), bool)
    water[2:6, 25:35, 10:20] = True
    drawn = [
        Drawn("Intraparenchymal hemorrhage", blood, BLEED.type, RED),
        Drawn("Edema", water, BLEED.type, RED, False),
    ]
    finding = finding_of(study, drawn, drawn_levels(blood, (2.0, 1.0, 1.0)))
    values = {item.name: item.value for item in finding.measurements}
    assert values["Hemorrhage volume"] == pytest.approx(0.8)
    assert values["Intraparenchymal hemorrhage volume"] == pytest.approx(0.8)
    assert values["Edema volume"] == pytest.approx(0.8)


def test_specks_are_dropped_from_masks(make_ct) -> None:
    study, mask = make_ct(np.zeros((12, 40, 40))), np.zeros((12, 40, 40), bool)
    mask[5, 5, 5] = True
    finding = finding_of(study, [Drawn("Hemorrhage", mask, BLEED.type, RED)], drawn_levels(mask, (2.0, 1.0, 1.0)))
    assert not finding.masks[0].array.any()


def test_a_slice_reaches_the_level_that_ten_square_millimeters_of_it_reach() -> None:
    probability = np.zeros((2, 20, 20))
    probability[0, :2, :5] = 0.8
    probability[1, :3, :3] = 0.9
    np.testing.assert_allclose(reached_levels(probability, (5.0, 1.0, 1.0)), [0.8, 0.0])
    np.testing.assert_allclose(reached_levels(probability, (5.0, 2.0, 2.0)), [0.8, 0.9])
