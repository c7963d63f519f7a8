"""The pneumothorax model, fitted to phantoms and to real radiographs into which a pneumothorax was drawn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxRule, outlines
from AcuteFindingsLib.evaluation.contact_sheet import Panel
from AcuteFindingsLib.evaluation.intervals import auc_interval, mean_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.evaluation.thresholds import youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, Picture, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.training.augment import mask_loss
from AcuteFindingsLib.training.card_parts import command_for, label_of
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.held_out import held_out
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
    radiograph_batches,
    radiograph_sets,
)
from AcuteFindingsLib.training.real_lesions import COUNTS, SEED, lesions_command, measure_pneumothorax, real_row
from AcuteFindingsLib.training.sheets import sheet_bytes
from AcuteFindingsLib.training.trained import Trained
from AcuteFindingsLib.training.two_stages import fitted_before, stored_precision

SOURCE_3 = "SIIM-ACR pneumothorax segmentation with U-Net and DenseNet121; fourth-place solution's empty-mask branch"
ARGUMENTS: dict[str, Any] = {
    "architecture": "unet",
    "encoder": "tf_efficientnet_lite0",
    "empty_branch": True,
    "pretrained": True,
}
NETWORK = Network(name="pneumothorax_segmenter", arguments=stored_arguments(ARGUMENTS))
# Steps of fitting with real radiographs as well.
REAL_STEPS = 180
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
    real_steps: int | None = None,
) -> Trained:
    """Fit the U-Net with the empty-mask branch on phantoms and, where `data` holds them, go on with real radiographs.

    Parameters
    ----------
    data
        Folder of real images: about a third of each batch of the second stage is real radiographs (chest-xray-lungs)
        with drawn findings; patients that are measured on are not among them.
    start
        A package of this model fitted to phantoms, in place of the first stage.
    real_steps
        Of the second stage; `REAL_STEPS` when None.

    Raises
    ------
    ModelError
        `start` is no model of this kind, or has seen more than phantoms.
    """
    phantoms = [] if start and not data else radiograph_sets(cache, TRAIN_SEED, studies, workers)
    network = fitted_before(start, task="pneumothorax", network=NETWORK) if start else _fitted_to(phantoms, steps)
    network.load_state_dict(stored_precision(network.state_dict()))
    fitted = _Fitted(studies, steps)
    if not data:
        card = _with_threshold(network, fitted, tests)
        return Trained(network, card.model_copy(update={"evaluation": _evaluate_pneumothorax(network, card, tests)}))
    kept = draw_many(read_radiographs(data, held_out=True), count=COUNTS["pneumothorax"], seed=SEED)
    command = lesions_command("pneumothorax")
    before = MemoryPredictor(network, _with_threshold(network, fitted, tests))
    drawn_before, row_before = measure_pneumothorax(before, kept, command=command)[0], real_row(data, before)
    real = read_radiographs(data, held_out=False, longest=DRAWN)
    fitted = _Fitted(studies, steps, real, real_steps or REAL_STEPS)
    torch.manual_seed(0)
    drawn = lesion_arrays(real, SETTINGS, count=REAL_PICTURES)
    # What has been fitted before is moved gently, lest it forget.
    network.requires_grad_(True)
    fit(network, _batches(phantoms, drawn, fitted.real_steps), _loss, steps=fitted.real_steps, rate=4e-4)
    network.load_state_dict(stored_precision(network.state_dict()))
    card = _with_threshold(network, fitted, tests)
    predictor = MemoryPredictor(network, card)
    drawn_now, row = measure_pneumothorax(predictor, kept, command=command)[0], real_row(data, predictor)
    figures = [*_evaluate_pneumothorax(network, card, tests, data=True), *drawn_now]
    pictures = [Picture(file=_ROW, caption=_CAPTION)] if row else []
    return Trained(
        network,
        card.model_copy(update={"evaluation": figures, "pictures": pictures}),
        text=_text(drawn_before, drawn_now, row_before, row),
        documents={_ROW: sheet_bytes(row, columns=len(row))} if row else {},
        changelog=_CHANGELOG,
    )


def _fitted_to(phantoms: list[Arrays], steps: int) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(NETWORK.name, ARGUMENTS)
    return fit(network, _batches(phantoms, [], steps), _loss, steps=steps, rate=1e-3)


def _with_threshold(network: nn.Module, fitted: "_Fitted", tests: int) -> Card:
    found = _threshold(MemoryPredictor(network, _card(fitted, 0.5)), max(60, tests // 2), fitted.real)
    return _card(fitted, found)


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


def _evaluate_pneumothorax(network: nn.Module, card: Card, tests: int, *, data: bool = False) -> list[Interval]:
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
    told = held_out("chest radiograph", tests)
    command = command_for("pneumothorax", data=data)
    return [
        auc_interval(
            np.array(truth),
            np.array(score),
            metric="AUC, study",
            data=f"{told}, {sum(truth)} positive",
            command=command,
        ),
        mean_interval(
            np.array(overlaps),
            metric="Dice of the mask, after the empty rule",
            data=f"positive ones of the {told}",
            command=command,
        ),
    ]


class _Fitted:
    """What the weights were fitted to, in words."""

    def __init__(self, studies: int, steps: int, real: list[Radiograph] | None = None, real_steps: int = 0) -> None:
        self.real, self.real_steps = real or [], real_steps
        self.count = f"{studies} phantom radiographs, {steps} steps of {_BATCH}"
        if real:
            people = len({one.patient for one in real})
            self.count += (
                f"; then {real_steps} steps, {_REAL_IN_BATCH} of each {_BATCH} being of {REAL_PICTURES} drawings into "
                f"{len(real)} real radiographs of {people} people"
            )
        seen = (
            "chest radiograph phantoms, then also real radiographs with a drawn pneumothorax"
            if real
            else "computer-made chest radiograph phantoms only, no patient"
        )
        self.summary = f"{seen}; encoder started from ImageNet"


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


def _text(before: list[Interval], now: list[Interval], row_before: list[Panel], row: list[Panel]) -> str:
    lines = [
        "How the drawn figures are made: `python -m AcuteFindingsLib.training.real_lesions pneumothorax --data DATA "
        "--out OUT` draws a pneumothorax into real radiographs of patients kept aside, and skin folds, scapular edges, "
        "bare patches and tubes into those with and without alike. It also writes the pictures, which the license of "
        "the radiographs keeps out of this package."
    ]
    lines += [
        f"{new.metric}: {old.value:.3f} after phantoms alone, {new.value:.3f} with these weights."
        for old, new in zip(before, now, strict=True)
    ]
    lines += [
        f"The real radiograph {' '.join(new.title.removesuffix('the model').split())} {old.note} after phantoms alone; "
        f"{new.note} with these weights."
        for old, new in zip(row_before, row, strict=True)
        if new.note
    ]
    return "\n\n".join(lines)


def _card(fitted: _Fitted, study: float) -> Card:
    tuned = f"{TUNED}, and on further drawings in the radiographs of training" if fitted.real else TUNED
    return Card(
        id="pneumothorax-unet-small",
        task="pneumothorax",
        title="U-Net on EfficientNet-Lite0 with the empty-mask branch",
        network=NETWORK,
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
        never_saw="a real pneumothorax" if fitted.real else "a patient",
        license="CC-BY-NC-SA-4.0" if fitted.real else "Apache-2.0",
        intended_use=USE,
        limitations=(
            f"{_LIMITS[bool(fitted.real)]} Reads {SIZE} pixels a side; the published segmenters read 512 to 1024."
        ),
        sources=[SOURCE_3],
    )
