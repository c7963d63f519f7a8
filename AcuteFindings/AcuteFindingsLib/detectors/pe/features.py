"""What of a chest CT is held against the images that a PE model was made from (docs/trust.md).

All is measured on cubes of 8 mm: noise, kernel, matrix and slice thickness average out in them, so that what remains is
what the patient, or the phantom, is made of. Nothing depends on how the volume lies or on what its header says.
"""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.study.coarse import box_means
from AcuteFindingsLib.study.study import Study

CUBE_MM = 8.0

# HU between which a cube is said to be of a tissue; cubes that mix two lie between them.
_EDGES_HU = np.array([-950, -700, -300, -150, -60, 10, 90, 200, 450], np.float32)
_NAMES = (
    "air",
    "aerated lung",
    "dense lung",
    "lung with tissue",
    "fat",
    "fat with tissue",
    "soft tissue",
    "bright tissue",
    "contrast agent or bone",
    "dense contrast agent or bone",
)
_LUNG, _DENSE_LUNG, _BODY, _BEYOND_BONE = 1, 2, 3, 9
# Tissues whose own values are measured, where at least so many cubes are of them.
_MEASURED, _LEAST_CUBES = (1, 4, 5, 6, 7, 8), 20
_LEAST_BORDERS = 30


FLAGS = {
    "lungs, % of the chest": ("hardly any lung: another part of the body", "hardly anything but lung"),
    "contrast agent or bone, % of the body": ("no contrast agent", "more contrast agent, bone or metal than usual"),
    "dense contrast agent or bone, % of the body": ("", "very dense contrast agent, or metal"),
    "dense lung, % of the lungs": ("", "dense lungs: breathed out, or diseased"),
    "mean of soft tissue, HU": ("soft tissue less dense than usual", "soft tissue denser than usual"),
    "mean of fat, HU": ("fat less dense than usual", "fat denser than usual"),
    "mean of aerated lung, HU": ("lungs less dense than usual", "lungs denser than usual"),
}
"""What features mean by themselves where they are lower, and where higher, than in a model's images."""


def features(study: Study) -> dict[str, float]:
    """Return the features of a chest CT in HU by name, those left out that too little of the volume shows.

    Shares are in percent, levels and scatter in HU.
    """
    hu = box_means(study.array, study.spacing, CUBE_MM)
    tissue = np.digitize(hu, _EDGES_HU)
    counts = np.bincount(tissue.ravel(), minlength=len(_NAMES)).astype(float)
    body, lung = counts[_BODY:].sum(), counts[_LUNG] + counts[_DENSE_LUNG]
    found = {
        f"{_NAMES[number]}, % of the body": 100 * counts[number] / max(body, 1.0)
        for number in range(_BODY + 1, len(_NAMES))
    }
    found["dense lung, % of the lungs"] = 100 * counts[_DENSE_LUNG] / max(lung, 1.0)
    found["lungs, % of the chest"] = 100 * lung / max(lung + body, 1.0)
    uneven = np.abs(hu - ndimage.uniform_filter(hu, 3))
    for number in _MEASURED:
        chosen = tissue == number
        if counts[number] >= _LEAST_CUBES:
            values, name = hu[chosen], _NAMES[number]
            found[f"mean of {name}, HU"] = float(values.mean(dtype=float))
            found[f"scatter of {name}, HU"] = float(values.std(dtype=float))
            found[f"unevenness of {name}, HU"] = float(np.median(uneven[chosen]))
    return found | _together(tissue)


def _together(tissue: np.ndarray) -> dict[str, float]:
    """Return how often the neighbor of a cube is of the same tissue, percent: large for large, plain parts."""
    size = len(_NAMES)
    pairs = np.zeros((size, size))
    for axis in range(3):
        one, other = (np.delete(tissue, end, axis).ravel() for end in (-1, 0))
        pairs += np.bincount(one * size + other, minlength=size * size).reshape(size, size)
    pairs += pairs.T
    totals = pairs.sum(axis=1)
    return {
        f"{_NAMES[number]} beside the same, % of its borders": float(100 * pairs[number, number] / totals[number])
        for number in range(_LUNG, _BEYOND_BONE + 1)
        if totals[number] >= _LEAST_BORDERS
    }
