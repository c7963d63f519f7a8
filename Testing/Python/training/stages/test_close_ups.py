"""What an encoder gets wrong is found, and close-ups show it with its truth."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import silent, small_recipe, small_request
from torch import nn

from AcuteFindingsLib.errors import RecipeError, TrainingError
from AcuteFindingsLib.training.runs.experiment import run_recipe
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.objectives import CLOSE_UP_RIM, step_for
from AcuteFindingsLib.training.stages.close_ups import (
    ANY,
    MISSED,
    MISTAKEN,
    SHOWN,
    CloseUpSet,
    missed_places,
    mistaken_places,
)

RECIPES = Path(__file__).parents[4] / "Tools" / "shipped_models" / "recipes"
COUNT = 48


def bright(item: Item, slices: np.ndarray) -> np.ndarray:
    """Take what is bright for a finding."""
    images = item.images()[slices].astype(np.float32) / 255
    return images.reshape(len(slices), 40, 4, 40, 4).max(axis=(2, 4)) if len(slices) else np.zeros((0, 40, 40))


@pytest.fixture
def study(tmp_path: Path):
    """Ten slices; a clot in the first three, of which the middle one may be too dark to be seen."""

    def make(clot: bool, *, look_alike: tuple[int, int] | None = None, seen: bool = True) -> Item:
        images, masks = np.zeros((10, 160, 160), np.uint8), np.zeros((10, 40, 40), np.uint8)
        if clot:
            masks[:3, 5:7, 5:7] = 1
            images[:3, 20:28, 20:28] = 255
            images[1, 20:28, 20:28] = 255 if seen else 0
        if look_alike:
            z, value = look_alike
            images[z, 120:124, 80:84] = value
        labels = masks.any(axis=(1, 2)).astype(np.float32)[:, None]
        place = tmp_path / f"study-{len(list(tmp_path.iterdir()))}"
        arrays = {
            "images": images,
            "masks": masks,
            "labels": labels,
            "mask_known": np.ones(10, bool),
            "positive": labels[:, 0] > 0,
            "exam": np.full(9, np.nan, np.float32),
            "keys": np.arange(10).astype(str),
        }
        Item.write(arrays, place)
        return Item(place.name, place.name, place)

    return make


def test_a_bright_spot_without_clot_is_a_mistaken_place_and_one_beside_a_clot_is_not(study) -> None:
    near = study(True, look_alike=(4, 255))
    found = mistaken_places(bright, [near, study(False, look_alike=(8, 230))])
    assert [tuple(place) for place in found.places] == [(1, 8, 30, 20)]


def test_without_any_mistake_every_slice_is_as_likely(study) -> None:
    found = mistaken_places(bright, [study(False), study(True)])
    assert len(found.places) == 20
    assert len(set(found.weights)) == 1


def test_a_clot_that_is_not_seen_weighs_ten_times_one_that_is(study) -> None:
    found = missed_places(bright, [study(False), study(True, seen=False)])
    assert [place.z for place in found.places] == [0, 1, 2]
    assert all(place.item == 1 for place in found.places)
    assert found.weights[1] > 10 * found.weights[0]


def test_close_ups_show_what_they_are_about_with_its_truth(study) -> None:
    recipe = small_recipe(RECIPES / "pe-sequence-small-coarse.yaml")
    items = [study(True), study(False, look_alike=(8, 230))]
    examples = CloseUpSet(items, recipe, count=COUNT, seed=0)
    examples.missed, examples.mistaken = missed_places(bright, items), mistaken_places(bright, items)
    drawn = [examples[number, 0] for number in range(COUNT)]
    side = SHOWN + 2 * CLOSE_UP_RIM
    channels = recipe.settings().channels
    assert {tuple(one["images"].shape) for one in drawn} == {(channels, 4 * side, 4 * side)}
    assert {tuple(one["mask"].shape) for one in drawn} == {(1, side, side)}
    with_clot = [bool(one["mask"].any()) for one in drawn]
    first, second = round(COUNT * (MISSED + ANY)), round(COUNT * (MISSED + ANY + MISTAKEN))
    assert all(with_clot[:first])
    assert not any(with_clot[first:second])
    for one in drawn[:first]:
        # The truth lies on what is bright.
        wide = one["mask"].repeat_interleave(4, 1).repeat_interleave(4, 2)[0].bool()
        assert (one["images"][channels // 2][wide] > 200).float().mean() > 0.5
    for one in drawn[first:second]:
        assert one["images"][channels // 2].max() > 200
    assert torch.equal(examples[3, 7]["images"], examples[3, 7]["images"]), "one draw is one picture"


def test_series_without_any_outlined_finding_are_refused(study) -> None:
    recipe = small_recipe(RECIPES / "pe-sequence-small-coarse.yaml")
    with pytest.raises(TrainingError, match="None of the 2 series"):
        CloseUpSet([study(False), study(False)], recipe, count=4, seed=0)


class Answer(nn.Module):
    """An encoder that draws what it is told to."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask = mask

    def features(self, _images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mask": self.mask}


def peaks(mask: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Return what the surest cells cost: those far from any clot, and those of the clots."""
    rim = CLOSE_UP_RIM
    wide = nn.functional.pad(truth, [rim] * 4)
    batch = {"images": torch.zeros(len(truth), 1, *(4 * side for side in wide.shape[-2:])), "mask": wide}
    batch["mask_known"] = torch.ones(len(truth))
    recipe = small_recipe(RECIPES / "pe-sequence-small-coarse.yaml")
    step = step_for("close_ups", recipe)(Answer(mask), batch)
    entropy = nn.functional.binary_cross_entropy_with_logits
    mistaken = entropy(step.outputs["mistaken"], step.targets["mistaken"])
    shown = step.known["found"].bool()
    found = entropy(step.outputs["found"][shown], step.targets["found"][shown]) if shown.any() else torch.zeros(())
    return float(mistaken), float(found)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures of 20 by 20 cells, a clot of one cell in the first; nothing is seen anywhere."""
    truth = torch.zeros(2, 1, 20, 20)
    truth[0, 0, 5, 5] = 1
    return torch.full_like(truth, -8.0), truth


def test_a_clot_of_one_cell_weighs_as_much_as_one_of_a_hundred() -> None:
    mask, truth = pictures()
    small = peaks(mask, truth)
    truth[0, 0, :10, :10] = 1
    assert peaks(mask, truth) == pytest.approx(small)
    mask[0, 0, 5, 5] = 2.0
    assert peaks(mask, truth) == pytest.approx((softplus(-8), softplus(-2)), abs=1e-6)


def test_the_surest_cell_far_from_clots_is_what_is_mistaken() -> None:
    mask, truth = pictures()
    mask[0, 0, 5, 5] = 3.0
    mask[0, 0, 5, 7] = 9.0
    assert peaks(mask, truth) == pytest.approx((softplus(-8), softplus(-3)), abs=1e-6), (
        "what touches the clot is no mistake"
    )
    mask[1, 0, 12, 12], mask[1, 0, 3, 3] = 4.0, 1.0
    assert peaks(mask, truth) == pytest.approx(((softplus(-8) + softplus(4)) / 2, softplus(-3)), abs=1e-6)


def test_without_a_clot_only_mistakes_count() -> None:
    mask, truth = pictures()
    assert peaks(mask, 0 * truth) == pytest.approx((softplus(-8), 0.0), abs=1e-6)


@pytest.mark.slow
def test_a_round_that_is_done_is_loaded_when_a_run_goes_on(tmp_path: Path, data) -> None:
    recipe = small_recipe(RECIPES / "pe-sequence-small-coarse.yaml", "start=null")
    told: list[str] = []
    request = small_request(recipe, tmp_path, told=told, data=data("phantoms", "ctpa"))
    run_recipe(request, progress=silent)
    assert sum(line.startswith("close-ups: round") for line in told) == 2
    fold = request.out / "run-0" / "fold-0"
    first = (fold / "model" / "models" / "model.safetensors").read_bytes()
    (fold / "fold.json").unlink()
    (fold / "close_ups" / "round-02" / "stage.json").unlink()
    told.clear()
    run_recipe(small_request(recipe, tmp_path, told=told, data=request.data, resume=True), progress=silent)
    assert [line.split(",")[0] for line in told if line.startswith("close-ups")] == ["close-ups: round 2 of 2"]
    assert (fold / "model" / "models" / "model.safetensors").read_bytes() == first


@pytest.mark.slow
def test_an_encoder_without_a_mask_has_no_close_ups(tmp_path: Path, data) -> None:
    recipe = small_recipe(
        RECIPES / "pe-sequence-small-coarse.yaml",
        "start=null",
        "network.arguments.decoder=null",
        "network.arguments.fields=null",
        "stages.slice.loss={slice: {bce: 1.0}}",
    )
    with pytest.raises(RecipeError, match="draws no mask"):
        run_recipe(small_request(recipe, tmp_path, data=data("phantoms", "ctpa")), progress=silent)
