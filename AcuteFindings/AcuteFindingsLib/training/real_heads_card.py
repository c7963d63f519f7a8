"""What the card of the hemorrhage model says about real slices: figures, tables of scores, sheets of masks."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.evaluation.contact_sheet import Panel
from AcuteFindingsLib.evaluation.intervals import auc_interval, decision_intervals
from AcuteFindingsLib.models.metadata import Interval, Picture
from AcuteFindingsLib.preprocessing.head_slice import head_region_windowed
from AcuteFindingsLib.training.real_heads import FOLDS, RealHeads
from AcuteFindingsLib.training.sheets import sheet_bytes

FOLDER = "head-ct-slices"
RESTRICTION = (
    "The real slices are of the set “Head CT - hemorrhage” (F. Kitamura), whose source states no license: ask its "
    "author before any use beyond research."
)
_TABLES = {
    "images": ("cross-validation.csv", "as they are"),
    "neutral": ("cross-validation-neutral.csv", "neutral version"),
    "look": ("cross-validation-baseline.csv", "baseline: a random forest on image size, border and histogram alone"),
}
_SHEET = "masks-without-images.png"
_COLUMNS = 10
_GROUND = 0.28


def score_tables(heads: RealHeads, scores: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Return the cross-validated scores as tables that `acutefindings evaluate` reads, by file name."""
    return {
        file: _table(("image", "any"), zip(heads.table.keys, scores[name], strict=True))
        for name, (file, _) in _TABLES.items()
    } | {"folds.csv": _table(("image", "fold"), zip(heads.table.keys, scores["fold"], strict=True))}


def cross_validated(heads: RealHeads, scores: Mapping[str, np.ndarray], *, package: str) -> list[Interval]:
    """Return the AUC of both versions and of the baseline; near-duplicates are drawn together."""
    told = f"{len(heads.bleeding)} real head CT slices, {int(heads.bleeding.sum())} with hemorrhage, by networks that "
    told += f"saw neither them nor their near-duplicates ({FOLDS} folds)"
    return [
        auc_interval(
            heads.bleeding,
            scores[name],
            metric=f"AUC, slice, cross-validated, {words}",
            data=told,
            command=f"acutefindings evaluate {package}/docs/{file} --truth DATA/{FOLDER}/labels.csv",
            patients=heads.groups,
        )
        for name, (file, words) in _TABLES.items()
    ]


def at_threshold(heads: RealHeads, score: np.ndarray, threshold: float, *, command: str) -> list[Interval]:
    """Return sensitivity and specificity of cross-validated scores at the threshold that was chosen on them."""
    return decision_intervals(
        heads.bleeding,
        score >= threshold,
        metric=f"slice, cross-validated, at {threshold:.2f}",
        data="the same slices as they are; the threshold was chosen on these scores too, so a little too good",
        command=command,
    )


def resubstituted(heads: RealHeads, scores: Mapping[str, np.ndarray], *, package: str, command: str) -> list[Interval]:
    """Return what the shipped weights give on the very slices they were fitted to; `scores` by version."""
    predict = (
        f"acutefindings predict --detector hemorrhage --model {package} --images DATA/{FOLDER}/images "
        f"--list DATA/{FOLDER}/labels.csv --out p.csv && acutefindings evaluate p.csv --truth DATA/{FOLDER}/labels.csv"
    )
    return [
        auc_interval(
            heads.bleeding,
            scores[name],
            metric=f"AUC, slice, resubstitution, {_TABLES[name][1]}",
            data=f"the same {len(heads.bleeding)} slices with the weights that ship, which were fitted to these very "
            "slices: shows that the package answers, not how good it is",
            command=asked,
            patients=heads.groups,
        )
        for name, asked in (("images", predict), ("neutral", command))
    ]


def mask_panels(
    heads: RealHeads, masks: np.ndarray, scores: np.ndarray, threshold: float, *, images: bool
) -> list[Panel]:
    """Return a panel for each slice with a bleed: where the attention mask lies.

    Parameters
    ----------
    masks
        ``(n, y, x)`` probability of each slice of `heads`.
    scores
        ``(n,)`` probability of any hemorrhage, told above the picture.
    threshold
        From which a pixel counts.
    images
        Show the slices themselves; a flat head in their place where False, for packages that must not carry them.
    """
    return [
        Panel(
            image=heads.images[number] if images else _GROUND * head_region_windowed(heads.images[number]),
            title=f"{Path(heads.table.keys[number]).stem}   p {scores[number]:.2f}",
            heat=masks[number],
            outline=masks[number] >= threshold,
        )
        for number in np.flatnonzero(heads.bleeding)
    ]


def mask_sheet(panels: Sequence[Panel], *, caption: str) -> tuple[Picture, dict[str, bytes]]:
    """Return the sheet as a picture of a card, and its file."""
    return Picture(file=_SHEET, caption=caption), {_SHEET: sheet_bytes(panels, columns=_COLUMNS)}


def _table(head: Sequence[str], rows: object) -> bytes:
    stream = io.StringIO()
    writer = CsvWriter(stream, lineterminator="\n")
    writer.writerow(head)
    for name, value in rows:  # type: ignore[attr-defined]
        # In full, so that the table gives the card's figure to the last digit.
        writer.writerow([name, repr(value.item())])
    return stream.getvalue().encode()
