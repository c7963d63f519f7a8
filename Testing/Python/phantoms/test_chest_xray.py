"""The chest radiograph phantom holds what its labels and masks say."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.phantoms.chest_xray import generate
from AcuteFindingsLib.phantoms.chest_xray.generate import PATHOLOGIES
from AcuteFindingsLib.phantoms.chest_xray.tubes import TUBES
from AcuteFindingsLib.phantoms.phantom import Phantom

make_chest_xray = partial(generate.make_chest_xray, finding="pneumothorax")

SIZE = 192
SEEDS = range(8)


@pytest.fixture(scope="module")
def positives() -> list[Phantom]:
    return [make_chest_xray(seed, positive=True, tubes=(), size=SIZE) for seed in SEEDS]


@pytest.fixture(scope="module")
def negatives() -> list[Phantom]:
    return [make_chest_xray(seed, positive=False, tubes=(), size=SIZE) for seed in SEEDS]


def _mask(phantom: Phantom, name: str) -> np.ndarray:
    return phantom.masks[name][0] > 0


def _mean_column(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[1].mean())


def test_same_seed_gives_the_same_picture_and_truth() -> None:
    first, second = (make_chest_xray(11, positive=True, size=SIZE) for _ in range(2))
    np.testing.assert_array_equal(first.array, second.array)
    assert first.study_labels == second.study_labels
    for name, mask in first.masks.items():
        np.testing.assert_array_equal(mask, second.masks[name])


@pytest.mark.slow
def test_seeds_give_different_pictures(negatives: list[Phantom]) -> None:
    for one, other in pairwise(negatives):
        assert np.abs(one.array - other.array).mean() > 0.02


@pytest.mark.slow
def test_array_and_masks_have_the_promised_form(positives: list[Phantom]) -> None:
    for phantom in positives:
        assert phantom.kind == "chest-xray"
        assert phantom.array.shape == (1, SIZE, SIZE)
        assert phantom.array.dtype == np.float32
        assert phantom.array.min() >= 0.0
        assert phantom.array.max() <= 1.0
        assert 350.0 <= phantom.spacing[1] * SIZE <= 430.0
        assert all(mask.shape == phantom.array.shape and mask.dtype == np.uint8 for mask in phantom.masks.values())
        assert tuple(phantom.slice_labels) == ("pneumothorax", *TUBES, *PATHOLOGIES)


def test_size_changes_the_sampling_and_not_the_patient() -> None:
    small, large = (make_chest_xray(5, positive=True, size=size) for size in (128, 256))
    assert small.parameters == large.parameters
    assert {k: v for k, v in small.study_labels.items() if not k.startswith("pneumothorax_")} == {
        k: v for k, v in large.study_labels.items() if not k.startswith("pneumothorax_")
    }
    assert small.study_labels["pneumothorax_share"] == pytest.approx(large.study_labels["pneumothorax_share"], rel=0.15)
    halved = large.array[0].reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(halved.ravel(), small.array[0].ravel())[0, 1] > 0.97


@pytest.mark.slow
def test_pneumothorax_lies_in_the_lungs_on_the_side_it_names(positives: list[Phantom]) -> None:
    for phantom in positives:
        air = _mask(phantom, "pneumothorax")
        assert phantom.positive
        assert air.any()
        assert not (air & ~_mask(phantom, "lungs")).any()
        named = {text.split()[0] for text in phantom.parameters["pneumothorax"]}
        found = {side for side in ("left", "right") if (air & _mask(phantom, f"{side}_lung")).any()}
        assert found == named


def test_area_and_share_agree_with_the_mask(positives: list[Phantom]) -> None:
    for phantom in positives:
        air = _mask(phantom, "pneumothorax")
        area = air.sum() * phantom.spacing[1] * phantom.spacing[2]
        sides = [text.split()[0] for text in phantom.parameters["pneumothorax"]]
        whole = sum(_mask(phantom, f"{side}_lung").sum() for side in sides)
        assert phantom.study_labels["pneumothorax_area_mm2"] == pytest.approx(area)
        assert phantom.study_labels["pneumothorax_share"] == pytest.approx(air.sum() / whole)
        assert 0.01 < phantom.study_labels["pneumothorax_share"] < 0.95


@pytest.mark.slow
def test_negative_has_no_pneumothorax(negatives: list[Phantom]) -> None:
    for phantom in negatives:
        assert not phantom.positive
        assert not phantom.masks["pneumothorax"].any()
        assert phantom.study_labels["pneumothorax_area_mm2"] == 0.0
        assert phantom.study_labels["pneumothorax_share"] == 0.0


def test_free_air_takes_markings_away_and_darkens(positives: list[Phantom], negatives: list[Phantom]) -> None:
    # The same seed without pneumothorax has the same anatomy, ribs included, so what is left is the lung's own.
    energy, brightness = [], []
    for with_air, without in zip(positives, negatives, strict=True):
        air = ndimage.binary_erosion(_mask(with_air, "pneumothorax"), iterations=3)
        air &= ndimage.binary_erosion(_mask(without, "lungs"), iterations=3)
        if air.sum() < 60 or any(with_air.study_labels[name] for name in ("effusion", "consolidation")):
            continue
        detail = [p.array[0] - ndimage.gaussian_filter(p.array[0], 1.2) for p in (with_air, without)]
        energy.append(detail[0][air].std() / detail[1][air].std())
        brightness.append(with_air.array[0][air].mean() - without.array[0][air].mean())
    assert len(energy) >= 3
    assert np.median(energy) < 0.88
    assert np.median(brightness) < -0.015


def test_pleural_line_is_brighter_than_both_sides(positives: list[Phantom]) -> None:
    # Ribs cross the line, so a single picture may be level with the lung beside it.
    over_lung = []
    for phantom in positives:
        picture = phantom.array[0]
        air, lungs = _mask(phantom, "pneumothorax"), _mask(phantom, "lungs")
        off_wall = ndimage.distance_transform_edt(lungs) > 5
        # Distance in pixels from the edge of the free air, positive within the lung.
        depth = np.where(air, 0.5 - ndimage.distance_transform_edt(air), ndimage.distance_transform_edt(~air) - 0.5)
        beyond, line, lung = (picture[off_wall & (np.abs(depth - place) <= 0.5)].mean() for place in (-2.0, 1.0, 2.5))
        assert line > beyond + 0.02
        over_lung.append(line - lung)
    assert np.mean(np.array(over_lung) > 0) >= 0.75
    assert np.median(over_lung) > 0.01


def test_right_lung_is_at_the_left_of_the_picture_and_its_dome_higher(negatives: list[Phantom]) -> None:
    for phantom in negatives:
        right, left = _mask(phantom, "right_lung"), _mask(phantom, "left_lung")
        assert _mean_column(right) < _mean_column(_mask(phantom, "heart")) < _mean_column(left)
        assert not (right & left).any()
        np.testing.assert_array_equal(right | left, _mask(phantom, "lungs"))
    higher = []
    for phantom in negatives:
        if abs(phantom.parameters["rotation_deg"]) < 2.0 and not phantom.study_labels["atelectasis"]:
            lowest = []
            for side in ("right_lung", "left_lung"):
                lung = _mask(phantom, side)
                lowest.append(np.nonzero(lung[:, round(_mean_column(lung))])[0].max())
            higher.append(lowest[1] - lowest[0])
    assert len(higher) >= 3
    assert np.median(higher) > 0


def test_lungs_are_darker_than_heart_and_mediastinum(negatives: list[Phantom]) -> None:
    for phantom in negatives:
        picture = phantom.array[0]
        assert np.median(picture[_mask(phantom, "lungs")]) < np.median(picture[_mask(phantom, "heart")]) - 0.25


@pytest.mark.slow
def test_cardiomegaly_is_a_ratio_above_055_in_label_and_mask() -> None:
    seen = set()
    for seed in range(30, 46):
        phantom = make_chest_xray(seed, positive=False, tubes=(), size=128)
        ratio, label = phantom.study_labels["cardiothoracic_ratio"], bool(phantom.study_labels["cardiomegaly"])
        assert label == (ratio > 0.55)
        if abs(phantom.parameters["rotation_deg"]) < 1.5 and not phantom.study_labels["atelectasis"]:
            across = [np.ptp(np.nonzero(_mask(phantom, name))[1]) for name in ("heart", "lungs")]
            assert across[0] / across[1] == pytest.approx(ratio, abs=0.06)
        seen.add(label)
    assert seen == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TUBES)
def test_a_tube_asked_for_is_there_alone_and_in_its_place(kind: str) -> None:
    for seed in (3, 4):
        phantom = make_chest_xray(seed, positive=False, tubes=(kind,), size=SIZE)
        assert [name for name in TUBES if phantom.slice_labels[name][0]] == [kind]
        assert [name for name in TUBES if name in phantom.masks] == [kind]
        tube = _mask(phantom, kind)
        rows, columns = np.nonzero(tube)
        heart, lungs = _mask(phantom, "heart"), _mask(phantom, "lungs")
        heart_rows, lung_rows = np.nonzero(heart)[0], np.nonzero(lungs)[0]
        between = (_mean_column(_mask(phantom, "right_lung")), _mean_column(_mask(phantom, "left_lung")))
        if kind == "chest_drain":
            assert (tube & lungs).any()
            assert (tube & ~lungs).any()
        elif kind == "nasogastric":
            assert rows.max() > heart_rows.max()
            assert columns[rows.argmax()] > np.nonzero(heart)[1].mean() - 5
        else:
            assert between[0] < columns.min()
            assert columns.max() < between[1]
            assert rows.max() < heart_rows.min() + 0.1 * SIZE
            assert rows.min() < lung_rows.min()


def test_a_tube_is_brighter_than_the_same_picture_without(negatives: list[Phantom]) -> None:
    phantom = make_chest_xray(2, positive=False, tubes=("chest_drain", "nasogastric"), size=SIZE)
    for kind in ("chest_drain", "nasogastric"):
        tube = _mask(phantom, kind)
        assert (phantom.array[0] - negatives[2].array[0])[tube].mean() > 0.02


def test_a_drain_is_on_the_side_of_the_pneumothorax() -> None:
    for seed in (1, 2, 3):
        phantom = make_chest_xray(seed, positive=True, tubes=("chest_drain",), size=128)
        drain, air = _mask(phantom, "chest_drain"), _mask(phantom, "pneumothorax")
        if len(phantom.parameters["pneumothorax"]) == 1:
            middle = _mean_column(_mask(phantom, "heart"))
            assert (_mean_column(drain) < middle) == (_mean_column(air) < middle)


@pytest.mark.slow
def test_drains_go_with_pneumothorax_when_drawn_from_the_seed() -> None:
    drains = {
        positive: np.mean(
            [make_chest_xray(seed, positive=positive, size=64).study_labels["chest_drain"] for seed in range(24)]
        )
        for positive in (True, False)
    }
    assert drains[True] > 0.3
    assert drains[False] < 0.2


@pytest.mark.slow
def test_effusion_hides_the_base_of_a_lung() -> None:
    # Effusion is drawn on one side only, so the two costophrenic regions differ in brightness.
    differences: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(40):
        phantom = make_chest_xray(seed, positive=False, tubes=(), size=96)
        if phantom.study_labels["consolidation"] or phantom.study_labels["atelectasis"]:
            continue
        means = []
        for side in ("left_lung", "right_lung"):
            lung = _mask(phantom, side)
            rows = np.nonzero(lung)[0]
            low = lung & (np.arange(96)[:, None] > rows.max() - 0.14 * np.ptp(rows))
            means.append(float(phantom.array[0][low].mean()))
        differences[bool(phantom.study_labels["effusion"])].append(abs(means[0] - means[1]))
    assert np.median(differences[True]) > np.median(differences[False]) + 0.06


@pytest.mark.slow
def test_a_kind_asked_for_is_the_one_there_and_the_rest_stays(positives: list[Phantom]) -> None:
    apical = [make_chest_xray(seed, positive=True, collapse="apical", tubes=(), size=SIZE) for seed in SEEDS]
    assert {kind.split()[1] for one in apical for kind in one.parameters["pneumothorax"]} == {"apical"}
    shares = [one.study_labels["pneumothorax_share"] for one in apical]
    assert 0 < max(shares) < max(one.study_labels["pneumothorax_share"] for one in positives) / 2
    for drawn, one in zip(positives, apical, strict=True):
        if all(kind.endswith("apical") for kind in drawn.parameters["pneumothorax"]):
            np.testing.assert_array_equal(drawn.array, one.array)


def test_unknown_tube_kind_and_tiny_size_are_refused() -> None:
    with pytest.raises(AcuteFindingsError, match="feeding"):
        make_chest_xray(0, tubes=("feeding",))
    with pytest.raises(AcuteFindingsError, match="basal"):
        make_chest_xray(0, collapse="basal")
    with pytest.raises(AcuteFindingsError, match="64"):
        make_chest_xray(0, size=32)
