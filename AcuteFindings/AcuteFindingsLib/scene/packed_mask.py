"""A mask as a short text, so that a scene remembers what the model outlined after a person has redrawn it."""

import base64
import zlib
from typing import Any

import numpy as np


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
    ValueError, KeyError, TypeError, zlib.error
        When this is no packed mask.
    """
    box = [slice(int(start), int(stop)) for start, stop in packed["box"]]
    shape = tuple(part.stop - part.start for part in box)
    bits = np.frombuffer(zlib.decompress(base64.b64decode(packed["bits"])), np.uint8)
    count = int(np.prod(shape))
    voxels = np.unpackbits(bits, count=count).reshape(shape)
    return voxels, (box[0].start, box[1].start, box[2].start)


def unpack_mask(packed: dict[str, Any]) -> np.ndarray:
    """Return the whole mask, ``(z, y, x)`` uint8."""
    voxels, (z, y, x) = packed_box(packed)
    mask = np.zeros(packed["shape"], np.uint8)
    mask[z : z + voxels.shape[0], y : y + voxels.shape[1], x : x + voxels.shape[2]] = voxels
    return mask
