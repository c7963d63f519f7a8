"""Cross-validation before a fit to everybody: what each fold's network said of those whom it did not see."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from AcuteFindingsLib.evaluation.calibration import calibration_measure, class_wise_calibration_error
from AcuteFindingsLib.evaluation.intervals import measure_interval
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.metadata import Interval
from AcuteFindingsLib.training.runs.score import Answers, MaskAnswer, Scored

ANSWERS = "answers.npz"
_ANSWER = ("keys", "patients", "truth", "score")
_MASK = ("soft", "truth", "known")


def keep_answers(scored: Scored, folder: Path) -> None:
    """Write what was said of the part kept aside into the folder of a fold."""
    arrays = {f"{level}/{name}": getattr(one, name) for level, one in scored.levels.items() for name in _ANSWER}
    for number, mask in enumerate(scored.masks):
        arrays |= {f"mask/{number}/{name}": getattr(mask, name) for name in _MASK}
        arrays[f"mask/{number}/who"] = np.array([mask.key, mask.patient])
    with replace_when_written(folder / ANSWERS) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_answers(folders: Sequence[Path]) -> Scored:
    """Return what all folds said, as if one network had said it."""
    folds = [_read(folder / ANSWERS) for folder in folders]
    levels = {
        level: Answers(*(np.concatenate([getattr(fold.levels[level], name) for fold in folds]) for name in _ANSWER))
        for level in folds[0].levels
    }
    return Scored(levels, [mask for fold in folds for mask in fold.masks])


def without_looking(folders: Sequence[Path], level: str, *, data: str, command: str) -> list[Interval]:
    """Return the calibration error of one who states how often each label occurs among the others.

    It is small for rare findings, whatever one looks at: a model's own stands beside it (docs/sources.md 5).
    """
    folds = [_read(folder / ANSWERS).levels[level] for folder in folders]
    truth = np.concatenate([fold.truth for fold in folds])
    known = ~np.isnan(truth).any(axis=0)
    if not known.any():
        return []
    often = np.concatenate(
        [
            np.tile(
                np.concatenate([other.truth for other in folds if other is not fold]).mean(axis=0), (len(fold.truth), 1)
            )
            for fold in folds
        ]
    )
    truths, scores = list(truth[:, known].T >= 0.5), list(often[:, known].T)
    each = [calibration_measure(one, score) for one, score in zip(truths, scores, strict=True)]
    return [
        measure_interval(
            lambda weights: np.mean([measure(weights) for measure in each], axis=0),
            class_wise_calibration_error(truths, scores),
            metric=f"CWCE of one who does not look and states how often each finding occurs, {level}",
            data=data,
            command=command,
            patients=np.concatenate([fold.patients for fold in folds]),
        )
    ]


def _read(path: Path) -> Scored:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    names = dict.fromkeys(name.split("/")[0] for name in arrays)
    levels = {level: Answers(*(arrays[f"{level}/{name}"] for name in _ANSWER)) for level in names if level != "mask"}
    masks: list[MaskAnswer] = []
    while f"mask/{len(masks)}/who" in arrays:
        key, patient = arrays[f"mask/{len(masks)}/who"].tolist()
        masks.append(MaskAnswer(key, patient, *(arrays[f"mask/{len(masks)}/{name}"] for name in _MASK)))
    return Scored(levels, masks)
