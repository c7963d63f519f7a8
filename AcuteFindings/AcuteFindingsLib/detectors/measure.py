"""Sizes of what a mask shows."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist


class Ellipsoid(NamedTuple):
    """The three diameters of the ABC/2 estimate in mm, and the volume they give in mL."""

    a_mm: float
    b_mm: float
    c_mm: float
    volume_ml: float


def volume_ml(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Return the volume of a ``(z, y, x)`` mask in mL; `spacing` is ``(z, y, x)`` in mm."""
    return float(np.count_nonzero(mask) * np.prod(spacing) / 1000.0)


class Density(NamedTuple):
    """Mean and 95th percentile of one connected outline, in HU, and its size in mL."""

    mean_hu: float
    high_hu: float
    volume_ml: float


def densities(hu: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]) -> list[Density]:
    """Return the density of every connected part of a mask, the largest first.

    Parameters
    ----------
    hu, mask
        ``(z, y, x)`` in HU, and 0 or 1, on one grid.
    spacing
        ``(z, y, x)`` in mm.
    """
    components, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    found = []
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        values = hu[box][components[box] == number]
        mean, high = float(values.mean()), float(np.percentile(values, 95))
        found.append(Density(mean, high, float(len(values) * np.prod(spacing) / 1000.0)))
    return sorted(found, key=lambda item: -item.volume_ml)


def abc_half(mask: np.ndarray, spacing: tuple[float, float, float]) -> Ellipsoid | None:
    """Estimate a bleed's volume as a clinician does at the viewer, by ABC/2 (Kothari 1996, Stroke 27:1304).

    A is the largest diameter in the slice where the largest bleed is largest, B the diameter at right angles to it, C
    the height: slices with over 75 % of that slice's area count whole, over 25 % half, others not.

    Parameters
    ----------
    mask
        ``(z, y, x)``, axial. Its largest connected part is measured.
    spacing
        ``(z, y, x)`` in mm; in-plane pixels are taken as square.

    Returns
    -------
    None where the mask is empty.
    """
    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return None
    largest = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    areas = np.count_nonzero(largest, axis=(1, 2))
    top = int(np.argmax(areas))
    a_mm = _longest_diameter(largest[top], spacing)
    b_mm = _width_across(largest[top], spacing)
    weights = np.where(areas > 0.75 * areas[top], 1.0, np.where(areas > 0.25 * areas[top], 0.5, 0.0))
    c_mm = float(weights.sum() * spacing[0])
    return Ellipsoid(a_mm, b_mm, c_mm, a_mm * b_mm * c_mm / 2000.0)


def _longest_diameter(plane: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Return the largest distance in mm between pixel edges of the convex hull of a ``(y, x)`` mask."""
    edges = _edge_middles(np.argwhere(plane))
    hull = ConvexHull(edges)
    pixels = np.argwhere(np.ones(plane.shape, bool))
    inside = (pixels @ hull.equations[:, :2].T + hull.equations[:, 2] <= 1e-10).all(axis=1)
    edges = _edge_middles(pixels[inside])
    return float(pdist(edges[ConvexHull(edges).vertices] * np.asarray(spacing[1:])).max())


def _edge_middles(pixels: np.ndarray) -> np.ndarray:
    """Return the middles of the four edges of each of ``(n, 2)`` pixels."""
    return (pixels[:, None] + [[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]]).reshape(-1, 2)


def _width_across(plane: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Return the extent in mm at right angles to the longest diameter of a ``(y, x)`` mask."""
    points = np.argwhere(plane & ~ndimage.binary_erosion(plane)) * np.asarray(spacing[1:])
    differences = points[:, None] - points[None]
    i, j = np.unravel_index(np.argmax((differences**2).sum(-1)), differences.shape[:2])
    along = points[i] - points[j]
    length = np.linalg.norm(along)
    if length == 0:
        return float(spacing[1])
    across = points @ (np.array([-along[1], along[0]]) / length)
    return float(np.ptp(across) + spacing[1])
