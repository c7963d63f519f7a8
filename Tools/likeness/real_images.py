"""The real images at hand as studies: read in place, never copied."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from AcuteFindingsLib.study.study import SourceSlice, Study

# Numbers of patients of the second collection, apart from those of the first.
_APART = 10**6


def read_gray(path: Path) -> np.ndarray:
    """Return a picture ``(y, x)`` in 0..1."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32) / 255


def radiograph(picture: np.ndarray) -> Study:
    """Return a picture ``(y, x)`` in 0..1 as a radiograph without a header."""
    return _study(picture, "unit", "DX", "projection")


def head_picture(picture: np.ndarray) -> Study:
    """Return a picture ``(y, x)`` in 0..1 as a head CT slice with its window burned in."""
    return _study(picture, "windowed", "CT", "axial")


def fitted_radiographs(data: Path) -> list[tuple[Path, int]]:
    """Return the frontal radiographs that are fitted, each with its patient's number: NIH's patients of even number."""
    first = sorted((data / "chest-xray-lungs" / "images").glob("*.png"))
    return [*nih_radiographs(data, odd=False), *((path, _APART + number) for number, path in enumerate(first))]


def nih_radiographs(data: Path, *, odd: bool) -> list[tuple[Path, int]]:
    """Return NIH's radiographs of the patients of odd or even number, each with that number."""
    folder = data / "chest-xray-64"
    with (folder / "Data_Entry.csv").open(newline="") as stream:
        patients = {row["Image Index"]: int(row["Patient ID"]) for row in csv.DictReader(stream)}
    paths = sorted(path for path in folder.rglob("*.png") if path.name in patients)
    return [(path, patients[path.name]) for path in paths if patients[path.name] % 2 == odd]


def _study(picture: np.ndarray, intensity: str, modality: str, orientation: str) -> Study:
    source = SourceSlice(0, None, 0, "", (0.0, 0.0, 0.0), 0.0)
    return Study(
        array=picture[None],
        ijk_to_ras=np.diag([-1.0, -1.0, 1.0, 1.0]),
        modality=modality,
        intensity=intensity,  # type: ignore[arg-type]
        orientation=orientation,  # type: ignore[arg-type]
        sources=(source,),
    )
