"""Fits what images of a model, or of a site, have in common: a set of images from their features."""

import numpy as np

from AcuteFindingsLib.trust.likeness import ImageSet

LEAST_IMAGES = 30
"""Fewer images do not say how far they scatter."""

KEPT = 0.985
"""Share of a set's own images, left out of the fit in turn, that lie within its limit."""

_PARTS = 5
# Features that fewer images have are left out.
_LEAST_SHARE = 0.5


def fit_images(
    rows: list[dict[str, float]],
    *,
    name: str,
    told: str,
    kept: float = KEPT,
    groups: list[int] | None = None,
    license: str = "",
    holds: tuple[tuple[str, float, float], ...] = (),
) -> ImageSet:
    """Return the set of images whose features are `rows`.

    The scatter is shrunk toward its diagonal as Ledoit and Wolf propose (J Multivar Anal 2004,
    doi:10.1016/S0047-259X(03)00096-4), so that few images suffice. The limit is the distance that holds `kept` of the
    images, each measured by a fit that did not see it.

    Parameters
    ----------
    rows
        Features of each image; a feature that one of them lacks counts as the mean of the others, and may be missing in
        a study too (`ImageSet.lacking`).
    name, told, license, holds
        As `ImageSet` has them. What the set holds for is not among its features.
    kept
        Share of the images within the limit.
    groups
        A number for each row; rows of one number, such as several versions of one image, are left out together.

    Raises
    ------
    ValueError
        There are fewer than `LEAST_IMAGES`, or they do not differ.
    """
    if len(rows) < LEAST_IMAGES:
        raise ValueError(f"{len(rows)} images do not say how far they scatter; at least {LEAST_IMAGES} are needed")
    names = tuple(name for name in usable_features(rows) if name not in {one for one, _, _ in holds})
    if not names:
        raise ValueError("the images do not differ in any feature")
    values = np.array([[row.get(key, np.nan) for key in names] for row in rows], float)
    values[~np.isfinite(values)] = np.nan
    part = np.asarray(groups if groups is not None else range(len(rows))) % _PARTS
    away = np.empty(len(rows))
    for one in range(_PARTS):
        mean, _, whiten = _scatter(values[part != one])
        away[part == one] = np.linalg.norm(np.nan_to_num(values[part == one] - mean) @ whiten.T, axis=1)
    # As split conformal prediction counts: the next above the share, of one more image than there are.
    rank = min(len(rows), int(np.ceil(kept * (len(rows) + 1))))
    limit = float(np.sort(away)[rank - 1])
    mean, spread, whiten = _scatter(values)
    count = len(set(groups)) if groups is not None else len(rows)
    lacking = tuple(key for key, missing in zip(names, np.isnan(values).any(axis=0), strict=True) if missing)
    return ImageSet(name, told, count, names, mean, spread, whiten, limit, license, holds, lacking)


def usable_features(rows: list[dict[str, float]]) -> tuple[str, ...]:
    """Return the features that half of the images have and in which these differ, in alphabetical order."""
    found = []
    for name in sorted(set().union(*rows)):
        values = [row[name] for row in rows if np.isfinite(row.get(name, np.nan))]
        if len(values) >= _LEAST_SHARE * len(rows) and np.ptp(values) > 0:
            found.append(name)
    return tuple(found)


def _scatter(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard deviation, and the matrix that whitens differences from the mean."""
    mean = np.nanmean(values, axis=0)
    centered = np.nan_to_num(values - mean)
    spread = np.maximum(centered.std(axis=0), 1e-6)
    scaled = centered / spread
    count, size = scaled.shape
    sample = scaled.T @ scaled / count
    # Ledoit and Wolf's shrinkage; the target is the unit matrix, as each feature has its own unit.
    target = np.eye(size)
    wide = float(((sample - target) ** 2).sum())
    noise = float(sum(((np.outer(row, row) - sample) ** 2).sum() for row in scaled)) / count**2
    share = min(1.0, noise / wide) if wide else 1.0
    shrunk = (1 - share) * sample + share * target
    whiten = np.linalg.inv(np.linalg.cholesky(shrunk)) / spread
    return mean, spread, whiten
