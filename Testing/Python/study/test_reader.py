"""Whatever a user points at is read or refused with one sentence; nothing about the patient gets in."""

import bz2
import gzip
import os
import shutil
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from AcuteFindingsLib import budgets
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

from .conftest import linear_field

Writer = Callable[..., list[Path]]
MB = 2**20


@pytest.mark.slow
def test_the_real_chest_is_read_whole_and_in_place(data_folder: Path) -> None:
    heard: list[tuple[str, float]] = []
    study = read_study(
        data_folder / "chest-ct-dicom",
        requirements=find_kind("pe").requirements,
        progress=lambda *news: heard.append(news),
    )
    assert study.array.shape == (275, 512, 512)
    assert study.spacing == pytest.approx((1.0, 0.78125, 0.78125))
    assert len({source.sop_instance_uid for source in study.sources}) == 275
    assert study.notices == ()
    heights = [source.position_ras[2] for source in study.sources]
    assert heights == sorted(heights)
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_nothing_about_the_patient_is_kept(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, linear_field)
    study = read_study(tmp_path)
    told = f"{asdict(study.dicom)} {study.notices} {study.sources}".upper()
    assert "SECRET" not in told


def _begin_alone(file: Path) -> None:
    file.write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00\x10\x00UI")


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        _begin_alone,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(bytes(file.stat().st_size)),
        lambda file: file.write_bytes(file.read_bytes()[:100]),
        lambda file: file.write_bytes(b"<html>404 not found</html>" * 20),
        lambda file: dcmread(file, specific_tags=["SOPClassUID"]).save_as(file),
        lambda file: file.write_bytes(bz2.compress(file.read_bytes())),
    ],
    ids=["cut in the meta header", "empty", "zeros", "cut in the preamble", "web page", "cut before Rows", "bz2"],
)
def test_an_unreadable_file_among_good_ones_is_told_by_its_place(
    tmp_path: Path, write_series: Writer, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    files = write_series(tmp_path, linear_field, shape=(8, 8, 10))
    spoil(files[7])
    study = read_study(tmp_path)
    assert study.array.shape[0] == 7
    assert [(notice.code, notice.severity) for notice in study.notices] == [("unreadable-file", "warn")]
    assert "number 8" in study.notices[0].text
    assert files[7].name not in study.notices[0].text
    assert files[7].name in caplog.text
    with pytest.raises(StudyError):
        read_study(files[7])


def test_what_lies_beside_a_study_is_no_damaged_part_of_it(tmp_path: Path, write_series: Writer) -> None:
    files = write_series(tmp_path / "DICOM", linear_field)
    for number, file in enumerate(files):
        file.rename(file.with_name(f"IM{number}"))
    (tmp_path / "DICOM" / "._IM0").write_bytes(b"\0\5\x16\7" + bytes(300))
    (tmp_path / "DICOM" / ".DS_Store").write_bytes(b"")
    (tmp_path / "DICOM" / "LICENSE").write_text("words")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "IM0.dcm").write_bytes(b"")
    (tmp_path / "autorun.inf").write_text("[autorun]")
    (tmp_path / "backup.tar.bz2").write_bytes(bz2.compress(b"x" * 1000))
    (tmp_path / "notes.gz").write_bytes(gzip.compress(b"x" * 1000))
    study = read_study(tmp_path)
    assert (study.array.shape[0], study.notices) == (6, ())


def test_an_index_of_a_disc_is_no_damaged_file_and_alone_says_what_to_give(
    tmp_path: Path, write_series: Writer
) -> None:
    files = write_series(
        tmp_path / "IMAGES", linear_field, PatientID="1", StudyID="1", StudyDate="20200101", StudyTime="12"
    )
    index = FileSet()
    for file in files:
        index.add(file)
    index.write(tmp_path / "disc")
    (tmp_path / "disc" / "DICOMDIR").rename(tmp_path / "DICOMDIR")
    shutil.rmtree(tmp_path / "disc")
    assert read_study(tmp_path).notices == ()
    with pytest.raises(StudyError, match="give the folder"):
        read_study(tmp_path / "DICOMDIR")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_linked_folders_are_read_once_even_where_they_lead_in_circles(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "elsewhere", linear_field)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "series").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "given" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)
    (tmp_path / "given" / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "given" / "pipe.dcm")
    study = read_study(tmp_path / "given")
    assert (study.array.shape[0], study.notices) == (6, ())


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_of_any_bytes_are_read_and_shown(tmp_path: Path, write_series: Writer) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller\n%s")
    files = write_series(folder, linear_field)
    files[0].rename(folder / os.fsdecode(b"\xff\xfe.dcm"))
    (folder / os.fsdecode(b"cut\xff.dcm")).write_bytes(b"")
    study = read_study(folder)
    assert study.array.shape[0] == 6
    study.source_name.encode()
    assert "\n" not in study.source_name


def test_sequences_thousands_deep_do_not_end_the_others(tmp_path: Path, write_series: Writer) -> None:
    files = write_series(tmp_path, linear_field)
    plain = files[5].read_bytes()
    deep = plain[:132] + plain[132:].replace(b"\x28\x00\x02\x00US", _nested(5000) + b"\x28\x00\x02\x00US", 1)
    files[5].write_bytes(deep)
    study = read_study(tmp_path)
    assert (study.array.shape[0], [notice.code for notice in study.notices]) == (5, ["unreadable-file"])


def _nested(depth: int) -> bytes:
    """Return a referenced image sequence of undefined length that holds itself again and again."""
    begin = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return begin * depth + end * depth


@pytest.mark.slow
def test_packed_zeros_beside_a_study_or_behind_a_header_are_not_unpacked(tmp_path: Path, write_series: Writer) -> None:
    files = write_series(tmp_path, linear_field)
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(bytes(2**20)) for _ in range(300)) + bomb.flush()
    (tmp_path / "backup.img.gz").write_bytes(packed)
    header = files[0].read_bytes()
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(part) for part in (header, *[bytes(2**20)] * 300)) + bomb.flush()
    (tmp_path / "zz.dcm.gz").write_bytes(packed)
    before = psutil.Process().memory_info().rss
    study = read_study(tmp_path)
    assert psutil.Process().memory_info().rss - before < 200 * MB
    assert (study.array.shape[0], [notice.code for notice in study.notices]) == (6, ["unreadable-file"])
    with pytest.raises(StudyError, match="times its size"):
        read_study(tmp_path / "zz.dcm.gz")


@pytest.mark.parametrize("damage", [slice(600, 640), slice(-40, None)])
def test_a_damaged_deflated_file_does_not_end_the_others(tmp_path: Path, write_series: Writer, damage: slice) -> None:
    files = write_series(tmp_path, linear_field, transfer_syntax=DeflatedExplicitVRLittleEndian)
    data = bytearray(files[5].read_bytes())
    data[damage] = bytes(value ^ 0x33 for value in data[damage])
    files[5].write_bytes(data)
    study = read_study(tmp_path)
    assert "unreadable-file" in [notice.code for notice in study.notices]
    assert study.array.shape[0] == 5


@pytest.mark.parametrize(
    ("start", "kind"), [(b"RIFF\0\0\0\0WEBPVP8 ", "WebP"), (b"GIF89a", "GIF"), (b"%PDF-1.4", "PDF")]
)
def test_kinds_that_are_not_read_are_named_with_those_that_are(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "x").write_bytes(start + bytes(400))
    with pytest.raises(StudyError, match=f"{kind}.*which is not read.*DICOM.*PNG"):
        read_study(tmp_path / "x")


def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    empty, texts, pictures = tmp_path / "empty", tmp_path / "texts", tmp_path / "pictures"
    for folder in (empty, texts, pictures):
        folder.mkdir()
    (texts / "LICENSE.txt").write_text("free " * 100)
    for name in ("a.png", "b.png"):
        (pictures / name).write_bytes(b"")
    report = Dataset()
    report.SOPClassUID = report.SOPInstanceUID = "1.2.3"
    report.file_meta = FileMetaDataset()
    report.file_meta.MediaStorageSOPClassUID = report.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    for path, words in {
        tmp_path / "nowhere": "does not exist",
        empty: "is empty",
        texts: "no DICOM file and no image",
        pictures: "2 images; give one",
        texts / "LICENSE.txt": "not a DICOM file",
        tmp_path / "report.dcm": "without an image",
    }.items():
        with pytest.raises(StudyError, match=words) as error:
            read_study(path)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)


def test_a_file_without_preamble_or_meta_is_read(tmp_path: Path, write_series: Writer) -> None:
    file = write_series(tmp_path, linear_field, shape=(1, 8, 10))[0]
    expected = read_study(file).array
    dataset = pydicom.dcmread(file)
    bare = tmp_path / "bare.dcm"
    dataset.file_meta = FileMetaDataset()
    pydicom.dcmwrite(bare, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    bare.write_bytes(bare.read_bytes().removeprefix(b"\0" * 128 + b"DICM"))
    np.testing.assert_array_equal(read_study(bare).array, expected)


@pytest.mark.slow
def test_every_odd_file_that_pydicom_ships_is_read_or_refused() -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    assert len(files) > 50
    read, silent = 0, []
    for file in files:
        try:
            study = read_study(file)
        except StudyError as error:
            silent += [] if file.name in str(error) else [file.name]
        else:
            read += 1
            assert np.isfinite(study.array).all()
            assert study.intensity == "HU" or (study.array.min() >= 0 and study.array.max() <= 1)
    assert read > 10
    assert silent == []


@pytest.mark.slow
def test_reading_many_slices_takes_little_more_memory_than_the_volume(tmp_path: Path, write_series: Writer) -> None:
    array = np.zeros((160, 512, 512), np.int16)
    write_series(tmp_path, array, intercept=0.0)
    volume = 160 * 512 * 512 * 4
    process, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.005)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        study = read_study(tmp_path)
    finally:
        done.set()
        watcher.join()
    assert study.array.nbytes == volume
    assert peak[0] - before < volume + 150 * MB


def test_where_the_best_series_is_all_damaged_the_next_best_is_read_and_told(
    tmp_path: Path, write_series: Writer
) -> None:
    best = write_series(tmp_path / "best", linear_field, shape=(12, 8, 10), SeriesNumber=7)
    write_series(tmp_path / "other", linear_field, shape=(6, 8, 10), PatientID="", StudyInstanceUID="1.2.3")
    for file in best:
        file.write_bytes(file.read_bytes()[:-10])
    study = read_study(tmp_path, requirements=find_kind("hemorrhage").requirements)
    assert len(study.sources) == 6
    told = {notice.code: notice for notice in study.notices}
    assert told["unreadable-series"].severity == "warn"
    assert "series 7" in told["unreadable-series"].text
    with pytest.raises(StudyError, match="7FE0,0010"):
        read_study(tmp_path / "best", requirements=find_kind("hemorrhage").requirements)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"NumberOfSeriesRelatedInstances": 6}, False),
        ({"NumberOfSeriesRelatedInstances": 9}, True),
        ({"ImagesInAcquisition": 6, "AcquisitionNumber": 2}, False),
        ({"ImagesInAcquisition": 9, "AcquisitionNumber": 2}, True),
        ({"ImagesInAcquisition": 3, "AcquisitionNumber": 2}, False),
        ({"NumberOfSeriesRelatedInstances": "", "ImagesInAcquisition": ""}, False),
    ],
)
def test_an_incomplete_copy_is_told_with_its_count(
    tmp_path: Path, write_series: Writer, attributes: dict[str, object], told: bool
) -> None:
    files = write_series(tmp_path, linear_field, **attributes)
    notices = read_study(tmp_path).notices
    assert [notice.code for notice in notices] == (["incomplete-copy"] if told else [])
    assert not told or "9 images, but 6 are here" in notices[0].text
    assert "incomplete-copy" not in [notice.code for notice in read_study(files[0]).notices]


def test_an_acquisition_in_two_series_is_whole(tmp_path: Path, write_series: Writer) -> None:
    for series in (1, 2):
        write_series(
            tmp_path / str(series),
            linear_field,
            ImagesInAcquisition=12,
            AcquisitionNumber=1,
            SeriesNumber=series,
            StudyInstanceUID="1.2.3",
        )
    assert "incomplete-copy" not in [notice.code for notice in read_study(tmp_path).notices]


def test_folders_that_may_not_be_opened_are_told_and_do_not_end_the_others(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "open", linear_field)
    write_series(tmp_path / "shut", linear_field)
    plain = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent.name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    study = read_study(tmp_path)
    assert (study.array.shape[0], [notice.code for notice in study.notices]) == (6, ["unreadable-file"])


def test_a_folder_with_more_files_than_the_budget_is_refused(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, linear_field)
    monkeypatch.setattr(budgets, "_current", replace(budgets.budgets(), files=3))
    with pytest.raises(StudyError, match="more than 3 files"):
        read_study(tmp_path)
