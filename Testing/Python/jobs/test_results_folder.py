"""Results are the old ones or the new ones, and nothing that AcuteFindings did not write is ever touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from AcuteFindingsLib import files
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.jobs import results_folder as module
from AcuteFindingsLib.jobs.results_folder import MANIFEST, remove_results, results_folder

KILLER = Path(__file__).with_name("kill_at_every_write.py")


def write(out: Path, said: str = "new", *, mask: bool = True) -> None:
    with results_folder(out) as work:
        (work / "finding.json").write_text(said)
        if mask:
            (work / "masks").mkdir()
            (work / "masks" / "bleed.nrrd").write_text(said)


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


NEW = {"finding.json": "new", "masks/bleed.nrrd": "new"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize(
    ("kind", "between"),
    [
        ("first", {"none", "2"}),
        ("second", {"1", "2"}),
        # Where others' files are in the folder too, a killed run's results may be on their way; never parts of two.
        ("first-shared", {"none", "2"}),
        ("second-shared", {"1", "none", "2"}),
        ("second-no-exchange", {"1", "none", "2"}),
    ],
)
def test_a_kill_at_any_write_leaves_one_whole_result_and_the_next_run_mends_the_rest(
    kind: str, between: set[str], tmp_path: Path
) -> None:
    run = subprocess.run([sys.executable, KILLER, tmp_path, kind], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    kills = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(kills) > 15
    assert {kill["left"] for kill in kills} == between
    assert all(kill["theirs"] for kill in kills)
    assert {kill["after"] for kill in kills} == {"3"}
    assert len({tuple(kill["names"]) for kill in kills}) == 1, "something of a killed run stayed"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_of_two_results_in_a_folder_of_its_own_the_change_is_one_step(tmp_path: Path) -> None:
    if not files.exchange(*(folder for name in "ab" if (folder := tmp_path / name).mkdir() is None)):
        pytest.skip("this file system cannot exchange two folders")
    run = subprocess.run([sys.executable, KILLER, tmp_path / "c", "second"], capture_output=True, text=True, check=True)
    assert "none" not in [json.loads(line)["left"] for line in run.stdout.splitlines()]


def test_a_second_run_leaves_nothing_of_the_first_and_nothing_beside(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    write(tmp_path / "out", mask=False)
    assert content(tmp_path) == {"out/finding.json": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_of_others_stay_where_they_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "dicom").mkdir(parents=True)
    (out / "dicom" / "IM0001.dcm").write_text("theirs")
    (out / "notes.txt").write_text("theirs")
    for _ in range(2):
        write(out)
        assert content(out) == {**NEW, "dicom/IM0001.dcm": "theirs", "notes.txt": "theirs"}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["finding.json", "masks/own.nrrd", "pictures/own.png", "report.html", "scene.mrb"])
def test_a_foreign_file_in_the_way_is_told_before_anything_is_done(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("theirs")
    with pytest.raises(ExportError, match=name), results_folder(out):
        pytest.fail("the run began")
    assert content(tmp_path) == {f"out/{name}": "theirs"}


def test_what_a_person_changed_since_is_not_removed(tmp_path: Path) -> None:
    write(tmp_path / "out")
    (tmp_path / "out" / "masks" / "bleed.nrrd").write_text("corrected by hand")
    with pytest.raises(ExportError, match=r"masks/bleed\.nrrd changed"):
        write(tmp_path / "out")
    assert content(tmp_path / "out")["masks/bleed.nrrd"] == "corrected by hand"


def test_a_file_that_appears_during_the_run_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def run() -> None:
        with results_folder(out) as work:
            (work / "finding.json").write_text("new")
            out.mkdir()
            (out / "report.html").write_text("theirs")

    with pytest.raises(ExportError, match=r"report\.html"):
        run()
    assert content(tmp_path) == {"out/report.html": "theirs"}


def test_a_list_that_names_other_places_removes_nothing_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("theirs")
    write(tmp_path / "out")
    path = tmp_path / "out" / MANIFEST
    data = json.loads(path.read_text())
    facts = module._facts(outside)
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    data["files"] |= {"../outside.txt": facts, str(outside): facts, "link/outside.txt": facts}
    path.write_text(json.dumps(data))
    write(tmp_path / "out")
    assert outside.read_text() == "theirs"
    assert (tmp_path / "out" / "link").is_symlink()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "files": {"a": 3}}', "\xff"])
def test_a_damaged_list_removes_nothing(text: str, tmp_path: Path) -> None:
    write(tmp_path / "out")
    (tmp_path / "out" / MANIFEST).write_text(text)
    with pytest.raises(ExportError, match=r"finding\.json"):
        write(tmp_path / "out", "other")
    assert content(tmp_path / "out") == NEW


def test_an_error_in_the_run_leaves_the_earlier_result(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    before = content(tmp_path)

    def stopped() -> None:
        with results_folder(tmp_path / "out") as work:
            (work / "finding.json").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert content(tmp_path) == before
    with pytest.raises(ZeroDivisionError), results_folder(tmp_path / "fresh"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_second_run_into_the_same_folder_is_refused_by_whatever_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with results_folder(tmp_path / "out") as work:
        (work / "finding.json").write_text("new")
        for name in ("out", "link", "other/../out"):
            with pytest.raises(ExportError, match="another run"):
                write(tmp_path / name)
        write(tmp_path / "elsewhere")
    assert content(tmp_path / "out") == {"finding.json": "new"}


def test_a_linked_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    for said in ("old", "new"):
        write(tmp_path / "out", said)
    assert (tmp_path / "out").is_symlink()
    assert content(tmp_path / "real") == NEW


def test_a_read_only_folder_is_told_before_the_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old")
    out.chmod(0o555)
    try:
        with pytest.raises(ExportError, match="cannot be written to"), results_folder(out):
            pytest.fail("the run began")
    finally:
        out.chmod(0o755)
    assert content(out)["finding.json"] == "old"


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("theirs")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(ExportError, match="is a file"):
            write(out)


def test_the_current_folder_is_not_exchanged_under_the_feet_of_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    for said in ("old", "new"):
        write(Path(), said)
    assert content(tmp_path) == NEW
    assert tmp_path.stat().st_ino == before


def test_a_drive_is_written_to_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "drive"
    out.mkdir()
    monkeypatch.setattr(module.os.path, "ismount", lambda path: Path(path) == out)
    for said in ("old", "new"):
        with results_folder(out) as work:
            assert work.parent == out
            (work / "finding.json").write_text(said)
    assert content(tmp_path) == {"drive/finding.json": "new"}


def test_the_rights_of_the_folder_stay(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    (tmp_path / "out").chmod(0o750)
    write(tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_unfinished_work_is_swept_after_a_day_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".0a0a0a0a.partial.out"
    left.mkdir()
    (left / "finding.json").write_text("never finished")
    os.utime(left / "finding.json", (0, 0))
    strange = tmp_path / ".0c0c0c0c.partial.another"
    strange.mkdir()
    write(tmp_path / "out")
    assert left.is_dir()
    clock = files.time.time
    monkeypatch.setattr(files.time, "time", lambda: clock() + 25 * 3600)
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    for name in ("acutefindings-abcd1234", "acutefindings-export-abcd1234", "acutefindings-locks-0", "else-abcd1234"):
        (tmp_path / "temporary" / name).mkdir(parents=True)
    write(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [strange.name, "out", "temporary"]
    assert {path.name for path in (tmp_path / "temporary").iterdir()} >= {"acutefindings-locks-0", "else-abcd1234"}
    assert not (tmp_path / "temporary" / "acutefindings-abcd1234").exists()
    assert not (tmp_path / "temporary" / "acutefindings-export-abcd1234").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("pictures/a.png", b"\x89PNG\r\n\x1a\n" + bytes(50)),
        ("scene.mrb", b"PK\x03\x04" + bytes(50)),
        ("finding.json", b""),
    ],
)
def test_what_a_full_disk_cut_short_does_not_replace_a_whole_result(name: str, data: bytes, tmp_path: Path) -> None:
    write(tmp_path / "out", "old")

    def run() -> None:
        with results_folder(tmp_path / "out") as work:
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(data)

    with pytest.raises(ExportError, match="is the disk full"):
        run()
    assert content(tmp_path) == {"out/finding.json": "old", "out/masks/bleed.nrrd": "old"}


def test_a_move_that_fails_midway_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write(out, "old")
    (out / "notes.txt").write_text("theirs")
    before = content(tmp_path)
    moved = module._move

    def failing(source: Path, goal: Path) -> None:
        if goal == out / "masks" / "bleed.nrrd" and source.read_text() == "new":
            raise OSError(28, "No space left on device")
        moved(source, goal)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_move", failing)
        with pytest.raises(ExportError, match="No space left"):
            write(out)
    assert content(tmp_path) == before
    write(out)
    assert content(out) == {**NEW, "notes.txt": "theirs"}


def test_results_are_removed_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "own")
    remove_results(tmp_path / "own")
    assert not (tmp_path / "own").exists()
    write(tmp_path / "shared")
    (tmp_path / "shared" / "notes.txt").write_text("mine")
    (tmp_path / "shared" / "masks" / "bleed.nrrd").write_text("corrected")
    remove_results(tmp_path / "shared")
    assert content(tmp_path / "shared") == {"notes.txt": "mine", "masks/bleed.nrrd": "corrected"}
    assert not (tmp_path / "shared" / MANIFEST).exists()
    remove_results(tmp_path / "none")
