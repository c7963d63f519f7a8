"""How time and memory grow with the slices of a chest CT."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from measure import STAGES, Measured, first_slices, measure_run, write_chest_series

SLICES = (50, 100, 200, 400, 800)
STEP_MM = 1.0
MEMORY_GOAL_GB = 2.0


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


def measure_growth(sample: Path, work: Path, sizes: Sequence[int]) -> tuple[list[Measured], list[Line]]:
    """Run chest CTs of several sizes once each; returns them and, of three sizes or more, the lines through them."""
    sizes = sorted(sizes)
    series = write_chest_series(sample, work / "chest", sizes[-1], step_mm=STEP_MM)
    chests = []
    for count in sizes:
        chests.append(measure_run(first_slices(series, work / f"{count}", count), "pe"))
        one = chests[-1]
        print(f"{count} slices: {one.seconds('total'):.1f} s, {one.peak_bytes / 1e9:.2f} GB", flush=True)
    lines = [fit_line(s, sizes, [one.seconds(s) for one in chests]) for s in STAGES] if len(sizes) > 2 else []
    return chests, lines
