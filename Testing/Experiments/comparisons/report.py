"""The page that an experiment prints: tables in Markdown, the same numbers as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import torch

from AcuteFindingsLib import __version__
from AcuteFindingsLib.evaluation.schema import Figure
from AcuteFindingsLib.files import replace_when_written
from comparisons.arms import Place, Taken
from comparisons.figures import Difference

NOTE = "Phantom figures say that software and comparison work, nothing about patients. Research use only."


@dataclass
class Page:
    """A page under way; `write` puts it and its numbers into the results folder."""

    name: str
    title: str
    parts: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(text)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table."""
        lines = [head, ["---"] * len(head), *rows]
        self.parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))

    def picture(self, file: str, words: str) -> None:
        """Add a picture that lies beside the page."""
        self.parts.append(f"![{words}]({file})")

    def differences(self, rows: Sequence[Difference]) -> None:
        """Add the tests between arms."""
        self.numbers["differences"] = [*self.numbers.get("differences", []), *(asdict(one) for one in rows)]
        self.table(
            ["Pair", "Figure", "Difference (95 %)", "Test", "p", "p, Holm"],
            [
                [
                    one.pair,
                    one.what,
                    span(one.value, one.low, one.high, sign=True),
                    one.method,
                    p(one.p_value),
                    p(one.p_adjusted),
                ]
                for one in rows
            ],
        )

    def times(self, rows: Sequence[tuple[str, Taken]]) -> None:
        """Add what each step took."""
        total = sum((one for _, one in rows), Taken(0.0, 0.0))
        self.numbers["seconds"] = {name: asdict(one) for name, one in [*rows, ("all", total)]}
        self.table(
            ["Step", "On the clock", "Of the processor"],
            [[name, _minutes(one.seconds), _minutes(one.processor_seconds)] for name, one in [*rows, ("all", total)]],
        )

    def write(self, place: Place) -> None:
        """Write ``NAME.md`` and ``NAME.json``."""
        quick = (
            "\n\n**Quick run: two steps on a handful of phantoms. These numbers mean nothing.**" if place.quick else ""
        )
        machine = (
            f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} threads, "
            f"Python {platform.python_version()}, torch {version('torch')}, AcuteFindings {__version__}"
        )
        text = "\n\n".join(
            [
                f"# {self.title}",
                f"Printed by `{place.command}`; not edited by hand.{quick}",
                NOTE,
                *self.parts,
                f"Made on: {machine}.",
            ]
        )
        place.results.mkdir(parents=True, exist_ok=True)
        with replace_when_written(place.results / f"{self.name}.md") as partial:
            partial.write_text(text + "\n", encoding="utf-8")
        values = {"experiment": self.name, "command": place.command, "quick": place.quick, **self.numbers}
        with replace_when_written(place.results / f"{self.name}.json") as partial:
            partial.write_text(json.dumps(values, indent=2, default=_plain) + "\n", encoding="utf-8")
        place.tell(f"{self.name}: {place.results / f'{self.name}.md'}")


def shown(figure: Figure | None, *, digits: int = 2) -> str:
    """Return a figure with its interval as the tables show it."""
    if figure is None or figure.value is None:
        return "not defined"
    first = figure.intervals[0] if figure.intervals else None
    return span(figure.value, first.low if first else None, first.high if first else None, digits=digits)


def span(value: float | None, low: float | None, high: float | None, *, sign: bool = False, digits: int = 2) -> str:
    """Return a number and its interval."""
    if value is None:
        return "not defined"
    form = f"{'+' if sign else ''}.{digits}f"
    interval = "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"
    return f"{value:{form}}{interval}"


def p(value: float | None) -> str:
    """Return a p-value as papers print it."""
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value.item()
