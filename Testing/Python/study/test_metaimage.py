"""MetaImage files are read as they say, never anything beside them; damaged ones are refused."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

HU = np.random.default_rng(7).integers(-1000, 1500, (5, 40, 30)).astype("<i2")


def header(**changes: str | None) -> bytes:
    """Return an ordinary header, its data behind it; a change by None leaves the line out."""
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "-7 -12 -20",
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": "0.5 0.6 3",
        "DimSize": "30 40 5",
        "ElementType": "MET_SHORT",
        **{key: value for key, value in changes.items() if key != "ElementDataFile"},
        "ElementDataFile": changes.get("ElementDataFile", "LOCAL"),
    }
    return "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None).encode()


def write(folder: Path, content: bytes, name: str = "a.mha") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("turn", ["1 0 0 0 1 0 0 0 1", "0 1 0 0 0 -1 1 0 0", "-1 0 0 0 1 0 0 0 1",
                                  "0.6 0.8 0 -0.8 0.6 0 0 0 1"])  # fmt: skip
def test_voxels_lie_where_itk_puts_them(tmp_path: Path, turn: str) -> None:
    file = write(tmp_path, header(TransformMatrix=turn) + HU.tobytes())
    study, image = read_study(file), sitk.ReadImage(str(file))
    np.testing.assert_array_equal(study.array, sitk.GetArrayFromImage(image))
    for index in ((0, 0, 0), (29, 39, 4), (3, 20, 1)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose((study.ijk_to_ras @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-4)
    assert study.notices == ()


def test_packed_big_endian_and_written_out_values_are_read(tmp_path: Path) -> None:
    packed = zlib.compress(HU.tobytes())
    forms = (
        (header(CompressedData="True", CompressedDataSize=str(len(packed))), packed),
        (header(CompressedData="True"), packed),
        (header(BinaryDataByteOrderMSB="True"), HU.astype(">i2").tobytes()),
        (header(ElementByteOrderMSB="True", BinaryDataByteOrderMSB=None), HU.astype(">i2").tobytes()),
        (header(BinaryData="False"), " ".join(map(str, HU.ravel())).encode()),
        (header(ElementType="MET_FLOAT"), HU.astype("<f4").tobytes()),
        (header(HeaderSize="-1"), b"anything" + HU.tobytes()),
    )
    for head, body in forms:
        np.testing.assert_array_equal(read_study(write(tmp_path, head + body)).array, HU)


@pytest.mark.parametrize(("skip", "before"), [("0", b""), ("9", b"123456789"), ("-1", b"anything at all")])
def test_a_file_beside_the_header_is_read(tmp_path: Path, skip: str, before: bytes) -> None:
    write(tmp_path, before + HU.tobytes(), "voxels.raw")
    file = write(tmp_path, header(HeaderSize=skip, ElementDataFile="voxels.raw"), "a.mhd")
    np.testing.assert_array_equal(read_study(file).array, HU)
    np.testing.assert_array_equal(read_study(tmp_path).array, HU)


@pytest.mark.parametrize("name", ["/etc/passwd", "../voxels.raw", "sub/voxels.raw", "%s%s%n", "s%03d.raw 1 5 1", "LIST",
                                  "LIST 2", "C:\\voxels.raw", "..", "."])  # fmt: skip
def test_a_header_names_no_file_elsewhere_and_no_pattern(tmp_path: Path, name: str) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    write(tmp_path, HU.tobytes(), "voxels.raw")
    write(tmp_path, HU.tobytes(), "in/sub/voxels.raw")
    with pytest.raises(StudyError, match="beside the header"):
        read_study(write(tmp_path / "in", header(ElementDataFile=name), "a.mhd"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"DimSize": "30 40 6"}, "fewer bytes"),
        ({"DimSize": "30 40 4"}, "more bytes"),
        ({"DimSize": "29 40 5"}, "more bytes"),
        ({"DimSize": "30 40 0"}, "damaged"),
        ({"DimSize": "30 40 -5"}, "damaged"),
        ({"DimSize": "30 40"}, "'DimSize' should hold 3"),
        ({"DimSize": "30000 40000 50000"}, "more than"),
        ({"DimSize": None}, "'DimSize' is missing"),
        ({"NDims": "1000000"}, "axes"),
        ({"NDims": "4", "DimSize": "30 40 1 5", "TransformMatrix": None, "Offset": None, "ElementSpacing": None},
         "time series"),
        ({"ElementType": "MET_COMPLEX"}, "type that is not read"),
        ({"ElementNumberOfChannels": "3"}, "in color"),
        ({"CompressedData": "True"}, "damaged"),
        ({"HeaderSize": "x"}, "'HeaderSize'"),
        ({"HeaderSize": "-7"}, "'HeaderSize'"),
        ({"ElementSpacing": "0 0.6 3"}, "no usable size"),
        ({"ElementSpacing": "nan 0.6 3"}, "no usable size"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "coincide"),
        ({"TransformMatrix": "1 0 0 1"}, "'TransformMatrix'"),
        ({"BinaryData": "False"}, "damaged|bytes"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, str | None], text: str) -> None:
    with pytest.raises(StudyError, match=text):
        read_study(write(tmp_path, header(**changes) + HU.tobytes()))


def test_a_cut_or_flipped_packed_file_is_refused(tmp_path: Path) -> None:
    packed = zlib.compress(HU.tobytes())
    flipped = packed[:-1] + bytes([packed[-1] ^ 1])
    for body in (packed[: len(packed) // 2], packed[:-4], flipped, b""):
        with pytest.raises(StudyError, match=r"a\.mha"):
            read_study(write(tmp_path, header(CompressedData="True") + body))


@pytest.mark.parametrize(
    "changes", [{"TransformMatrix": None, "AnatomicalOrientation": None}, {"ElementSpacing": "0.5 0.6 -3"}]
)
def test_a_header_without_directions_has_no_sides(tmp_path: Path, changes: dict[str, str | None]) -> None:
    study = read_study(write(tmp_path, header(**changes) + HU.tobytes()))
    assert [(notice.code, notice.severity) for notice in study.notices] == [("orientation-unknown", "warn")]
    assert study.spacing == pytest.approx((3.0, 0.6, 0.5))


def test_a_leaning_stack_is_set_upright(tmp_path: Path) -> None:
    length = float(np.hypot(3, 1))
    turn = f"1 0 0 0 1 0 0 {1 / length} {3 / length}"
    study = read_study(write(tmp_path, header(TransformMatrix=turn, ElementSpacing=f"0.5 0.6 {length}") + HU.tobytes()))
    assert [notice.code for notice in study.notices] == ["gantry-tilt"]
    assert study.spacing == pytest.approx((3.0, 0.6, 0.5), abs=1e-4)
