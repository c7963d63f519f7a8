"""Drawn slices that stand for a chest and a head."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk


def ellipse(shape: tuple[int, int], center: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    """Return a filled ellipse."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return ((y - center[0]) / radii[0]) ** 2 + ((x - center[1]) / radii[1]) ** 2 <= 1


def chest_slice(side: int = 256) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return HU, lungs and heart of a drawn chest slice in a field of 360 mm."""
    unit = side / 256
    shape = (side, side)
    hu = np.full(shape, -1000.0, np.float32)
    hu[ellipse(shape, (128 * unit, 128 * unit), (75 * unit, 110 * unit))] = 40
    lungs = ellipse(shape, (128 * unit, 85 * unit), (50 * unit, 35 * unit))
    lungs |= ellipse(shape, (128 * unit, 171 * unit), (50 * unit, 35 * unit))
    hu[lungs] = -850
    heart = ellipse(shape, (120 * unit, 128 * unit), (15 * unit, 8 * unit))
    table = slice(int(225 * unit), int(228 * unit))
    hu[table, int(20 * unit) : int(236 * unit)] = 100
    return hu, lungs, heart


@pytest.fixture
def chest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, lungs, heart: ``(256, 256)`` each."""
    return chest_slice()


def head_volume(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return HU and the inside of the skull of a drawn head: 1 mm pixels, slices to be taken as 5 mm thick."""
    shape = (220, 200)
    hu = np.full((count, *shape), -1000.0, np.float32)
    inside = np.zeros(hu.shape, bool)
    for k in range(count):
        shrink = 1 - 0.4 * k / count
        for radii, value in (((95, 78), 30.0), ((88, 71), 1000.0), ((80, 63), 35.0)):
            hu[k][ellipse(shape, (110, 100), (radii[0] * shrink, radii[1] * shrink))] = value
        inside[k] = ellipse(shape, (110, 100), (80 * shrink, 63 * shrink))
    return hu, inside


@pytest.fixture
def head() -> tuple[np.ndarray, np.ndarray]:
    """HU and the inside of the skull, ``(12, 220, 200)``."""
    return head_volume()


def read_series(folder: Path) -> sitk.Image:
    """Read a DICOM folder as ITK does."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.fixture(scope="session")
def real_chest(data_folder: Path) -> np.ndarray:
    """Every ninth slice of the real chest CT, HU, 0.78 mm pixels, without the abdomen and the neck."""
    return sitk.GetArrayFromImage(read_series(data_folder / "chest-ct-dicom"))[60:240:9].astype(np.float32)


@pytest.fixture(scope="session")
def real_head(data_folder: Path) -> np.ndarray:
    """The real head CT's slices as they are, tilted: HU, 0.49 mm pixels, about 5.6 mm apart."""
    return sitk.GetArrayFromImage(read_series(data_folder / "head-ct-dicom")).astype(np.float32)
