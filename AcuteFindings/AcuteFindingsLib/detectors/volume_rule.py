"""What a probability volume draws: its connected parts, and the rule that decides by the largest of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

_NEIGHBORS = np.ones((3, 3, 3), bool)

_LOW_LEVEL = 0.05
"""Below this probability nobody asks how much of a study a level reaches."""

_STEPS = 8
"""Halvings of the range of probabilities in `volume_score`: a result to 1/256."""


class VolumeRule(BaseModel):
    """A study is positive where one connected part is large enough and its peak is high enough.

    Attributes
    ----------
    minimum_mm3
        Smallest volume of a part that counts. No source publishes one. 14 mm³ is a ball of 3 mm across: CT shows
        contrast evenly in arteries down to 2 to 3 mm (Chhabra, Applied Radiology, "Pulmonary embolism in segmental and
        subsegmental arteries"), and what is smaller fills none of them.
    minimum_peak
        Smallest probability that the part's highest voxel must reach. 0.5 is what nnU-Net and the public program of
        Zhang 2026 (doi:10.1007/s10278-026-01958-4) ask for: they draw where the finding is more probable than the
        background. Nobody publishes an operating point for whole studies.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_mm3: float = Field(default=14.0, ge=0.0)
    minimum_peak: float = Field(default=0.5, ge=0.0, le=1.0)

    def counts(self, part: "Part") -> bool:
        """Say whether a part makes a study positive."""
        return part.volume_mm3 >= self.minimum_mm3 and part.peak >= self.minimum_peak


@dataclass(frozen=True)
class Part:
    """One connected part of a mask.

    Attributes
    ----------
    volume_mm3
        Its volume.
    peak
        Probability of its highest voxel.
    box
        Where it lies in the volume ``(z, y, x)``.
    number
        Its value in `Parts.labels`.
    """

    volume_mm3: float
    peak: float
    box: tuple[slice, slice, slice]
    number: int


@dataclass(frozen=True)
class Parts:
    """What a probability volume draws.

    Attributes
    ----------
    found
        Its connected parts, the largest first.
    box
        The smallest box of the volume that holds them all; empty where nothing is drawn.
    labels
        int32 in the shape of that box: `Part.number`, 0 where nothing is drawn.
    """

    found: tuple[Part, ...]
    box: tuple[slice, slice, slice]
    labels: np.ndarray

    def within(self, part: Part) -> np.ndarray:
        """Return which voxels of its own box a part takes: bool in the shape of `Part.box`."""
        own = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part.box, self.box, strict=True))
        return np.asarray(self.labels[own] == part.number)

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return all parts as uint8, 0 or 1, in the volume's `shape`."""
        out = np.zeros(shape, np.uint8)
        np.not_equal(self.labels, 0, out=out[self.box], casting="unsafe")
        return out


def connected_parts(probability: np.ndarray, *, threshold: float, voxel_mm3: float) -> Parts:
    """Return the parts that a probability volume draws.

    Voxels that touch by a face, an edge or a corner belong together.

    Parameters
    ----------
    probability
        ``(z, y, x)`` in 0..1.
    threshold
        From where on a voxel is drawn.
    voxel_mm3
        Volume of a voxel.
    """
    whole = _bounds(probability, threshold)
    within = probability[whole]
    labels, count = ndimage.label(within >= threshold, structure=_NEIGHBORS)
    found = []
    for number, box in enumerate(ndimage.find_objects(labels) if count else (), start=1):
        values = within[box][labels[box] == number]
        place = tuple(slice(own.start + by.start, own.stop + by.start) for own, by in zip(box, whole, strict=True))
        found.append(Part(len(values) * voxel_mm3, float(values.max()), (place[0], place[1], place[2]), number))
    return Parts(tuple(sorted(found, key=lambda part: -part.volume_mm3)), whole, labels)


def volume_score(probability: np.ndarray, parts: Sequence[Part], rule: VolumeRule, *, voxel_mm3: float) -> float:
    """Return the study's probability under the rule: it reaches `minimum_peak` exactly where the rule holds.

    It is the highest peak of the parts that are large enough. Where none is, it is the highest level at which one would
    be, to 1/256: so studies below the rule still have an order.

    Parameters
    ----------
    probability
        ``(z, y, x)`` in 0..1.
    parts
        What it draws, as `connected_parts` returns it.
    voxel_mm3
        Volume of a voxel.
    """
    large = [part.peak for part in parts if part.volume_mm3 >= rule.minimum_mm3]
    if large:
        return max(large)
    needed = max(1, int(np.ceil(rule.minimum_mm3 / voxel_mm3 - 1e-9)))
    whole = _bounds(probability, _LOW_LEVEL)
    regions = _large_regions(probability[whole], _LOW_LEVEL, needed)
    low, high = (_LOW_LEVEL, float(probability.max())) if regions else (0.0, 0.0)
    for _ in range(_STEPS if regions else 0):
        middle = (low + high) / 2
        smaller = [region for one in regions for region in _large_regions(one, middle, needed)]
        low, high, regions = (middle, high, smaller) if smaller else (low, middle, regions)
    return low


def _large_regions(probability: np.ndarray, level: float, needed: int) -> list[np.ndarray]:
    """Return the boxes around connected voxels of at least a level, of those that are at least so many."""
    labels, count = ndimage.label(probability >= level, structure=_NEIGHBORS)
    found = []
    for number, box in enumerate(ndimage.find_objects(labels) if count else (), start=1):
        own = labels[box] == number
        if np.count_nonzero(own) >= needed:
            found.append(np.where(own, probability[box], 0))
    return found


def _bounds(probability: np.ndarray, threshold: float) -> tuple[slice, slice, slice]:
    """Return the smallest box that holds all voxels of at least a threshold; an empty one where there are none."""
    planes = np.flatnonzero(probability.max(axis=(1, 2)) >= threshold)
    if not len(planes):
        return slice(0, 0), slice(0, 0), slice(0, 0)
    flat = probability[planes[0] : planes[-1] + 1].max(axis=0) >= threshold
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    return (
        slice(int(planes[0]), int(planes[-1]) + 1),
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )
