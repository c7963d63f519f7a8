"""What of a radiograph is held against the images that a pneumothorax model was made from (docs/trust.md).

The picture is brought to 64×64 means, so that the size of the film, its noise and its sharpness hardly count. What
remains is where it is dark and bright: two lungs, a mediastinum, shoulders, diaphragms.
"""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.radiograph import stretch_gray
from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.study.study import Study

SIDE = 64
_ROWS, _COLUMNS = 4, 6


FLAGS = {
    "likeness of both sides, correlation": ("both sides differ: a lateral film, or no chest radiograph", ""),
    "likeness of top and bottom, correlation": ("upside down, or another part of the body", "another part of the body"),
    "height by width, ratio": ("wider than films are", "narrower than films are"),
    "fine detail, %": ("blurred, as by motion", "sharp lines or noise: a drawing, a photograph, metal"),
    "gray level of the median, %": ("darker than usual: perhaps a negative", "brighter than usual: perhaps a negative"),
}
"""What features mean by themselves where they are lower, and where higher, than in a model's images."""


def features(study: Study) -> dict[str, float]:
    """Return the features of a radiograph by name; gray levels are in percent from its black to its white."""
    image = study.array[0]
    rows, columns = image.shape
    gray = 100 * stretch_gray(resize_in_plane(image[None], (SIDE, SIDE))[0])
    found = {"height by width, ratio": rows / columns}
    for name, share in (("darkest quarter", 25), ("median", 50), ("brightest quarter", 75)):
        found[f"gray level of the {name}, %"] = float(np.percentile(gray, share))
    parts = gray.reshape(_ROWS, SIDE // _ROWS, SIDE, 1).mean(axis=1)[..., 0]
    edges = np.linspace(0, SIDE, _COLUMNS + 1).round().astype(int)
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            part = parts[row, edges[column] : edges[column + 1]]
            found[f"gray level in row {row + 1} and column {column + 1} of {_ROWS}×{_COLUMNS}, %"] = float(part.mean())
    turned = gray[:, ::-1]
    found["likeness of both sides, correlation"] = _alike(gray, turned)
    found["likeness of top and bottom, correlation"] = _alike(gray, gray[::-1])
    for name, width in (("fine", 1.0), ("coarse", 4.0)):
        smooth = ndimage.gaussian_filter(gray, width)
        found[f"{name} detail, %"] = float(np.std(gray - smooth))
        gray = smooth
    return found


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two pictures; 0 where one has a single value."""
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
