"""The head inside a single windowed CT slice, cut out so that only the head tells one picture from another."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.preprocessing.convex import fill_convex, hull_corners
from AcuteFindingsLib.preprocessing.square import fit_square

_WORKING_SIDE = 256


def head_region_windowed(image: np.ndarray, *, bone: float = 0.75, part: float = 0.06, air: float = 0.1) -> np.ndarray:
    """Find the head, up to the outer face of the skull, in a slice whose brain window is burned in.

    The skull is the brightest thing in a brain window and usually clipped to white. Its convex hull is the head, also
    where the picture's edge cuts through it; letters, scale bars and the head rest are smaller pieces and stay out.

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1, bone bright.
    bone
        Share of the picture's brightest level from which a pixel may be bone.
    part, air
        Bright pieces smaller than the share `part` of the largest one's area are not skull, nor are those that only
        air separates from it: pixels darker than the share `air` of the brightest level.

    Returns
    -------
    bool ``(y, x)``; all False where nothing is bright.
    """
    step = max(1, round(max(image.shape) / _WORKING_SIDE))
    brightest = float(np.percentile(image, 99.5))
    region = np.zeros(image.shape, bool)
    if brightest <= 0:
        return region
    bright = ndimage.binary_opening(image >= bone * brightest, iterations=step)
    labels, count = ndimage.label(ndimage.binary_closing(bright, iterations=step) | bright)
    if not count:
        return region
    areas = np.bincount(labels.ravel())[1:]
    skull = np.zeros(image.shape, bool)
    for label in np.argsort(-areas) + 1:
        if areas[label - 1] < part * areas.max():
            break
        with_piece = np.zeros(image.shape, bool)
        fill_convex(with_piece, hull_corners(skull | (labels == label)))
        # Between two pieces of one skull lies brain; between skull and head rest lies air.
        between = image[with_piece & ~region]
        if np.count_nonzero(between > air * brightest) * 2 >= len(between):
            region = with_piece
            skull |= labels == label
    return region


def neutral_head(image: np.ndarray, size: int) -> np.ndarray:
    """Cut the head out of a windowed slice: black outside the skull, cropped to it, on a square of one size.

    Picture size, borders, letters and the level of the surroundings differ between collections and between their
    classes; a network must not be able to answer from them (the baseline in the data's README: AUC 0.85).

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1, brain window burned in.
    size
        Pixels per side of the result.

    Returns
    -------
    float32 ``(size, size)``; all 0 where no head is found. Proportions are kept.
    """
    region = head_region_windowed(image)
    if not region.any():
        return np.zeros((size, size), np.float32)
    y, x = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    box = (slice(y[0], y[-1] + 1), slice(x[0], x[-1] + 1))
    return fit_square(np.where(region, image, 0)[box], size)
