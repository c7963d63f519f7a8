"""Radiographs of any shape on a network's square, and back."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.preprocessing.resample import pick_in_plane, resize_in_plane


@dataclass(frozen=True)
class Shown:
    """What of a picture is on a network's square: `box` of it, padded, or where `stretched` each side by itself."""

    box: tuple[slice, slice]
    stretched: bool = False


def pad_to_square(image: np.ndarray, *, fill: float = 0.0) -> np.ndarray:
    """Pad ``(y, x)`` on both sides of its shorter side until it is square; the odd pixel goes below or to the right."""
    side = max(image.shape)
    before = [(side - length) // 2 for length in image.shape]
    pads = [(b, side - length - b) for b, length in zip(before, image.shape, strict=True)]
    return np.pad(image, pads, constant_values=fill)


def fit_square(image: np.ndarray, size: int, *, fill: float = 0.0) -> np.ndarray:
    """Pad ``(y, x)`` to a square and bring it to `size` pixels per side, without changing its proportions: float32."""
    return resize_in_plane(pad_to_square(image, fill=fill)[None], (size, size))[0]


def unfit_square(square: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """Undo `fit_square`: bring ``(size, size)`` back on a picture of `shape_yx`: float32, padding cut off.

    For a mask, hold the result against 0.5.
    """
    side = max(shape_yx)
    whole = resize_in_plane(square[None], (side, side))[0]
    y, x = ((side - length) // 2 for length in shape_yx)
    return whole[y : y + shape_yx[0], x : x + shape_yx[1]]


def stretch_square(image: np.ndarray, size: int) -> np.ndarray:
    """Bring ``(y, x)`` to `size` pixels per side, each side by itself: float32.

    Values are linear between the nearest two pixels of each axis and nothing is averaged, as public models resize their
    pictures (OpenCV's ``INTER_LINEAR``, torch's bilinear without antialiasing); to `resize_in_plane` a smaller picture
    is a mean of areas.
    """
    return pick_in_plane(image[None], (size, size))[0]
