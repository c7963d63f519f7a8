"""Watching the process that tries inputs: what it says, and what it was at when it died."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = ["-m", "fuzz.child"]
_LAST_WORDS = 3000


def try_inputs(
    seed: int, numbers: Sequence[int], *, told: Callable[[dict, int, int], None] = lambda *_: None
) -> list[dict]:
    """Try inputs in one process; where an input ends that, say so and go on in another.

    Returns
    -------
    One result an input: number, kind, what was done, outcome, fault ("" for none), seconds and peak of memory.
    """
    left, results = list(numbers), []
    with tempfile.TemporaryDirectory(prefix="acutefindings-fuzz-") as folder:
        while left:
            before = len(results)
            at, last_words = _run(seed, left, Path(folder), results, told, len(numbers))
            done = {one["number"] for one in results[before:]}
            left = [number for number in left if number not in done]
            if not left:
                break
            if at is None:
                raise RuntimeError(f"the process that tries inputs does not start:\n{last_words}")
            results.append(_died(at, last_words))
            told(results[-1], len(results), len(numbers))
            left = [number for number in left if number != at]
    return results


def _died(number: int, last_words: str) -> dict:
    from fuzz.kinds import kind_of

    outcome = "hang" if "Timeout (" in last_words else "crash"
    return {
        "number": number, "kind": kind_of(number).__name__, "told": "", "outcome": outcome, "fault": last_words,
        "seconds": 0.0, "peak": 0,
    }  # fmt: skip


def _run(
    seed: int, numbers: list[int], folder: Path, results: list[dict], told: Callable, count: int
) -> tuple[int | None, str]:
    """Start one process; return the input that it was at when it ended, and its last words."""
    path = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(path), "HOME": str(folder), "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore", "TMPDIR": str(folder), "QT_QPA_PLATFORM": "offscreen",
    }  # fmt: skip
    at = None
    with (folder / "errors.txt").open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *PROGRAM, str(seed), str(folder / "child")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        )  # fmt: skip
        try:
            process.stdin.write(json.dumps(numbers))
            process.stdin.close()
            for line in process.stdout:
                said = _said(line)
                if "begin" in said:
                    at = said["begin"]
                    errors.seek(0)
                    errors.truncate()
                elif "end" in said:
                    at = None
                    results.append({"number": said.pop("end"), **said})
                    told(results[-1], len(results), count)
        finally:
            process.kill()
            status = process.wait()
        errors.seek(0)
        words = errors.read()
    head = words.find("Fatal Python error")
    words = words[head:][:_LAST_WORDS] if head >= 0 else words[-_LAST_WORDS:]
    return at, f"exit status {status}\n{words}"


def _said(line: str) -> dict:
    """Return what a line of the process says; libraries print there too."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
