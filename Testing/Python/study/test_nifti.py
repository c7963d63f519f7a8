"""NIfTI files are read where and as they say, damaged ones refused, and what their headers leave open is told."""

import gzip
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dcm2niix
import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

from .conftest import linear_field

HU = np.random.default_rng(5).integers(-1000, 1500, (6, 40, 30)).astype(np.int16)
FORM = np.array([[-0.5, 0, 0, 7.0], [0, -0.6, 0, 12.0], [0, 0, 3.0, -20.0]])
HALF_TURN = (0.0, 0.0, 1.0)


def nifti(array: np.ndarray = HU, *, code: int = 4, version: int = 1, order: str = "<", **fields: Any) -> bytes:
    """Return a NIfTI file with an sform; fields by the names of nifti1.h replace what is written."""
    z, y, x = array.shape
    values: dict[str, Any] = {
        "dim": (3, x, y, z, 1, 1, 1, 1),
        "pixdim": (1, 0.5, 0.6, 3.0, 0, 0, 0, 0),
        "codes": (0, 1),
        "srow": FORM,
        "quatern": (0, 0, 0),
        "qoffset": (0, 0, 0),
        "scl": (0.0, 0.0),
        "xyzt_units": 2,
        "intent_code": 0,
        "vox_offset": 352 if version == 1 else 544,
        **fields,
    }
    places = {
        1: [("i", 0), ("8h", 40), ("h", 68), ("h", 70), ("8f", 76), ("f", 108), ("2f", 112), ("b", 123), ("2h", 252),
            ("3f", 256), ("3f", 268), ("12f", 280), ("4s", 344)],
        2: [("i", 0), ("8q", 16), ("i", 504), ("h", 12), ("8d", 104), ("q", 168), ("2d", 176), ("i", 500), ("2i", 344),
            ("3d", 352), ("3d", 376), ("12d", 400), ("8s", 4)],
    }[version]  # fmt: skip
    data = (
        [348 if version == 1 else 540], values["dim"], [values["intent_code"]], [code], values["pixdim"],
        [values["vox_offset"]], values["scl"], [values["xyzt_units"]], values["codes"], values["quatern"],
        values["qoffset"], np.ravel(values["srow"]), [b"n+1\0" if version == 1 else b"n+2\0\r\n\x1a\n"],
    )  # fmt: skip
    header = bytearray(352 if version == 1 else 544)
    for (kind, at), value in zip(places, data, strict=True):
        struct.pack_into(order + kind, header, at, *value)
    return bytes(header) + array.astype(array.dtype.newbyteorder(order)).tobytes()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def codes(study: Any) -> dict[str, str]:
    return {notice.code: notice.severity for notice in study.notices}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_version_order_and_packing_is_read(tmp_path: Path, version: int, order: str, packed: bool) -> None:
    content = nifti(version=version, order=order)
    file = write(tmp_path / ("a.nii.gz" if packed else "a.nii"), gzip.compress(content) if packed else content)
    study = read_study(file, requirements=find_kind("hemorrhage").requirements)
    np.testing.assert_array_equal(study.array, HU)
    np.testing.assert_allclose(study.ijk_to_ras[:3], FORM, atol=1e-6)
    assert study.notices == ()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"codes": (1, 0), "quatern": (0.1, 0.2, 0.9), "qoffset": (1, 2, 3)},
        {"codes": (1, 0), "quatern": HALF_TURN, "pixdim": (-1, 2, 3, 4, 0, 0, 0, 0)},
    ],
)
def test_voxels_lie_where_itk_puts_them(tmp_path: Path, fields: dict[str, Any]) -> None:
    file = write(tmp_path / "a.nii", nifti(**fields))
    study, image = read_study(file), sitk.ReadImage(str(file))
    np.testing.assert_array_equal(study.array, sitk.GetArrayFromImage(image))
    for index in ((0, 0, 0), (29, 39, 5), (3, 20, 1)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose((study.ijk_to_ras @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-4)


@pytest.mark.parametrize(("dtype", "code"), [("u1", 2), ("i2", 4), ("i4", 8), ("f4", 16), ("f8", 64), ("i1", 256),
                                             ("u2", 512), ("u4", 768), ("i8", 1024), ("u8", 1280)])  # fmt: skip
def test_every_number_type_is_read(tmp_path: Path, dtype: str, code: int) -> None:
    array = (HU.clip(0, 120) if dtype in ("u1", "i1") else HU + 1000 if dtype[0] == "u" else HU).astype(dtype)
    scl = (1.0, -1000.0) if dtype[0] == "u" or dtype == "i1" else (0.0, 0.0)
    study = read_study(write(tmp_path / "a.nii", nifti(array, code=code, scl=scl)))
    np.testing.assert_array_equal(study.array, array.astype(np.float32) + scl[1])


@pytest.mark.parametrize("name", ["a.hdr", "A.HDR"])
@pytest.mark.parametrize("named", [0, 1])
def test_a_pair_is_one_volume_by_either_name_and_in_a_folder(tmp_path: Path, name: str, named: int) -> None:
    content = nifti(vox_offset=0)
    header = write(tmp_path / name, content[:344] + b"ni1\0" + content[348:352])
    image = write(header.with_suffix(".img" if name == "a.hdr" else ".IMG"), content[352:])
    for file in ((header, image)[named], tmp_path):
        np.testing.assert_array_equal(read_study(file).array, HU)
    image.unlink()
    with pytest.raises(StudyError, match="with the voxels is missing"):
        read_study(header)


def test_a_packed_file_by_the_wrong_name_is_read_by_its_content(tmp_path: Path) -> None:
    for file in (write(tmp_path / "a.nii", gzip.compress(nifti())), write(tmp_path / "B.NII.GZ", nifti())):
        np.testing.assert_array_equal(read_study(file).array, HU)


def test_gzip_members_follow_one_another_and_garbage_after_them_is_no_harm(tmp_path: Path) -> None:
    content = nifti()
    members = b"".join(gzip.compress(content[at : at + 4000]) for at in range(0, len(content), 4000))
    for tail in (b"", bytes(700), b"garbage" * 90):
        np.testing.assert_array_equal(read_study(write(tmp_path / "a.nii.gz", members + tail)).array, HU)


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole, packed: whole[: len(whole) // 2],
        lambda whole, packed: whole[:-1],
        lambda whole, packed: whole[:300],
        lambda whole, packed: whole + bytes(5000),
        lambda whole, packed: packed[: len(packed) // 2],
        lambda whole, packed: packed[:-8],
        lambda whole, packed: packed[:-8] + b"\1\2\3\4" + packed[-4:],
        lambda whole, packed: packed[:-4] + b"\1\2\3\4",
        lambda whole, packed: _flipped(packed),
        lambda whole, packed: gzip.compress(whole[:-10]),
        lambda whole, packed: gzip.compress(whole + bytes(5000)),
        lambda whole, packed: packed[:5],
        lambda whole, packed: whole[:4],
        lambda whole, packed: b"",
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, damage: Callable[[bytes, bytes], bytes]) -> None:
    file = write(tmp_path / "a.nii.gz", damage(nifti(), gzip.compress(nifti(), mtime=0)))
    with pytest.raises(StudyError, match=r"a\.nii\.gz"):
        read_study(file)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"dim": (0, 30, 40, 6, 1, 1, 1, 1)}, "0 axes"),
        ({"dim": (3, 30, 0, 6, 1, 1, 1, 1)}, "damaged"),
        ({"dim": (3, -30, 40, 6, 1, 1, 1, 1)}, "damaged"),
        ({"dim": (3, 32767, 32767, 32767, 1, 1, 1, 1)}, "more than"),
        ({"dim": (3, 30, 40, 7, 1, 1, 1, 1)}, "fewer bytes"),
        ({"dim": (3, 29, 40, 6, 1, 1, 1, 1)}, "more bytes"),
        ({"dim": (4, 30, 40, 3, 2, 1, 1, 1)}, r"time series \(2 volumes\)"),
        ({"dim": (5, 30, 40, 2, 1, 3, 1, 1)}, "several channels"),
        ({"code": 128}, "in color"),
        ({"code": 32}, "complex numbers"),
        ({"code": 1}, "type that is not read"),
        ({"vox_offset": float("nan")}, "start at byte"),
        ({"srow": np.full((3, 4), np.nan)}, "no usable size"),
        ({"srow": np.zeros((3, 4))}, "no usable size"),
        ({"srow": FORM[:, [0, 0, 2, 3]]}, "coincide"),
        ({"codes": (0, 0), "pixdim": (1, 0.5, 0, 3, 0, 0, 0, 0)}, "no size"),
        ({"codes": (1, 0), "pixdim": (1, 0.5, 0.6, float("nan"), 0, 0, 0, 0)}, "no size"),
        ({"codes": (1, 0), "quatern": (3.0, 0, 0)}, "not a rotation"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(StudyError, match=text):
        read_study(write(tmp_path / "a.nii", nifti(**fields)))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"codes": (0, 0)}, "orientation-unknown"),
        ({"codes": (1, 1), "quatern": HALF_TURN, "srow": FORM * [[-1], [1], [1]]}, "orientation-contradiction"),
        ({"codes": (1, 1), "quatern": (0.5, 0.5, 0.5)}, "orientation-contradiction"),
        ({"codes": (1, 1), "quatern": HALF_TURN, "pixdim": (1, 1.0, 0.6, 3.0, 0, 0, 0, 0)}, "voxel-size-contradiction"),
        ({"pixdim": (1, 0.5, 0.6, 0.0, 0, 0, 0, 0)}, "voxel-size-contradiction"),
        ({"pixdim": (1, 0.5, 0.6, float("nan"), 0, 0, 0, 0)}, "voxel-size-contradiction"),
        ({"codes": (1, 0), "quatern": HALF_TURN, "pixdim": (1, -0.5, 0.6, 3.0, 0, 0, 0, 0)}, "orientation-unknown"),
        ({"codes": (0, 4)}, "template-space"),
        ({"scl": (float("nan"), 0.0)}, "no-rescale"),
        ({"scl": (1.0, float("inf"))}, "no-rescale"),
        ({"xyzt_units": 1}, "units-not-believed"),
    ],
)
def test_what_a_header_leaves_open_or_contradicts_is_a_warning(
    tmp_path: Path, fields: dict[str, Any], code: str
) -> None:
    assert codes(read_study(write(tmp_path / "a.nii", nifti(**fields)))) == {code: "warn"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"codes": (1, 0), "quatern": HALF_TURN, "qoffset": (7, 12, -20)},
        {"codes": (1, 1), "quatern": HALF_TURN, "qoffset": (7, 12, -20)},
        {"codes": (2, 2), "quatern": HALF_TURN, "qoffset": (7, 12, -20)},
        {"codes": (1, 4), "quatern": HALF_TURN, "qoffset": (7, 12, -20), "srow": FORM * 1.2},
        {"xyzt_units": 0},
        {"xyzt_units": 10},
        {"xyzt_units": 3, "srow": FORM * 1000, "pixdim": (1, 500, 600, 3000, 0, 0, 0, 0)},
        {"xyzt_units": 1, "srow": FORM / 1000, "pixdim": (1, 0.0005, 0.0006, 0.003, 0, 0, 0, 0)},
    ],
)
def test_ordinary_headers_place_the_volume_without_a_word(tmp_path: Path, fields: dict[str, Any]) -> None:
    study = read_study(write(tmp_path / "a.nii", nifti(**fields)))
    assert study.notices == ()
    np.testing.assert_allclose(study.ijk_to_ras[:3], FORM, atol=1e-5)


def test_an_analyze_file_has_no_sides(tmp_path: Path) -> None:
    content = nifti(vox_offset=0, codes=(257, 3))
    write(tmp_path / "a.img", content[352:])
    study = read_study(write(tmp_path / "a.hdr", content[:344] + bytes(4)))
    np.testing.assert_array_equal(study.array, HU)
    assert codes(study) == {"orientation-unknown": "warn"}


def test_a_file_that_says_that_it_holds_labels_is_refused(tmp_path: Path) -> None:
    assert codes(read_study(write(tmp_path / "a.nii", nifti(intent_code=1002)))) == {"label-map": "refuse"}


def test_a_flat_header_of_one_slice_may_leave_the_third_size_open(tmp_path: Path) -> None:
    fields = {"codes": (1, 0), "quatern": HALF_TURN, "pixdim": (1, 0.5, 0.6, 0, 0, 0, 0, 0)}
    study = read_study(write(tmp_path / "a.nii", nifti(HU[:1], **fields)))
    assert study.spacing == pytest.approx((1.0, 0.6, 0.5))


@pytest.mark.parametrize("tilt", [18.5, -12.0])
def test_a_tilted_stack_from_dcm2niix_is_the_tilted_dicom_series(
    tmp_path: Path, write_series: Callable[..., list[Path]], tilt: float
) -> None:
    write_series(tmp_path / "dicom", linear_field, shape=(7, 48, 20), tilt_deg=tilt, GantryDetectorTilt=tilt)
    (tmp_path / "nifti").mkdir()
    command = [dcm2niix.bin, "-o", str(tmp_path / "nifti"), "-b", "n", "-z", "n", "-f", "a", str(tmp_path / "dicom")]
    subprocess.run(command, check=True, capture_output=True)
    truth, study = read_study(tmp_path / "dicom"), read_study(tmp_path / "nifti" / "a.nii")
    assert codes(study) == {"gantry-tilt": "info", "slice-distance": "info"}
    assert study.dicom.gantry_tilt_deg == pytest.approx(abs(truth.dicom.gantry_tilt_deg), abs=0.01)
    assert study.array.shape == truth.array.shape
    assert study.spacing == pytest.approx(truth.spacing, abs=1e-3)
    # dcm2niix writes the last row first; set upright, its slices then descend.
    for one, other in zip(study.sources, reversed(truth.sources), strict=True):
        np.testing.assert_allclose(one.position_ras, other.position_ras, atol=2e-3)
    inside = np.argwhere(study.array > -900)
    lps = (study.ijk_to_ras @ np.c_[inside[:, ::-1], np.ones(len(inside))].T).T[:, :3] * [-1, -1, 1]
    assert len(inside) > 0.9 * 7 * 48 * 20
    off = np.abs(study.array[tuple(inside.T)] - linear_field(lps))
    # A pixel at a slice's edge is mixed with the air around it.
    assert np.mean(off < 1.0) > 0.95


@pytest.mark.slow
def test_the_real_tilted_head_from_dcm2niix_has_the_slices_of_the_dicom_series(
    tmp_path: Path, data_folder: Path
) -> None:
    series = data_folder / "head-ct-dicom"
    command = [dcm2niix.bin, "-o", str(tmp_path), "-b", "n", "-z", "y", "-f", "a", str(series)]
    subprocess.run(command, check=True, capture_output=True)
    truth, study = read_study(series), read_study(tmp_path / "a.nii.gz")
    assert study.dicom.gantry_tilt_deg == pytest.approx(truth.dicom.gantry_tilt_deg, abs=0.1)
    assert len(study.sources) == len(truth.sources)
    # The series' slices lie unevenly, which NIfTI cannot say; by itself each is where it was.
    assert study.spacing[1:] == pytest.approx(truth.spacing[1:], abs=1e-5)
    assert study.spacing[0] == pytest.approx(truth.spacing[0], abs=1e-3)


def test_an_sform_without_an_axis_is_refused_in_a_sentence(tmp_path: Path) -> None:
    flat = FORM.copy()
    flat[:, 0] = 0
    file = write(tmp_path / "a.nii", nifti(srow=flat, codes=(1, 1), quatern=(0.0, 0.0, 1.0)))
    with pytest.raises(StudyError, match="no usable size"):
        read_study(file)
