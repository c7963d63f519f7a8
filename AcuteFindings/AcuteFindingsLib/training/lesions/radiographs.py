"""Pneumothorax, tubes and mimics drawn into one real radiograph."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.training.lesions.pneumothorax import draw_mimics, draw_pneumothorax, lung_markings
from AcuteFindingsLib.training.lesions.tubes import draw_tube

# As often with a pneumothorax as without, so that no tube gives the answer away.
_TUBE_SHARE = 0.45


@dataclass(frozen=True)
class DrawnRadiograph:
    """A picture ``(y, x)`` float32 in 0..1 with findings drawn in; `mask` is empty without a pneumothorax."""

    image: np.ndarray
    mask: np.ndarray
    tubes: tuple[str, ...]
    kind: str


def draw_findings(
    rng: np.random.Generator,
    image: np.ndarray,
    lungs: np.ndarray,
    *,
    positive: bool,
) -> DrawnRadiograph:
    """Draw mimics and perhaps a tube, as often with a pneumothorax as without, and one where `positive`.

    Parameters
    ----------
    image
        ``(y, x)`` float32 in 0..1, air dark.
    lungs
        ``(y, x)`` bool, both lung fields.
    """
    markings = lung_markings(image, lungs)
    image = draw_mimics(rng, image, lungs, count=int(rng.integers(0, 4)), markings=markings)
    mask, kind = np.zeros(image.shape, bool), ""
    if positive:
        # A side without room for it leaves the other.
        for side in rng.permutation(["right", "left"]):
            drawn = draw_pneumothorax(rng, image, lungs, side=str(side), markings=markings)
            if drawn is not None:
                image, mask, kind = drawn.image, drawn.mask, drawn.kind
                break
    tubes: tuple[str, ...] = ()
    if rng.random() < _TUBE_SHARE:
        tube = draw_tube(rng, image, lungs)
        if tube is not None:
            image, tubes = tube.image, (tube.kind,)
    return DrawnRadiograph(image, mask, tubes, kind)


def at_most(image: np.ndarray, mask: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture ``(y, x)`` and its bool mask with at most so many pixels along the longer side."""
    if max(image.shape) <= longest:
        return image, mask
    rows, columns = (round(length * longest / max(image.shape)) for length in image.shape)
    return resize_in_plane(image[None], (rows, columns))[0], resize_in_plane(
        mask[None].astype(np.float32), (rows, columns)
    )[0] > 0.5
