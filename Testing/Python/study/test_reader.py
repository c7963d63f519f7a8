"""Whatever a user points at is read or refused with one sentence; nothing about the patient gets in."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pydicom.data
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

from .conftest import linear_field

Writer = Callable[..., list[Path]]
MB = 2**20


def test_the_real_chest_is_read_whole_and_in_place(data_folder: Path) -> None:
    heard: list[tuple[str, float]] = []
    study = read_study(data_folder / "chest-ct-dicom", detector="pe", progress=lambda *news: heard.append(news))
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


def test_an_unreadable_file_among_good_ones_is_named(tmp_path: Path, write_series: Writer) -> None:
    files = write_series(tmp_path, linear_field, shape=(8, 8, 10))
    files[7].write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00\x10\x00UI")
    study = read_study(tmp_path)
    assert study.array.shape[0] == 7
    assert [(notice.code, notice.severity) for notice in study.notices] == [("unreadable-file", "warn")]
    assert files[7].name in study.notices[0].text


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
