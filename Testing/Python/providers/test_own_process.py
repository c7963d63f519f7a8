import sys
import time
from pathlib import Path

import psutil
import pytest

from AcuteFindingsLib.errors import CancelledError, ProviderError
from AcuteFindingsLib.providers import own_process
from AcuteFindingsLib.providers.own_process import run_child, run_to_end

HEAD = "import sys, os, json, time\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n"


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the text of a program as a child; returns its result."""
    monkeypatch.setattr(own_process, "CHILDREN", tmp_path)
    folder = tmp_path / "between"
    folder.mkdir()

    def run(text: str, **named):
        (tmp_path / "run_it.py").write_text(HEAD + text, encoding="utf-8")
        return run_child("run_it.py", {"do": "run"}, folder, python=Path(sys.executable), **named)

    return run


def test_a_child_gives_its_result_and_says_how_far_it_is(child) -> None:
    told = []
    result = child(
        "print(json.dumps({'text': 'half', 'share': 0.5}), flush=True)\n"
        "print('noise of a package')\n"
        "asked = json.loads((folder / 'request.json').read_text())\n"
        "(folder / 'result.json').write_text(json.dumps(asked))\n",
        progress=lambda text, share: told.append((text, share)),
    )
    assert result == {"do": "run"}
    assert told == [("half", 0.5)]


def test_the_childs_own_sentence_is_the_error(child) -> None:
    with pytest.raises(ProviderError, match=r"^no weights$"):
        child("print(json.dumps({'error': 'no weights'}), flush=True)\nsys.exit(1)\n")


def test_a_child_that_dies_is_an_error_with_its_last_words(child) -> None:
    with pytest.raises(ProviderError, match="out of luck"):
        child("print('out of luck', file=sys.stderr)\nsys.exit(3)\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_child_that_the_system_ends_is_told(child) -> None:
    with pytest.raises(ProviderError, match="ended by the system"):
        child("os.kill(os.getpid(), 9)\n")


def test_a_child_without_a_result_is_an_error(child) -> None:
    with pytest.raises(ProviderError, match="status 0"):
        child("pass\n")


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_cancel_ends_the_child_and_what_it_started(child, tmp_path) -> None:
    mark = tmp_path / "pids"
    text = (
        "import subprocess\n"
        f"other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"Path({str(mark)!r}).write_text(f'{{os.getpid()}} {{other.pid}}')\n"
        "time.sleep(60)\n"
    )
    started = time.monotonic()
    with pytest.raises(CancelledError):
        child(text, cancelled=lambda: mark.is_file() and len(mark.read_text().split()) == 2)
    assert time.monotonic() - started < 30
    for number in mark.read_text().split():
        assert not _alive(int(number))


def _alive(number: int) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE:
            return False
        time.sleep(0.05)
    return True


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ProviderError, match="/nowhere/python"):
        run_to_end(["/nowhere/python"])
