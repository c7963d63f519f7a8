"""What of a head CT is held against the images that a hemorrhage model was made from (docs/trust.md).

Slices are looked at in the brain window, each cut out at the outer face of the skull and brought to 64×64, as the
model's pictures are: so volumes in HU and pictures with the window burned in have the same features, and matrix, border
and noise hardly count. Of a volume the medians over its slices are held against them.
"""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.preprocessing.head_slice import neutral_head
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.preprocessing.windows import apply_window
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.threads import side_by_side

SIDE = 64
LOOKED_AT = "slices looked at, of the stack"
"""Feature that says whether a study is a stack or a single slice, whose features scatter more."""

_LEVEL, _WIDTH = 40.0, 80.0
# So many slices are looked at, from the middle half of the stack, where brain is.
_SLICES, _MIDDLE = 12, (0.35, 0.85)
_SKULL, _DARK, _BRIGHT = 95.0, 15.0, 80.0
_RIM_PX, _SECTORS = 8, 36


FLAGS = {
    "slices that show a head, %": ("slices that show no head: another part of the body, or no CT", ""),
    "skull seen around the brain, % of its round": ("the skull is open: operated, or cut off by the picture", ""),
    "skull, % of the head": ("hardly any bone: MR, or another window", "much bone: another window, or another part"),
    "bright, % of the brain": ("", "much that is bright: contrast agent, metal with streaks, or another window"),
    "dark, % of the brain": ("", "much that is dark: metal with streaks, or another part of the body"),
    "unevenness of the brain, %": ("smoothed", "streaks, motion, noise, or no CT"),
    "likeness of both sides, correlation": ("both sides differ: turned, operated, or another part of the body", ""),
    "level of the brain at 50 of 100, %": (
        "brain darker than usual: another window",
        "contrast agent or another window",
    ),
}
"""What features mean by themselves where they are lower, and where higher, than in a model's images."""


def features(study: Study) -> dict[str, float]:
    """Return the features of a head CT by name; levels are in percent of the brain window (0 to 80 HU)."""
    array = to_axial(study).array
    count = len(array)
    if count > 1:
        first, last = (round(share * (count - 1)) for share in _MIDDLE)
        chosen = np.unique(np.linspace(first, last, min(_SLICES, count)).round().astype(int))
    else:
        chosen = np.array([0])

    def look(k: int) -> dict[str, float]:
        picture = array[k] if study.intensity == "windowed" else apply_window(array[k], level=_LEVEL, width=_WIDTH)
        return _slice_features(100 * neutral_head(np.asarray(picture, np.float32), SIDE))

    looked = [found for found in side_by_side(look, list(chosen)) if found]
    found = {LOOKED_AT: float(len(chosen)), "slices that show a head, %": 100.0 * len(looked) / len(chosen)}
    return found | {name: float(np.median([one[name] for one in looked])) for name in (looked[0] if looked else ())}


def _slice_features(head: np.ndarray) -> dict[str, float]:
    """Return the features of one head cut out, ``(64, 64)`` in percent; empty where there is none."""
    region = ndimage.binary_fill_holes(head > 0)
    inner = ndimage.binary_erosion(region, iterations=_RIM_PX)
    if inner.sum() < SIDE:
        return {}
    rows, columns = np.nonzero(region)
    values = head[inner]
    found = {
        "width of the head by its length, ratio": float(np.ptp(columns) + 1) / float(np.ptp(rows) + 1),
        "head, % of its box": 100.0 * len(rows) / float((np.ptp(rows) + 1) * (np.ptp(columns) + 1)),
        "skull, % of the head": 100.0 * float((head[region] >= _SKULL).mean()),
        "bright, % of the brain": 100.0 * float((values >= _BRIGHT).mean()),
        "dark, % of the brain": 100.0 * float((values <= _DARK).mean()),
        "scatter of the brain, %": float(values.std()),
        "skull seen around the brain, % of its round": _closed(head, region),
        "likeness of both sides, correlation": _alike(head, region),
    }
    for share in (10, 25, 50, 75, 90):
        found[f"level of the brain at {share} of 100, %"] = float(np.percentile(values, share))
    uneven = np.abs(head - ndimage.uniform_filter(head, 3))
    found["unevenness of the brain, %"] = float(np.median(uneven[inner]))
    coarse = np.abs(ndimage.uniform_filter(head, 3) - ndimage.uniform_filter(head, 9))
    found["coarse unevenness of the brain, %"] = float(np.median(coarse[inner]))
    return found


def _closed(head: np.ndarray, region: np.ndarray) -> float:
    """Return in which part of all directions from the middle of the head there is skull, percent."""
    y, x = ndimage.center_of_mass(region)
    rows, columns = np.nonzero(head >= _SKULL)
    sectors = ((np.arctan2(rows - y, columns - x) + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    return 100.0 * len(np.unique(sectors)) / _SECTORS


def _alike(head: np.ndarray, region: np.ndarray) -> float:
    """Return the correlation of the head with its mirror image about its own middle."""
    columns = np.flatnonzero(region.any(axis=0))
    own = head[:, columns[0] : columns[-1] + 1]
    if own.std() == 0:
        return 0.0
    return float(np.corrcoef(own.ravel(), own[:, ::-1].ravel())[0, 1])
