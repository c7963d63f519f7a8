"""Uploads on the disk: what a server that starts takes up, what it removes, and what it leaves alone."""

import json
from pathlib import Path

import pytest

from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.job_files import Job, JobFiles


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return JobFiles(tmp_path)


def uploaded(files: JobFiles, **values: object) -> Job:
    """Return a job with one file, as a server leaves it that is killed."""
    job = files.new("auto", None, 30.0)
    (files.files(job.id) / "00001.dcm").write_bytes(b"images")
    files.write(Job(**{**vars(job), **values}))
    return job


@pytest.mark.parametrize("damage", ["", "{", "cut", "later", "other"])
def test_an_upload_whose_job_cannot_be_read_is_kept_and_told(files, damage):
    job, good = uploaded(files), uploaded(files)
    kept = files.folder / job.id / "job.json"
    whole = json.loads(kept.read_text())
    changed = {"later": {**whole, "state": "paused"}, "other": {**whole, "id": good.id}}
    kept.write_text(json.dumps(changed[damage]) if damage in changed else damage)
    before, said = kept.read_text(), []
    assert [one.id for one in files.jobs(said.append)] == [good.id]
    assert kept.read_text() == before
    assert (files.files(job.id) / "00001.dcm").read_bytes() == b"images"
    assert len(said) == 1
    assert job.id in said[0]


def test_what_others_keep_in_a_folder_called_uploads_is_left_alone(files, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "study.dcm").write_text("theirs")
    theirs = files.folder / "Head CT" / "files" / "study.dcm"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    (files.folder / ("0" * 20)).symlink_to(elsewhere)
    assert Board(files).all() == []
    assert theirs.read_text() == "theirs"
    assert (elsewhere / "study.dcm").read_text() == "theirs"


def test_an_upload_that_was_cut_off_is_removed_but_not_what_others_put_beside_it(files):
    cut, noted = files.new("auto", None, 30.0), files.new("auto", None, 30.0)
    for job in (cut, noted):
        (files.files(job.id) / "00001.dcm").write_bytes(b"half")
    (files.folder / cut.id / ".0.partial.job.json").write_text("{")
    (files.folder / noted.id / "notes.txt").write_text("mine")
    assert files.jobs() == []
    assert [path.name for path in files.folder.rglob("*")] == [noted.id, "notes.txt"]


def test_images_of_a_job_that_ended_go_where_the_server_was_killed_before_it_removed_them(files):
    job = uploaded(files, state="done", finished="2026-01-01T00:00:00.000+00:00")
    board = Board(files)
    assert board.get(job.id).state == "done"
    assert not files.files(job.id).exists()
