"""What goes to ITK by name has names that ITK can take, and volume files are checked without it."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.grid import image_ijk_to_ras, place_image
from AcuteFindingsLib.study.itk_files import image_size, read_image, write_image
from AcuteFindingsLib.study.reader import read_study

MASK = np.random.default_rng(4).integers(0, 5, (3, 6, 7)).astype(np.uint16)
MATRIX = np.array([[-0.5, 0, 0, 7.0], [0, -0.6, 0, 12.0], [0, 0, 3.0, -20.0], [0, 0, 0, 1]])


def folder_of(tmp_path: Path, name: bytes) -> Path:
    if sys.platform in ("win32", "darwin"):
        name = name.decode("utf-8", "replace").encode()
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", [b"plain", "Schädel 頭".encode(), b"Sch\xe4del"])
@pytest.mark.parametrize("file", ["a.nrrd", "a.nii.gz", "a.mha", "maske \xe9.nrrd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_volume_is_written_and_read_below_any_name(tmp_path: Path, name: bytes, file: str, dtype: type) -> None:
    path = folder_of(tmp_path, name) / file
    image = sitk.GetImageFromArray(MASK.astype(dtype))
    place_image(image, MATRIX)
    write_image(image, path, compressed=True)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    back = read_image(path)
    assert back.GetPixelID() == image.GetPixelID()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), MASK)
    np.testing.assert_allclose(image_ijk_to_ras(back), MATRIX, atol=1e-5)
    assert image_size(path) == MASK.shape


def test_pictures_below_any_name_are_written_and_read(tmp_path: Path) -> None:
    path = folder_of(tmp_path, b"Sch\xe4del") / "m\xe9.png"
    write_image(sitk.GetImageFromArray(MASK[0].astype(np.uint8)), path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(path)), MASK[0])
    assert read_study(path, requirements=find_kind("hemorrhage").requirements).array.shape == (1, 6, 7)


def test_a_study_below_a_name_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    path = folder_of(tmp_path, b"Sch\xe4del") / os.fsdecode(
        b"Kopf\xfc.nrrd" if sys.platform == "linux" else b"Kopf.nrrd"
    )
    array = np.random.default_rng(1).integers(-1000, 1000, (4, 16, 16)).astype(np.int16)
    write_image(sitk.GetImageFromArray(array), path)
    study = read_study(path)
    np.testing.assert_array_equal(study.array, array)
    assert study.source_name.encode().decode() == study.source_name


@pytest.mark.slow
def test_a_nearly_empty_mask_is_read_though_it_packs_a_thousandfold(tmp_path: Path) -> None:
    mask = np.zeros((120, 800, 800), np.uint8)
    mask[60, 400, 400:410] = 1
    write_image(sitk.GetImageFromArray(mask), tmp_path / "a.nrrd", compressed=True)
    assert (tmp_path / "a.nrrd").stat().st_size * 400 < mask.size
    assert sitk.GetArrayViewFromImage(read_image(tmp_path / "a.nrrd")).sum() == 10
    with pytest.raises(StudyError, match="would unpack"):
        read_study(tmp_path / "a.nrrd")


def test_damaged_missing_and_crafted_files_are_a_study_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    crafted = "ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = %s%n%n 1 9 1\n"
    (tmp_path / "a.mhd").write_text(crafted)
    for name in ("a.png", "a.mhd", "missing.nrrd", "missing.png"):
        with pytest.raises(StudyError, match=name.partition(".")[0]):
            read_image(tmp_path / name)


def test_nothing_else_hands_a_path_to_itk() -> None:
    library = Path(sys.modules["AcuteFindingsLib"].__file__ or "").parent
    names = ("ReadImage(", "WriteImage(", "ImageFileReader(", "ImageFileWriter(", "ImageSeriesReader(")
    found = {
        file.relative_to(library).as_posix()
        for file in library.rglob("*.py")
        if any(name in file.read_text(encoding="utf-8") for name in names)
    }
    assert found == {"study/itk_files.py"}
