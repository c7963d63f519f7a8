"""What nobody expected: one sentence for the person, a log without patient data, a status for the shell."""

import errno
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch

from AcuteFindingsLib import last_resort
from AcuteFindingsLib.errors import StudyError

SHORT = "from AcuteFindingsLib.cli import main; main()"
NAME = "Mustermann^Erika"


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return an error as it is caught: with a traceback, and what it was raised from."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def numpy_is_full() -> BaseException:
    try:
        np.empty(2**57, np.float64)
    except MemoryError as error:
        return error
    raise AssertionError("this machine has an EiB of memory")


def torch_is_full() -> BaseException:
    try:
        torch.empty(2**57)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has half an EiB of memory")


FULL = {
    "python": MemoryError(),
    "numpy": numpy_is_full(),
    "torch on the CPU": torch_is_full(),
    "torch on a card": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "ITK": RuntimeError("Exception thrown in SimpleITK ImageFileReader_Execute: std::bad_alloc"),
    "system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "killed child": subprocess.CalledProcessError(-9, "child"),
    "killed child in a shell": subprocess.CalledProcessError(137, "child"),
    "killed pool": BrokenProcessPool("A process in the process pool was terminated abruptly"),
    "killed loader": RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
}


@pytest.mark.parametrize("error", FULL.values(), ids=FULL)
def test_full_memory_is_recognized_whoever_says_so_and_whoever_wraps_it(error: BaseException) -> None:
    for told in (error, raised(StudyError("a.dcm cannot be read."), error), raised(ValueError("no"), error)):
        assert last_resort.out_of_memory(told)
        assert "memory" in last_resort.sentence(told)
        assert last_resort.expected(told)


def test_a_full_card_names_the_device_and_a_full_machine_does_not() -> None:
    assert "--device cpu" in last_resort.sentence(FULL["torch on a card"])
    assert "--device cpu" in last_resort.sentence(FULL["cublas"])
    assert "--device cpu" not in last_resort.sentence(FULL["numpy"])


@pytest.mark.parametrize(
    "error",
    [
        StudyError("There are 3 slices; out of memory is not meant."),
        KeyError("std::bad_alloc"),
        subprocess.CalledProcessError(1, "child"),
        FileNotFoundError(errno.ENOENT, "No such file", "a.dcm"),
        RuntimeError("size mismatch"),
    ],
)
def test_other_errors_are_not_taken_for_full_memory(error: BaseException) -> None:
    assert not last_resort.out_of_memory(error)


def test_each_kind_says_what_to_do() -> None:
    assert "free some space" in last_resort.sentence(OSError(errno.ENOSPC, "No space left on device", "/out/a.png"))
    assert "nested" in last_resort.sentence(RecursionError("maximum recursion depth exceeded"))
    assert "install" in last_resort.sentence(ModuleNotFoundError("No module named 'x'", name="x"))
    assert "HOME" in last_resort.sentence(RuntimeError("Could not determine home directory."))
    assert "TMPDIR" in last_resort.sentence(FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"))
    assert last_resort.sentence(StudyError("One sentence.")) == "One sentence."
    unknown = last_resort.sentence(ZeroDivisionError("division by zero"))
    assert "ZeroDivisionError" in unknown
    assert "\n" not in last_resort.sentence(ValueError("two\nlines" * 1000))
    assert len(last_resort.sentence(ValueError("x" * 10_000))) < 500


def test_the_log_says_where_and_holds_no_message_of_any_error(tmp_path: Path) -> None:
    patient = {NAME: 1}
    try:
        try:
            patient[f"{NAME}^2"]
        except KeyError as error:
            raise ValueError(f"bad header of {NAME}") from error
    except ValueError as error:
        path = last_resort.write_log(error, doing="check", folder=tmp_path / "new" / "logs")
    assert path is not None
    text = path.read_text(encoding="utf-8")
    assert NAME not in text
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert f'File "{__file__}"' in text
    assert "check" in text
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0


def test_old_logs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for _ in range(last_resort.KEPT_LOGS + 5):
        assert last_resort.write_log(ValueError(), folder=tmp_path)
    assert len(list(tmp_path.glob("error-*.log"))) == last_resort.KEPT_LOGS
    assert (tmp_path / "mine.txt").exists()


def test_where_no_folder_takes_a_log_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = last_resort.write_log(ValueError(), folder=tmp_path / "file")
    assert path is None
    assert "No log could be written" in last_resort.where_logged(path)


def broken(fault: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a command in which `check` raises `fault`."""
    code = f"import AcuteFindingsLib.study.reader as r\ndef bad(*a, **k): {fault}\nr.read_study = bad\n{SHORT}"
    return subprocess.run(
        [sys.executable, "-c", code, *(arguments or ("check", "x", "--detector", "pe"))],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_a_command_ends_in_one_sentence_and_names_the_log(tmp_path: Path) -> None:
    done = broken(f"raise KeyError('{NAME}')", HOME=str(tmp_path), TMPDIR=str(tmp_path))
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    log = next(tmp_path.rglob("error-*.log"))
    assert str(log) in lines[0]
    assert NAME not in log.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["raise MemoryError", "bad()", "raise OSError(28, 'No space left on device')"])
def test_a_fault_that_needs_no_log_leaves_none(fault: str, tmp_path: Path) -> None:
    done = broken(fault, HOME=str(tmp_path), TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    if fault != "bad()":
        assert not list(tmp_path.rglob("error-*.log"))


@pytest.mark.slow
def test_without_home_and_temporary_folder_the_sentence_still_comes(tmp_path: Path) -> None:
    missing = str(tmp_path / "none" / "such")
    (tmp_path / "none").write_text("a file where a folder should be")
    done = broken("raise KeyError('a')", HOME=missing, TMPDIR=missing)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "log" in done.stderr


@pytest.mark.slow
def test_an_interrupt_is_130() -> None:
    done = broken("raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == "acutefindings: stopped on request.\n"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes of the shell")
@pytest.mark.parametrize(("sink", "statuses"), [("| true", (0, 141)), ("| head -c 1", (0, 141)), (">&-", (0,))])
def test_a_reader_that_leaves_early_is_no_error(sink: str, statuses: tuple[int, ...]) -> None:
    code = "import time; from AcuteFindingsLib.cli import main; time.sleep(0.5); main()"
    done = subprocess.run(
        f'"{sys.executable}" -c "{code}" recipes list {sink} > /dev/null; exit ${{PIPESTATUS[0]}}'
        if sink.startswith("|")
        else f'"{sys.executable}" -c "{code}" recipes list {sink}',
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.returncode in statuses


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk, as Linux has it")
@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
def test_a_full_disk_behind_the_output_is_told_and_one_behind_progress_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffered: bool
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if buffered else "1")
    run = [sys.executable, "-c", SHORT]
    with Path("/dev/full").open("w") as full:
        told = subprocess.run([*run, "recipes", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
        silent = subprocess.run(
            [*run, "phantom", "chest-xray", "--out", str(tmp_path)], stdout=subprocess.PIPE, stderr=full
        )
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 1)
    assert "disk is full" in told.stderr
    assert silent.returncode == 0
