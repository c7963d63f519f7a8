"""CT series of every geometry end on an upright grid at their place in the patient."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import dcm2niix
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from scipy import ndimage

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.grid import place_image
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

from .conftest import AXIAL, CORONAL, SAGITTAL, linear_field

Writer = Callable[..., list[Path]]

_RNG = np.random.default_rng(7)
_OBLIQUE = np.linalg.qr(_RNG.normal(size=(3, 3)))[0]
OBLIQUE = tuple(_OBLIQUE[:, :2].T.ravel())
FEET_FIRST_PRONE = (-1.0, 0, 0, 0, -1, 0)
DECUBITUS = (0.0, 1, 0, -1, 0, 0)


def voxel_positions_lps(study: Study) -> np.ndarray:
    k, j, i = np.mgrid[: study.array.shape[0], : study.array.shape[1], : study.array.shape[2]]
    ras = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ study.ijk_to_ras.T
    return ras[..., :3] * [-1, -1, 1]


def assert_is_linear_field(study: Study, *, rows: int, tolerance: float = 0.6) -> None:
    """Every voxel that all slices cover must show the HU of its own place in the patient (stored HU are whole).

    `rows` is how many rows a source slice has; a tilted stack has more, each slice covering others. The plane that
    follows the last slice within half a step repeats it.
    """
    extra = study.array.shape[1] - rows
    covered = slice(int(study.sources[-1].k) + 1), slice(extra, rows)
    assert extra < rows - 5
    expected = linear_field(voxel_positions_lps(study))
    np.testing.assert_allclose(study.array[covered], expected[covered], atol=tolerance)


def codes(study: Study) -> list[str]:
    return [notice.code for notice in study.notices]


@pytest.mark.parametrize(
    ("directions", "orientation"),
    [
        (AXIAL, "axial"),
        (FEET_FIRST_PRONE, "axial"),
        (DECUBITUS, "axial"),
        (CORONAL, "coronal"),
        (SAGITTAL, "sagittal"),
        (OBLIQUE, None),
    ],
)
def test_every_voxel_lies_where_it_was_scanned(
    tmp_path: Path, write_series: Writer, directions: tuple[float, ...], orientation: str | None
) -> None:
    order = _RNG.permutation(6).tolist()
    files = write_series(tmp_path, linear_field, directions=directions, order=order)
    study = read_study(tmp_path)
    assert study.array.shape == (6, 8, 10)
    assert study.array.dtype == np.float32
    assert study.spacing == pytest.approx((5.0, 0.5, 0.75))
    assert [source.file for source in study.sources] == files
    assert [source.k for source in study.sources] == [0, 1, 2, 3, 4, 5]
    assert study.regridded == ""
    assert orientation is None or study.orientation == orientation
    assert_is_linear_field(study, rows=8)


@pytest.mark.parametrize("directions", [AXIAL, FEET_FIRST_PRONE, SAGITTAL, OBLIQUE])
def test_places_are_those_of_itk(tmp_path: Path, write_series: Writer, directions: tuple[float, ...]) -> None:
    write_series(tmp_path, linear_field, directions=directions, order=[3, 1, 5, 0, 2, 4])
    study = read_study(tmp_path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = sitk.ReadImage(names)
    assert [str(source.file) for source in study.sources] == list(names)
    np.testing.assert_array_equal(study.array, sitk.GetArrayFromImage(image).astype(np.float32))
    for index in ((0, 0, 0), (9, 7, 5), (4, 2, 3)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose((study.ijk_to_ras @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-4)


@pytest.mark.parametrize("directions", [AXIAL, FEET_FIRST_PRONE, CORONAL])
def test_places_are_those_of_dcm2niix(tmp_path: Path, write_series: Writer, directions: tuple[float, ...]) -> None:
    write_series(tmp_path / "dicom", linear_field, directions=directions)
    (tmp_path / "nifti").mkdir()
    command = [dcm2niix.bin, "-o", str(tmp_path / "nifti"), "-b", "n", "-z", "n", str(tmp_path / "dicom")]
    subprocess.run(command, check=True, capture_output=True)
    image = sitk.ReadImage(str(next((tmp_path / "nifti").glob("*.nii"))))
    study = read_study(tmp_path / "dicom")
    for index in np.ndindex(study.array.shape):
        lps = (study.ijk_to_ras @ [*index[::-1], 1])[:3] * [-1, -1, 1]
        there = image.TransformPhysicalPointToIndex(lps.tolist())
        assert image[there] == study.array[index]


def test_a_tilted_stack_is_set_upright_without_mixing_slices(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, linear_field, shape=(6, 60, 10), tilt_deg=18.5, GantryDetectorTilt=18.5)
    study = read_study(tmp_path)
    assert "gantry-tilt" in codes(study)
    assert study.regridded
    assert study.array.shape[1] > 60
    assert [source.k for source in study.sources] == [0, 1, 2, 3, 4, 5]
    axes = study.ijk_to_ras[:3, :3] / np.linalg.norm(study.ijk_to_ras[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    assert_is_linear_field(study, rows=60)


@pytest.mark.parametrize("tilt_deg", [-12.0, 25.0])
def test_tilt_missing_and_uneven_slices_together_keep_every_place(
    tmp_path: Path, write_series: Writer, tilt_deg: float
) -> None:
    heights = [0, 4, 8, 12, 16, 17.1, 24.1, 31.1, 38.1]
    write_series(tmp_path, linear_field, shape=(9, 60, 10), heights=heights, tilt_deg=tilt_deg)
    study = read_study(tmp_path)
    assert study.spacing[0] == pytest.approx(4.0, abs=1e-3)
    assert "uneven-spacing" in codes(study)
    np.testing.assert_allclose([source.k * 4.0 for source in study.sources], heights, atol=1e-2)
    assert_is_linear_field(study, rows=60)


def test_missing_slices_are_interpolated_and_told(tmp_path: Path, write_series: Writer) -> None:
    files = write_series(tmp_path, linear_field, shape=(12, 8, 10))
    for gone in (3, 4, 9):
        files[gone].unlink()
    study = read_study(tmp_path)
    assert study.array.shape[0] == 12
    assert [source.k for source in study.sources] == [0, 1, 2, 5, 6, 7, 8, 10, 11]
    text = next(notice.text for notice in study.notices if notice.code == "missing-slices")
    assert "3 slices are missing (2 after slice 3, 1 after slice 7)" in text
    assert_is_linear_field(study, rows=8)


def test_the_center_and_uid_of_each_source_slice_are_kept(tmp_path: Path, write_series: Writer) -> None:
    uids = [f"1.2.3.{number}" for number in range(6)]

    def name(dataset: Dataset, number: int) -> None:
        dataset.SOPInstanceUID = uids[number]

    write_series(tmp_path, linear_field, tilt_deg=10, each=name)
    study = read_study(tmp_path)
    assert [source.sop_instance_uid for source in study.sources] == uids
    for source in study.sources:
        ijk = np.linalg.inv(study.ijk_to_ras) @ [*source.position_ras, 1]
        assert ijk[2] == pytest.approx(source.k, abs=1e-3)
    first = np.array(study.sources[0].position_ras) * [-1, -1, 1]
    column = np.array([0, np.cos(np.deg2rad(10)), -np.sin(np.deg2rad(10))])
    np.testing.assert_allclose(
        first, [-100, 20, -300] + 4.5 * 0.75 * np.array([1, 0, 0]) + 3.5 * 0.5 * column, atol=1e-4
    )


def test_each_slice_is_rescaled_by_its_own_numbers(tmp_path: Path, write_series: Writer) -> None:
    hu = np.arange(4 * 6 * 6).reshape(4, 6, 6) * 2.0 - 100
    write_series(tmp_path, hu, intercept=[-1024.0, -1000.0, -900.0, -500.0], slope=2.0)
    np.testing.assert_array_equal(read_study(tmp_path).array, hu)


@pytest.mark.parametrize("remove", [("ImagePositionPatient",), ("ImagePositionPatient", "ImageOrientationPatient")])
def test_without_positions_the_instance_number_orders_the_slices_and_a_warning_says_so(
    tmp_path: Path, write_series: Writer, remove: tuple[str, ...]
) -> None:
    def strip(dataset: Dataset, number: int) -> None:
        for keyword in remove:
            delattr(dataset, keyword)

    hu = np.arange(5)[:, None, None] * np.ones((5, 4, 4))
    write_series(tmp_path, hu, order=[4, 2, 0, 1, 3], each=strip, SpacingBetweenSlices=3.0)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, hu)
    assert study.spacing[0] == pytest.approx(3.0)
    assert [notice.severity for notice in study.notices if notice.code == "no-position"] == ["warn"]


def test_missing_rescale_and_pixel_spacing_are_warned_of(tmp_path: Path, write_series: Writer) -> None:
    def strip(dataset: Dataset, number: int) -> None:
        del dataset.PixelSpacing

    write_series(tmp_path, np.full((3, 4, 4), 55.0), slope=None, intercept=None, each=strip)
    study = read_study(tmp_path)
    assert (study.array == 55).all()
    assert not study.pixel_spacing_known
    assert {"no-rescale", "no-pixel-spacing"} <= set(codes(study))


def test_an_8_bit_screen_shot_of_a_ct_is_no_hu(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, np.full((1, 4, 4), 51.0), slope=None, intercept=None, bits_stored=8)
    study = read_study(tmp_path)
    assert study.intensity == "windowed"
    assert study.array == pytest.approx(0.2)
    assert "window-burnt-in" in codes(study)


def test_a_single_slice_is_a_study_of_one_plane(tmp_path: Path, write_series: Writer) -> None:
    file = write_series(tmp_path, linear_field, shape=(1, 8, 10))[0]
    study = read_study(file)
    assert study.array.shape == (1, 8, 10)
    assert study.spacing[0] == 5.0
    assert_is_linear_field(study, rows=8)


@pytest.mark.slow
def test_the_real_tilted_head_is_upright_and_every_slice_keeps_its_place(data_folder: Path) -> None:
    study = read_study(data_folder / "head-ct-dicom", requirements=find_kind("hemorrhage").requirements)
    assert len({source.sop_instance_uid for source in study.sources}) == len(study.sources) == 28
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(data_folder / "head-ct-dicom"))
    assert [str(source.file) for source in study.sources] == list(names)
    assert study.dicom.gantry_tilt_deg == 18.5
    assert study.regridded
    grid = sitk.Image(study.array.shape[2], study.array.shape[1], 1, sitk.sitkFloat32)
    axes = study.ijk_to_ras[:3, :3] / np.array(study.spacing[::-1])
    grid.SetDirection((np.diag([-1, -1, 1]) @ axes).ravel().tolist())
    grid.SetSpacing(study.spacing[::-1])
    on_grid = [source for source in study.sources if source.k == round(source.k)]
    assert len(on_grid) >= 14
    for source in on_grid:
        # The slice as ITK reads it by itself, tilted, drawn on the plane of the study's grid at the same place.
        alone = sitk.Maximum(sitk.ReadImage(str(source.file), sitk.sitkFloat32), -1024.0)
        grid.SetOrigin(((study.ijk_to_ras @ [0, 0, source.k, 1])[:3] * [-1, -1, 1]).tolist())
        drawn = sitk.GetArrayFromImage(sitk.Resample(alone, grid, sitk.Transform(), sitk.sitkLinear, -9999.0))[0]
        mine = study.array[int(source.k)]
        seen = ndimage.binary_erosion(drawn > -9999, iterations=2)
        assert seen.mean() > 0.8
        assert np.abs(drawn - mine)[seen].max() < 0.5


@pytest.mark.slow
def test_the_real_tilted_head_lies_where_dcm2niix_puts_it(data_folder: Path, tmp_path: Path) -> None:
    study = read_study(data_folder / "head-ct-dicom")
    command = [dcm2niix.bin, "-o", str(tmp_path), "-b", "n", "-z", "n", str(data_folder / "head-ct-dicom")]
    subprocess.run(command, check=True, capture_output=True)
    image = sitk.ReadImage(str(next(tmp_path.glob("*_Tilt*.nii"))), sitk.sitkFloat32)
    assert image.GetSize()[:2] == study.array.shape[:0:-1]
    # dcm2niix flips the rows: its first voxel is this study's last row.
    corner = (study.ijk_to_ras @ [0, study.array.shape[1] - 1, 0, 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(corner, image.GetOrigin(), atol=0.5)
    grid = sitk.GetImageFromArray(study.array)
    place_image(grid, study.ijk_to_ras)
    theirs = sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, -9999.0))
    for k in range(0, study.array.shape[0], 6):
        both = theirs[k] > -1100
        brain_window = np.clip(theirs[k][both], -200, 200), np.clip(study.array[k][both], -200, 200)
        assert np.corrcoef(*brain_window)[0, 1] > 0.97


@pytest.mark.parametrize(
    ("slope", "intercept"), [(None, None), (1.0, 0.0), (1.0, -1024.0), (4.0, 0.0)], ids=["none", "0", "-1024", "steep"]
)
@pytest.mark.parametrize("signed", [False, True])
def test_8_bit_pictures_are_windowed_whatever_rescale_they_carry(
    tmp_path: Path, write_series: Writer, slope: float | None, intercept: float | None, signed: bool
) -> None:
    gray = np.random.default_rng(1).integers(0, 256, (3, 8, 10))
    stored = gray - 128 if signed else gray
    values = stored * (slope or 1) + (intercept or 0)
    write_series(tmp_path, values, slope=slope, intercept=intercept, bits_stored=8, signed=signed)
    study = read_study(tmp_path)
    assert study.intensity == "windowed"
    assert "window-burnt-in" in [notice.code for notice in study.notices]
    np.testing.assert_allclose(study.array, gray / 255, atol=1e-6)


def test_8_bits_whose_rescale_spans_air_to_bone_are_hu(tmp_path: Path, write_series: Writer) -> None:
    hu = np.random.default_rng(1).integers(0, 256, (3, 8, 10)) * 10.0 - 1024
    write_series(tmp_path, hu, slope=10.0, bits_stored=8)
    study = read_study(tmp_path)
    assert study.intensity == "HU"
    np.testing.assert_allclose(study.array, hu)


@pytest.mark.parametrize("how", ["MONOCHROME1", "PALETTE COLOR", "8-bit palette", "segmented palette", "shape", "RGB"])
def test_pictures_of_ct_show_bone_bright_however_they_are_stored(
    tmp_path: Path, write_series: Writer, how: str
) -> None:
    gray = np.random.default_rng(1).integers(0, 256, (3, 8, 10))
    down = np.arange(256)[::-1]

    def store(dataset: Dataset, number: int) -> None:
        dataset.PhotometricInterpretation = how if how.isupper() else "PALETTE COLOR"
        if how == "shape":
            dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME2", "INVERSE"
        for color in ("Red", "Green", "Blue") if "pal" in how.lower() else ():
            bits = 8 if how == "8-bit palette" else 16
            setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [256, 0, bits])
            if how == "segmented palette":
                # Discrete: one entry of 65535; linear: 255 more down to 0.
                data = np.array([0, 1, 65535, 1, 255, 0], "<u2").tobytes()
                setattr(dataset, f"Segmented{color}PaletteColorLookupTableData", data)
            else:
                data = down.astype("u1") if bits == 8 else (down * 257).astype("<u2")
                setattr(dataset, f"{color}PaletteColorLookupTableData", data.tobytes())
        if how == "RGB":
            dataset.SamplesPerPixel = 3
            dataset.PixelData = np.repeat(gray[number].astype("u1")[..., None], 3, axis=2).tobytes()

    stored = gray if how == "RGB" else 255 - gray
    write_series(tmp_path, stored, slope=None, intercept=None, bits_stored=8, each=store)
    study = read_study(tmp_path)
    assert study.intensity == "windowed"
    np.testing.assert_allclose(study.array, gray / 255, atol=0.005)


def test_a_broken_palette_is_a_damaged_image(tmp_path: Path, write_series: Writer) -> None:
    def store(dataset: Dataset, number: int) -> None:
        dataset.PhotometricInterpretation = "PALETTE COLOR"

    write_series(tmp_path, np.ones((3, 8, 10)), slope=None, intercept=None, bits_stored=8, each=store)
    with pytest.raises(StudyError, match="7FE0,0010"):
        read_study(tmp_path)


def test_hu_of_monochrome1_are_hu_and_not_called_turned(tmp_path: Path, write_series: Writer) -> None:
    hu = np.random.default_rng(1).integers(-1000, 1000, (3, 8, 10)).astype(float)
    write_series(tmp_path, hu, PhotometricInterpretation="MONOCHROME1")
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, hu)
    assert "monochrome1" not in [notice.code for notice in check_study(study, find_kind("hemorrhage").requirements)]


def test_an_unusable_modality_table_leaves_the_rescale_and_is_told(tmp_path: Path, write_series: Writer) -> None:
    hu = np.random.default_rng(1).integers(-1000, 1000, (3, 8, 10)).astype(float)
    write_series(tmp_path, hu, ModalityLUTSequence=[Dataset()])
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, hu)
    assert [(notice.code, notice.severity) for notice in study.notices] == [("unusable-table", "warn")]
