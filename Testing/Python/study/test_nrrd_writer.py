from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.study import nrrd_writer
from AcuteFindingsLib.study.grid import image_ijk_to_ras
from AcuteFindingsLib.study.nrrd_writer import write_nrrd

OBLIQUE = np.array([[0.1, -0.7, 0.2, 5.25], [-0.7, -0.1, 0.0, -3.5], [0.05, 0.2, 2.4, 1e-3], [0, 0, 0, 1]])


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_itk_reads_the_same_voxels_at_the_same_place(tmp_path: Path, kind: type, compressed: bool) -> None:
    array = (np.random.default_rng(0).random((3, 4, 5)) * 200).astype(kind)
    matrix = OBLIQUE.copy()
    matrix[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] * [0.5, 0.75, 2.0]
    write_nrrd(tmp_path / "a.nrrd", array, array.shape, array.dtype, matrix, compressed=compressed)
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    found = sitk.GetArrayFromImage(image)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    assert np.allclose(image_ijk_to_ras(image), matrix)


def test_slicer_reads_it_too(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer")
    from AcuteFindingsLib.scene.application import new_scene
    from AcuteFindingsLib.scene.segment_voxels import volume_array, volume_ijk_to_ras

    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)[:, ::-1]
    matrix = np.diag([-0.5, -0.75, 2.0, 1.0])
    write_nrrd(tmp_path / "a.nrrd", array, array.shape, array.dtype, matrix, compressed=True)
    scene = new_scene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(tmp_path / "a.nrrd"))
    assert storage.ReadData(node)
    assert np.array_equal(volume_array(node), array)
    assert np.allclose(volume_ijk_to_ras(node), matrix)


@pytest.mark.parametrize("compressed", [True, False])
def test_voxels_with_fractions_are_rounded_and_held_within_the_range_of_integers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    monkeypatch.setattr(nrrd_writer, "_BLOCK", 100)
    array = np.random.default_rng(0).normal(0, 300, (7, 4, 5)).astype(np.float32)
    array[0, 0, :2], array[6, 3, 4] = (-1e9, 1e9), 0.5
    write_nrrd(tmp_path / "a.nrrd", array, array.shape, np.dtype(np.int16), np.eye(4), compressed=compressed)
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nrrd")))
    assert found.dtype == np.int16
    assert np.array_equal(found, np.clip(np.rint(array), -32768, 32767))


def test_planes_made_one_by_one_are_written_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nrrd_writer, "_BLOCK", 40)
    planes = (np.full((4, 5), k, np.uint8) for k in range(31))
    write_nrrd(tmp_path / "a.nrrd", planes, (31, 4, 5), np.dtype(np.uint8), np.eye(4), compressed=True)
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nrrd")))
    assert [set(plane.ravel().tolist()) for plane in found] == [{k} for k in range(31)]
