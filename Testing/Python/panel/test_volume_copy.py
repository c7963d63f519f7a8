"""Voxels copied in parts: whole, within bounds of time and memory, and gone where the copy is stopped."""

from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.jobs.arrays import ARRAY, load_study
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study


@pytest.fixture
def volume_copy(host):
    from AcuteFindingsLib.widgets.panel import volume_copy

    return volume_copy


@pytest.fixture
def short_turns(volume_copy, monkeypatch):
    """A part a turn: a fast machine copies many in one turn of the length that is meant for use."""
    from AcuteFindingsLib.widgets import stepper

    monkeypatch.setattr(stepper, "SLICE_SECONDS", 1e-4)


def study_of(array):
    sources = tuple(SourceSlice(k, None, 0, f"1.2.{k}", (0.0, 0.0, float(k)), float(k)) for k in range(len(array)))
    return Study(array, np.eye(4), "CT", "HU", "axial", sources, dicom=DicomFacts(series_instance_uid="1.2"))


@pytest.mark.parametrize(
    ("dtype", "stored"), [("int16", "int16"), ("uint8", "int16"), ("uint16", "float32"), ("float64", "float32")]
)
def test_the_worker_reads_what_was_copied(volume_copy, tmp_path, dtype, stored):
    array = np.random.default_rng(3).integers(0, 200, (7, 5, 4)).astype(dtype)
    shares = list(volume_copy.copy_steps(study_of(array), tmp_path / "study"))
    assert shares[-1] == 1.0
    assert np.load(tmp_path / "study" / ARRAY, mmap_mode="r").dtype == stored
    back = load_study(tmp_path / "study")
    assert np.array_equal(back.array, array.astype(np.float32))
    assert back.sources == study_of(array).sources


def test_no_step_copies_more_than_a_part(volume_copy, tmp_path, monkeypatch):
    monkeypatch.setattr(volume_copy, "PART_BYTES", 3 * 5 * 4 * 2)
    array = np.zeros((8, 5, 4), np.int16)
    shares = list(volume_copy.copy_steps(study_of(array), tmp_path))
    assert shares == [3 / 8, 6 / 8, 1.0]


def test_a_view_that_is_not_contiguous_is_copied(volume_copy, tmp_path):
    array = np.arange(2 * 4 * 6, dtype=np.int16).reshape(2, 4, 6)[:, ::-1, ::2]
    list(volume_copy.copy_steps(study_of(array), tmp_path))
    assert np.array_equal(load_study(tmp_path).array, array)


@pytest.mark.usefixtures("short_turns")
def test_the_event_loop_turns_while_a_large_volume_is_copied(volume_copy, host, tmp_path):
    import qt

    array = np.zeros((160, 512, 512), np.int16)  # 84 MB
    shares, done, ticks = [], [], []
    timer = qt.QTimer()
    timer.setInterval(0)
    timer.connect("timeout()", lambda: ticks.append(len(shares)))
    copy = volume_copy.VolumeCopy(
        study_of(array), tmp_path, done=done.append, failed=pytest.fail, progress=shares.append
    )
    timer.start()
    copy.start()
    assert copy.running
    host.wait_until(lambda: done)
    timer.stop()
    assert done == [tmp_path]
    assert not copy.running
    assert len(shares) >= 2
    assert shares == sorted(shares)
    assert len(set(ticks)) >= 2, "the window had its turn between two parts"


@pytest.mark.usefixtures("short_turns")
def test_a_stopped_copy_leaves_nothing(volume_copy, host, tmp_path):
    shares = []

    def stop_at_once(share):
        shares.append(share)
        copy.stop()

    copy = volume_copy.VolumeCopy(
        study_of(np.zeros((80, 512, 512), np.int16)),
        tmp_path,
        done=pytest.fail,
        failed=pytest.fail,
        progress=stop_at_once,
    )
    copy.start()
    host.wait_until(lambda: shares)
    host.wait(0.1)
    assert len(shares) == 1
    assert shares[0] < 1
    assert not copy.running
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(volume_copy, host, monkeypatch, tmp_path):
    from AcuteFindingsLib.errors import StudyError
    from AcuteFindingsLib.jobs.arrays import StudyWriter

    def full(self, start, planes):
        raise StudyError("no space left")

    monkeypatch.setattr(StudyWriter, "write_planes", full)
    errors = []
    copy = volume_copy.VolumeCopy(
        study_of(np.zeros((2, 3, 4), np.int16)), Path(tmp_path), done=pytest.fail, failed=errors.append
    )
    copy.start()
    host.wait_until(lambda: errors)
    assert "no space left" in str(errors[0])
    assert list(tmp_path.iterdir()) == []
