"""Contact sheets of images that were kept aside: what the model drew there, for the model card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.evaluation.contact_sheet import Panel, write_sheet
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.models.metadata import OperatingPoint, Picture
from AcuteFindingsLib.training.recipes.schema import Evidence
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.score import MaskAnswer, Scored

SHEET, SHEET_WITHOUT = "evidence.png", "evidence-without-images.png"
# Of 0..1: what stands for an image that may not be shown.
_GROUND = 0.4


@dataclass(frozen=True)
class _Shown:
    """One image with the finding; the worse the answer, the lower `order`: Dice, or else the probability."""

    panel: Panel
    ground: np.ndarray
    order: float
    measured: bool


def write_evidence(
    plan: Evidence, scored: Scored, items: Sequence[Item], points: Sequence[OperatingPoint], folder: Path, *, who: str
) -> tuple[list[Picture], dict[str, bytes]]:
    """Write the sheet of a fold into its folder; return the card's pictures, and their files.

    Parameters
    ----------
    scored
        What was said of `items`. Those of which no mask was drawn have no panel.
    who
        Whose images they are and who answered, in words.
    """
    threshold = next((point.threshold for point in points if point.level == "mask"), 0.5)
    by_key = {item.key: item for item in items}
    likely = {
        str(key): float(score)
        for answers in scored.levels.values()
        for key, score in zip(answers.keys, answers.score[:, 0], strict=True)
    }
    shown = [
        _shown(mask, by_key[mask.key], threshold, likely) for mask in scored.masks if by_key[mask.key].positive.any()
    ]
    if not shown:
        return [], {}
    shown = sorted(shown, key=lambda one: one.order)[: plan.pictures]
    panels = [one.panel for one in shown]
    write_sheet(panels, folder / SHEET, columns=min(plan.columns, len(panels)))
    name = SHEET
    if not plan.images:
        name = SHEET_WITHOUT
        flat = [replace(one.panel, image=one.ground) for one in shown]
        write_sheet(flat, folder / name, columns=min(plan.columns, len(panels)))
    return [Picture(file=name, caption=_caption(plan, shown, who))], {name: (folder / name).read_bytes()}


def _shown(mask: MaskAnswer, item: Item, threshold: float, likely: Mapping[str, float]) -> _Shown:
    truth = mask.truth & mask.known[:, None, None]
    areas = truth.sum(axis=(1, 2)) if truth.any() else mask.soft.sum(axis=(1, 2), dtype=np.int64)
    candidates = np.flatnonzero(item.positive) if not truth.any() else np.arange(len(areas))
    z = int(candidates[areas[candidates].argmax()])
    image, soft = item.images()[z].astype(np.float32) / 255, mask.soft[z] / np.float32(255)
    outline = soft >= threshold
    probability = likely.get(str(item.keys[z]), likely.get(item.key))
    note = "" if probability is None else f"probability {probability:.2f}"
    if truth.any():
        value = dice(truth, mask.soft >= 255 * threshold)
        panel = Panel(image, title=f"{value:.3f}", note=note, outline=outline)
        return _Shown(panel, _GROUND * truth[z].astype(np.float32), value, measured=True)
    panel = Panel(image, note=note, heat=soft, outline=outline)
    ground = ndimage.binary_fill_holes(image > 0).astype(np.float32)
    return _Shown(panel, _GROUND * ground, probability or 0.0, measured=False)


def _caption(plan: Evidence, shown: Sequence[_Shown], who: str) -> str:
    measured = all(one.measured for one in shown)
    number = "the number above is the Dice" if measured else "the heat is the mask's probability"
    instead = (
        ""
        if plan.images
        else (
            " The images must not be shown here: gray is what people outlined."
            if measured
            else " The images must not be shown here: a flat gray shape represents each."
        )
    )
    low = f" Below a Dice of 0.9: {sum(one.order < 0.9 for one in shown)}." if measured else ""
    told = (
        f"{len(shown)} images with the finding, {who}, the worst answer first: the green line is the model's outline, "
    )
    return " ".join(part for part in (plan.caption, f"{told}{number}.{instead}{low}") if part)
