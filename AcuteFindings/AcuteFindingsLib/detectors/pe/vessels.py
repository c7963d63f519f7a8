"""Where the trachea divides, the pulmonary trunk below it, and a vein full of undiluted contrast agent beside it."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.pe.chest import Chest
from AcuteFindingsLib.study.blood_pool import mediastinum_region

AIR_HU = -750.0
TRACHEA_CM2 = (0.6, 7.0)
MOST_CM2 = 12.0
"""Trachea and both bronchi where it divides."""

MIDDLE_MM = 40.0
"""The trachea lies at most this far from the middle between the lungs."""

DIVIDED = 1.7
"""So many times as wide as above it the trachea divides."""

LEAST_TRACHEA_MM = 20.0

TRUNK_BELOW_MM = (6.0, 42.0)
TRUNK_LEFT_MM = (-12.0, 55.0)
TRUNK_RADIUS_MM = 8.0
TISSUE_HU = 60.0
OPACIFIED_HU = 110.0
"""Blood without contrast agent, and heart muscle with it, stay below this on average."""

LEAST_ML = 10.0

DENSE_HU = 450.0
"""Undiluted contrast agent; from about here on streaks are seen beside a vein."""

DENSER = 1.3
"""And so many times what the other blood between the lungs has."""

DENSE_MM = 20.0
"""So high at least is a vein; calcium, a lead or a clip is lower."""

DENSE_CM2 = (0.4, 9.0)


@dataclass(frozen=True)
class Carina:
    """Where the trachea divides on the chest's working grid: slice, row, column."""

    z: int
    y: float
    x: float


@dataclass(frozen=True)
class DenseVein:
    """A vein full of contrast agent: its attenuation in HU, and where it is, bool like `Chest.hu`."""

    hu: float
    where: np.ndarray

    def away_mm(self, chest: Chest, place: tuple[float, float, float]) -> float:
        """Return how far a place of the axial view, in voxels, lies from the vein."""
        at = (np.asarray(place) + 0.5) / chest.factors - 0.5
        return float(np.linalg.norm((np.argwhere(self.where) - at) * chest.spacing, axis=1).min())


def find_carina(chest: Chest) -> Carina | None:
    """Follow the trachea down from the top of the lungs to where it divides; None where it is not seen."""
    area = chest.lung_cm2
    levels = np.flatnonzero(area > 0)
    pixel = chest.spacing[1] * chest.spacing[2] / 100
    columns = np.flatnonzero(chest.lungs.any(axis=(0, 1)))
    middle = (columns[0] + columns[-1]) / 2 if len(columns) else 0.0
    above: np.ndarray | None = None
    widths: list[float] = []
    for z in levels[::-1]:
        labels, count = ndimage.label(chest.hu[z] < AIR_HU)
        if above is None:
            sizes = np.bincount(labels.ravel(), minlength=count + 1) * pixel
            near = [
                (abs(x - middle), number)
                for number, (y, x) in enumerate(ndimage.center_of_mass(labels > 0, labels, range(1, count + 1)), 1)
                if TRACHEA_CM2[0] <= sizes[number] <= TRACHEA_CM2[1] and abs(x - middle) * chest.spacing[2] < MIDDLE_MM
            ]
            if near:
                above = labels == min(near)[1]
                widths = [float(above.any(axis=0).sum())]
            continue
        kept = np.unique(labels[above & (labels > 0)])
        now = np.isin(labels, kept) if len(kept) else np.zeros_like(above)
        if not now.any() or now.sum() * pixel > MOST_CM2:
            # Lost, or joined with a lung.
            return None
        columns = np.flatnonzero(now.any(axis=0))
        width = float(columns[-1] - columns[0] + 1)
        usual = float(np.median(widths))
        if len(kept) > 1 or width > DIVIDED * usual:
            if len(widths) * chest.spacing[0] < LEAST_TRACHEA_MM:
                return None
            y, x = ndimage.center_of_mass(above)
            return Carina(int(z), float(y), float(x))
        above, widths = now, [*widths, width]
    return None


def trunk_hu(chest: Chest, carina: Carina, blood_hu: float) -> tuple[float, int] | None:
    """Return the attenuation of the pulmonary trunk in HU and the slice of the working grid it is measured in.

    The trunk is the leftmost of the large round vessels in front of the carina and below it; the ascending aorta lies
    to its right, the descending one behind.
    """
    edge = max((TISSUE_HU + blood_hu) / 2, OPACIFIED_HU)
    dz, dy, dx = chest.spacing
    found = []
    for z in range(
        max(0, carina.z - round(TRUNK_BELOW_MM[1] / dz)), max(0, carina.z - round(TRUNK_BELOW_MM[0] / dz)) + 1
    ):
        blood = chest.hu[z] > edge
        blood[int(carina.y - 4.0 / dy) :] = False
        first, last = (round(carina.x + by / dx) for by in TRUNK_LEFT_MM)
        blood[:, : max(first, 0)] = False
        blood[:, last:] = False
        inside = ndimage.distance_transform_edt(blood, sampling=(dy, dx))
        peaks = (inside >= TRUNK_RADIUS_MM) & (inside == ndimage.maximum_filter(inside, size=max(3, round(8.0 / dx))))
        places = np.argwhere(peaks)
        if len(places):
            y, x = max(places, key=lambda place: place[1])
            reach = max(1, round(4.0 / dx))
            found.append((float(np.median(chest.hu[z, y - reach : y + reach + 1, x - reach : x + reach + 1])), z))
    if not found:
        return None
    middle = float(np.median([hu for hu, _ in found]))
    return middle, min(found, key=lambda item: abs(item[0] - middle))[1]


def brightest_blood_hu(chest: Chest, vein: DenseVein | None) -> float | None:
    """Return the attenuation of what is opacified between the lungs, a dense vein left out; None where little is.

    Early after the injection most of the blood there, that of the left heart, has no contrast agent in it yet.
    """
    values = []
    for z in np.flatnonzero(chest.lung_cm2 > 20.0):
        opacified = mediastinum_region(chest.lungs[z]) & (chest.hu[z] > OPACIFIED_HU) & (chest.hu[z] < DENSE_HU)
        if vein is not None:
            opacified &= ~vein.where[z]
        values.append(chest.hu[z][ndimage.binary_erosion(opacified)])
    found = np.concatenate([np.zeros(0, np.float32), *values])
    return float(np.median(found)) if len(found) * float(np.prod(chest.spacing)) / 1000 >= LEAST_ML else None


def dense_vein(chest: Chest, blood_hu: float) -> DenseVein | None:
    """Return the vein, or atrium, between the lungs full of undiluted contrast agent; None where there is none."""
    region = np.zeros(chest.hu.shape, bool)
    for z in np.flatnonzero(chest.lung_cm2 > 20.0):
        region[z] = mediastinum_region(chest.lungs[z])
    dense = region & (chest.hu > max(DENSE_HU, DENSER * blood_hu))
    labels, _ = ndimage.label(dense)
    best: tuple[int, int] | None = None
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        own = labels[box] == number
        height = own.shape[0] * chest.spacing[0]
        area = own.sum() / own.shape[0] * chest.spacing[1] * chest.spacing[2] / 100
        if height >= DENSE_MM and DENSE_CM2[0] <= area <= DENSE_CM2[1] and (best is None or own.sum() > best[0]):
            best = int(own.sum()), number
    if best is None:
        return None
    where = labels == best[1]
    return DenseVein(float(np.median(chest.hu[where])), where)
