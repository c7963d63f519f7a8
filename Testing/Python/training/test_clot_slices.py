import numpy as np
import pytest
import torch
from torch import nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.training.clot_slices import (
    BATCH,
    CLOSE_BATCH,
    REACH,
    close_ups,
    clots_by_study,
    missed_clots,
    mistaken_places,
    whole_slices,
)


class Bright(nn.Module):
    """Takes what is bright for a clot."""

    def features(self, images):
        pooled = nn.functional.max_pool2d(images[:, REACH : REACH + 1], 4)
        return {"mask": pooled * 10}


def study(clot: bool, *, look_alike: bool = False, seen: bool = True) -> dict[str, np.ndarray]:
    """Ten slices; a clot in the first three, of which the middle one may be too dark to be seen."""
    images, where = np.zeros((10, 160, 160), np.uint8), np.zeros((10, 40, 40), np.uint8)
    slices = np.zeros(10, np.uint8)
    if clot:
        slices[:3], where[:3, 5:7, 5:7] = 1, 1
        images[:3, 20:28, 20:28] = 255
        images[1, 20:28, 20:28] = 255 if seen else 0
    if look_alike:
        images[8, 120:124, 80:84] = 230
    return {"images": images, "slices": slices, "where": where}


def test_a_bright_spot_without_clot_is_a_mistaken_place_and_one_beside_a_clot_is_not() -> None:
    near = study(True)
    near["images"][4, 120:124, 80:84] = 255
    found = mistaken_places(Bright(), [near, study(False, look_alike=True)])
    assert [tuple(place) for place in found.places] == [(1, 8, 30, 20)]


def test_without_any_mistake_every_slice_is_as_likely() -> None:
    found = mistaken_places(Bright(), [study(False), study(True)])
    assert len(found.places) == 20
    assert len(set(found.weights)) == 1


def test_a_clot_that_is_not_seen_weighs_ten_times_one_that_is() -> None:
    found = missed_clots(Bright(), [study(False), study(True, seen=False)])
    assert [place.z for place in found.places] == [0, 1, 2]
    assert all(place.study == 1 for place in found.places)
    assert found.weights[1] > 10 * found.weights[0]


def test_close_ups_show_what_they_are_about_with_its_truth() -> None:
    sets = [study(True), study(False, look_alike=True)]
    missed, mistaken = missed_clots(Bright(), sets), mistaken_places(Bright(), sets)
    torch.manual_seed(0)
    batch = next(close_ups(sets, missed, mistaken, 1, np.random.default_rng(0)))
    assert batch["images"].shape == (CLOSE_BATCH, 2 * REACH + 1, 128, 128)
    assert batch["where"].shape == (CLOSE_BATCH, 1, 128, 128)
    assert batch["images"].min() >= -1
    assert batch["images"].max() <= 1
    with_clot = batch["where"].flatten(1).any(dim=1)
    assert with_clot[: CLOSE_BATCH // 4 + CLOSE_BATCH // 6].all()
    mistakes = slice(CLOSE_BATCH // 4 + CLOSE_BATCH // 6, CLOSE_BATCH // 4 + CLOSE_BATCH // 6 + 3 * CLOSE_BATCH // 8)
    assert not with_clot[mistakes].any()
    # The truth lies on what is bright, wherever it was turned to.
    assert (batch["images"][:, REACH : REACH + 1][batch["where"].bool()] > -1).float().mean() > 0.5
    assert (batch["images"][mistakes, REACH].flatten(1).amax(dim=1) > 0).all()


def test_whole_slices_come_with_their_neighbors_label_and_truth() -> None:
    batch = next(whole_slices([study(True), study(False, look_alike=True)], 1, np.random.default_rng(0)))
    assert batch["images"].shape == (BATCH, 2 * REACH + 1, 160, 160)
    assert torch.equal(batch["labels"][:, 0].bool(), batch["where"].flatten(1).any(dim=1))
    assert batch["labels"].mean() >= 0.4


def test_phantoms_without_any_clot_are_refused() -> None:
    with pytest.raises(ModelError, match="None of the 2 phantoms"):
        clots_by_study([study(False), study(False)])
