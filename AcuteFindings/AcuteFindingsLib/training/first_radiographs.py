"""The first pneumothorax model, fitted to chest radiograph phantoms."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.pneumothorax import PneumothoraxRule, outlines
from AcuteFindingsLib.evaluation.intervals import auc_interval, mean_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.evaluation.thresholds import youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.phantoms import make_phantom
from AcuteFindingsLib.training.augment import mask_loss
from AcuteFindingsLib.training.card_parts import label_of
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TEST_SEED, TRAIN_SEED, TUNE_SEED
from AcuteFindingsLib.training.radiograph_sets import (
    SETTINGS,
    SIZE,
    TUNED,
    USE,
    command_for,
    radiograph_batches,
    radiograph_sets,
)

SOURCE_3 = "SIIM-ACR pneumothorax segmentation with U-Net and DenseNet121; fourth-place solution's empty-mask branch"


def train_pneumothorax(cache: Path, *, studies: int, steps: int, tests: int, workers: int) -> tuple[nn.Module, Card]:
    """Fit the U-Net with the empty-mask branch."""
    arguments = {
        "architecture": "unet",
        "encoder": "tf_efficientnet_lite0",
        "empty_branch": True,
        "pretrained": True,
    }
    torch.manual_seed(0)
    network = build_network("pneumothorax_segmenter", arguments)
    sets = radiograph_sets(cache, TRAIN_SEED, studies, workers)

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        outputs = model(batch["images"])
        empty = 1 - batch["pathologies"][:, :1]
        branch = functional.binary_cross_entropy_with_logits(outputs["empty"].float(), empty)
        return mask_loss(outputs["mask"], batch["masks"]) + branch

    batches = radiograph_batches(sets, steps, 16, np.random.default_rng(0), masks=("pneumothorax",))
    fit(network, batches, loss, steps=steps, rate=1e-3)
    named = Network(name="pneumothorax_segmenter", arguments=stored_arguments(arguments))
    card = _pneumothorax_card(named, studies, steps, 0.5, 0.5)
    predictor = MemoryPredictor(network, card)
    tuning = [make_phantom("chest-xray", TUNE_SEED + n, size=512) for n in range(max(60, tests // 2))]
    answers = [outlines([phantom.array[0]], predictor)[0] for phantom in tuning]
    study = youden_threshold(np.array([p.positive for p in tuning]), np.array([a.probability for a in answers]))
    card = _pneumothorax_card(named, studies, steps, study, 0.5)
    return network, card.model_copy(update={"evaluation": _evaluate_pneumothorax(network, card, tests)})


def _evaluate_pneumothorax(network: nn.Module, card: Card, tests: int) -> list[Interval]:
    predictor = MemoryPredictor(network, card)
    rule, empty = PneumothoraxRule.model_validate(card.rule), card.threshold("empty", "pneumothorax")
    truth, score, overlaps = [], [], []
    for seed in range(TEST_SEED, TEST_SEED + tests):
        phantom = make_phantom("chest-xray", seed)
        answer = outlines([phantom.array[0]], predictor)[0]
        truth.append(phantom.positive)
        score.append(answer.probability)
        if phantom.positive:
            overlaps.append(dice(phantom.masks["pneumothorax"][0], rule.kept(answer, empty)))
    data = f"held-out chest radiograph phantoms, seeds {TEST_SEED} to {TEST_SEED + tests - 1}"
    command = command_for("pneumothorax")
    return [
        auc_interval(
            np.array(truth),
            np.array(score),
            metric="AUC, study",
            data=f"{data}, {sum(truth)} positive",
            command=command,
        ),
        mean_interval(
            np.array(overlaps),
            metric="Dice of the mask, after the empty rule",
            data=f"positive ones of the {data}",
            command=command,
        ),
    ]


def _pneumothorax_card(network: Network, studies: int, steps: int, study: float, mask: float) -> Card:
    return Card(
        id="pneumothorax-unet-small",
        task="pneumothorax",
        title="U-Net on EfficientNet-Lite0 with the empty-mask branch",
        network=network,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of("pneumothorax")],
        operating_points=[
            OperatingPoint(level="study", label="pneumothorax", threshold=study, chosen=f"Youden's index {TUNED}"),
            OperatingPoint(level="mask", label="pneumothorax", threshold=mask, chosen="half, as fitted"),
            OperatingPoint(
                level="empty",
                label="pneumothorax",
                threshold=1 - study,
                chosen="the complement of the study threshold; published: 0.4",
            ),
        ],
        training_data=TrainingData(
            summary="computer-made chest radiograph phantoms only, no patient; encoder started from ImageNet",
            phantoms_only=True,
            count=f"{studies} phantom radiographs, {steps} steps of 16",
        ),
        evaluation=[],
        licence="Apache-2.0",
        intended_use=USE,
        limitations=(
            "Fitted to phantoms. On real radiographs its answer means nothing until it is replaced by a model trained "
            f"and measured on real ones. Reads {SIZE} pixels a side; the published segmenters read 512 to 1024."
        ),
        sources=[SOURCE_3],
    )
