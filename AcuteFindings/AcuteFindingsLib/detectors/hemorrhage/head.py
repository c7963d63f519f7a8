"""A head as its reasons need it: small, with the inside of the skull and the plane about which the skull is a mirror.

Nothing here knows an atlas: all of it is geometry of the skull.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.preprocessing.brain import ADULT, brain_mask
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.preprocessing.resample import resize_in_plane

WORKING_MM = 1.5
"""In-plane pixel of the small head: fine enough for ventricles, and the noise of thin slices is averaged out."""

_STEP_MM = 2.5
# Below this much brain in a slice its outline does not tell where the middle is.
_SHARE_OF_LARGEST = 0.5
# A head that is rounder than this has no long axis that tells how it is turned.
_ROUND = 1.08
_MOST_TURN = 0.35
# In so many slices of the brain bone reaches the edge of the picture where the skull is cut off by it.
_CUT_SHARE = 0.25


@dataclass(frozen=True)
class Head:
    """A head on a coarse grid. Places are in mm from the outer corner of the axial array: right, front, bottom.

    Attributes
    ----------
    hu
        ``(z, y, x)`` float32: mean HU of what each voxel covers.
    inside
        The same shape, bool: inside the skull, calcifications with it.
    skull
        The same shape, bool: all that is as dense as bone and joined to the skull, so the skull base and what passes
        through a burr hole, but no calcification of the brain.
    spacing
        ``(z, y, x)`` in mm.
    middle
        ``(at, by_y, by_z)``: the middle plane is ``x = at + by_y * y + by_z * z``.
    group
        So many slices of the axial array are one here.
    """

    hu: np.ndarray
    inside: np.ndarray
    skull: np.ndarray
    spacing: tuple[float, float, float]
    middle: tuple[float, float, float]
    group: int

    def middle_at(self, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
        """Return x of the middle plane at places in mm."""
        at, by_y, by_z = self.middle
        return np.asarray(at + by_y * np.asarray(y) + by_z * np.asarray(z))

    def off_middle(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return how far places lie from the middle plane, mm, the patient's left positive."""
        return np.asarray((x - self.middle_at(y, z)) / np.linalg.norm(self._across))

    def mirrored(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the places ``(z, y, x)`` on the other side of the middle plane: ``(3, n)`` in mm."""
        back = 2 * (x - self.middle_at(y, z)) / float(self._across @ self._across)
        return np.stack([z, y, x]) - self._across[:, None] * back

    @property
    def _across(self) -> np.ndarray:
        """Direction across the middle plane, ``(z, y, x)``, to the patient's left."""
        return np.array([-self.middle[2], -self.middle[1], 1.0])

    def inside_plane(self, plane: int | np.integer, axial: Axial) -> np.ndarray:
        """Return what of a plane of the axial array lies inside the skull: bool ``(y, x)``."""
        own = self.inside[min(int(plane) // self.group, len(self.inside) - 1)]
        rows, columns = (
            np.minimum(((np.arange(count) + 0.5) * mm / small).astype(int), limit - 1)
            for count, mm, small, limit in zip(
                axial.array.shape[1:], axial.spacing[1:], self.spacing[1:], own.shape, strict=True
            )
        )
        return np.asarray(own[np.ix_(rows, columns)])


def small_head(axial: Axial) -> Head | None:
    """Return a head from its axial view in HU; None where no skull encloses a brain, or the picture cuts it off.

    Of a skull that is cut off in its slices the middle, and so left and right, would be guessed.

    Slices thinner than 2.5 mm are averaged in groups, so that a long thin series costs no more than a thick one.
    """
    dz, dy, dx = axial.spacing
    group = max(1, int(_STEP_MM / dz + 1e-3))
    count, rows, columns = axial.array.shape
    shape = max(8, round(rows * dy / WORKING_MM)), max(8, round(columns * dx / WORKING_MM))
    hu = np.empty((-(-count // group), *shape), np.float32)
    for k in range(len(hu)):
        part = axial.array[k * group : (k + 1) * group]
        hu[k] = resize_in_plane(part.mean(axis=0, dtype=np.float32)[None], shape)[0]
    spacing = (dz * group, rows * dy / shape[0], columns * dx / shape[1])
    inside = brain_mask(hu, spacing, settings=ADULT)
    middle = None if _cut_off(hu, inside) else _middle_plane(inside, spacing)
    return None if middle is None else Head(hu, inside, _skull(hu), spacing, middle, group)


def _cut_off(hu: np.ndarray, inside: np.ndarray) -> bool:
    brain = hu[inside.any(axis=(1, 2))] > ADULT.bone_hu
    edge = brain[:, [0, -1]].any(axis=(1, 2)) | brain[:, :, [0, -1]].any(axis=(1, 2))
    return bool(edge.any() and edge.mean() >= _CUT_SHARE)


def _skull(hu: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(hu > ADULT.bone_hu)
    if not count:
        return np.zeros(hu.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _middle_plane(inside: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float, float] | None:
    """Fit the plane about which the inside of the skull is a mirror image: its long axis, slice by slice.

    What is symmetric about an axis has that axis as one of its principal ones; the longer one of a head runs from front
    to back.
    """
    areas = inside.sum(axis=(1, 2))
    chosen = np.flatnonzero(areas >= max(_SHARE_OF_LARGEST * areas.max(), 1))
    if not areas.max():
        return None
    centers, turns = [], []
    for k in chosen:
        y, x = ((axis + 0.5) * mm for axis, mm in zip(np.nonzero(inside[k]), spacing[1:], strict=True))
        (yy, yx), (_, xx) = np.cov(y, x)
        centers.append((y.mean(), x.mean()))
        long, wide = np.linalg.eigvalsh([[yy, yx], [yx, xx]])[::-1]
        if long > _ROUND**2 * wide:
            turns.append(np.tan(0.5 * np.arctan2(2 * yx, yy - xx)))
    z = (chosen + 0.5) * spacing[0]
    y, x = np.array(centers).T
    turn = float(np.clip(np.median(turns), -_MOST_TURN, _MOST_TURN)) if turns else 0.0
    lean, at = np.polyfit(z - z.mean(), x - turn * y, 1) if np.ptp(z) > 10 else (0.0, float((x - turn * y).mean()))
    return float(at - lean * z.mean()), turn, float(lean)


def depth_mm(head: Head) -> np.ndarray:
    """Return how deep each voxel lies under the inner table within its slice, mm; 0 outside the skull."""
    return np.stack([ndimage.distance_transform_edt(plane, sampling=head.spacing[1:]) for plane in head.inside])
