"""The process in which inputs are tried, one after another; what dies here is told by who watches it."""

import faulthandler
import json
import resource
import shutil
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np

from fuzz.kinds import kind_of
from fuzz.trial import Wrong

MOST_SECONDS, MOST_BYTES = 20.0, 2 * 1024**3
# Well above what fails an input, so that no input takes the machine with it.
_HARD_BYTES, _HARD_SECONDS = 12 * 1024**3, 90


def main(seed: int, numbers: list[int], folder: Path) -> None:
    """Try inputs and print one JSON line before and one after each."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_HARD_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    out = sys.stdout
    for number in numbers:
        place = folder / "input"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        print(json.dumps({"begin": number}), file=out, flush=True)
        faulthandler.dump_traceback_later(_HARD_SECONDS, exit=True)
        result = try_one(seed, number, place)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"end": number, **result}), file=out, flush=True)


def try_one(seed: int, number: int, place: Path) -> dict:
    """Write one input, try it, and say what came of it."""
    kind = kind_of(number)
    told = ""
    _forget_peak()
    before = _memory("VmRSS")
    began = time.process_time()
    try:
        trial = kind(np.random.default_rng([seed, number]), place)
        told = trial.told
        began = time.process_time()
        outcome, fault = trial.run(), ""
    except Wrong as error:
        outcome, fault = "wrong", str(error)
    except MemoryError:
        outcome, fault = "memory", traceback.format_exc(limit=-6)
    except Exception:
        outcome, fault = "traceback", traceback.format_exc(limit=-8)
    seconds = time.process_time() - began
    peak = _memory("VmHWM") - before
    if not fault and seconds > MOST_SECONDS:
        outcome, fault = "slow", f"{seconds:.0f} s"
    if not fault and peak > MOST_BYTES:
        outcome, fault = "memory", f"{peak / 2**30:.1f} GB"
    return {
        "kind": kind.__name__, "told": told, "outcome": outcome, "fault": fault, "seconds": round(seconds, 3),
        "peak": peak,
    }  # fmt: skip


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.stdin.read()), Path(sys.argv[2]))
