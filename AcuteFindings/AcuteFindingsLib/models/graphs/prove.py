"""The proof that graphs answer as the network that they were written from."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit

from AcuteFindingsLib.errors import ModelError

TOLERANCE = 1e-4
"""Largest difference after the sigmoid that counts as the same answer."""

MAP_TOLERANCE = 1e-3
"""Largest difference that counts as the same map, as a share of its maximum: a thousandth of what is drawn."""

# A map below is rounding alone.
_FAINTEST = 1e-8

# What one part hands to the next: no logits.
_INNER = ("encoding", "features")

Say = Callable[[str, np.ndarray], Mapping[str, np.ndarray]]
"""A network: the outputs of a part for a batch."""


def largest_difference(
    network: Say, graphs: Say, parts: Mapping[str, str], images: np.ndarray, *, length: int | None = None
) -> float:
    """Ask network and graphs the same and return the largest difference of their answers.

    Parameters
    ----------
    network, graphs
        What is asked.
    parts
        As `export.network_parts` gives them.
    images
        ``(n, c, y, x)`` float32: what the first part is shown.
    length
        Slices of a sequence for parts that read another; all images as one sequence when None.

    Returns
    -------
    float
        Of probabilities, and of encodings relative to their largest number where that exceeds 1.

    Raises
    ------
    ModelError
        An output is missing or has another shape.
    """
    largest = 0.0
    first: Mapping[str, np.ndarray] = {}
    for part, reads in parts.items():
        batch = images
        if reads:
            count = length or len(images)
            batch = first[reads][np.arange(count) % len(images)][None]
        expected, given = network(part, batch), graphs(part, batch)
        first = first or expected
        for name, theirs in expected.items():
            if name not in given or given[name].shape != theirs.shape:
                raise ModelError(f"its graph gives another {name} than the network")
            theirs, ours = theirs.astype(np.float64), given[name].astype(np.float64)
            scale = 1.0
            if name in _INNER:
                scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
            else:
                theirs, ours = expit(theirs), expit(ours)
            difference = float(np.abs(theirs - ours).max(initial=0.0)) / scale
            # Not a number is no agreement.
            largest = max(largest, difference if np.isfinite(difference) else np.inf)
    return largest


def largest_map_difference(theirs: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray]) -> float:
    """Return the largest difference of maps ``(n, numbers, y, x)`` by output, as a share of a number's highest."""
    largest = 0.0
    for name, expected in theirs.items():
        peak = expected.max(axis=(0, 2, 3), keepdims=True, initial=_FAINTEST)
        difference = float((np.abs(ours[name] - expected) / peak).max(initial=0.0))
        # Not a number is no agreement.
        largest = max(largest, difference if np.isfinite(difference) else np.inf)
    return largest
