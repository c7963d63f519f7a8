"""A DICOM series as a volume node, as Slicer's DICOM module loads it (`DICOMScalarVolumePlugin` of Slicer 5.12).

Slices are sorted along their normal and stacked by ITK: the third axis of the node's matrix runs from the first to the
last slice, in equal steps, and leans where the gantry was tilted. Where slices lie elsewhere by more than 1e-3 mm, the
volume comes under an acquisition transform (`AcquisitionModeling.gridTransformFromCorners`): a grid of 2 × 2 points a
slice, at pixel 0 and one pixel beyond the last, whose vectors lead from the stacked corners to those of the headers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

CORNER_EPSILON_MM = 1e-3
_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass
class Loaded:
    """A volume node in a scene, and the database that knows its files."""

    scene: Any
    node: Any
    files: dict[str, str]

    def instance_file(self, uid: str) -> str:
        return self.files.get(uid, "")


def load_series(files: Iterable[Path], scene: Any, *, acquisition_transform: bool = True) -> Loaded:
    """Add a series of single-frame files to a scene."""
    read = [(pydicom.dcmread(file), file) for file in files]
    row, column = np.array(read[0][0].ImageOrientationPatient, float).reshape(2, 3)
    read.sort(key=lambda item: float(np.array(item[0].ImagePositionPatient, float) @ np.cross(row, column)))
    headers = [header for header, _ in read]
    hu = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in headers]
    node = add_volume(scene, np.rint(np.stack(hu)).astype(np.int16), stacked_matrix(headers))
    uids = [str(header.SOPInstanceUID) for header in headers]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    if acquisition_transform:
        add_acquisition_transform(node, headers)
    return Loaded(scene, node, dict(zip(uids, (str(file) for _, file in read), strict=True)))


def stacked_matrix(headers: list[Any]) -> np.ndarray:
    """Return the 4×4 matrix (RAS) that ITK makes of sorted slices."""
    first, last = (np.array(one.ImagePositionPatient, float) for one in (headers[0], headers[-1]))
    row, column = np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3)
    rows, columns = (float(value) for value in headers[0].PixelSpacing)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = row * columns * _TO_RAS, column * rows * _TO_RAS
    across = (last - first) / (len(headers) - 1) if len(headers) > 1 else np.cross(row, column)
    matrix[:3, 2], matrix[:3, 3] = across * _TO_RAS, first * _TO_RAS
    return matrix


def add_volume(scene: Any, array: np.ndarray, matrix: np.ndarray, name: str = "5: Series") -> Any:
    """Add voxels ``(z, y, x)`` in their own type."""
    import vtk
    from vtkmodules.util.numpy_support import numpy_to_vtk

    image, place = vtk.vtkImageData(), vtk.vtkMatrix4x4()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    place.DeepCopy(np.asarray(matrix, float).ravel().tolist())
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(place)
    return node


def add_acquisition_transform(node: Any, headers: list[Any]) -> Any | None:
    """Put the volume under the transform that leads to the places of the headers; None where none is needed."""
    import slicer
    import vtk
    from vtkmodules.util.numpy_support import numpy_to_vtk

    width, height, depth = node.GetImageData().GetDimensions()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    vectors = np.zeros((depth, 2, 2, 3))
    for k, header in enumerate(headers):
        row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3) * _TO_RAS
        rows, columns = (float(value) for value in header.PixelSpacing)
        start = np.array(header.ImagePositionPatient, float) * _TO_RAS
        for j in range(2):
            for i in range(2):
                stated = start + i * width * columns * row + j * height * rows * column
                vectors[k, j, i] = stated - matrix.MultiplyPoint((i * width, j * height, k, 1.0))[:3]
    if np.abs(vectors).max() <= CORNER_EPSILON_MM:
        return None
    image, axes, grid = vtk.vtkImageData(), vtk.vtkMatrix4x4(), slicer.vtkOrientedGridTransform()
    image.SetOrigin(*node.GetOrigin())
    image.SetDimensions(2, 2, depth)
    steps = node.GetSpacing()
    image.SetSpacing(steps[0] * width, steps[1] * height, steps[2])
    image.GetPointData().SetScalars(numpy_to_vtk(vectors.reshape(-1, 3), deep=True))
    node.GetIJKToRASDirectionMatrix(axes)
    grid.SetGridDirectionMatrix(axes)
    grid.SetDisplacementGridData(image)
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLGridTransformNode", f"{node.GetName()} acquisition transform")
    transform.SetAndObserveTransformToParent(grid)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform
