"""The decision rules of the sources, each with the continuous score that meets it."""

import numpy as np


def consecutive_runs(flags: np.ndarray, *, minimum: int = 1) -> list[tuple[int, int]]:
    """Return first and last index of every run of at least `minimum` True values in ``(n,)`` flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], np.asarray(flags, bool), [False])).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= minimum]


def consecutive_score(probabilities: np.ndarray, *, minimum: int) -> float:
    """Return the highest threshold at which `minimum` consecutive slices are all positive.

    The rule "three or more consecutive slices are positive" (docs/sources.md 4) holds at threshold t exactly where this
    score is at least t, so the score is the study's probability under the rule. A series with fewer slices than
    `minimum` has to be positive in every slice.
    """
    probabilities = np.asarray(probabilities, float)
    width = min(minimum, len(probabilities))
    return float(np.lib.stride_tricks.sliding_window_view(probabilities, width).min(axis=1).max())


def window_starts(count: int, length: int, stride: int) -> list[int]:
    """Return where windows of `length` start so that they cover `count` items, the last ending at the end."""
    if count <= length:
        return [0]
    starts = list(range(0, count - length, stride))
    return [*starts, count - length]


def run_extent_mm(run: tuple[int, int], positions_mm: np.ndarray, thickness_mm: float) -> float:
    """Return how far a run of slices reaches in mm: from the first slice's outer face to the last one's."""
    first, last = run
    return float(abs(positions_mm[last] - positions_mm[first]) + thickness_mm)
