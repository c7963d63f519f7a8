"""Slices that look like neither neighbor: damaged where a decoder cannot tell, or of another examination."""

import numpy as np

from AcuteFindingsLib.study.damage import named_places
from AcuteFindingsLib.study.notice import Notice

# A slice differs from both neighbors more than these from each other. Measured on three real CTs (head, chest, CTA)
# with every 1st, 2nd, 3rd, 5th and 10th slice, up to 40 mm apart: whole slices reach 0.99 times, each of eight bands
# 1.54 times. Noise alone is 1.
_SLICE_TIMES, _BAND_TIMES = 1.3, 2.0
# Mean difference in HU below which neighbors count as alike; that of a band of a windowed picture is a share of 400 HU.
_SLICE_FLOOR, _BAND_FLOOR, _WINDOWED = 40.0, 80.0, 1 / 400
_BANDS = 8
# Looked at on at least so many rows and columns, of larger pictures on every 4th; smaller ones are not judged.
_LEAST_SIDE, _STRIDE = 64, 4
_LOWEST_HU, _HIGHEST_HU = -1024.0, 1500.0


def odd_slices(array: np.ndarray, *, windowed: bool = False) -> list[int]:
    """Return the places of slices of a CT ``(z, y, x)`` that look like neither neighbor; ends cannot be told."""
    side = min(array.shape[1:])
    if len(array) < 3 or side < _LEAST_SIDE:
        return []
    stride = min(_STRIDE, side // _LEAST_SIDE)
    small = array[:, ::stride, ::stride]
    if not windowed:
        small = np.clip(small, _LOWEST_HU, _HIGHEST_HU)
    rows = small.shape[1] // _BANDS * _BANDS
    small = small[:, :rows].reshape(len(small), _BANDS, -1)
    apart = np.abs(np.diff(small, axis=0)).mean(axis=2)
    nearer = np.minimum(apart[:-1], apart[1:])
    around = np.abs(small[2:] - small[:-2]).mean(axis=2)
    scale = _WINDOWED if windowed else 1.0
    odd = (nearer > _BAND_TIMES * np.maximum(around, scale * _BAND_FLOOR)).any(axis=1)
    whole = np.minimum(apart.mean(axis=1)[:-1], apart.mean(axis=1)[1:])
    odd |= whole > _SLICE_TIMES * np.maximum(around.mean(axis=1), scale * _SLICE_FLOOR)
    return (np.flatnonzero(odd) + 1).tolist()


def odd_slice_notices(array: np.ndarray, *, windowed: bool = False) -> tuple[Notice, ...]:
    """Warn of slices of a CT ``(z, y, x)`` that look like neither neighbor."""
    places = odd_slices(array, windowed=windowed)
    if not places:
        return ()
    text = (
        f"{'A slice looks' if len(places) == 1 else f'{len(places)} slices look'} like neither neighbor "
        f"({named_places(places)} along the stack): the image may be damaged or of another examination. Look at it "
        "before you trust the answer."
    )
    return (Notice("odd-slices", "warn", text),)
