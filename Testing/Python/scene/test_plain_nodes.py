"""Volume nodes without a header: what a picture or a file's values say is heeded as for files."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.study_from_node import study_facts
from AcuteFindingsLib.study.checks import check_study

from .test_study_from_node import add_node


@pytest.fixture(scope="module")
def chest(data_folder: Path) -> np.ndarray:
    with Image.open(sorted((data_folder / "chest-xray-lungs" / "images").glob("*.png"))[2]) as picture:
        return np.asarray(picture.convert("L"))


def node_of(array: np.ndarray, matrix: np.ndarray | None = None):
    import slicer
    import vtk

    node = add_node(new_scene(), sitk.GetImageFromArray(array), slicer)
    if matrix is not None:
        rows = vtk.vtkMatrix4x4()
        rows.DeepCopy(matrix.ravel().tolist())
        node.SetIJKToRASMatrix(rows)
    return node


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_negative_is_turned_with_the_warning_of_files(chest: np.ndarray, dtype: type) -> None:
    scale = 1 if dtype is np.uint8 else 257
    negative = ((255 - chest.astype(int)) * scale).astype(dtype)
    one = study_facts(node_of((chest.astype(int) * scale).astype(dtype)[None]), "pneumothorax")
    other = study_facts(node_of(negative[None]), "pneumothorax")
    assert [notice.code for notice in one.notices] == ["side-assumed", "no-pixel-spacing"]
    assert [notice.code for notice in other.notices] == ["inverted-grey", "side-assumed", "no-pixel-spacing"]
    assert np.abs(one.array - other.array).max() < 0.02


@pytest.mark.parametrize(("turns", "code"), [(1, "on-its-side"), (3, "on-its-side"), (2, "upside-down")])
def test_a_turned_chest_is_warned_of(chest: np.ndarray, turns: int, code: str) -> None:
    study = study_facts(node_of(np.ascontiguousarray(np.rot90(chest, turns))[None]), "pneumothorax")
    assert (code, "warn") in [(notice.code, notice.severity) for notice in study.notices]


def test_a_label_map_as_plain_volume_is_refused() -> None:
    labels = np.zeros((8, 64, 64), np.int16)
    labels[2:5, 20:40, 20:40] = 3
    study = study_facts(node_of(labels), "hemorrhage")
    assert {
        notice.code
        for notice in check_study(study, find_kind("hemorrhage").requirements)
        if notice.severity == "refuse"
    } == {"label-map"}


def test_a_volume_of_leaning_axes_is_set_upright_and_says_so() -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (4, 16, 16)).astype(np.int16)
    matrix = np.array([[-1.0, 0, 0, 0], [0, -1, 1.8, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    leaning = study_facts(node_of(array, matrix), "hemorrhage")
    axes = leaning.ijk_to_ras[:3, :3] / np.linalg.norm(leaning.ijk_to_ras[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3))
    assert leaning.spacing == pytest.approx((5.0, 1.0, 1.0))
    assert "tilt" in leaning.regridded
    assert "gantry-tilt" in {notice.code for notice in leaning.notices}
    matrix[1, 2] = 0.01
    assert study_facts(node_of(array, matrix), "hemorrhage").array.shape == (4, 16, 16)
