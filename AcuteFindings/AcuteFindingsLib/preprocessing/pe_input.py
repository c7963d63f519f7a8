"""Axial CT slices as the PE slice networks take them (docs/sources.md 1)."""

import numpy as np

from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.preprocessing.windows import PE_WINDOW, apply_window


def with_neighbors(part: slice, count: int, reach: int) -> tuple[slice, np.ndarray]:
    """Say which slices to read so that each of some slices can be shown with those beside it.

    Parameters
    ----------
    part
        First and last + 1 of the slices that are judged, of `count`.
    reach
        How many on each side. Where the series ends, its last slice stands in for the missing ones.

    Returns
    -------
    The slices to read, and ``(n, 2 * reach + 1)`` int: for each judged slice which of those read are its channels.
    """
    start, stop = max(part.start - reach, 0), min(part.stop + reach, count)
    places = np.arange(part.start, part.stop)[:, None] + np.arange(-reach, reach + 1)
    return slice(start, stop), np.clip(places, 0, count - 1) - start


def as_channels(images: np.ndarray, places: np.ndarray, channels: int) -> np.ndarray:
    """Return slices ``(w, y, x)`` as a network takes them: ``(n, channels, y, x)``.

    `places` as `with_neighbors` gives it: slices with those beside them, or alone and then repeated over the channels.
    """
    return images[places] if places.shape[1] > 1 else np.repeat(images[places], channels, axis=1)


def prepare_pe_slices(
    slices: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    level: float = PE_WINDOW[0],
    width: float = PE_WINDOW[1],
    size: int = 386,
) -> np.ndarray:
    """Window, mask, resize and scale slices to -1..1, in the published order.

    Parameters
    ----------
    slices
        ``(z, y, x)`` HU: a batch, as many as memory allows.
    mask
        bool ``(z, y, x)`` from `lungs_heart_mask`; everything else becomes black (-1). None masks nothing.
    level, width, size
        Published: window 100/700 HU, 386 pixels per side. The whole picture is stretched to the square, as published.

    Returns
    -------
    float32 ``(z, size, size)``.
    """
    gray = apply_window(slices, level=level, width=width)
    if mask is not None:
        gray *= mask
    out = resize_in_plane(gray, (size, size))
    out *= 2
    out -= 1
    return out
