"""Real radiographs with lung masks, and pneumothorax, tubes and mimics drawn into them, split by patient."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.preprocessing.square import fit_square
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.training.first_arrays import PATHOLOGIES, TUBES
from AcuteFindingsLib.training.lesions.pneumothorax import draw_mimics, draw_pneumothorax, lung_markings
from AcuteFindingsLib.training.lesions.tubes import draw_tube
from AcuteFindingsLib.training.phantom_sets import Arrays

FOLDER = "chest-xray-lungs"
RESTRICTION = (
    "The radiographs are CC BY-NC-SA (covid-chestxray-dataset; masks by V7 Labs): these weights are for "
    "non-commercial use."
)
_HELD_OUT_SHARE = 0.4
# The title of this patient's pictures says that he or she has a pneumothorax.
_HAS_ONE = ("142",)
# As often with a pneumothorax as without, so that no tube gives the answer away.
_TUBE_SHARE = 0.45


@dataclass(frozen=True)
class Radiograph:
    """A real picture ``(y, x)`` float32 in 0..1, its lung fields bool, whose it is, and what vessels add to it."""

    name: str
    patient: str
    image: np.ndarray
    lungs: np.ndarray
    markings: np.ndarray


@dataclass(frozen=True)
class DrawnRadiograph:
    """A real picture ``(y, x)`` with findings drawn in; `mask` is empty without a pneumothorax."""

    source: Radiograph
    image: np.ndarray
    mask: np.ndarray
    tubes: tuple[str, ...]
    kind: str

    @property
    def positive(self) -> bool:
        """Whether a pneumothorax was drawn."""
        return bool(self.mask.any())


def read_radiographs(data: Path, *, held_out: bool, longest: int | None = None) -> list[Radiograph]:
    """Read the pictures of the patients that are kept aside, or of the others; who has a pneumothorax is left out.

    Parameters
    ----------
    data
        Folder of real images, which holds ``chest-xray-lungs``.
    longest
        Pixels of the longer side; a larger picture is made smaller.
    """
    folder = data / FOLDER
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["patient"] not in _HAS_ONE]
    shuffled = np.random.default_rng(1).permutation(sorted({row["patient"] for row in rows}))
    kept = set(shuffled[: round(_HELD_OUT_SHARE * len(shuffled))])
    return [_read(folder, row, longest) for row in rows if (row["patient"] in kept) == held_out]


def draw_findings(rng: np.random.Generator, radiograph: Radiograph, *, positive: bool) -> DrawnRadiograph:
    """Draw mimics and perhaps a tube, and a pneumothorax where `positive`, the two first as often with as without."""
    image, lungs = radiograph.image, radiograph.lungs
    image = draw_mimics(rng, image, lungs, count=int(rng.integers(0, 4)), markings=radiograph.markings)
    mask, kind = np.zeros(image.shape, bool), ""
    if positive:
        # A side without room for it leaves the other.
        for side in rng.permutation(["right", "left"]):
            drawn = draw_pneumothorax(rng, image, lungs, side=str(side), markings=radiograph.markings)
            if drawn is not None:
                image, mask, kind = drawn.image, drawn.mask, drawn.kind
                break
    tubes: tuple[str, ...] = ()
    if rng.random() < _TUBE_SHARE:
        tube = draw_tube(rng, image, lungs)
        if tube is not None:
            image, tubes = tube.image, (tube.kind,)
    return DrawnRadiograph(radiograph, image, mask, tubes, kind)


def draw_many(radiographs: Sequence[Radiograph], *, count: int, seed: int) -> list[DrawnRadiograph]:
    """Draw into one picture after the other, each with and without a pneumothorax by turns."""
    rngs = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(count)]
    return [
        draw_findings(rng, radiographs[n % len(radiographs)], positive=sum(divmod(n, len(radiographs))) % 2 == 0)
        for n, rng in enumerate(rngs)
    ]


def lesion_arrays(
    radiographs: Sequence[Radiograph], settings: RadiographSettings, *, count: int, seed: int = 0
) -> list[Arrays]:
    """Return drawn pictures as `first_arrays.chest_xray_arrays` returns phantoms: uint8, the same keys.

    Of `pathologies` only the pneumothorax is known, of `tubes` only what was drawn; the rest stands at 0 and must not
    be learned from.
    """
    plain = settings.model_copy(update={"mean": 0.0, "std": 1.0})
    arrays = []
    for drawn in draw_many(radiographs, count=count, seed=seed):
        masks = {"pneumothorax": drawn.mask, "lungs": drawn.source.lungs}
        arrays.append(
            {
                "image": np.rint(255 * network_images([drawn.image], plain)[0, 0]).astype(np.uint8),
                **{
                    name: (fit_square(mask.astype(np.float32), plain.size) >= 0.5).astype(np.uint8)
                    for name, mask in masks.items()
                },
                "pathologies": np.array([drawn.positive and n == "pneumothorax" for n in PATHOLOGIES], np.uint8),
                "tubes": np.array([name in drawn.tubes for name in TUBES], np.uint8),
            }
        )
    return arrays


def _read(folder: Path, row: dict[str, str], longest: int | None) -> Radiograph:
    image, mask = (
        read_study(folder / part / row["image"], requirements=find_kind("pneumothorax").requirements).array[0]
        for part in ("images", "masks")
    )
    if longest and max(image.shape) > longest:
        rows, columns = (round(length * longest / max(image.shape)) for length in image.shape)
        image, mask = (resize_in_plane(one[None], (rows, columns))[0] for one in (image, mask))
    bare = Radiograph(row["image"], row["patient"], image.astype(np.float32), mask > 0.5, np.zeros(image.shape))
    return replace(bare, markings=lung_markings(bare.image, bare.lungs))
