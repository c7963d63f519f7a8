"""Sources are mixed in the shares that a recipe says; drawn findings and phantoms are made once."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import silent, small_recipe, small_request

from AcuteFindingsLib.errors import RecipeError, TrainingError
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.networks.radnet import HEMORRHAGE_LABELS
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.recipes.data_plans import Drawn
from AcuteFindingsLib.training.recipes.plans import Phantoms, Sampler
from AcuteFindingsLib.training.recipes.stages import LineStage
from AcuteFindingsLib.training.runs.arrays import preparation_of
from AcuteFindingsLib.training.runs.checkpoints import kept_file, network_state
from AcuteFindingsLib.training.runs.experiment import run_recipe
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.objectives import step_for
from AcuteFindingsLib.training.runs.order import EpochOrder
from AcuteFindingsLib.training.runs.store import prepare
from AcuteFindingsLib.training.stages.drawn import draw_into
from AcuteFindingsLib.training.stages.lines import fit_lines
from AcuteFindingsLib.training.stages.mixture import Workshop

RECIPES = Path(__file__).parents[4] / "Tools" / "shipped_models" / "recipes"
HEADS = RECIPES / "hemorrhage-radnet-small.yaml"


def workshop(folder: Path, *more: str) -> Workshop:
    recipe = small_recipe(HEADS, *more)
    return Workshop(recipe, preparation_of(recipe), folder, 0, silent)


def heads(shop: Workshop, data, folder: Path):
    table = read_data("head-slices", data("head-slices", "head-ct"))
    return table, prepare(table, shop.preparation, folder, workers=0, progress=silent)


@pytest.mark.slow
def test_bleeds_are_drawn_into_slices_without_one_and_their_labels_say_which(data, tmp_path: Path) -> None:
    # Wide enough for a bleed to be seen.
    shop = workshop(tmp_path, "preprocessing.size=160", "preprocessing.pixel_mm=1.6")
    table, prepared = heads(shop, data, tmp_path / "arrays")
    known = {key: [table.example(row)] for row, key in enumerate(map(str, table.keys))}
    drawn = shop.drawn(Drawn(each=3), "bleeds", prepared.items, known)
    healthy = [item for item in prepared.items.values() if not item.positive.any()]
    assert 0 < len(drawn) <= 3 * len(healthy)
    for item in drawn:
        assert (item.source, item.count) == ("bleeds", 1)
        assert item.positive.all()
        assert item.mask_known.all()
        assert item.masks().any()
        named = {name for name, value in zip(HEMORRHAGE_LABELS, item.labels[0], strict=True) if value}
        assert "any" in named
        assert len(named) == 2
        source = next(one for one in healthy if item.key.startswith(one.key))
        changed = np.abs(item.images()[0].astype(int) - source.images()[0]) > 8
        assert changed[item.masks()[0] > 0].mean() > 0.5, "the mask lies on what was drawn"
    again = shop.drawn(Drawn(each=3), "bleeds", prepared.items, known)
    assert [one.folder for one in again] == [one.folder for one in drawn]
    key, _, version = drawn[0].key.rsplit("-", 2)
    one = prepared.items[key]
    moved = Item(one.key, one.patient, shutil.copytree(one.folder, tmp_path / "elsewhere"))
    here, there = (draw_into(item, known[key], shop.preparation, Drawn(each=3), int(version)) for item in (one, moved))
    np.testing.assert_array_equal(here["images"], there["images"], "what is drawn hangs on the image, not on its place")
    alike = shop.drawn(Drawn(each=1, positive_share=0), "calcium", prepared.items, known)
    assert not any(one.positive.any() or one.labels.any() for one in alike)


@pytest.mark.slow
def test_findings_are_not_drawn_into_whole_series(tmp_path: Path, data) -> None:
    shop = workshop(tmp_path)
    (item,) = shop.phantoms(Phantoms(count=2, seed=2, options={"matrix": 64, "slice_spacing": 10.0}), "made")[:1]
    with pytest.raises(TrainingError, match="single images"):
        shop.drawn(Drawn(), "bleeds", {item.key: item}, {item.key: []})


@pytest.mark.slow
def test_phantoms_are_made_once_as_the_data_set_is_prepared(tmp_path: Path) -> None:
    shop = workshop(tmp_path)
    plan = Phantoms(count=2, seed=9, options={"matrix": 64, "slice_spacing": 10.0, "positive": True})
    made = shop.phantoms(plan, "phantoms")
    times = [(one.folder / "images.npy").stat().st_mtime_ns for one in made]
    for item in made:
        assert item.images().shape == (item.count, 64, 64)
        assert item.positive.any()
        assert item.masks().any()
        assert item.labels.shape[1] == len(HEMORRHAGE_LABELS)
    again = shop.phantoms(plan.model_copy(update={"count": 3}), "phantoms")
    assert [(one.folder / "images.npy").stat().st_mtime_ns for one in again[:2]] == times


def test_an_epoch_shows_the_sources_in_the_shares_that_are_asked_for() -> None:
    sources = np.repeat(["data", "drawn", "phantoms"], [30, 6, 4])
    positive = np.arange(40) % 2 == 0
    positive[30:36] = True
    shares = {"data": 0.6, "drawn": 0.3, "phantoms": 0.1}
    plan = Sampler(name="balanced", positive_share=0.5, examples=50, sources=shares)
    order = EpochOrder(positive, plan, epochs=1, seed=0, sources=sources)
    chosen = [number for number, _ in order]
    counts = {name: int((sources[chosen] == name).sum()) for name in shares}
    assert counts == {"data": 30, "drawn": 15, "phantoms": 5}
    assert positive[[number for number in chosen if number < 30]].mean() == 0.5
    with pytest.raises(TrainingError, match="'phantoms'"):
        EpochOrder(positive[:36], plan, epochs=1, seed=0, sources=sources[:36])


def test_a_sampler_names_sources_that_the_recipe_has() -> None:
    with pytest.raises(RecipeError, match="no source 'bleds'; known: data, phantoms, bleeds"):
        small_recipe(HEADS, "stages.scan.sampler.sources={data: 0.5, bleds: 0.5}")


@pytest.mark.slow
def test_a_blended_stage_ends_between_what_it_was_given_and_what_it_fitted(data, tmp_path: Path) -> None:
    ends = {}
    for share in (1.0, 0.7):
        more = (f"stages.scan.blend={share}", "start=null", "data.split={folds: 1, test: 0.34, validation: 0}")
        recipe = small_recipe(HEADS, *more, "data.tuned_on=null", "data.measured_on=null", "evidence=null")
        request = small_request(
            recipe, tmp_path / str(share), data=data("head-slices", "head-ct"), cache=tmp_path / "cache"
        )
        run_recipe(request, progress=silent)
        fold = request.out / "run-0" / "fold-0"
        ends[share] = network_state(kept_file(fold / "scan" / "checkpoints", best=False))
        ends[f"model {share}"] = weights_of(fold / "model")
    # Both fitted alike; the package of the second lies 0.3 of the way back to the start.
    name = "output.weight"
    torch.testing.assert_close(ends[1.0][name], ends[0.7][name])
    torch.manual_seed(recipe.seed)
    given = build_network(recipe.network.name, recipe.network.arguments).state_dict()[name]
    torch.testing.assert_close(ends["model 0.7"][name], 0.3 * given + 0.7 * ends[1.0][name], rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(ends["model 1.0"][name], ends[1.0][name], rtol=1e-2, atol=1e-3)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    from AcuteFindingsLib.models.runtime.torch_weights import load_network

    return {name: value.float() for name, value in load_network(read_package(folder)).state_dict().items()}


class Reads(torch.nn.Module):
    """Stands in for RADnet: features and masks are the pictures' own numbers."""

    def features(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": images.mean(dim=(2, 3)), "mask": images[:, :1]}

    def head(self, features: torch.Tensor, _valid: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"slice": features}


def test_a_finding_that_nobody_outlined_must_show_somewhere_and_padding_is_not_read() -> None:
    batch = {
        "images": torch.randn(2, 3, 1, 16, 16),
        "mask": torch.zeros(2, 3, 1, 16, 16),
        "mask_known": torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
        "labels": torch.tensor([[[1.0], [0.0], [1.0]], [[1.0], [0.0], [0.0]]]),
        "valid": torch.tensor([[True, True, True], [True, False, False]]),
    }
    step = step_for("scan", small_recipe(HEADS))(Reads(), batch)
    assert step.outputs["mask"].shape[0] == 4, "four slices, without the padding"
    assert step.known["seen"].flatten().tolist() == [1.0, 0.0, 0.0, 1.0]
    assert step.targets["seen"].all()
    highest = batch["images"][0, 0].flatten().topk(60).values.mean()
    assert step.outputs["seen"][0, 0] == pytest.approx(float(highest))
    assert not step.outputs["slice"][1, 1:].any()


def test_lines_are_refused_for_an_encoder_without_fields() -> None:
    with pytest.raises(RecipeError, match="fields"):
        fit_lines(torch.nn.Identity(), [], LineStage())
