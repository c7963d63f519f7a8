"""A scene's result as a whole `Finding` again: with the masks as the model gave them, and the heat map."""

from dataclasses import replace

import numpy as np

from AcuteFindingsLib.detectors.finding import Code, Finding, Heatmap, Mask
from AcuteFindingsLib.scene.packed_mask import unpack_mask
from AcuteFindingsLib.scene.results import SceneResult, finding_data


def whole_finding(result: SceneResult) -> Finding:
    """Return the finding with its arrays; what an annotator changed since is not in it.

    Raises
    ------
    ValueError, KeyError
        When the finding's node was overwritten.
    """
    data = finding_data(result)
    masks = tuple(
        Mask(
            name=entry["name"],
            array=unpack_mask(packed),
            category=Code(**entry["category"]),
            type=Code(**entry["code"]),
            anatomy=Code(**entry["anatomy"]) if entry["anatomy"] else None,
            colour=tuple(entry["colour"]),
        )
        for entry, packed in zip(data["masks"], data.get("segments", []), strict=True)
    )
    return replace(result.finding, masks=masks, heatmap=_heatmap(result, data))


def _heatmap(result: SceneResult, data: dict) -> Heatmap | None:
    node = result.heatmap
    if node is None or node.GetImageData() is None or not data.get("heatmap"):
        return None
    import vtk
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    columns, rows, planes = image.GetDimensions()
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(planes, rows, columns)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    return Heatmap(data["heatmap"]["name"], array, ijk_to_ras)
