"""A volume read block by block: how large, where they lie, and how what is said of them is joined.

As nnU-Net does it, and the public program of docs/sources.md 8: blocks overlap, and what each says of a voxel counts
by a Gaussian around the block's middle, an eighth of its side wide.
"""

from dataclasses import dataclass
from itertools import product
from math import ceil, prod

import numpy as np
from scipy.ndimage import gaussian_filter1d

Triple = tuple[int, int, int]

SIGMA = 1 / 8
"""Width of the Gaussian as a share of a block's side, nnU-Net's."""

LIKE_TRAINING = 0.5
"""Blocks at least so long on each axis, as a share of the largest, are taken before others.

The largest is what a network was trained with; what it sees around a voxel, and its norms over a block, are then like
it. The public program of docs/sources.md 8 takes 128 × 256 × 256 of 224 × 320 × 320 by itself. Ours.
"""


@dataclass(frozen=True)
class Blocks:
    """Where the blocks of a volume lie.

    Attributes
    ----------
    side
        ``(z, y, x)`` voxels of a block.
    starts
        First voxel of the blocks, by axis; each combination is a block.
    """

    side: Triple
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return prod(map(len, self.starts))

    @property
    def corners(self) -> list[Triple]:
        """First voxel ``(z, y, x)`` of each block."""
        return list(product(*self.starts))

    @property
    def voxels(self) -> int:
        """Voxels of all blocks together: what there is to compute."""
        return len(self) * prod(self.side)


def lay_blocks(shape: Triple, side: Triple, *, overlap: float) -> Blocks:
    """Lay blocks evenly over a volume so that neighbors overlap by at least a share; an axis shorter than one has one.

    Parameters
    ----------
    shape
        ``(z, y, x)`` of the volume.
    side
        Of a block; a shorter axis is filled up behind its end.
    """
    starts = []
    for length, own in zip(shape, side, strict=True):
        count = ceil((length - own) / max(1, int(own * (1 - overlap)))) + 1 if length > own else 1
        step = (length - own) / (count - 1) if count > 1 else 0.0
        starts.append(tuple(round(step * number) for number in range(count)))
    return Blocks(side, (starts[0], starts[1], starts[2]))


def choose_blocks(
    shape: Triple, *, largest: Triple, smallest: Triple, divisor: Triple, overlap: float, most_voxels: float
) -> Blocks | None:
    """Choose blocks that fit in the memory, are `LIKE_TRAINING` and cost the least; None where none fits.

    Parameters
    ----------
    shape
        ``(z, y, x)`` of the volume. An axis shorter than a block is filled up to a multiple of its divisor.
    largest, smallest, divisor
        What a block's sides may be: multiples of `divisor` in between.
    most_voxels
        Voxels of a block that the memory suffices for.
    """
    depths, rows, columns = (_sides(*axis) for axis in zip(shape, largest, smallest, divisor, strict=True))
    laid = [
        # Of a single voxel in the deepest map a norm over voxels leaves nothing.
        lay_blocks(shape, least_block(divisor) if side == divisor else side, overlap=overlap)
        for side in product(depths, rows, columns)
        if prod(side) <= most_voxels
    ]
    wanted = [min(LIKE_TRAINING * side, max(axis)) for side, axis in zip(largest, (depths, rows, columns), strict=True)]
    return min(
        laid,
        key=lambda blocks: (
            any(side < least for side, least in zip(blocks.side, wanted, strict=True)),
            blocks.voxels,
            -prod(blocks.side),
        ),
        default=None,
    )


def least_block(divisor: Triple) -> Triple:
    """Return the sides of the smallest block that leaves more than one voxel in a network's deepest map."""
    return 2 * divisor[0], divisor[1], divisor[2]


def block_weights(side: int) -> np.ndarray:
    """Return how much each voxel along one axis of a block counts: float32, 1 in the middle; axes are multiplied."""
    middle = np.zeros(side)
    middle[side // 2] = 1
    weights = gaussian_filter1d(middle, side * SIGMA, mode="constant")
    return (weights / weights.max()).astype(np.float32)


class JoinedBlocks:
    """The mean of what blocks say of each voxel, weighed; no second volume holds the weights.

    The grid of blocks is a product of its axes, and so is the sum of the weights. It is divided by as it is: bounded
    from below, as the public program does, it would draw what is said of a volume's outermost corners to 0.

    Parameters
    ----------
    shape
        ``(z, y, x)`` of the volume.
    """

    def __init__(self, shape: Triple, blocks: Blocks) -> None:
        self._sum = np.zeros(shape, np.float32)
        self._weights = [block_weights(side) for side in blocks.side]
        self._plane = np.outer(self._weights[1], self._weights[2])
        self._totals = []
        for length, starts, weights in zip(shape, blocks.starts, self._weights, strict=True):
            total = np.zeros(max(length, starts[-1] + len(weights)))
            for start in starts:
                total[start : start + len(weights)] += weights
            self._totals.append(total[:length])

    def add(self, corner: Triple, values: np.ndarray) -> None:
        """Add what a block says: ``(z, y, x)`` of its side; what lies behind the volume's end is left out."""
        z, y, x = corner
        place = self._sum[z : z + len(values), y : y + values.shape[1], x : x + values.shape[2]]
        plane = self._plane[: place.shape[1], : place.shape[2]]
        for there, said, weight in zip(place, values, self._weights[0], strict=False):
            there += said[: place.shape[1], : place.shape[2]] * (weight * plane)

    def mean(self) -> np.ndarray:
        """Return the mean: float32; to be asked once, when all blocks are in."""
        plane = np.outer(self._totals[1], self._totals[2])
        for there, total in zip(self._sum, self._totals[0], strict=True):
            there /= (total * plane).astype(np.float32)
        return self._sum


def _sides(length: int, largest: int, smallest: int, divisor: int) -> list[int]:
    """Return what a block's side may be along an axis: up to the largest, or what the axis is filled up to."""
    whole = ceil(length / divisor) * divisor
    return sorted({min(side, whole) for side in range(smallest, largest + 1, divisor)})
