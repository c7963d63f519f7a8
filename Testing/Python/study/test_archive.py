"""A zip of a study is read like its folder, and nothing in it can write, grow or fool beyond that."""

import gc
import io
import stat
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from AcuteFindingsLib import budgets
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.archive import PREFIX, unpack_zip
from AcuteFindingsLib.study.reader import read_study

from .conftest import linear_field

Writer = Callable[..., list[Path]]


@pytest.fixture
def study_files(tmp_path: Path, write_series: Writer) -> list[Path]:
    return write_series(tmp_path / "plain", linear_field)


def zip_of(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def members_of(files: list[Path], form: str = "Müller's CT #1/DICOM/S 01/{}") -> dict[str, bytes]:
    return {form.format(file.name): file.read_bytes() for file in files}


def left_behind() -> set[Path]:
    gc.collect()
    return set(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


@pytest.mark.slow
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_is_read_like_its_folder_and_its_folder_goes_with_the_study(
    tmp_path: Path, study_files: list[Path], compression: int
) -> None:
    before = left_behind()
    beside = {
        "viewer.exe": b"MZ" + bytes(5000),
        "report.pdf": b"%PDF-1.4",
        "autorun.inf": b"x",
        "VERSION": b"",
        "__MACOSX/._0000.dcm": b"\0\5\x16\7" + bytes(200),
        "Müller's CT #1/.DS_Store": b"",
    }
    path = zip_of(tmp_path / "portal.zip", {**members_of(study_files), **beside}, compression)
    plain, zipped = read_study(tmp_path / "plain"), read_study(path)
    np.testing.assert_array_equal(zipped.array, plain.array)
    np.testing.assert_array_equal(zipped.ijk_to_ras, plain.ijk_to_ras)
    assert zipped.notices == plain.notices
    assert zipped.source_name == "portal.zip"
    assert all(source.file is not None and source.file.exists() for source in zipped.sources)
    del zipped
    assert left_behind() == before


def test_extensionless_files_and_a_zip_in_the_zip_are_read(tmp_path: Path, study_files: list[Path]) -> None:
    members = {f"IMG/{number}": file.read_bytes() for number, file in enumerate(study_files)}
    inner = zip_of(tmp_path / "inner.zip", members)
    outer = zip_of(tmp_path / "outer.zip", {"a/inner.zip": inner.read_bytes(), "readme.txt": b"x"})
    assert len(read_study(inner).sources) == len(read_study(outer).sources) == 6


def test_names_that_lead_elsewhere_lead_nowhere(tmp_path: Path, study_files: list[Path]) -> None:
    data = [file.read_bytes() for file in study_files]
    outside = tmp_path / "outside.dcm"
    names = ["../../up.dcm", str(outside), "C:\\x\\y.dcm", "a/../../b.dcm", "x" * 300 + ".dcm", "con\n\x1b[31m.dcm"]
    path = zip_of(tmp_path / "x.zip", dict(zip(names, data, strict=True)))
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    study = read_study(path)
    assert len(study.sources) == 6
    assert study.notices == ()
    assert not outside.exists()
    unpacked = unpack_zip(path)
    assert all(source.name[:6].isdigit() for source in unpacked.folder.iterdir())


def test_a_damaged_member_is_counted_and_a_damaged_zip_refused(tmp_path: Path, study_files: list[Path]) -> None:
    path = zip_of(tmp_path / "x.zip", members_of(study_files), zipfile.ZIP_STORED)
    whole = path.read_bytes()
    data = bytearray(whole)
    place = data.index(study_files[5].read_bytes()[-100:])
    data[place] ^= 0xFF
    path.write_bytes(data)
    study = read_study(path)
    assert (len(study.sources), [notice.code for notice in study.notices]) == (5, ["unreadable-file"])
    path.write_bytes(whole[:-500])
    with pytest.raises(StudyError, match=r"x\.zip is damaged or cut short"):
        read_study(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_damaged_in_any_packing_is_counted(tmp_path: Path, study_files: list[Path], compression: int) -> None:
    path = zip_of(tmp_path / "x.zip", members_of(study_files), compression)
    with zipfile.ZipFile(path) as archive:
        member = archive.infolist()[5]
        place = member.header_offset + 30 + len(member.filename.encode()) + member.compress_size // 3
    data = bytearray(path.read_bytes())
    data[place : place + 40] = bytes(value ^ 0x5A for value in data[place : place + 40])
    path.write_bytes(data)
    study = read_study(path)
    assert (len(study.sources), [notice.code for notice in study.notices]) == (5, ["unreadable-file"])


def test_a_packing_that_is_not_read_says_to_unpack(tmp_path: Path, study_files: list[Path]) -> None:
    path = zip_of(tmp_path / "x.zip", members_of(study_files[:1], "{}"), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    # Deflate64, as Windows packs large folders.
    data[8] = 9
    data[data.index(b"PK\x01\x02") + 10] = 9
    path.write_bytes(data)
    with pytest.raises(StudyError, match="unpack it"):
        read_study(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"archive_members": 3}, "more than 3 files"),
        ({"archive_bytes": 2000}, "unpacks to more than"),
        ({"unpacked_bytes": 300}, "unpacks to more than"),
        ({"unpacked_ratio": 1.01, "ratio_counts_from": 10}, "times its size"),
    ],
)
def test_a_zip_beyond_a_budget_is_refused(
    tmp_path: Path,
    study_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, float],
    words: str,
) -> None:
    before = left_behind()
    path = zip_of(tmp_path / "x.zip", members_of(study_files))
    monkeypatch.setattr(budgets, "_current", replace(budgets.budgets(), **limit))
    with pytest.raises(StudyError, match=words) as error:
        read_study(path)
    assert "x.zip" in str(error.value)
    del error
    assert left_behind() == before


def test_an_encrypted_zip_and_one_without_images_say_so(tmp_path: Path, study_files: list[Path]) -> None:
    path = zip_of(tmp_path / "x.zip", members_of(study_files[:1], "{}"), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    # The flag of encryption, in the member's own header and in the directory.
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(StudyError, match="encrypted"):
        read_study(path)
    zip_of(path, {"words.docx": b"x", "deep.zip": zip_of(tmp_path / "d.zip", {"a.txt": b"a"}).read_bytes()})
    with pytest.raises(StudyError, match="holds no DICOM file"):
        read_study(path)


def test_the_only_picture_of_a_zip_is_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(stream, "PNG")
    study = read_study(
        zip_of(tmp_path / "x.zip", {"chest/Ü.png": stream.getvalue()}),
        requirements=find_kind("pneumothorax").requirements,
    )
    assert (study.array.shape, study.source_name) == ((1, 64, 64), "x.zip")
