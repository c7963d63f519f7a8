"""Measure this project and what it is compared with, and write what was found: ``make benchmark``.

``python Testing/Benchmarks/runtimes.py`` writes ``results.json`` and ``results.md`` beside itself, within twelve
minutes on two quiet cores. ``--only`` chooses parts; those left out keep what was found before, each with its own date.
``--against TREE`` compares with the working tree of another commit.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from parts import PARTS, Bench
from tables import facts, machine

# Each takes minutes: `batch` up to five, the others longer than all that remain.
LONG = frozenset({"batch", "int8", "public"})


def report(parts: dict[str, dict[str, Any]]) -> str:
    """Return what was measured, as Markdown."""
    known = [(title, parts[name]) for name, (title, _) in PARTS.items() if name in parts]
    goals = [f"- {text}" for _, part in known for text in part["goals"]]
    paragraphs = [
        "# Benchmarks",
        "Written by `python Testing/Benchmarks/runtimes.py`; not edited by hand. Every comparison is of runs by turns "
        "on one machine; ratios are of medians.",
        "\n".join(goals),
    ]
    for title, part in known:
        paragraphs += [f"## {title}", *part["paragraphs"], facts(part["machine"])]
    return "\n\n".join(text for text in paragraphs if text) + "\n"


def main() -> None:
    """Measure and write after each part."""
    parser = ArgumentParser(description="Time and memory of detectors, networks and reading.")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts to measure; all but " + ", ".join(LONG))
    parser.add_argument("--rounds", type=int, default=3, help="rounds of whole commands")
    parser.add_argument("--network-rounds", type=int, default=12, help="rounds of networks")
    parser.add_argument("--slices", type=int, nargs="+", help="sizes of the chest CT that grows")
    parser.add_argument("--against", type=Path, help="working tree of a commit to compare with")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the results")
    asked = parser.parse_args()
    file = asked.out / "results.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    # Results of an earlier layout are measured anew.
    parts: dict[str, dict[str, Any]] = {
        name: part for name, part in known.items() if name in PARTS and isinstance(part, dict) and "paragraphs" in part
    }
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as folder:
        bench = Bench(Path(folder), rounds=asked.rounds, network_rounds=asked.network_rounds, against=asked.against)
        if asked.slices:
            bench.slices = tuple(asked.slices)
        for name in asked.only or [name for name in PARTS if name not in LONG]:
            title, measure = PARTS[name]
            clock = perf_counter()
            part = measure(bench)
            print(f"{title}: measured in {perf_counter() - clock:.0f} s", flush=True)
            parts[name] = {
                "machine": machine(),
                "goals": part.goals,
                "paragraphs": part.paragraphs,
                "data": part.data,
            }
            file.write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")
            (asked.out / "results.md").write_text(report(parts), encoding="utf-8")
    print(report(parts))


if __name__ == "__main__":
    main()
