"""What the values of an image are, where no header says it: HU or gray levels, and numbers that are none."""

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.slice_values import AIR_HU

# Gray levels and probabilities have no values far below 0, HU of a whole head or chest have air.
_HU_BELOW = -100.0
# 8-bit gray levels use most of their 256; less than this are HU cut to a window, or a scale such as 0..100.
_GRAY_ABOVE = 100.0
# More slices than this without any value, and the file is no examination; as for images that are lost from a series.
_LOST_SLICES = 1 / 3


def looks_like_hu(lowest: float) -> bool:
    """Whether some values are far below 0."""
    return lowest < _HU_BELOW


def is_windowed(lowest: float, highest: float) -> bool:
    """Whether values are gray levels of a display window, 0..1 or 0..255, and not HU."""
    return lowest >= 0 and (highest <= 1 or _GRAY_ABOVE < highest <= 255)


def make_finite(array: np.ndarray) -> tuple[Notice, ...]:
    """Replace, in place, what is not a number by air (of HU) or black; returns what was done.

    As where a tool masks what lies outside its field: a reader sees that as air around the patient. Slices without
    any number are lost.

    Raises
    ------
    StudyError
        No value is a number, or more than a third of the slices ``(z, y, x)`` has none.
    """
    lowest, highest = float(array.min()), float(array.max())
    if np.isfinite(lowest) and np.isfinite(highest):
        return ()
    bad = ~np.isfinite(array)
    if bad.all():
        raise StudyError("The image holds no finite value, so there is nothing to see; export it again.")
    lost = int(bad.reshape(len(bad), -1).all(axis=1).sum())
    if lost > _LOST_SLICES * len(bad):
        raise StudyError(
            f"{lost} of {len(bad)} slices hold no finite value, so too much of the examination is missing; export it "
            "again."
        )
    array[bad] = AIR_HU if looks_like_hu(float(array[~bad].min())) else 0.0
    slices = f", among them {lost} whole {'slice' if lost == 1 else 'slices'}," if lost else ""
    text = f"{int(bad.sum())} voxels{slices} hold no number; they were taken as air, and what they hid cannot be seen."
    return (Notice("not-a-number", "warn", text),)
