"""Measure every detector, and how time and memory grow with the slices of a chest CT; write what was found.

``python Testing/Benchmarks/growth.py`` prints tables and writes ``results.json`` and ``results.md`` beside itself.
"""

import json
import os
import platform
from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from measure import SAMPLES, SEED, STAGES, Measured, first_slices, measure_run, write_chest_series, write_sample

SLICES = (50, 100, 200, 400, 800)
STEP_MM = 1.0
MEMORY_GOAL_GB = 3.0
PACKAGES = ("torch", "numpy", "scipy", "pydicom", "SimpleITK")


@dataclass(frozen=True)
class Line:
    """The line of least squares through times: seconds a slice, seconds at none, share of the variance it explains."""

    stage: str
    slope: float
    intercept: float
    r_squared: float


def fit_line(stage: str, counts: list[int], seconds: list[float]) -> Line:
    """Fit seconds to slices."""
    slope, intercept = np.polyfit(counts, seconds, 1)
    rest = np.asarray(seconds) - (slope * np.asarray(counts) + intercept)
    spread = np.asarray(seconds) - np.mean(seconds)
    return Line(stage, float(slope), float(intercept), float(1 - (rest @ rest) / (spread @ spread)))


def machine() -> dict[str, str]:
    """Say on what it was measured; names neither the machine nor a place on it."""
    return {
        "date": date.today().isoformat(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, no graphics card used",
        "system": platform.system(),
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def stage_table(detectors: list[Measured]) -> list[list[str]]:
    """Return header and rows: seconds by stage and peak memory of each detector."""
    rows = [["detector", "model", "slices", *(f"{stage}, s" for stage in STAGES), "peak memory, GB"]]
    for one in detectors:
        times = [f"{one.seconds(stage):.2f}" for stage in STAGES]
        rows.append([one.detector, one.model, str(one.slices), *times, f"{one.peak_bytes / 1e9:.2f}"])
    return rows


def growth_table(chests: list[Measured]) -> list[list[str]]:
    """Return header and rows: seconds by stage and peak memory by number of slices."""
    rows = [["slices", *(f"{stage}, s" for stage in STAGES), "ms a slice", "peak memory, GB"]]
    for one in chests:
        times = [f"{one.seconds(stage):.2f}" for stage in STAGES]
        each = f"{1000 * one.seconds('total') / one.slices:.0f}"
        rows.append([str(one.slices), *times, each, f"{one.peak_bytes / 1e9:.2f}"])
    return rows


def line_table(lines: list[Line]) -> list[list[str]]:
    """Return header and rows of the fits."""
    rows = [["stage", "ms a slice (slope)", "s at no slices (intercept)", "R²"]]
    for line in lines:
        rows.append([line.stage, f"{1000 * line.slope:.1f}", f"{line.intercept:.2f}", f"{line.r_squared:.4f}"])
    return rows


def memory_table(largest: Measured) -> list[list[str]]:
    """Return header and rows: the peak while each thing was done, of the largest study."""
    rows = [["while", "peak memory, GB"]]
    return rows + [[name, f"{peak / 1e9:.2f}"] for name, peak in largest.peak_bytes_by_part.items()]


def as_markdown(rows: list[list[str]]) -> str:
    """Return a table whose columns are as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def report(detectors: list[Measured], chests: list[Measured], lines: list[Line]) -> str:
    """Return what was measured, as Markdown."""
    facts = "; ".join(f"{name} {value}" for name, value in machine().items())
    parts = [
        "# Benchmarks",
        "Written by `python Testing/Benchmarks/growth.py`; not edited by hand.",
        f"Measured on: {facts}.",
        "Each figure is that of the whole job in a fresh process, from DICOM files to finding, scene, pictures and "
        "report. Peak memory is the most that the process held at once.",
    ]
    if detectors:
        rounds = len(detectors[0].rounds)
        parts += [
            "## Each detector",
            f"The positive sample study of seed {SEED} at its full size (512×512); median of {rounds} "
            f"round{'s' if rounds > 1 else ''} in one process.",
            as_markdown(stage_table(detectors)),
        ]
    if chests:
        largest = chests[-1]
        goal = "Met" if largest.peak_bytes < MEMORY_GOAL_GB * 1e9 else "Missed"
        parts += [
            "## Growth with the slices of a chest CT",
            f"Detector pe, model {largest.model}, 512×512, slices {STEP_MM:g} mm apart, one run each. Every 50 slices "
            "show a whole chest, so that nothing but their number changes.",
            as_markdown(growth_table(chests)),
            f"Goal: less than {MEMORY_GOAL_GB:g} GB at 800 slices. {goal}: {largest.peak_bytes / 1e9:.2f} GB at "
            f"{largest.slices} slices.",
        ]
        if lines:
            parts += ["A line of least squares through the times of all sizes:", as_markdown(line_table(lines))]
        if largest.peak_bytes_by_part:
            parts += [f"Memory at {largest.slices} slices:", as_markdown(memory_table(largest))]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure, print and write."""
    parser = ArgumentParser(description="Time and memory of the detectors, and how they grow with the slices.")
    parser.add_argument("--slices", type=int, nargs="+", default=SLICES, help="sizes of the chest CT")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each detector's own sample; 0 leaves them out")
    parser.add_argument("--models-folder", type=Path, action="append", default=[], help="folder of other models")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder for results.json and results.md"
    )
    asked = parser.parse_args()
    models = tuple(asked.models_folder)
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as folder:
        work = Path(folder)
        samples = {detector: write_sample(detector, work) for detector in (SAMPLES if asked.rounds else ("pe",))}
        detectors = [
            measure_run(sample, detector, rounds=asked.rounds, models_folders=models)
            for detector, sample in samples.items()
            if asked.rounds
        ]
        sizes = sorted(asked.slices)
        series = write_chest_series(samples["pe"], work / "chest", sizes[-1], step_mm=STEP_MM)
        chests = []
        for count in sizes:
            chests.append(measure_run(first_slices(series, work / f"{count}", count), "pe", models_folders=models))
            print(
                f"{count} slices: {chests[-1].seconds('total'):.1f} s, {chests[-1].peak_bytes / 1e9:.2f} GB", flush=True
            )
    lines = [fit_line(s, sizes, [one.seconds(s) for one in chests]) for s in STAGES] if len(sizes) > 2 else []
    text = report(detectors, chests, lines)
    print(text)
    data = {
        "machine": machine(),
        "detectors": [asdict(one) for one in detectors],
        "growth": [asdict(one) for one in chests],
        "fits": [asdict(line) for line in lines],
    }
    (asked.out / "results.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    (asked.out / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
