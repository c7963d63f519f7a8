"""Otsu's threshold between two groups of brightness."""

import numpy as np

BINS = 256


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold with the largest variance between what lies above and what does not (Otsu 1979).

    Parameters
    ----------
    values
        Any shape, not all equal. Whole numbers have a bin each; others `BINS` bins of equal width, whose centers are
        the possible thresholds.
    """
    if np.issubdtype(values.dtype, np.integer):
        low = int(values.min())
        counts = np.bincount(values.ravel() - low)
        centers = np.arange(low, low + len(counts))
    else:
        counts, edges = np.histogram(values, BINS)
        centers = (edges[:-1] + edges[1:]) / 2
    # float32 as in scikit-image, with which the published masks were made: the sums decide between near equals.
    counts = counts.astype(np.float32)
    weighted = counts * centers
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(weighted) / below
    mean_above = np.cumsum(weighted[::-1])[::-1] / above
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centers[np.argmax(between)])
