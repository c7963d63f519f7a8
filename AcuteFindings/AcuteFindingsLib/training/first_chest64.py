"""The model of chest findings at 64×64 pixels: the NIH's fourteen, fitted to real radiographs."""

from collections.abc import Sequence
from inspect import getsource
from pathlib import Path
from typing import Any, cast

import numpy as np

from AcuteFindingsLib.evaluation.calibration import calibration_measure, class_wise_calibration_error
from AcuteFindingsLib.evaluation.intervals import auc_interval, measure_interval
from AcuteFindingsLib.evaluation.resampling import Measure, auc_measure
from AcuteFindingsLib.evaluation.thresholds import youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.networks.chest import ChestClassifier
from AcuteFindingsLib.training import radiograph_sets, real_chest
from AcuteFindingsLib.training.card_parts import command_for, label_of
from AcuteFindingsLib.training.phantom_sets import Arrays
from AcuteFindingsLib.training.radiograph_sets import SOURCE_5
from AcuteFindingsLib.training.real_chest import FOLDS, RealChests, cross_validate, fit_to_chests, read_chests
from AcuteFindingsLib.training.remembered import Remembered
from AcuteFindingsLib.training.trained import Trained

# Comes after the id of the model with tube labels: the first by id answers where nobody names one.
ID = "chest-nih14-64"
FOLDER = "chest-xray-64"
# Twice the pixels there are: the backbone halves its input five times.
SETTINGS = radiograph_sets.SETTINGS.model_copy(update={"size": 128, "flip": False})
# A finding of fewer people is in too few folds for a figure to say anything.
ENOUGH_PEOPLE = 10
_TABLE = "cross-validation.csv"


def train_chest64(cache: Path, *, steps: int, data: Path) -> Trained:
    """Cross-validate by patient, then fit to all radiographs of `chest-xray-64` in the folder `data`."""
    chests = read_chests(data / FOLDER, SETTINGS)
    arguments: dict[str, Any] = {
        "backbone": "tf_efficientnet_lite0",
        "pathologies": list(chests.names),
        "tubes": [],
        "dropout": 0.3,
        "pretrained": True,
    }

    def start() -> ChestClassifier:
        return cast(ChestClassifier, build_network("chest_classifier", arguments))

    shaped = (chests.images, chests.labels, chests.patients, arguments, steps, getsource(real_chest))
    kept = Remembered(cache / "cross-validation", *shaped)
    found = cross_validate(start, chests, steps=steps, kept=kept)
    network = fit_to_chests(start(), chests, np.arange(len(chests.images)), steps=steps)
    card = _card(Network(name="chest_classifier", arguments=stored_arguments(arguments)), chests, found, steps)
    return Trained(
        network,
        card,
        text=_text(chests),
        documents={_TABLE: _table(chests, found)},
        changelog={"0.2.0": "first model"},
    )


def figures(chests: RealChests, found: Arrays) -> list[Interval]:
    """Return AUC and calibration error of each finding, and their means, with intervals over patients."""
    command = f"acutefindings evaluate Resources/Models/{ID}/docs/{_TABLE} --truth DATA/{FOLDER}/Data_Entry.csv"
    told = f"{len(chests.images)} real radiographs at 64×64 pixels of {len(set(chests.patients))} people, each by a "
    told += f"network that saw none of its patient's ({FOLDS} folds)"
    score = found["probabilities"]
    everything = range(len(chests.names))
    measured = [number for number in everything if chests.patients_with(number) >= ENOUGH_PEOPLE]
    means = [
        *([_mean_auc(chests, score, measured, data=told, command=command)] if measured else []),
        _class_wise(
            chests,
            score,
            everything,
            metric="CWCE, mean over all findings, cross-validated",
            data=told,
            command=command,
        ),
        _class_wise(
            chests,
            found["often"],
            everything,
            metric="CWCE of one who does not look and states how often each finding occurs",
            data=told,
            command=command_for("chest-64", data=True),
        ),
    ]
    single: list[Interval] = []
    for number, name in enumerate(chests.names):
        truth, probability = chests.labels[:, number] == 1, score[:, number]
        meaning, people = label_of(name).meaning.lower(), chests.patients_with(number)
        data = f"the same, {int(truth.sum())} with it, of {people} people"
        data += "" if number in measured else ": too few people to tell"
        if truth.any():
            words = {"metric": f"AUC, {meaning}", "data": data, "command": command}
            single.append(auc_interval(truth, probability, **words, patients=chests.patients))
        single.append(_class_wise(chests, score, [number], metric=f"CWCE, {meaning}", data=data, command=command))
    return [*means, *single]


def _class_wise(chests: RealChests, score: np.ndarray, findings: Sequence[int], **words: str) -> Interval:
    truths, scores = _columns(chests, score, findings)
    value = class_wise_calibration_error(truths, scores)
    measure = _mean([calibration_measure(truth, column) for truth, column in zip(truths, scores, strict=True)])
    return measure_interval(measure, value, patients=chests.patients, **words)


def _mean_auc(chests: RealChests, score: np.ndarray, findings: Sequence[int], **words: str) -> Interval:
    truths, scores = _columns(chests, score, findings)
    measure = _mean([auc_measure(truth, column) for truth, column in zip(truths, scores, strict=True)])
    value = float(measure(np.ones((1, len(score))))[0])
    metric = f"AUC, mean over the {len(findings)} findings of {ENOUGH_PEOPLE} people or more, cross-validated"
    return measure_interval(measure, value, metric=metric, patients=chests.patients, **words)


def _columns(
    chests: RealChests, score: np.ndarray, findings: Sequence[int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [chests.labels[:, n] == 1 for n in findings], [score[:, n] for n in findings]


def _mean(measures: Sequence[Measure]) -> Measure:
    return lambda weights: np.mean([measure(weights) for measure in measures], axis=0)


def _table(chests: RealChests, found: Arrays) -> bytes:
    lines = [",".join(["image", *chests.names])]
    for key, row in zip(chests.table.keys, found["probabilities"].tolist(), strict=True):
        lines.append(",".join([key, *(repr(value) for value in row)]))
    return "\n".join([*lines, ""]).encode()


def _text(chests: RealChests) -> str:
    few = [
        f"{label_of(name).meaning.lower()} ({chests.patients_with(number)})"
        for number, name in enumerate(chests.names)
        if chests.patients_with(number) < ENOUGH_PEOPLE
    ]
    return f"""## How it was measured

{FOLDS} networks were fitted, each to the radiographs of four fifths of the patients; each answered for those of the
others. The answers are in `docs/{_TABLE}`, so the figures can be computed again without training:

    acutefindings evaluate docs/{_TABLE} --truth DATA/{FOLDER}/Data_Entry.csv

AUC says how well a finding is told apart from its absence. CWCE, the class-wise calibration error, says how far the
stated probabilities are from what is observed (0 is best); it is small for rare findings whatever the model says, so it
stands beside that of one who does not look. Intervals draw whole patients.

Too few people to tell, fewer than {ENOUGH_PEOPLE}: {", ".join(few) or "none"}. Their figures are in the table all the
same and mean nothing. **Pneumothorax above all: 28 radiographs of 2 people.** The labels were read from reports by a
program, not from the pictures by people. The weights that ship were then fitted to all radiographs."""


def _card(network: Network, chests: RealChests, found: Arrays, steps: int) -> Card:
    thresholds = {
        name: youden_threshold(chests.labels[:, number] == 1, found["probabilities"][:, number])
        for number, name in enumerate(chests.names)
        if chests.labels[:, number].any()
    }
    return Card(
        id=ID,
        task="chest",
        title="Fourteen chest findings at 64×64 pixels",
        network=network,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of(name) for name in chests.names],
        operating_points=[
            OperatingPoint(
                level="study", label=name, threshold=value, chosen="Youden's index on the cross-validated answers"
            )
            for name, value in thresholds.items()
        ],
        training_data=TrainingData(
            summary="real radiographs of NIH ChestX-ray14 at 64×64 pixels; backbone started from ImageNet",
            phantoms_only=False,
            count=f"{len(chests.images)} radiographs of {len(set(chests.patients))} people, {steps} steps of 32",
            restriction=(
                "NIH ChestX-ray14 is free to use with acknowledgement of the NIH Clinical Center as its source."
            ),
        ),
        evaluation=figures(chests, found),
        license="Apache-2.0",
        intended_use=(
            "To compare training and calibration on few small radiographs, as source 5 does on many large ones. The "
            "pneumothorax detector does not use it. Research only."
        ),
        limitations=(
            "At 64×64 pixels small findings cannot be seen. Knows no tubes. Few people, several radiographs each. The "
            "published classifier reads 512 pixels and was fitted to tens of thousands of radiographs; this one, on two"
            " cores, kept the finest layers as ImageNet had taught them."
        ),
        sources=[
            SOURCE_5,
            "Wang X. et al., ChestX-ray8: Hospital-scale chest X-ray database and benchmarks, 2017 (images provided by "
            "the NIH Clinical Center)",
        ],
    )
