"""One phantom as the arrays that the first models train on, through the detectors' own preprocessing."""

from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images
from AcuteFindingsLib.preprocessing.square import fit_square

PATHOLOGIES = ("pneumothorax", "effusion", "atelectasis", "cardiomegaly", "consolidation")
TUBES = ("chest_drain", "tracheostomy", "endotracheal", "nasogastric")


def chest_xray_arrays(seed: int, *, settings: dict[str, Any], size: int) -> dict[str, np.ndarray]:
    """Return `image`, `pneumothorax`, `lungs` ``(y, x)`` uint8, and `pathologies`, `tubes` in the constants' order."""
    chosen = RadiographSettings.model_validate({**settings, "mean": 0.0, "std": 1.0})
    phantom = make_phantom("chest-xray", seed, size=size)
    masks = {
        name: (fit_square(phantom.masks[name][0].astype(np.float32), chosen.size) >= 0.5).astype(np.uint8)
        for name in ("pneumothorax", "lungs")
    }
    return {
        "image": _bytes(network_images([phantom.array[0]], chosen)[0, 0]),
        **masks,
        "pathologies": np.array([phantom.slice_labels[name][0] for name in PATHOLOGIES], np.uint8),
        "tubes": np.array([phantom.slice_labels[name][0] for name in TUBES], np.uint8),
    }


def _bytes(unit: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)
