"""Segments, masks and volumes of a scene as arrays ``(z, y, x)`` on the grid of a volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.packed_mask import mask_box

# Matrices that went through a file differ by rounding; a grid shifted by this part of a voxel does not.
_SAME_GRID = 1e-3


@dataclass(frozen=True)
class Box:
    """A mask within the box that holds it.

    Attributes
    ----------
    array
        ``(z, y, x)`` uint8, 0 or 1; no voxels at all where the mask is empty.
    first
        Index ``(z, y, x)`` of its first voxel on the grid.
    ijk_to_ras
        4×4 of that grid.
    """

    array: np.ndarray
    first: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    @property
    def voxels(self) -> int:
        """How many voxels are marked."""
        return int(np.count_nonzero(self.array))

    @property
    def end(self) -> tuple[int, int, int]:
        """Index ``(z, y, x)`` behind its last voxel."""
        (z, y, x), (depth, height, width) = self.first, self.array.shape
        return z + depth, y + height, x + width

    def part(self, low: Sequence[int], high: Sequence[int]) -> np.ndarray:
        """Return what lies from index `low` to before `high` of the grid; both within the box."""
        z, y, x = (slice(a - start, b - start) for a, b, start in zip(low, high, self.first, strict=True))
        return self.array[z, y, x]

    def trimmed(self) -> "Box":
        """Return the smallest box with the same mask."""
        found = mask_box(self.array) if self.array.size else None
        if found is None:
            return Box(np.zeros((0, 0, 0), np.uint8), (0, 0, 0), self.ijk_to_ras)
        z, y, x = found
        first = (self.first[0] + z.start, self.first[1] + y.start, self.first[2] + x.start)
        return Box(self.array[z, y, x], first, self.ijk_to_ras)


def volume_array(volume: Any) -> np.ndarray:
    """Return a volume's voxels ``(z, y, x)``, not copied: writing to them changes the volume."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = volume.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def volume_ijk_to_ras(volume: Any) -> np.ndarray:
    """Return a volume's 4×4 matrix, without any transform above the volume."""
    _, vtk = load_slicer()
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return _array(matrix)


def segment_box(segmentation: Any, segment_id: str) -> Box:
    """Return a segment as it is now, on the grid it is kept on."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    slicer, vtk = load_slicer()
    labelmap, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    segmentation.GetBinaryLabelmapRepresentation(segment_id, labelmap)
    labelmap.GetImageToWorldMatrix(matrix)
    scalars = labelmap.GetPointData().GetScalars()
    if scalars is None or labelmap.IsEmpty():
        return Box(np.zeros((0, 0, 0), np.uint8), (0, 0, 0), _array(matrix))
    extent = labelmap.GetExtent()
    array = (vtk_to_numpy(scalars).reshape(labelmap.GetDimensions()[::-1]) != 0).astype(np.uint8)
    return Box(array, (extent[4], extent[2], extent[0]), _array(matrix)).trimmed()


def same_grid(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two 4×4 matrices lay voxels on the same places, but for rounding."""
    difference = np.linalg.inv(one) @ other - np.eye(4)
    return bool(np.abs(difference).max() < _SAME_GRID)


def same_mask(one: Box, other: Box) -> bool:
    """Whether two masks mark the same voxels of the same grid."""
    a, b = one.trimmed(), other.trimmed()
    if not a.array.size or not b.array.size:
        return a.array.size == b.array.size
    return same_grid(a.ijk_to_ras, b.ijk_to_ras) and a.first == b.first and np.array_equal(a.array, b.array)


def overlap(one: Box, other: Box) -> int:
    """Return how many voxels both masks mark; they lie on the same grid."""
    low = np.maximum(one.first, other.first).tolist()
    high = np.minimum(one.end, other.end).tolist()
    if any(start >= end for start, end in zip(low, high, strict=True)):
        return 0
    return int(np.count_nonzero(one.part(low, high) & other.part(low, high)))


def on_volume(box: Box, volume: Any) -> Box:
    """Return a mask on the grid of a volume's own matrix; see `on_grid`."""
    return on_grid(box, volume.GetImageData().GetDimensions()[::-1], volume_ijk_to_ras(volume))


def on_grid(box: Box, shape: tuple[int, int, int], ijk_to_ras: np.ndarray) -> Box:
    """Return a mask on a grid ``(z, y, x)``, cut off at its faces; nearest voxel where the grids differ."""
    if not box.array.size:
        return Box(box.array, (0, 0, 0), ijk_to_ras)
    if not same_grid(ijk_to_ras, box.ijk_to_ras):
        return Box(_resampled(box, shape, ijk_to_ras), (0, 0, 0), ijk_to_ras).trimmed()
    low = np.clip(box.first, 0, shape).tolist()
    high = np.clip(box.end, low, shape).tolist()
    if any(start >= end for start, end in zip(low, high, strict=True)):
        return Box(np.zeros((0, 0, 0), np.uint8), (0, 0, 0), ijk_to_ras)
    return Box(box.part(low, high), (low[0], low[1], low[2]), ijk_to_ras)


def _resampled(box: Box, shape: tuple[int, int, int], ijk_to_ras: np.ndarray) -> np.ndarray:
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    slicer, _ = load_slicer()
    mask, reference, result = (slicer.vtkOrientedImageData() for _ in range(3))
    z, y, x = box.first
    depth, height, width = box.array.shape
    mask.SetExtent(x, x + width - 1, y, y + height - 1, z, z + depth - 1)
    mask.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(box.array).ravel(), deep=True))
    mask.SetGeometryFromImageToWorldMatrix(vtk_matrix(box.ijk_to_ras))
    reference.SetExtent(0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
    reference.SetGeometryFromImageToWorldMatrix(vtk_matrix(ijk_to_ras))
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(mask, reference, result, False)
    return (vtk_to_numpy(result.GetPointData().GetScalars()).reshape(shape) != 0).astype(np.uint8)


def _array(matrix: Any) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def vtk_matrix(values: np.ndarray) -> Any:
    """Return a 4×4 as VTK holds it."""
    _, vtk = load_slicer()
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(values, float).ravel().tolist())
    return matrix
