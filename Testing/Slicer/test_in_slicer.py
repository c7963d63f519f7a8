"""Runs self-tests and panel tests in a 3D Slicer: `python test_in_slicer.py SLICER [NAME ...]`.

SLICER is the application's start script or the folder that holds it. Each file of panel tests has an application of its
own, with a home of its own, so that one that dies takes no other along; two run at a time. What failed beside another
is tried once more alone, and named as unsteady where it then passes. A NAME chooses among
``self-tests`` and the files of `Testing/Python/panel`, by a part of the name. The last line is ``N passed, N failed,
N skipped``, the exit status 1 where a test failed or an application died.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
PANEL_TESTS = ROOT / "Testing" / "Python" / "panel"
MODULES = ("AcuteFindings", "PEDetect", "HemorrhageDetect", "PneumothoraxSeg")
SELF_TESTS = "self-tests"
MOST_SECONDS = 900
SLOW_SECONDS = 10.0
_COUNTS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.MULTILINE)


@dataclass
class Outcome:
    """How one application ended: its counts (an application that died is one failure), and all that it said."""

    name: str
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    said: str = ""


def find_slicer(given: str) -> Path:
    """Return the start script: the one without a screen where there is one and no display.

    Raises
    ------
    FileNotFoundError
        `given` names neither an application nor a folder that holds one.
    """
    path = Path(given).expanduser().resolve()
    if path.is_dir():
        path = path / "Slicer"
    offscreen = path.with_name("Slicer-offscreen")
    if "DISPLAY" not in os.environ and offscreen.is_file():
        path = offscreen
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"There is no 3D Slicer at {given}; name its start script or its folder.")
    return path


def run(slicer: Path, name: str) -> Outcome:
    """Run the self-tests, or one file of panel tests, in an application of its own."""
    script = "run_self_tests.py" if name == SELF_TESTS else "run_panel_tests.py"
    modules = [str(ROOT / module) for module in MODULES]
    command = [str(slicer), "--no-splash", "--additional-module-paths", *modules]
    command += ["--testing"] if name == SELF_TESTS else []
    command += ["--python-script", str(ROOT / "Testing" / "Slicer" / script)]
    with tempfile.TemporaryDirectory(prefix="slicer-home-", ignore_cleanup_errors=True) as home:
        # A temporary folder of its own, too: tests look at what is left there.
        temporary = Path(home) / "tmp"
        temporary.mkdir()
        environment = {
            **os.environ,
            "SLICER_HOME_DIR": home,
            "TMPDIR": str(temporary),
            "ACUTEFINDINGS_PANEL_TESTS": name,
        }
        # The checkout's own library, whatever is installed beside it.
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = str(ROOT / "AcuteFindings") + (os.pathsep + known if known else "")
        started = time.monotonic()
        said = Path(home) / "said.txt"
        with said.open("wb") as stream:
            process = subprocess.Popen(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, cwd=ROOT,
            )  # fmt: skip
            try:
                status = _wait(process)
            finally:
                # What a dead application left running goes with it.
                _end_group(process.pid)
                process.wait()
        text = said.read_text(encoding="utf-8", errors="replace")
    outcome = Outcome(name, time.monotonic() - started, said=text)
    counts = _COUNTS.findall(text)
    if counts:
        outcome.passed, outcome.failed, outcome.skipped = (int(count or 0) for count in counts[-1])
    if not counts or (status != 0 and not outcome.failed):
        outcome.failed += 1
        outcome.said += f"\nThe application ended with status {status} and without counting its tests.\n"
    return outcome


def _wait(process: subprocess.Popen) -> int:
    """Return the start script's exit status; 0 where it outlives its application, -1 where the time is up.

    An application that died has not counted its tests, which is what tells.
    """
    seen, end = False, time.monotonic() + MOST_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(1)
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            alive = any("SlicerApp-real" in child.name() for child in children)
            if seen and not alive:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(5)
                return 0
            seen = seen or alive
    return -1


def _end_group(group: int) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, sent)
        except ProcessLookupError:
            return
        time.sleep(0.5)


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; returns the exit status."""
    if not arguments:
        print(__doc__)
        return 2
    slicer, wanted = find_slicer(arguments[0]), arguments[1:]
    names = [SELF_TESTS, *sorted(path.name for path in PANEL_TESTS.glob("test_*.py"))]
    names = [name for name in names if not wanted or any(part in name for part in wanted)]
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        outcomes = [_tell(outcome) for outcome in pool.map(lambda name: run(slicer, name), names)]
    for place, outcome in enumerate(outcomes):
        if outcome.failed:
            again = _tell(run(slicer, outcome.name))
            if not again.failed:
                print(f"Unsteady: {outcome.name} failed beside another application and passed alone.")
            outcomes[place] = again
    slow = [line for outcome in outcomes for line in _slow_tests(outcome.said)]
    if slow:
        print("Slow tests:", *slow, sep="\n  ")
    print(f"In {time.monotonic() - started:.0f} s:")
    totals = [sum(getattr(outcome, kind) for outcome in outcomes) for kind in ("passed", "failed", "skipped")]
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not totals[0] else 0


def _tell(outcome: Outcome) -> Outcome:
    if outcome.failed:
        print(outcome.said)
    print(
        f"{outcome.name}: {outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped "
        f"in {outcome.seconds:.0f} s",
        flush=True,
    )
    return outcome


def _slow_tests(said: str) -> list[str]:
    found = re.findall(r"^PASSED (\S+) \(([\d.]+) s\)", said, re.MULTILINE)
    found += [(name, seconds) for seconds, name in re.findall(r"^([\d.]+)s call +(\S+)", said, re.MULTILINE)]
    return [f"{seconds} s {name}" for name, seconds in found if float(seconds) >= SLOW_SECONDS]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
