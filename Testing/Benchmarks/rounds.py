"""Processes that answer when asked, each a runtime, and rounds in which every one of them has its turn."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

_PROGRAM = Path(__file__).with_name("answer_rounds.py")


class ChildError(RuntimeError):
    """A runtime did not load or did not answer; holds its last words."""


class Child:
    """One network in one runtime; waits, without turning, until it is asked.

    Attributes
    ----------
    runtime
        What it says that it is, with its version.
    """

    def __init__(self, spec: Mapping[str, Any], folder: Path, *, python: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "spec.json"
        file.write_text(json.dumps(dict(spec)), encoding="utf-8")
        self._errors = folder / "errors.txt"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [str(python or sys.executable), str(_PROGRAM), str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            self.runtime = str(self._next()["runtime"])
        except ChildError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def start(self) -> None:
        """Ask for a round and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def finish(self) -> float:
        """Wait for the round that was asked for; returns its seconds."""
        return float(self._next()["seconds"])

    def round(self) -> float:
        """Return the seconds of one round."""
        self.start()
        return self.finish()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # Anything else is a library's.
                return dict(json.loads(line))
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        raise ChildError(lines[-1][:300] if lines else "it ended without a word")


@dataclass(frozen=True)
class Turns:
    """How often each child is asked: once in every `every` rounds, for that many batches."""

    child: Child
    every: int = 1


def interleave(turns: Mapping[str, Turns], rounds: int) -> dict[str, list[float]]:
    """Ask every child in each round, beginning with another one each time; returns the seconds by name."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    names = list(turns)
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            if number % turns[name].every == 0:
                seconds[name].append(turns[name].child.round())
    return seconds


def largest_difference(one: Path, other: Path, outputs: Sequence[str]) -> float:
    """Return how far two children's answers lie apart after the sigmoid, at most, of the images that both saw."""
    with np.load(one) as a, np.load(other) as b:
        pairs = [zip(_sigmoid(a[name]), _sigmoid(b[name]), strict=False) for name in outputs]
    return max(float(np.abs(x - y).max()) for pair in pairs for x, y in pair)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(values.astype(np.float64), -60, 60))))
