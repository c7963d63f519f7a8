"""How well two masks agree."""

import numpy as np


def dice(truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the Dice coefficient of two masks; two empty ones agree fully (1)."""
    truth, mask = np.asarray(truth, bool), np.asarray(mask, bool)
    total = truth.sum() + mask.sum()
    return float(2 * (truth & mask).sum() / total) if total else 1.0
