"""The pneumothorax model, fitted to phantoms and to real radiographs into which a pneumothorax was drawn."""

from collections.abc import Iterator
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
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, Picture, TrainingData
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.safe_load import load_network
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.phantoms import make_phantom
from AcuteFindingsLib.training.augment import mask_loss
from AcuteFindingsLib.training.card_parts import label_of
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.lesions.radiographs import (
    RESTRICTION,
    Radiograph,
    draw_many,
    lesion_arrays,
    read_radiographs,
)
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TEST_SEED, TRAIN_SEED, TUNE_SEED, Arrays
from AcuteFindingsLib.training.radiograph_sets import (
    DRAWN,
    SETTINGS,
    SIZE,
    TUNED,
    USE,
    command_for,
    radiograph_batches,
    radiograph_sets,
)
from AcuteFindingsLib.training.real_lesions import COUNTS, SEED, measure_pneumothorax, real_row
from AcuteFindingsLib.training.sheets import sheet_bytes
from AcuteFindingsLib.training.trained import Trained

SOURCE_3 = "SIIM-ACR pneumothorax segmentation with U-Net and DenseNet121; fourth-place solution's empty-mask branch"
ARGUMENTS: dict[str, Any] = {
    "architecture": "unet",
    "encoder": "tf_efficientnet_lite0",
    "empty_branch": True,
    "pretrained": True,
}
# Pictures drawn from the real radiographs that are trained on; pictures in a batch, and how many of them are such.
REAL_PICTURES = 320
_BATCH, _REAL_IN_BATCH = 16, 5
_ROW = "real-radiographs.png"
_CHANGELOG = {
    "0.1.0": "first model, fitted to phantoms alone",
    "0.2.0": "fitted further to phantoms and to real radiographs with a drawn pneumothorax",
}


def train_pneumothorax(
    cache: Path,
    *,
    studies: int,
    steps: int,
    tests: int,
    workers: int,
    data: Path | None = None,
    start: Path | None = None,
) -> Trained:
    """Fit the U-Net with the empty-mask branch.

    Parameters
    ----------
    data
        Folder of real images: about a third of each batch is then real radiographs (chest-xray-lungs) with drawn
        findings; patients that are measured on are not among them.
    start
        A package whose weights are fitted further, in place of ImageNet's.
    """
    torch.manual_seed(0)
    package = read_package(start) if start else None
    network = load_network(package).requires_grad_(True) if package else _new_network()
    phantoms = radiograph_sets(cache, TRAIN_SEED, studies, workers)
    real = read_radiographs(data, held_out=False, longest=DRAWN) if data else []
    drawn = lesion_arrays(real, SETTINGS, count=REAL_PICTURES) if real else []
    # What has been fitted before is moved gently, lest it forget.
    fit(network, _batches(phantoms, drawn, steps), _loss, steps=steps, rate=4e-4 if package else 1e-3)
    named = Network(name="pneumothorax_segmenter", arguments=stored_arguments(ARGUMENTS))
    card = _card(named, _Fitted(studies, steps, real, package), 0.5)
    study = _threshold(MemoryPredictor(network, card), max(60, tests // 2), real)
    card = _card(named, _Fitted(studies, steps, real, package), study)
    figures = _evaluate_pneumothorax(network, card, tests)
    if not data:
        return Trained(network, card.model_copy(update={"evaluation": figures}))
    predictor = MemoryPredictor(network, card)
    kept = draw_many(read_radiographs(data, held_out=True), count=COUNTS["pneumothorax"], seed=SEED)
    command = command_for("pneumothorax")
    figures += measure_pneumothorax(predictor, kept, command=command)[0]
    text = _text(figures, measure_pneumothorax(_predictor(package), kept, command=command)[0] if package else [])
    row = real_row(data, predictor)
    pictures = [Picture(file=_ROW, caption=_CAPTION)] if row else []
    return Trained(
        network,
        card.model_copy(update={"evaluation": figures, "pictures": pictures}),
        text=text,
        documents={_ROW: sheet_bytes(row, columns=len(row))} if row else {},
        changelog=_CHANGELOG,
    )


def _new_network() -> nn.Module:
    return build_network("pneumothorax_segmenter", ARGUMENTS)


def _predictor(package: ModelPackage) -> MemoryPredictor:
    return MemoryPredictor(load_network(package), package.card)


def _loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    outputs = model(batch["images"])
    empty = 1 - batch["pathologies"][:, :1]
    branch = functional.binary_cross_entropy_with_logits(outputs["empty"].float(), empty)
    return mask_loss(outputs["mask"], batch["masks"]) + branch


def _batches(phantoms: list[Arrays], drawn: list[Arrays], steps: int) -> Iterator[dict[str, Any]]:
    masks = ("pneumothorax",)
    generator = np.random.default_rng(0)
    if not drawn:
        yield from radiograph_batches(phantoms, steps, _BATCH, generator, masks=masks)
        return
    made = radiograph_batches(phantoms, steps, _BATCH - _REAL_IN_BATCH, generator, masks=masks)
    real = radiograph_batches(drawn, steps, _REAL_IN_BATCH, np.random.default_rng(1), masks=masks)
    for first, second in zip(made, real, strict=True):
        yield {name: torch.cat([first[name], second[name]]) for name in ("images", "masks", "pathologies")}


def _threshold(predictor: MemoryPredictor, tests: int, real: list[Radiograph]) -> float:
    tuning = [make_phantom("chest-xray", TUNE_SEED + n, size=512) for n in range(tests)]
    pictures = [(phantom.array[0], phantom.positive) for phantom in tuning]
    if real:
        # Other drawings than those it was fitted to, in pictures that it knows.
        pictures += [(one.image, one.positive) for one in draw_many(real, count=tests, seed=TUNE_SEED)]
    score = [outlines([image], predictor)[0].probability for image, _ in pictures]
    return youden_threshold(np.array([positive for _, positive in pictures]), np.array(score))


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


class _Fitted:
    """What the weights were fitted to, in words."""

    def __init__(self, studies: int, steps: int, real: list[Radiograph], start: ModelPackage | None) -> None:
        self.real = bool(real)
        began = "encoder started from ImageNet"
        self.count = f"{studies} phantom radiographs, {steps} steps of {_BATCH}"
        if real:
            people = len({one.patient for one in real})
            self.count += f"; {REAL_PICTURES} drawings into {len(real)} real radiographs of {people} people"
        if start is not None:
            began = f"weights of version {start.version} fitted further"
            self.count = f"{start.card.training_data.count}; then {self.count}"
        self.summary = (
            f"chest radiograph phantoms, and real radiographs with a drawn pneumothorax; {began}"
            if real
            else f"computer-made chest radiograph phantoms only, no patient; {began}"
        )


_LIMITS = {
    False: (
        "Fitted to phantoms. On real radiographs its answer means nothing until it is replaced by a model trained and "
        "measured on real ones."
    ),
    True: (
        "It saw no real pneumothorax: those it was fitted to and measured on are phantoms and drawings in real "
        "radiographs. Real positives at hand are too few to measure (one radiograph), so how well it finds a real one "
        "is not known. Most of the real radiographs are of adults with COVID-19. A drawn one has no shift of the "
        "mediastinum and fills at most 40 % of its lung."
    ),
}
_CAPTION = (
    "The only radiograph with a pneumothorax and the only one without that are at hand from the SIIM-ACR challenge, "
    "with the reader's outline, the model's, and its probability; the last is the one without, stored inverted. Two "
    "pictures show; they do not measure. Images: NIH Clinical Center, SIIM-ACR Pneumothorax Segmentation Challenge."
)


def _text(now: list[Interval], before: list[Interval]) -> str:
    lines = [
        "How the drawn figures are made: `python -m AcuteFindingsLib.training.real_lesions pneumothorax --data DATA "
        "--out OUT` draws a pneumothorax into real radiographs of patients kept aside, and skin folds, scapular edges, "
        "bare patches and tubes into those with and without alike. It also writes the pictures, which the licence of "
        "the radiographs keeps out of this package."
    ]
    drawn = {one.metric: one for one in now}
    for one in before:
        new = drawn[one.metric]
        lines.append(f"{one.metric}: {one.value:.3f} with the weights before, {new.value:.3f} with these.")
    return "\n\n".join(lines)


def _card(network: Network, fitted: _Fitted, study: float) -> Card:
    tuned = f"{TUNED}, and on further drawings in the radiographs of training" if fitted.real else TUNED
    return Card(
        id="pneumothorax-unet-small",
        task="pneumothorax",
        title="U-Net on EfficientNet-Lite0 with the empty-mask branch",
        network=network,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of("pneumothorax")],
        operating_points=[
            OperatingPoint(level="study", label="pneumothorax", threshold=study, chosen=f"Youden's index {tuned}"),
            OperatingPoint(level="mask", label="pneumothorax", threshold=0.5, chosen="half, as fitted"),
            OperatingPoint(
                level="empty",
                label="pneumothorax",
                threshold=1 - study,
                chosen="the complement of the study threshold; published: 0.4",
            ),
        ],
        training_data=TrainingData(
            summary=fitted.summary,
            phantoms_only=not fitted.real,
            count=fitted.count,
            restriction=RESTRICTION if fitted.real else "",
        ),
        evaluation=[],
        licence="CC-BY-NC-SA-4.0" if fitted.real else "Apache-2.0",
        intended_use=USE,
        limitations=f"{_LIMITS[fitted.real]} Reads {SIZE} pixels a side; the published segmenters read 512 to 1024.",
        sources=[SOURCE_3],
    )
