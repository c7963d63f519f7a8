"""Written files are whole or not there."""

import io
import zipfile
from pathlib import Path

import pytest

from AcuteFindingsLib.files import ZIP_FAILS, replace_when_written


def test_the_new_file_takes_the_old_ones_place_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "finding.json"
    target.write_text("old")
    with replace_when_written(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["finding.json"]


def write_half(target: Path, error: type[BaseException]) -> None:
    with replace_when_written(target) as partial:
        partial.write_text("half of the n")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_untouched_and_no_partial_is_left(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "mask.nrrd"
    target.write_text("old")
    with pytest.raises(error):
        write_half(target, error)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["mask.nrrd"]


def test_after_an_error_a_file_that_was_not_there_is_still_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "new.txt", RuntimeError)
    assert not list(tmp_path.iterdir())


def test_a_block_that_writes_nothing_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), replace_when_written(target):
        pass
    assert target.read_text() == "old"


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    target = tmp_path / "out" / "masks" / "hemorrhage.nrrd"
    with replace_when_written(target) as partial:
        partial.write_bytes(b"1")
    assert target.read_bytes() == b"1"


def test_the_partial_lies_beside_the_target_and_keeps_its_suffixes(tmp_path: Path) -> None:
    target = tmp_path / "volume.nii.gz"
    with replace_when_written(target) as partial:
        assert partial.parent == target.parent
        assert partial.suffixes[-2:] == [".nii", ".gz"]
        partial.touch()


def test_two_writers_of_one_target_do_not_share_a_partial(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with replace_when_written(target) as first:
        with replace_when_written(target) as second:
            second.write_text("second")
            first.write_text("first")
            assert first != second
        assert target.read_text() == "second"
    assert target.read_text() == "first"


@pytest.mark.parametrize(
    ("packing", "spoil"),
    [
        (zipfile.ZIP_DEFLATED, lambda data: data[:40] + b"\xff" * 20 + data[60:]),
        (zipfile.ZIP_LZMA, lambda data: data[:50] + b"\xff" * 20 + data[70:]),
        (zipfile.ZIP_DEFLATED, lambda data: data[: len(data) // 2]),
        (
            zipfile.ZIP_STORED,
            lambda data: data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
        ),
        (zipfile.ZIP_STORED, lambda data: data.replace(b"a.bin", b"b.bin", 1)),
    ],
    ids=["deflate", "lzma", "cut", "encrypted", "renamed"],
)
def test_what_a_damaged_zip_raises_is_named_once(packing, spoil):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", packing) as archive:
        archive.writestr("a.bin", bytes(range(256)) * 64)
    with pytest.raises(ZIP_FAILS), zipfile.ZipFile(io.BytesIO(spoil(data.getvalue()))) as archive:
        archive.read("a.bin")
