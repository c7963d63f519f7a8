"""The valid inputs that everything else here is made of: small, and passing every check without a warning."""

import atexit
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from study.conftest import save, write_enhanced, write_radiograph, write_series
from study.drawn import ball

SPACING = (5.0, 3.0, 3.0)
SHAPE = (20, 76, 68)


@cache
def head() -> np.ndarray:
    """A drawn head in HU: scalp, skull, brain, with noise everywhere; nothing of it is symmetric."""
    hu = np.full(SHAPE, -1000.0)
    for radii, value in (((72, 95, 78), 20.0), ((68, 88, 72), 900.0), ((60, 80, 64), 34.0)):
        hu[ball(SHAPE, (0, 0, 0), radii, SPACING)] = value
    hu[ball(SHAPE, (10, 20, 25), (12, 12, 16), SPACING)] = 8.0
    hu += np.random.default_rng(1).normal(0, 5, SHAPE)
    return np.round(hu).clip(-1023, 3000)


@cache
def chest_picture() -> np.ndarray:
    """A drawn radiograph as 16-bit gray, ``(y, x)``."""
    y, x = np.mgrid[:300, :280] / 280
    lungs = np.exp(-((((x - 0.28) / 0.16) ** 2 + ((y - 0.5) / 0.3) ** 2) ** 2))
    lungs += np.exp(-((((x - 0.74) / 0.15) ** 2 + ((y - 0.52) / 0.28) ** 2) ** 2))
    body = 0.75 + 0.15 * np.cos(12 * y) * (np.abs(x - 0.5) < 0.4) - 0.5 * lungs
    noise = np.random.default_rng(2).normal(0, 0.01, body.shape)
    edge = np.minimum(np.minimum(x, x.max() - x) / 0.06, 1)
    return (np.clip((body + noise) * edge, 0, 1) * 4000).astype(np.uint16)


def write_head(folder: Path, **changes) -> list[Path]:
    """Write the head as a DICOM series."""
    facts = {
        "BodyPartExamined": "HEAD",
        "SeriesDescription": "Head axial",
        "KVP": 120,
        "PatientPosition": "HFS",
        "RescaleType": "HU",
    }
    return write_series(folder, head(), spacing=SPACING, bits_stored=16, **{**facts, **changes})


def write_head_enhanced(path: Path, **changes) -> Path:
    """Write the head as one enhanced multi-frame file whose frames are not in the order of the slices."""
    order = np.random.default_rng(3).permutation(SHAPE[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    origin = (-100.0, 20.0, -300.0)
    return write_enhanced(path, head(), order=[int(k) for k in order], spacing=SPACING, origin=origin, **changes)


def write_chest(path: Path, **changes) -> Path:
    """Write the radiograph as DICOM."""
    spacing = {"ImagerPixelSpacing": [1.2, 1.2], "PresentationLUTShape": "IDENTITY"}
    return write_radiograph(path, chest_picture(), **{**spacing, **changes})


def write_head_multiframe(path: Path) -> Path:
    """Write the head as a classic multi-frame CT, whose frames state no positions."""
    from pydicom import dcmread

    first = dcmread(write_head(path.parent / "one")[0])
    first.NumberOfFrames = SHAPE[0]
    first.SpacingBetweenSlices = SPACING[0]
    first.PixelData = (head() + 1024).astype("<u2").tobytes()
    for file in (path.parent / "one").iterdir():
        file.unlink()
    (path.parent / "one").rmdir()
    return save(first, path)


@cache
def scratch() -> Path:
    """Return a folder of this process for what is made once; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="acutefindings-fuzz-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def image() -> sitk.Image:
    """Return the head as ITK holds it, in its place."""
    made = sitk.GetImageFromArray(head().astype(np.int16))
    made.SetSpacing(SPACING[::-1])
    made.SetOrigin((-90.0, -100.0, -50.0))
    return made


def write_volume(path: Path, *, compressed: bool = False) -> Path:
    """Write the head as a volume file in the format that the name says."""
    sitk.WriteImage(image(), str(path), compressed)
    return path


def write_picture(path: Path) -> Path:
    """Write the radiograph as a picture in the format that the name says."""
    from PIL import Image

    gray = Image.fromarray((chest_picture() >> 4).astype(np.uint8))
    gray.save(path)
    return path
