"""Real radiographs with lung masks, read in place, split by patient."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images
from AcuteFindingsLib.preprocessing.square import fit_square
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.training.phantom_sets import Arrays

_HELD_OUT_SHARE = 0.3


def training_lungs(data: Path, settings: RadiographSettings) -> list[Arrays]:
    """Return the pictures and masks of the patients that are trained on, as the network reads them."""
    plain = settings.model_copy(update={"mean": 0.0, "std": 1.0})
    return [
        {
            "image": np.rint(255 * network_images([image], plain)[0, 0]).astype(np.uint8),
            "lungs": (fit_square(mask.astype(np.float32), settings.size) >= 0.5).astype(np.uint8),
        }
        for image, mask in _pairs(data, held_out=False)
    ]


def held_out_lungs(data: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pictures ``(y, x)`` in 0..1 and masks of the other patients."""
    return list(_pairs(data, held_out=True))


def _pairs(data: Path, *, held_out: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    folder = data / "chest-xray-lungs"
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    patients = sorted({row["patient"] for row in rows})
    shuffled = np.random.default_rng(0).permutation(patients)
    kept = set(shuffled[: round(_HELD_OUT_SHARE * len(patients))])
    for row in rows:
        if (row["patient"] in kept) == held_out:
            image = read_study(folder / "images" / row["image"], detector="pneumothorax").array[0]
            mask = read_study(folder / "masks" / row["image"], detector="pneumothorax").array[0] > 0.5
            yield image, mask
