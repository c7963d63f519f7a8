"""NRRD files are read as they say, never anything beside them; damaged ones are refused."""

import bz2
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.budgets import Budgets, budgets, set_budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

from .conftest import linear_field

HU = np.random.default_rng(6).integers(-1000, 1500, (5, 40, 30)).astype("<i2")


def header(**changes: str | None) -> bytes:
    """Return an ordinary header; a change by None leaves the line out, `_` stands for a blank."""
    lines: dict[str, str | None] = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "30 40 5",
        "space directions": "(0.5,0,0) (0,0.6,0) (0,0,3)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(-7,-12,-20)",
        **{key.replace("_", " "): value for key, value in changes.items()},
    }
    written = [f"{key}: {value}" for key, value in lines.items() if value is not None]
    return ("\n".join(["NRRD0005", "# made for a test", *written]) + "\n").encode() + b"\n"


def write(folder: Path, content: bytes, name: str = "a.nrrd") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def codes(study: Any) -> dict[str, str]:
    return {notice.code: notice.severity for notice in study.notices}


@pytest.mark.parametrize("space", ["left-posterior-superior", "LPS", "right-anterior-superior", "RAS", "LAS",
                                   "left-anterior-superior"])  # fmt: skip
@pytest.mark.parametrize("directions", ["(0.5,0,0) (0,0.6,0) (0,0,3)", "(0,0.5,0) (0,0,-0.6) (3,0,0)",
                                        "(-0.5,0,0) (0,0.6,0) (0,0,3)"])  # fmt: skip
def test_voxels_lie_where_itk_puts_them(tmp_path: Path, space: str, directions: str) -> None:
    file = write(tmp_path, header(space=space, space_directions=directions) + HU.tobytes())
    study, image = read_study(file), sitk.ReadImage(str(file))
    np.testing.assert_array_equal(study.array, sitk.GetArrayFromImage(image))
    for index in ((0, 0, 0), (29, 39, 4), (3, 20, 1)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose((study.ijk_to_ras @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-4)
    assert study.notices == ()


ENCODED = {
    "gzip": gzip.compress(HU.tobytes()),
    "gz": gzip.compress(HU.tobytes()[:5000]) + gzip.compress(HU.tobytes()[5000:]),
    "bzip2": bz2.compress(HU.tobytes()),
    "bz2": bz2.compress(HU.tobytes()),
    "ascii": " ".join(map(str, HU.ravel())).encode(),
    "text": "\n".join(map(str, HU.ravel())).encode(),
    "hex": HU.tobytes().hex().encode(),
    "raw": HU.tobytes(),
}


@pytest.mark.parametrize("encoding", list(ENCODED))
@pytest.mark.parametrize("detached", [False, True])
def test_every_encoding_is_read(tmp_path: Path, encoding: str, detached: bool) -> None:
    if detached:
        write(tmp_path, ENCODED[encoding], "voxels.bin")
        file = write(tmp_path, header(encoding=encoding, data_file="voxels.bin"), "a.nhdr")
    else:
        file = write(tmp_path, header(encoding=encoding) + ENCODED[encoding])
    np.testing.assert_array_equal(read_study(file).array, HU)


@pytest.mark.parametrize(
    ("fields", "before"),
    [
        ({"byte_skip": "7"}, b"1234567"),
        ({"byte_skip": "-1"}, b"anything"),
        ({"line_skip": "2"}, b"one\ntwo\n"),
        ({"line_skip": "1", "byte_skip": "3"}, b"one\nabc"),
    ],
)
def test_what_stands_before_the_voxels_is_skipped(tmp_path: Path, fields: dict[str, str], before: bytes) -> None:
    write(tmp_path, before + HU.tobytes(), "voxels.bin")
    file = write(tmp_path, header(data_file="voxels.bin", **fields), "a.nhdr")
    np.testing.assert_array_equal(read_study(file).array, HU)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../voxels.bin", "sub/voxels.bin", "C:\\voxels.bin", "..", "vox%s%n.bin", "v%03d.raw 1 5 1",
     "LIST", "LIST 2", "v.raw 1 5 1"],
)  # fmt: skip
def test_a_header_names_no_file_elsewhere_and_no_pattern(tmp_path: Path, name: str) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for folder in ("", "in/sub/"):
        write(tmp_path, HU.tobytes(), f"{folder}voxels.bin")
    file = write(tmp_path / "in", header(data_file=name), "a.nhdr")
    with pytest.raises(StudyError, match="beside the header"):
        read_study(file)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"sizes": "30 40 0"}, "damaged"),
        ({"sizes": "30 40"}, "'sizes' should hold 3"),
        ({"sizes": "30 40 -5"}, "damaged"),
        ({"sizes": "30 40 5.5"}, "whole numbers"),
        ({"sizes": "30 40 nan"}, "whole numbers"),
        ({"sizes": "30000 40000 50000"}, "more than"),
        ({"sizes": "30 40 6"}, "fewer bytes"),
        ({"sizes": "29 40 5"}, "more bytes"),
        ({"sizes": None}, "'sizes' is missing"),
        ({"dimension": "99999999"}, "axes"),
        ({"dimension": "two"}, "'dimension'"),
        ({"type": "block"}, "type that is not read"),
        ({"endian": None}, "'endian'"),
        ({"encoding": "%n%n%n"}, "is encoded as"),
        ({"encoding": "zrl"}, "is encoded as"),
        ({"encoding": "gzip"}, "damaged"),
        ({"encoding": "bzip2"}, "damaged"),
        ({"encoding": "hex"}, "damaged"),
        ({"encoding": "ascii"}, "a.nrrd"),
        ({"byte_skip": "-2"}, "'byte skip'"),
        ({"byte_skip": "99999999999"}, "fewer bytes"),
        ({"line_skip": "100000"}, "'line skip'"),
        ({"space_directions": "(0,0,0) (0,0.6,0) (0,0,3)"}, "no usable size"),
        ({"space_directions": "(nan,0,0) (0,0.6,0) (0,0,3)"}, "no usable size"),
        ({"space_directions": "(1,0,0) (1,0,0) (0,0,3)"}, "coincide"),
        ({"space_directions": "(1,0,0) (0,0,3)"}, "should hold 3 vectors"),
        ({"space_directions": "(1,x,0) (0,1,0) (0,0,3)"}, "'space directions'"),
        ({"space_directions": "(1,1,0) (0,1,1) (1,0,1)"}, "sheared"),
        ({"space_origin": "(1,2)"}, "'space origin'"),
        ({"dimension": "4", "sizes": "2 30 20 5", "kinds": "vector domain domain domain",
          "space_directions": "none (1,0,0) (0,1,0) (0,0,3)"}, "2 values per voxel"),
        ({"dimension": "4", "sizes": "30 20 5 2", "kinds": "domain domain domain time",
          "space_directions": "(1,0,0) (0,1,0) (0,0,3) none"}, "time series of 2"),
        ({"dimension": "4", "sizes": "30 20 5 2", "kinds": None, "space": None, "space_origin": None,
          "space_directions": None}, r"time series \(2 volumes\)"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, fields: dict[str, str | None], text: str) -> None:
    with pytest.raises(StudyError, match=text):
        read_study(write(tmp_path, header(**fields) + HU.tobytes()))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "hex", "ascii"])
def test_a_cut_file_is_refused(tmp_path: Path, encoding: str) -> None:
    content = header(encoding=encoding) + ENCODED[encoding]
    for length in (len(content) // 2, len(content) - 9, 60):
        with pytest.raises(StudyError, match=r"a\.nrrd"):
            read_study(write(tmp_path, content[:length]))


@pytest.mark.parametrize(
    "fields",
    [
        {"space": None, "space_directions": None, "space_origin": None, "spacings": "0.5 0.6 3"},
        {"space": None, "space_dimension": "3"},
        {"space": "scanner-xyz"},
        {"space": "3D-right-handed"},
    ],
)
def test_a_file_without_a_patients_space_has_no_sides(tmp_path: Path, fields: dict[str, str | None]) -> None:
    study = read_study(write(tmp_path, header(**fields) + HU.tobytes()))
    assert codes(study) == {"orientation-unknown": "warn"}
    assert study.spacing == pytest.approx((3.0, 0.6, 0.5))
    assert study.pixel_spacing_known


def test_a_file_without_spacing_says_so(tmp_path: Path) -> None:
    fields = {"space": None, "space_directions": None, "space_origin": None}
    study = read_study(write(tmp_path, header(**fields) + HU.tobytes()))
    assert not study.pixel_spacing_known


def test_units_of_space_are_heeded(tmp_path: Path) -> None:
    for units in ('"um" "um" "um"', '"µm" "µm" "µm"'):
        fields = {"space_directions": "(500,0,0) (0,600,0) (0,0,3000)", "space_units": units}
        study = read_study(write(tmp_path, header(**fields) + HU.tobytes()))
        assert study.spacing == pytest.approx((3.0, 0.6, 0.5))


def test_a_segmentation_of_slicer_is_refused(tmp_path: Path) -> None:
    content = header().replace(b"\n\n", b"\nSegment0_ID:=Segment_1\n\n", 1) + HU.tobytes()
    assert codes(read_study(write(tmp_path, content, "a.seg.nrrd"))) == {"label-map": "refuse"}


@pytest.mark.parametrize(("first", "last"), [("(0.5,0,0)", "(0,-1,3)"), ("(-0.5,0,0)", "(0,-1,3)"),
                                             ("(0.5,0,0)", "(0,1,-3)"), ("(0.5,0,0)", "(0.7,0.9,3)")])  # fmt: skip
def test_a_leaning_stack_is_set_upright(tmp_path: Path, first: str, last: str) -> None:
    vectors = [np.fromstring(vector.strip("()"), sep=",") for vector in (first, "(0,0.6,0)", last)]
    index = np.stack(np.meshgrid(*map(np.arange, (30, 40, 5)), indexing="ij"), axis=-1)
    field = linear_field(index @ np.array(vectors)).transpose(2, 1, 0) - 200
    content = header(type="float", space_directions=f"{first} (0,0.6,0) {last}", space_origin="(0,0,0)")
    study = read_study(write(tmp_path, content + field.astype("<f4").tobytes()))
    assert codes(study) == {"gantry-tilt": "info"}
    directions = study.ijk_to_ras[:3, :3] / study.spacing[::-1]
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-9)
    inside = np.argwhere(study.array > -900)
    lps = (study.ijk_to_ras @ np.c_[inside[:, ::-1], np.ones(len(inside))].T).T[:, :3] * [-1, -1, 1]
    assert len(inside) >= 0.95 * field.size
    assert np.mean(np.abs(study.array[tuple(inside.T)] - linear_field(lps) + 200) < 0.1) > 0.9
    assert [source.k for source in study.sources] == [0, 1, 2, 3, 4]


def test_a_lean_that_no_gantry_has_is_warned_of(tmp_path: Path) -> None:
    content = header(space_directions="(0.5,0,0) (0,0.6,0) (0,2.5,3)")
    found = codes(read_study(write(tmp_path, content + HU.tobytes())))
    assert found == {"gantry-tilt": "info", "steep-tilt": "warn"}


def test_stored_with_slices_along_another_axis_a_leaning_stack_is_set_upright_too(tmp_path: Path) -> None:
    content = header(space_directions="(3,0,0) (0.1,0.6,0) (0,0,0.5)", sizes="5 40 30")
    study = read_study(write(tmp_path, content + HU.tobytes()))
    assert codes(study) == {"gantry-tilt": "info"}


def test_a_shear_of_rounding_changes_no_voxel(tmp_path: Path) -> None:
    content = header(space_directions="(0.5,0.0004,0) (0,0.6,0) (0,0.012,3)")
    study = read_study(write(tmp_path, content + HU.tobytes()))
    assert study.notices == ()
    np.testing.assert_array_equal(study.array, HU)


def test_what_unpacks_to_more_than_is_allowed_is_refused_before(tmp_path: Path) -> None:
    before = budgets()
    set_budgets(Budgets(ratio_counts_from=1000, unpacked_ratio=20.0))
    try:
        for encoding, pack in (("gzip", gzip.compress), ("bzip2", bz2.compress)):
            with pytest.raises(StudyError, match="would unpack"):
                read_study(write(tmp_path, header(encoding=encoding) + pack(bytes(HU.nbytes))))
        set_budgets(Budgets(voxels=1000))
        with pytest.raises(StudyError, match="more than"):
            read_study(write(tmp_path, header() + HU.tobytes()))
    finally:
        set_budgets(before)
