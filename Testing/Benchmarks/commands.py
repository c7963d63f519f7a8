"""The command line in processes of its own: wall time and peak memory of a whole run, of this tree or another one."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

THIS = Path(__file__).parents[2]
_COMMAND = "import sys; from AcuteFindingsLib.cli import main; sys.exit(main())"
_START = """
import resource, subprocess, sys, time
clock = time.perf_counter()
status = subprocess.call(sys.argv[2:])
seconds = time.perf_counter() - clock
with open(sys.argv[1], "w") as file:
    print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=file)
sys.exit(status)
"""


@dataclass
class Runs:
    """Seconds and peak memory of each run of a command, from its start to its end."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the median of the seconds."""
        return median(self.seconds)


def commit_of(tree: Path) -> str:
    """Return the commit of a tree, short."""
    asked = ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def acutefindings(arguments: Sequence[str], *, tree: Path = THIS) -> tuple[float, int]:
    """Run the command line of a tree; returns seconds and the most bytes of memory held."""
    return timed([sys.executable, "-c", _COMMAND, *arguments], environment={"PYTHONPATH": str(tree / "AcuteFindings")})


def run_study(study: Path, detector: str, *, tree: Path = THIS, model: Path | None = None) -> tuple[float, int]:
    """Run one study from its files to the report; the results are thrown away."""
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as out:
        asked = ["run", str(study), "--detector", detector, "--device", "cpu", "--force", "--out", f"{out}/results"]
        return acutefindings([*asked, *(("--model", str(model)) if model else ())], tree=tree)


def timed(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> tuple[float, int]:
    """Run a command in a fresh process; returns seconds and the most bytes of memory held.

    A process of its own starts it: Linux counts what the starting process held as held by the one that it becomes.

    Raises
    ------
    RuntimeError
        It failed; holds its last words.
    """
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as folder:
        said, measured = Path(folder, "said.txt"), Path(folder, "measured.txt")
        with said.open("w") as out:
            started = [sys.executable, "-c", _START, str(measured), *command]
            done = subprocess.run(
                started, stdout=out, stderr=out, env={**os.environ, **(environment or {})}, check=False
            )
        if done.returncode:
            raise RuntimeError(" ".join(said.read_text(errors="replace").split())[-600:] or "it failed without a word")
        seconds, most = measured.read_text().split()
    return float(seconds), int(most) * (1 if sys.platform == "darwin" else 1024)


def by_turns(runs: Mapping[str, Callable[[], tuple[float, int]]], rounds: int) -> dict[str, Runs]:
    """Run each in every round, beginning with another one each time."""
    found = {name: Runs() for name in runs}
    names = list(runs)
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            seconds, peak = runs[name]()
            found[name].seconds.append(seconds)
            found[name].peak_bytes.append(peak)
    return found
