"""The lung model: fitted to chest radiograph phantoms and real radiographs with lung masks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from AcuteFindingsLib.detectors.radiograph import lung_masks
from AcuteFindingsLib.evaluation.intervals import mean_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.models.metadata import Card, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.phantoms import make_phantom
from AcuteFindingsLib.training.augment import mask_loss
from AcuteFindingsLib.training.card_parts import label_of
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TEST_SEED, TRAIN_SEED
from AcuteFindingsLib.training.radiograph_sets import (
    SETTINGS,
    SOURCE_5,
    command_for,
    radiograph_batches,
    radiograph_sets,
)
from AcuteFindingsLib.training.real_lungs import held_out_lungs, training_lungs


def train_lungs(
    cache: Path, *, studies: int, steps: int, tests: int, workers: int, data: Path | None
) -> tuple[nn.Module, Card]:
    """Fit the lung U-Net to phantoms and, where `data` holds them, real radiographs with lung masks."""
    arguments: dict[str, Any] = {"channels": [8, 16, 32, 64, 128]}
    torch.manual_seed(0)
    network = build_network("lung_unet", arguments)
    phantoms = radiograph_sets(cache, TRAIN_SEED, studies, workers)
    real = training_lungs(data, SETTINGS) if data else []
    # Half of what the network sees is real where real pictures are at hand.
    sets = phantoms + real * max(1, len(phantoms) // max(1, len(real))) if real else phantoms
    plain = [{"image": item["image"], "lungs": item["lungs"]} for item in sets]

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        return mask_loss(model(batch["images"])["mask"], batch["masks"])

    fit(
        network,
        radiograph_batches(plain, steps, 16, np.random.default_rng(0), masks=("lungs",)),
        loss,
        steps=steps,
        rate=2e-3,
    )
    card = _lungs_card(Network(name="lung_unet", arguments=arguments), studies, steps, len(real))
    predictor = MemoryPredictor(network, card)
    phantom_overlap = []
    for seed in range(TEST_SEED, TEST_SEED + tests):
        phantom = make_phantom("chest-xray", seed)
        phantom_overlap.append(dice(phantom.masks["lungs"][0], lung_masks([phantom.array[0]], predictor)[0]))
    evaluation = [
        mean_interval(
            np.array(phantom_overlap),
            metric="Dice",
            data=f"held-out chest radiograph phantoms, seeds {TEST_SEED} to {TEST_SEED + tests - 1}",
            command=command_for("lungs"),
        )
    ]
    if data:
        kept = held_out_lungs(data)
        evaluation.append(
            mean_interval(
                np.array([dice(mask, lung_masks([image], predictor)[0]) for image, mask in kept]),
                metric="Dice",
                data="real radiographs of patients not trained on (chest-xray-lungs)",
                command=command_for("lungs"),
            )
        )
    return network, card.model_copy(update={"evaluation": evaluation})


def _lungs_card(network: Network, studies: int, steps: int, real: int) -> Card:
    restriction = (
        "The radiographs are CC BY-NC-SA (covid-chestxray-dataset; masks by V7 Labs): these weights are for "
        "non-commercial use."
    )
    return Card(
        id="lungs-unet-small",
        task="lungs",
        title="Lung U-Net",
        network=network,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of("lungs")],
        operating_points=[OperatingPoint(level="mask", label="lungs", threshold=0.5, chosen="half, as fitted")],
        training_data=TrainingData(
            summary=f"chest radiograph phantoms and {real} real radiographs"
            if real
            else "chest radiograph phantoms only",
            phantoms_only=not real,
            count=f"{studies} phantom radiographs and {real} real ones, {steps} steps of 16",
            restriction=restriction if real else "",
        ),
        evaluation=[],
        licence="CC-BY-NC-SA-4.0" if real else "Apache-2.0",
        intended_use="To outline the lung fields of frontal radiographs for the pneumothorax detector. Research only.",
        limitations=(
            "Few real radiographs, most of them of adults with COVID-19; a collapsed lung was seen on phantoms only."
        ),
        sources=[SOURCE_5],
    )
