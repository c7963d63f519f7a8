"""Tubes drawn into a real frontal radiograph, with the drawing of the chest radiograph phantom."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.radiograph import split_lungs
from AcuteFindingsLib.phantoms.chest_xray.anatomy import SIDES, Anatomy, draw_anatomy
from AcuteFindingsLib.phantoms.chest_xray.drawing import Frame
from AcuteFindingsLib.phantoms.chest_xray.tubes import TUBES, draw_tubes

# Inner width of an adult's thorax in mm: what gives a picture without pixel spacing its size.
_THORAX_MM = 275.0
# Gray levels, of 0..1, that a mm of soft tissue adds in the darkest place: about a lung's depth of them is the range.
_GRAY_PER_MM = 0.0095


@dataclass(frozen=True)
class DrawnTube:
    """A picture ``(y, x)`` float32 in 0..1 with a tube drawn in, and its bool outline ``(y, x)``."""

    image: np.ndarray
    mask: np.ndarray
    kind: str


def draw_tube(
    rng: np.random.Generator,
    image: np.ndarray,
    lungs: np.ndarray,
    *,
    kind: str | None = None,
    side: str | None = None,
) -> DrawnTube | None:
    """Draw a tube where it lies in patients: down the trachea, through the oesophagus, or between the ribs.

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1, air dark.
    lungs
        ``(y, x)`` bool, both lung fields: they tell where midline, trachea, diaphragm and chest wall are.
    kind
        One of `phantoms.chest_xray.tubes.TUBES`; drawn where None.
    side
        Of the chest drain, ``"right"`` or ``"left"`` of the patient; drawn where None.

    Returns
    -------
    DrawnTube or None
        None where not both lung fields are there.
    """
    kind = kind or str(rng.choice(TUBES))
    side = side or str(rng.choice(list(SIDES)))
    fitted = _fit(rng, lungs)
    if fitted is None:
        return None
    frame, anatomy = fitted
    drawn = draw_tubes(frame, anatomy, (kind,), drain_side=side, rng=rng)[kind]
    rows, columns = image.shape
    thickness = ndimage.gaussian_filter(drawn.attenuation[:rows, :columns], 0.45)
    strength = _GRAY_PER_MM * rng.uniform(0.7, 1.3)
    # The display curve is flat where the picture is bright already.
    out = image + (1 - image) * (1 - np.exp(-1.4 * strength * thickness))
    return DrawnTube(np.clip(out, 0, 1).astype(np.float32), drawn.mask[:rows, :columns].astype(bool), kind)


def _fit(rng: np.random.Generator, lungs: np.ndarray) -> tuple[Frame, Anatomy] | None:
    """Return the phantom's frame and measures that put its lungs on these."""
    both = split_lungs(lungs)
    if not both.found:
        return None
    top = float(np.flatnonzero(lungs.any(axis=1))[0])
    boxes = {name: ndimage.find_objects(getattr(both, name).astype(np.uint8))[0] for name in SIDES}
    width = boxes["left"][1].stop - boxes["right"][1].start
    mm = _THORAX_MM / width
    # The trachea runs midway between the lungs' inner borders in the upper third.
    upper = slice(round(top), round(top + 0.35 * (boxes["right"][0].stop - top)))
    middle = 0.5 * (_inner(both.right[upper], last=True) + _inner(both.left[upper], last=False))
    anatomy = draw_anatomy(rng, cardiomegaly=False)
    height = {name: 0.9 * (boxes[name][0].stop - top) * mm for name in SIDES}
    reach = 0.5 * _THORAX_MM / 1.02
    fitted = replace(
        anatomy,
        half_width=reach,
        height=height["right"],
        dome={"right": height["right"], "left": height["left"] + 4.0},
        carina=height["right"] * rng.uniform(0.32, 0.36),
        hilum_height={name: 0.45 * height[name] for name in SIDES},
        turn=0.0,
        taper=0.0,
    )
    return Frame(size=max(lungs.shape), mm=mm, left=-middle * mm, top=-top * mm), fitted


def _inner(part: np.ndarray, *, last: bool) -> float:
    """Return the median column of a lung's border toward the midline."""
    rows = part[part.any(axis=1)]
    if last:
        return float(np.median(part.shape[1] - 1 - np.argmax(rows[:, ::-1], axis=1)))
    return float(np.median(np.argmax(rows, axis=1)))
