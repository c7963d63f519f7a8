"""What can be said of a head as a whole: midline, streaks, what of the brain was seen, the densest place."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.finding import Measurement, Reason
from AcuteFindingsLib.detectors.hemorrhage.head import Head
from AcuteFindingsLib.detectors.hemorrhage.lesions import DENSE_HU
from AcuteFindingsLib.detectors.hemorrhage.midline import midline_shift
from AcuteFindingsLib.detectors.hemorrhage.reasons_outline import HU, SOURCE
from AcuteFindingsLib.detectors.hemorrhage.slices import Slices
from AcuteFindingsLib.detectors.hemorrhage.streaks import STREAK_HU, streak_heights

_SHIFTED_MM = 3.0
_SIGNIFICANT_MM = 5.0
_THICK_MM = 5.1
_DEEP_MM = 8.0
_BLUR_MM = 1.5
_MIDDLE_MM = 6.0
_BLOOD_HU = 55.0
# A slice at the end of the series with so much brain in it means that brain lies beyond.
_CUT_SHARE = 0.25


def midline_reason(head: Head, depth: np.ndarray, slices: Slices, *, negative: bool) -> Reason:
    """Say how far the middle of the brain has moved."""
    shift = midline_shift(head, depth)
    if shift is None:
        text = "The shift of the midline cannot be told: the halves of the brain are not alike about any middle."
        return Reason("midline-not-told", "caution", text, SOURCE)
    size, index = abs(shift.mm), slices.at_mm(shift.z_mm)
    values = (Measurement("Midline shift", shift.mm, "mm"),)
    side = "left" if shift.mm > 0 else "right"
    if size < _SHIFTED_MM:
        how_far = f"{size:.1f} mm to the patient's {side}" if size else "0.0 mm off"
        text = f"No shift of the midline of {_SHIFTED_MM:.0f} mm or more ({how_far}, near slice {index + 1})."
        return Reason("midline-in-place", "looked", text, SOURCE, values, index)
    more = f"; {_SIGNIFICANT_MM:.0f} mm and more counts as mass effect" if size >= _SIGNIFICANT_MM else ""
    text = f"The midline is shifted by {size:.1f} mm to the patient's {side} (near slice {index + 1}){more}."
    if negative:
        text += " The model draws no blood that explains it: look for a mass, or blood as dense as brain."
    return Reason("midline-shifted", "caution" if negative else "for", text, SOURCE, values, index)


def streak_reasons(head: Head, depth: np.ndarray, slices: Slices, about: list[int]) -> list[Reason]:
    """Warn of streaks in the slices that the verdict rests on: `about` holds their planes on the axial grid."""
    heights = streak_heights(head, depth)
    rows = sorted({plane // head.group for plane in about})
    worst = max(rows, key=lambda k: heights[k], default=None)
    if worst is None or heights[worst] < STREAK_HU:
        return []
    index = slices.at_plane(worst * head.group)
    text = (
        f"Streaks of one direction run through slice {index + 1} ({heights[worst]:.1f} HU): bands of beam hardening or "
        "metal can look like blood."
    )
    values = (Measurement("Height of streaks", float(heights[worst]), HU),)
    return [Reason("streaks", "caution", text, SOURCE, values, index)]


def coverage_reasons(head: Head, slices: Slices, step_mm: float, *, negative: bool) -> list[Reason]:
    """Say how much of the brain was seen, and what was not; slices lie `step_mm` apart."""
    areas = head.inside.sum(axis=(1, 2))
    if len(slices.indices) == 1:
        text = f"One slice was seen, {step_mm:.1f} mm high: nothing is said of the rest of the brain."
        return [Reason("one-slice", "caution", text, SOURCE)]
    seen = np.flatnonzero(areas)
    height = len(seen) * head.spacing[0]
    first, last = (slices.at_plane(int(k) * head.group) + 1 for k in (seen[0], seen[-1]))
    text = f"Brain is seen over {height:.0f} mm (slices {min(first, last)} to {max(first, last)})."
    values = (Measurement("Height of brain seen", float(height), "mm"),)
    found = [Reason("brain-seen", "looked", text, SOURCE, values)]
    missing = [name for name, area in (("below", areas[0]), ("above", areas[-1])) if area >= _CUT_SHARE * areas.max()]
    if missing:
        text = f"The series ends within the brain: what lies {' and '.join(missing)} was not seen."
        found.append(Reason("brain-cut-off", "caution", text, SOURCE))
    if step_mm > _THICK_MM:
        text = f"Slices lie {step_mm:.1f} mm apart: a bleed that is lower than that may be missed."
        found.append(Reason("thick-slices", "caution", text, SOURCE))
    if negative:
        text = (
            "Not covered: blood as dense as brain (some days old, or in anemia), and bleeds lower than a slice is "
            f"high ({step_mm:.1f} mm)."
        )
        found.append(Reason("not-covered", "caution", text, SOURCE))
    return found


def densest_reason(head: Head, depth: np.ndarray, slices: Slices) -> list[Reason]:
    """Name the densest place of the brain, 8 mm and more under the skull, where nothing was drawn."""
    blur = (0.0, _BLUR_MM / head.spacing[1], _BLUR_MM / head.spacing[2])
    beside_skull = ndimage.binary_dilation(head.skull, iterations=2)
    chosen = (depth >= _DEEP_MM) & ~beside_skull
    if not chosen.any():
        return []
    soft = np.where(chosen, ndimage.gaussian_filter(head.hu, blur), -np.inf)
    k, j, i = (int(axis) for axis in np.unravel_index(int(soft.argmax()), soft.shape))
    value, index = float(soft[k, j, i]), slices.at_plane(k * head.group)
    x, y, z = ((place + 0.5) * mm for place, mm in zip((i, j, k), head.spacing[::-1], strict=True))
    off = float(head.off_middle(*(np.array(place) for place in (z, y, x))))
    side = (
        "in the middle"
        if abs(off) < _MIDDLE_MM
        else f"{abs(off):.0f} mm to the patient's {'left' if off > 0 else 'right'}"
    )
    text = (
        f"The densest place of the brain, clear of the skull, is in slice {index + 1}, {side}: {value:.0f} HU, "
        f"{_likened(value)}."
    )
    return [Reason("densest-place", "looked", text, SOURCE, (Measurement("Highest density", value, HU),), index)]


def _likened(hu: float) -> str:
    if hu > DENSE_HU:
        return "as dense as calcification or bone, denser than blood"
    return "as dense as blood may be" if hu > _BLOOD_HU else "less than acute blood"
