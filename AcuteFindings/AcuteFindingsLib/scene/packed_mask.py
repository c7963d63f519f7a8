"""A mask as a short text, so that a scene remembers what the model outlined after a person has redrawn it."""

import base64
import math
import zlib
from typing import Any

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import SceneError


def mask_box(array: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Return the smallest box ``(z, y, x)`` that holds what is marked, None where nothing is.

    Reads a mask once: `scipy.ndimage.find_objects` takes a second for a chest CT, and a window would not answer.
    """
    mask = np.asarray(array)
    flags = mask.view(bool) if mask.dtype == np.uint8 else mask != 0
    planes = np.flatnonzero([bool(plane.any()) for plane in flags])
    if not len(planes):
        return None
    flat = np.logical_or.reduce(flags[planes[0] : planes[-1] + 1], axis=0)
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    z, y, x = (slice(int(found[0]), int(found[-1]) + 1) for found in (planes, rows, columns))
    return z, y, x


def pack_mask(array: np.ndarray) -> dict[str, Any]:
    """Return a ``(z, y, x)`` mask in JSON's types: its shape, the box that holds it, and the box's bits compressed."""
    mask = np.asarray(array)
    box = mask_box(mask) or (slice(0, 0),) * 3
    bits = np.packbits(mask[box] != 0)
    return {
        "shape": list(mask.shape),
        "box": [[part.start, part.stop] for part in box],
        "bits": base64.b64encode(zlib.compress(bits.tobytes(), 1)).decode("ascii"),
    }


def packed_box(packed: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the voxels of the box, ``(z, y, x)`` uint8, and the index of its first voxel.

    Raises
    ------
    SceneError
        When this is no packed mask, its box does not lie in its grid, or it is larger than any volume.
    """
    try:
        size = [int(length) for length in packed["shape"]]
        box = [slice(int(start), int(stop)) for start, stop in packed["box"]]
        inside = len(size) == len(box) == 3 and all(
            0 <= part.start <= part.stop <= length for part, length in zip(box, size, strict=True)
        )
        shape = tuple(part.stop - part.start for part in box)
        count = math.prod(shape)
        if not inside or math.prod(size) > budgets().voxels:
            raise ValueError("its box is not one of this grid")
        # Never more than the box holds, whatever was compressed.
        bits = zlib.decompressobj().decompress(base64.b64decode(packed["bits"]), count // 8 + 1)
        voxels = np.unpackbits(np.frombuffer(bits, np.uint8), count=count).reshape(shape)
    except (ValueError, KeyError, TypeError, OverflowError, zlib.error) as error:
        raise SceneError(
            f"The outlines that the model drew cannot be read from the scene any more ({error}); run the "
            "detector again."
        ) from error
    return voxels, (box[0].start, box[1].start, box[2].start)


def unpack_mask(packed: dict[str, Any]) -> np.ndarray:
    """Return the whole mask, ``(z, y, x)`` uint8; raises `SceneError` as `packed_box`."""
    voxels, (z, y, x) = packed_box(packed)
    mask = np.zeros(packed["shape"], np.uint8)
    mask[z : z + voxels.shape[0], y : y + voxels.shape[1], x : x + voxels.shape[2]] = voxels
    return mask
