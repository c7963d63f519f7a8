"""At least 1,500 damaged, changed and odd inputs: each ends in the right answer, in a warning or in one sentence.

They are tried in a process of their own that is watched (`watch.py`); `make fuzz` tries more of them. What a failure
prints says how to write its input to disk.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COUNT, SEED = 1600, 1
HERE = Path(__file__).resolve().parent
MOST_SECONDS = 900


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], str]:
    """What came of every input, and what the program said of those that failed."""
    written = tmp_path_factory.mktemp("fuzz") / "results.json"
    command = [sys.executable, "-m", "fuzz", "--count", str(COUNT), "--seed", str(SEED), "--json", str(written)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
    assert written.is_file(), done.stderr[-3000:]
    return json.loads(written.read_text()), done.stdout


@pytest.mark.timeout(MOST_SECONDS)
def test_no_input_ends_in_a_traceback_a_crash_a_hang_much_memory_or_a_silent_other_answer(
    results: tuple[list[dict], str],
) -> None:
    tried, told = results
    assert len(tried) == COUNT
    failed = [one for one in tried if one["fault"]]
    assert not failed, f"{len(failed)} inputs failed:\n{told[:20_000]}"


def test_every_kind_of_file_was_tried_and_every_kind_of_answer_came(results: tuple[list[dict], str]) -> None:
    tried, _ = results
    outcomes = Counter(one["outcome"] for one in tried)
    # Inputs that are all refused, or all read, would show nothing.
    assert all(outcomes[name] > COUNT / 20 for name in ("same", "told", "refused", "answered")), outcomes
    kinds = Counter(one["kind"] for one in tried)
    assert len(kinds) == 26
    assert min(kinds.values()) >= 10, kinds


def test_a_crash_and_a_fault_are_told_with_their_input_and_the_rest_is_still_tried(tmp_path: Path) -> None:
    program = (
        "import ctypes, faulthandler, sys, json\n"
        "import fuzz.kinds, fuzz.child, fuzz.trial\n"
        "def pretend(number):\n"
        "    def kind(rng, folder):\n"
        "        def run():\n"
        "            if number == 1: ctypes.string_at(0)\n"
        "            if number == 2: raise KeyError('x')\n"
        "            if number == 3: raise fuzz.trial.Wrong('silent')\n"
        "            return 'same'\n"
        "        return fuzz.trial.Trial('pretended', run)\n"
        "    return kind\n"
        "fuzz.child.kind_of = pretend\n"
        "from pathlib import Path\n"
        "fuzz.child.main(int(sys.argv[1]), json.loads(sys.stdin.read()), Path(sys.argv[2]))\n"
    )
    watch = (
        "import json, sys, fuzz.watch\n"
        "fuzz.watch.PROGRAM = ['-c', sys.argv[1]]\n"
        "print(json.dumps(fuzz.watch.try_inputs(1, [0, 1, 2, 3, 4])))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-c", watch, program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    found = {one["number"]: one for one in json.loads(done.stdout.splitlines()[-1])}
    assert {number: one["outcome"] for number, one in found.items()} == {
        0: "same",
        1: "crash",
        2: "traceback",
        3: "wrong",
        4: "same",
    }
    assert "Segmentation fault" in found[1]["fault"]
    assert "KeyError" in found[2]["fault"]
