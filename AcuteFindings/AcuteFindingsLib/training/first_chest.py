"""The first model of chest findings and tubes, fitted to chest radiograph phantoms."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import chest_probabilities
from AcuteFindingsLib.evaluation.intervals import auc_interval
from AcuteFindingsLib.evaluation.thresholds import youden_threshold
from AcuteFindingsLib.models.metadata import Card, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.networks.chest import ChestClassifier
from AcuteFindingsLib.training.card_parts import command_for, label_of
from AcuteFindingsLib.training.first_arrays import PATHOLOGIES, TUBES
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.held_out import held_out
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TEST_SEED, TRAIN_SEED, TUNE_SEED
from AcuteFindingsLib.training.radiograph_sets import (
    SETTINGS,
    SOURCE_5,
    TUNED,
    USE,
    radiograph_batches,
    radiograph_sets,
)

# The finest layers of the classifier keep what ImageNet taught them: most of the time would go there.
FROZEN_SHARE = 0.3


def train_chest(cache: Path, *, studies: int, steps: int, tests: int, workers: int) -> tuple[nn.Module, Card]:
    """Fit the classifier of pathologies and tubes."""
    arguments = {
        "backbone": "tf_efficientnet_lite0",
        "pathologies": list(PATHOLOGIES),
        "tubes": list(TUBES),
        "dropout": 0.2,
        "pretrained": True,
    }
    torch.manual_seed(0)
    network = cast(ChestClassifier, build_network("chest_classifier", arguments))
    network.freeze_first(FROZEN_SHARE)
    sets = radiograph_sets(cache, TRAIN_SEED, studies, workers)

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        outputs = model(batch["images"])
        return sum(
            (
                functional.binary_cross_entropy_with_logits(outputs[n].float(), batch[n])
                for n in ("pathologies", "tubes")
            ),
            start=torch.zeros(()),
        )

    fit(network, radiograph_batches(sets, steps, 24, np.random.default_rng(0)), loss, steps=steps, rate=1.5e-3)
    named = Network(name="chest_classifier", arguments=stored_arguments(arguments))
    names = (*PATHOLOGIES, *TUBES)
    card = _chest_card(named, studies, steps, dict.fromkeys(names, 0.5))
    truth, score = _score_chest(network, card, TUNE_SEED, max(80, tests // 2))
    thresholds = {name: youden_threshold(truth[:, n], score[:, n]) for n, name in enumerate(names)}
    card = _chest_card(named, studies, steps, thresholds)
    truth, score = _score_chest(network, card, TEST_SEED, tests)
    data = held_out("chest radiograph", tests)
    evaluation = [
        auc_interval(
            truth[:, n],
            score[:, n],
            metric=f"AUC, {label_of(name).meaning.lower()}",
            data=f"{data}, {int(truth[:, n].sum())} positive",
            command=command_for("chest"),
        )
        for n, name in enumerate(names)
    ]
    return network, card.model_copy(update={"evaluation": evaluation})


def _score_chest(network: nn.Module, card: Card, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    predictor = MemoryPredictor(network, card)
    truth, score = [], []
    for seed in range(first, first + count):
        phantom = make_phantom("chest-xray", seed)
        truth.append([bool(phantom.slice_labels[name][0]) for name in (*PATHOLOGIES, *TUBES)])
        score.append(chest_probabilities([phantom.array[0]], predictor)[0])
    return np.array(truth), np.array(score)


def _chest_card(network: Network, studies: int, steps: int, thresholds: dict[str, float]) -> Card:
    return Card(
        id="chest-findings-small",
        task="chest",
        title="Pathologies and tubes on EfficientNet-Lite0",
        network=network,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of(name) for name in thresholds],
        operating_points=[
            OperatingPoint(level="study", label=name, threshold=value, chosen=f"Youden's index {TUNED}")
            for name, value in thresholds.items()
        ],
        training_data=TrainingData(
            summary="computer-made chest radiograph phantoms only, no patient; backbone started from ImageNet",
            phantoms_only=True,
            count=f"{studies} phantom radiographs, {steps} steps of 24",
        ),
        evaluation=[],
        never_saw="a patient",
        license="Apache-2.0",
        intended_use=USE,
        limitations=(
            "Fitted to phantoms, in which a chest drain goes with a pneumothorax as it does in hospitals. On real "
            "radiographs its probabilities mean nothing until it is replaced by a model trained and measured on them."
        ),
        sources=[SOURCE_5],
    )
