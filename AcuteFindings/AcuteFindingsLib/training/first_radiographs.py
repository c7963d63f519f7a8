"""The first radiograph models: pneumothorax, chest findings and lungs, fitted to chest radiograph phantoms."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.pneumothorax import PneumothoraxRule, outlines
from AcuteFindingsLib.detectors.radiograph import RadiographSettings, chest_probabilities, lung_masks
from AcuteFindingsLib.evaluation.intervals import auc_interval, mean_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.evaluation.thresholds import youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.networks.chest import ChestClassifier
from AcuteFindingsLib.phantoms import make_phantom
from AcuteFindingsLib.training.augment import augment, mask_loss
from AcuteFindingsLib.training.card_parts import label_of
from AcuteFindingsLib.training.first_arrays import PATHOLOGIES, TUBES, chest_xray_arrays
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TEST_SEED, TRAIN_SEED, TUNE_SEED, Arrays, phantom_arrays
from AcuteFindingsLib.training.real_lungs import held_out_lungs, training_lungs

SIZE = 256
# Phantoms are drawn finer than the networks read them, as a detector reads a finer picture.
DRAWN = 384
# The finest layers of the classifier keep what ImageNet taught them: most of the time would go there.
FROZEN_SHARE = 0.3
SETTINGS = RadiographSettings(size=SIZE, mean=0.5, std=0.25, flip=True)
SOURCE_3 = "SIIM-ACR pneumothorax segmentation with U-Net and DenseNet121; fourth-place solution's empty-mask branch"
SOURCE_5 = "Label reliability, tubes and shortcuts on chest X-ray, ITU Copenhagen, 2023"
TUNED = "on tuning phantoms that the weights were not fitted to"
USE = "To show the software at work from study to report, and to test it. Not for patients."


def _sets(cache: Path, first: int, count: int, workers: int) -> list[Arrays]:
    settings = {"size": SIZE, "flip": True}
    sources = ("phantoms/chest_xray*.py", "detectors/radiograph.py")
    return phantom_arrays(
        chest_xray_arrays,
        range(first, first + count),
        cache=cache,
        workers=workers,
        sources=sources,
        settings=settings,
        size=DRAWN,
    )


def _command(task: str) -> str:
    return f"python -m AcuteFindingsLib.training.first_models {task}"


def _scaled(images: Tensor) -> Tensor:
    return (images - SETTINGS.mean) / SETTINGS.std


def _batches(
    sets: list[Arrays], steps: int, size: int, generator: np.random.Generator, *, masks: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Yield pictures with their masks and labels, half of them with pneumothorax."""
    positive = [number for number, item in enumerate(sets) if item.get("pathologies", np.zeros(1))[0]]
    for _ in range(steps):
        chosen = list(generator.integers(len(sets), size=size))
        if positive:
            chosen[: size // 3] = generator.choice(positive, size // 3)
        items = [sets[number] for number in chosen]
        images = torch.from_numpy(np.stack([item["image"] for item in items])[:, None]).float() / 255
        planes = None
        if masks:
            planes = torch.from_numpy(np.stack([[item[name] for name in masks] for item in items])).float()
        # Mirroring would move the heart to the right: left alone for the labels' sake, right for outlines.
        images, planes = augment(images, planes, rotate_deg=7, flip=bool(masks), contrast=0.25, noise=0.04)
        batch: dict[str, Any] = {"images": _scaled(images), "masks": planes}
        for name in ("pathologies", "tubes"):
            if all(name in item for item in items):
                batch[name] = torch.from_numpy(np.stack([item[name] for item in items])).float()
        yield batch


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
    sets = _sets(cache, TRAIN_SEED, studies, workers)

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        outputs = model(batch["images"])
        empty = 1 - batch["pathologies"][:, :1]
        branch = functional.binary_cross_entropy_with_logits(outputs["empty"].float(), empty)
        return mask_loss(outputs["mask"], batch["masks"]) + branch

    batches = _batches(sets, steps, 16, np.random.default_rng(0), masks=("pneumothorax",))
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
    command = _command("pneumothorax")
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
    sets = _sets(cache, TRAIN_SEED, studies, workers)

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        outputs = model(batch["images"])
        return sum(
            (
                functional.binary_cross_entropy_with_logits(outputs[n].float(), batch[n])
                for n in ("pathologies", "tubes")
            ),
            start=torch.zeros(()),
        )

    fit(network, _batches(sets, steps, 24, np.random.default_rng(0)), loss, steps=steps, rate=1.5e-3)
    named = Network(name="chest_classifier", arguments=stored_arguments(arguments))
    names = (*PATHOLOGIES, *TUBES)
    card = _chest_card(named, studies, steps, dict.fromkeys(names, 0.5))
    truth, score = _score_chest(network, card, TUNE_SEED, max(80, tests // 2))
    thresholds = {name: youden_threshold(truth[:, n], score[:, n]) for n, name in enumerate(names)}
    card = _chest_card(named, studies, steps, thresholds)
    truth, score = _score_chest(network, card, TEST_SEED, tests)
    data = f"held-out chest radiograph phantoms, seeds {TEST_SEED} to {TEST_SEED + tests - 1}"
    evaluation = [
        auc_interval(
            truth[:, n],
            score[:, n],
            metric=f"AUC, {label_of(name).meaning.lower()}",
            data=f"{data}, {int(truth[:, n].sum())} positive",
            command=_command("chest"),
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
        licence="Apache-2.0",
        intended_use=USE,
        limitations=(
            "Fitted to phantoms, in which a chest drain goes with a pneumothorax as it does in hospitals. On real "
            "radiographs its probabilities mean nothing until it is replaced by a model trained and measured on them."
        ),
        sources=[SOURCE_5],
    )


def train_lungs(
    cache: Path, *, studies: int, steps: int, tests: int, workers: int, data: Path | None
) -> tuple[nn.Module, Card]:
    """Fit the lung U-Net to phantoms and, where `data` holds them, real radiographs with lung masks."""
    arguments: dict[str, Any] = {"channels": [8, 16, 32, 64, 128]}
    torch.manual_seed(0)
    network = build_network("lung_unet", arguments)
    phantoms = _sets(cache, TRAIN_SEED, studies, workers)
    real = training_lungs(data, SETTINGS) if data else []
    # Half of what the network sees is real where real pictures are at hand.
    sets = phantoms + real * max(1, len(phantoms) // max(1, len(real))) if real else phantoms
    plain = [{"image": item["image"], "lungs": item["lungs"]} for item in sets]

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        return mask_loss(model(batch["images"])["mask"], batch["masks"])

    fit(network, _batches(plain, steps, 16, np.random.default_rng(0), masks=("lungs",)), loss, steps=steps, rate=2e-3)
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
            command=_command("lungs"),
        )
    ]
    if data:
        kept = held_out_lungs(data)
        evaluation.append(
            mean_interval(
                np.array([dice(mask, lung_masks([image], predictor)[0]) for image, mask in kept]),
                metric="Dice",
                data="real radiographs of patients not trained on (chest-xray-lungs)",
                command=_command("lungs"),
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
