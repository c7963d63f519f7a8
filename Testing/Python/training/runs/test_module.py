import pytest
import torch
from small_runs import small_recipe
from torch import nn

from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.training.recipes.plans import TrainStage
from AcuteFindingsLib.training.runs.module import StageModule, freeze, input_range, rate_factor


def plan(**values) -> TrainStage:
    return TrainStage(**{"epochs": 9, "batch": 2, "loss": {"slice": {"bce": 1}}, **values})


def rates(stage: TrainStage, steps: int = 10) -> list[float]:
    return [rate_factor(stage, step, steps) for step in range(stage.epochs * steps)]


def test_thirds_divide_the_rate_by_ten_after_each_third() -> None:
    found = rates(plan(optimiser={"schedule": "thirds"}))
    assert found[:30] == [1.0] * 30
    assert found[30:60] == pytest.approx([0.1] * 30)
    assert found[60:] == pytest.approx([0.01] * 30)


def test_cosine_falls_to_nothing() -> None:
    found = rates(plan(optimiser={"schedule": "cosine"}))
    assert found[0] == 1.0
    assert found[45] == pytest.approx(0.5)
    assert found[-1] < 0.001
    assert found == sorted(found, reverse=True)


def test_one_cycle_rises_and_falls() -> None:
    found = rates(plan(optimiser={"schedule": "one-cycle"}))
    assert found[0] < 0.1
    assert max(found) > 0.99
    assert found.index(max(found)) < 20
    assert found[-1] < 0.01


def test_frozen_epochs_have_a_rate_of_their_own() -> None:
    stage = plan(frozen_epochs=1, frozen_rate=1e-3, optimiser={"rate": 1e-5})
    found = [1e-5 * factor for factor in rates(stage)]
    assert found[:10] == pytest.approx([1e-3] * 10)
    assert found[10:] == pytest.approx([1e-5] * 80)


def classifier() -> nn.Module:
    arguments = {"backbone": "test_resnet"}
    return build_network("pneumothorax_classifier", arguments).train()


def test_the_backbone_is_frozen_first_and_freed_later() -> None:
    network = classifier()
    stage = plan(frozen_epochs=1)
    freeze(network, stage, epoch=0)
    trained = {name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad}
    assert trained == {"output"}
    assert not network.backbone.training
    freeze(network, stage, epoch=1)
    assert all(value.requires_grad for value in network.parameters())
    assert network.backbone.training


def test_batch_norms_can_keep_their_statistics() -> None:
    network = classifier()
    freeze(network, plan(freeze_batch_norm=True), epoch=0)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert not any(layer.training for layer in norms)


def test_what_cannot_be_frozen_is_said() -> None:
    with pytest.raises(RecipeError, match="has no backbone to freeze"):
        freeze(nn.Linear(2, 2), plan(frozen_epochs=1), epoch=0)
    with pytest.raises(RecipeError, match="cannot freeze its first layers"):
        freeze(nn.Linear(2, 2), plan(freeze=0.5), epoch=0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pe-model-b", (-1, 1)), ("pe-slice-cnn", (0, 1)), ("radnet", (0, 1)), ("chest-both", (-2, 2))],
)
def test_pictures_are_scaled_as_the_detectors_scale_them(name: str, expected: tuple[float, float]) -> None:
    assert input_range(small_recipe(name)) == expected


def test_a_loss_on_an_output_that_the_network_has_not_is_named() -> None:
    recipe = small_recipe("chest-tubes", "stages.findings.loss.pathologies.bce=1")
    network = build_network(recipe.network.name, recipe.network.arguments)
    module = StageModule(network, recipe, "findings", steps=1, seed=0)
    batch = {"images": torch.rand(2, 1, 64, 64), "labels": torch.zeros(2, 4)}
    with pytest.raises(RecipeError, match=r"stages\.findings\.loss\.pathologies: .* it gives tubes"):
        module.training_step(batch, 0)
