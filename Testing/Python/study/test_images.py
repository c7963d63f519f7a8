"""Pictures and volume files become studies with their geometry, or are refused with a sentence."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

HU = np.random.default_rng(2).integers(-1000, 1500, (5, 6, 7)).astype(np.int16)
GRAY = np.random.default_rng(2).integers(0, 256, (20, 30)).astype(np.uint8)


def _write(path: Path, array: np.ndarray, **geometry: tuple[float, ...]) -> Path:
    image = sitk.GetImageFromArray(array)
    for name, value in geometry.items():
        getattr(image, f"Set{name.capitalize()}")(value)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha"])
def test_a_volume_file_keeps_hu_and_place(tmp_path: Path, name: str) -> None:
    direction = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    file = _write(tmp_path / name, HU, spacing=(0.5, 0.6, 3.0), origin=(10.0, -20.0, 30.0), direction=direction)
    study = read_study(file)
    np.testing.assert_array_equal(study.array, HU)
    assert (study.array.dtype, study.intensity, study.modality) == (np.float32, "HU", "CT")
    assert study.spacing == pytest.approx((3.0, 0.6, 0.5))
    assert study.orientation == "sagittal"
    image = sitk.ReadImage(str(file))
    for index in ((0, 0, 0), (6, 5, 4)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose((study.ijk_to_ras @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-4)
    assert [source.k for source in study.sources] == [0, 1, 2, 3, 4]


def test_the_real_angiogram_is_read_like_itk_reads_it(data_folder: Path) -> None:
    study = read_study(
        data_folder / "cta-pulmonary-artery" / "ct_cropped.nii.gz", requirements=find_kind("pe").requirements
    )
    image = sitk.ReadImage(str(data_folder / "cta-pulmonary-artery" / "ct_cropped.nii.gz"))
    np.testing.assert_array_equal(study.array, sitk.GetArrayFromImage(image))
    assert study.orientation == "axial"


def test_not_a_number_becomes_air_and_is_told(tmp_path: Path) -> None:
    array = HU.astype(np.float32)
    array[2, 3, 4] = np.nan
    array[0, 0, 0] = np.inf
    study = read_study(_write(tmp_path / "ct.nrrd", array))
    assert study.array[2, 3, 4] == study.array[0, 0, 0] == -1024
    assert [notice.code for notice in study.notices] == ["not-a-number"]
    with pytest.raises(StudyError, match="no finite value"):
        read_study(_write(tmp_path / "nan.nrrd", np.full((2, 3, 4), np.nan, np.float32)))


@pytest.mark.parametrize(("array", "code"), [(GRAY[None].repeat(3, 0), "window-burnt-in"), (None, "window-burnt-in")])
def test_gray_levels_are_not_taken_for_hu(tmp_path: Path, array: np.ndarray | None, code: str) -> None:
    values = np.random.default_rng(1).random((3, 6, 7), np.float32) if array is None else array
    study = read_study(_write(tmp_path / "ct.nii", values))
    assert study.intensity == "windowed"
    assert study.array.max() <= 1
    assert [notice.code for notice in study.notices] == [code]


@pytest.mark.parametrize("detector", ["pneumothorax", "hemorrhage"])
def test_a_flat_file_is_a_radiograph_or_a_slice(tmp_path: Path, detector: str) -> None:
    study = read_study(
        _write(tmp_path / "x.nrrd", GRAY, spacing=(0.2, 0.3)), requirements=find_kind(detector).requirements
    )
    assert study.array.shape == (1, 20, 30)
    np.testing.assert_allclose(study.array[0], GRAY / 255, atol=1e-6)
    assert study.intensity == ("unit" if detector == "pneumothorax" else "windowed")
    assert study.spacing[1:] == pytest.approx((0.3, 0.2))
    assert study.pixel_spacing_known


def test_a_time_series_and_color_are_refused(tmp_path: Path) -> None:
    series = sitk.JoinSeries([sitk.GetImageFromArray(HU)] * 3)
    sitk.WriteImage(series, str(tmp_path / "4d.nii.gz"))
    with pytest.raises(StudyError, match=r"4d\.nii\.gz holds a time series \(3 volumes\)"):
        read_study(tmp_path / "4d.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True), str(tmp_path / "c.mha"))
    with pytest.raises(StudyError, match=r"c\.mha is in color"):
        read_study(tmp_path / "c.mha")


@pytest.mark.parametrize(
    ("mode", "name"), [("L", "a.png"), ("LA", "a.png"), ("RGB", "a.png"), ("RGBA", "a.png"), ("P", "a.png")]
)
def test_every_kind_of_gray_picture_gives_the_same_study(tmp_path: Path, mode: str, name: str) -> None:
    Image.fromarray(GRAY).convert(mode).save(tmp_path / name)
    study = read_study(tmp_path / name)
    np.testing.assert_allclose(study.array[0], GRAY / 255, atol=1e-6)
    assert (study.intensity, study.orientation, study.pixel_spacing_known) == ("unit", "projection", False)


def test_a_jpeg_and_a_16_bit_png_are_read(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(read_study(tmp_path / "a.jpg").array[0], smooth / 255, atol=0.03)
    Image.fromarray(smooth.astype(np.uint16) * 30).save(tmp_path / "b.png")
    deep = read_study(tmp_path / "b.png").array[0]
    assert deep.min() == 0
    assert deep.max() == 1
    assert np.unique(deep).size > 100


@pytest.mark.parametrize(("detector", "intensity"), [("hemorrhage", "windowed"), ("pe", "windowed"), (None, "unit")])
def test_a_real_head_slice_is_a_ct_slice_for_ct_detectors(
    data_folder: Path, detector: str | None, intensity: str
) -> None:
    file = sorted((data_folder / "head-ct-slices" / "images").glob("*.png"))[0]
    study = read_study(file, requirements=find_kind(detector).requirements if detector else None)
    assert study.intensity == intensity
    assert study.orientation == ("axial" if detector else "projection")
    np.testing.assert_allclose(study.array[0], np.asarray(Image.open(file)) / 255, atol=1e-6)


def test_bad_pictures_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.stack([GRAY, GRAY // 2, GRAY // 4], axis=-1)).save(tmp_path / "color.png")
    Image.fromarray(GRAY).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "bad.nii").write_text("no volume")
    for name in ("color.png", "cut.png", "text.jpg", "bad.nii"):
        with pytest.raises(StudyError, match=name):
            read_study(tmp_path / name)


@pytest.mark.parametrize("name", ["no_ending", "a.nii", "a.png", "a.dcm", "a.img"])
@pytest.mark.parametrize("kind", ["nrrd", "nii", "mha", "png", "dcm"])
def test_a_file_is_known_by_its_first_bytes(tmp_path: Path, write_radiograph, name: str, kind: str) -> None:
    source = tmp_path / f"source.{kind}"
    if kind == "dcm":
        write_radiograph(source, GRAY.astype(np.uint16))
    else:
        _write(source, GRAY if kind == "png" else HU)
    (tmp_path / "in").mkdir()
    source.rename(tmp_path / "in" / name)
    study = read_study(tmp_path / "in" / name, requirements=find_kind("pneumothorax").requirements)
    assert study.array.shape == ((1, 20, 30) if kind in ("png", "dcm") else HU.shape)
    assert study.modality == {"dcm": "CR", "png": ""}.get(kind, "CT")
