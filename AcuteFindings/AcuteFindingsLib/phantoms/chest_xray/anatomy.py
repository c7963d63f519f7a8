"""The chest of one phantom: its measures for a seed, and the outlines of lungs, heart and mediastinum they imply."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

SIDES: dict[str, int] = {"right": -1, "left": 1}
_APEX = 0.36
_LATERAL_HEIGHT = (0.0, 0.012, 0.04, 0.1, 0.22, 0.42, 0.68, 1.0, 1.25, 2.0)
_LATERAL_WIDTH = (_APEX, 0.445, 0.54, 0.675, 0.81, 0.92, 0.985, 1.02, 1.01, 0.93)
_OUTLINE_STEP_MM = 2.0


@dataclass(frozen=True)
class Anatomy:
    """Measures of one chest, in mm, in the frame of `Frame` (x = 0 midline, y = 0 lung apices, y down).

    Attributes
    ----------
    view_ap
        AP (bedside) rather than PA: larger heart, higher diaphragm, scapulae over the lungs.
    female
        Draws breasts.
    half_width
        Inner half-width of the thorax.
    height
        Apex to right dome.
    dome
        Height of each diaphragm dome.
    dome_drop
        How far each costophrenic angle lies below its dome.
    half_depth
        Inner half-depth of the thorax along the beam.
    wall
        Soft tissue outside the ribs.
    heart_right, heart_left
        Reach of the heart from the midline.
    shift
        Displacement of the mediastinum toward the left (tension pneumothorax).
    turn
        Displacement of anterior against posterior structures (patient rotated).
    carina
        Height of the tracheal bifurcation.
    hilum_height
        Height of each hilum.
    taper
        How much wider the thorax is below than above, against the average.
    knob
        How far the aortic knob stands out, 1 on average; elderly patients have more.
    """

    view_ap: bool
    female: bool
    half_width: float
    height: float
    dome: dict[str, float]
    dome_drop: dict[str, float]
    half_depth: float
    wall: float
    heart_right: float
    heart_left: float
    shift: float
    turn: float
    carina: float
    hilum_height: dict[str, float]
    taper: float
    knob: float

    @property
    def cardiothoracic_ratio(self) -> float:
        """Widest heart over widest inner thorax."""
        return (self.heart_right + self.heart_left) / (2 * self.half_width * max(_LATERAL_WIDTH))

    def hilum(self, side: str) -> np.ndarray:
        """Where the vessels of a lung come from, (x, y)."""
        y = self.hilum_height[side]
        return np.array([float(self.medial(side, np.array([y]))[0]) + SIDES[side] * 2.0, y])

    def lateral(self, side: str, y: np.ndarray) -> np.ndarray:
        """x of the lung's outer border at heights `y`."""
        curve = PchipInterpolator(_LATERAL_HEIGHT, _LATERAL_WIDTH)
        t = np.clip(np.asarray(y, np.float64) / self.height, 0.0, 2.0)
        # The taper leaves the width at the domes as it is.
        inside = curve(t) * (1 - self.taper * (1 - np.minimum(t, 1.0)))
        return SIDES[side] * self.half_width * inside

    def mediastinal_shift(self, y: np.ndarray) -> np.ndarray:
        """How far structures at heights `y` are displaced to the left."""
        t = np.asarray(y, np.float64) / self.height
        return self.shift * np.interp(t, (-0.3, 0.35, 0.9, 1.3), (0.0, 0.75, 1.0, 0.7))

    def medial(self, side: str, y: np.ndarray) -> np.ndarray:
        """x of the border between lung and mediastinum at heights `y`: vessels, aortic knob, heart."""
        t = np.clip(np.asarray(y, np.float64) / self.height, 0.0, 1.5)
        width = self.half_width
        apex = width * (1 - self.taper)
        top = ((0.0, _APEX * apex), (0.012, 0.285 * apex), (0.04, 0.23 * apex))
        nodes: tuple[tuple[float, float], ...]
        if side == "right":
            heart = self.heart_right
            nodes = (
                *top, (0.1, 27.0), (0.2, 25.0), (0.3, 26.0), (0.4, 29.0), (0.5, 31.0), (0.6, 0.82 * heart),
                (0.74, heart), (0.88, 0.97 * heart), (1.0, 0.85 * heart), (1.5, 0.6 * heart),
            )  # fmt: skip
        else:
            heart = self.heart_left
            nodes = (
                *top, (0.1, 27.0), (0.185, 28.0), (0.225, 28.0 + 7.0 * self.knob), (0.265, 28.0 + 10.0 * self.knob),
                (0.31, 28.0 + 7.0 * self.knob), (0.345, 30.0),
                (0.42, 38.0), (0.5, max(44.0, 0.5 * heart)), (0.6, max(50.0, 0.68 * heart)), (0.75, 0.9 * heart),
                (0.87, heart), (0.97, 0.97 * heart), (1.1, 0.82 * heart), (1.5, 0.5 * heart),
            )  # fmt: skip
        where, reach = np.array(nodes).T
        return SIDES[side] * PchipInterpolator(where, reach)(t) + self.mediastinal_shift(y)

    def diaphragm(self, side: str, x: np.ndarray) -> np.ndarray:
        """y of the diaphragm at columns `x`."""
        out = SIDES[side] * np.asarray(x, np.float64)
        crest = 0.47 * self.half_width
        outward = np.clip((out - crest) / (self.half_width - crest), 0.0, 1.4)
        inward = np.clip((crest - out) / crest, 0.0, 2.0)
        return self.dome[side] + self.dome_drop[side] * outward**2.4 + 9.0 * inward**2

    def depth(self, y: np.ndarray) -> np.ndarray:
        """Inner half-depth of the thorax along the beam at heights `y`."""
        rise = np.clip(np.asarray(y, np.float64) / (0.7 * self.height), 0.0, 1.0)
        return self.half_depth * (1.0 - (1.0 - rise) ** 2) ** 0.82

    def lung_outline(self, side: str) -> np.ndarray:
        """The lung field's outline as in lung-mask data sets (without heart and mediastinum), points `(n, 2)`."""
        y = np.concatenate([np.linspace(0, 14, 15) ** 2 / 14, np.arange(15.0, 2 * self.height, _OUTLINE_STEP_MM)])
        outer, inner = self.lateral(side, y), self.medial(side, y)
        outer_end = int(np.argmax(y >= self.diaphragm(side, outer)))
        inner_end = int(np.argmax(y >= self.diaphragm(side, inner)))
        count = max(8, int(abs(outer[outer_end] - inner[inner_end]) / _OUTLINE_STEP_MM))
        base = np.linspace(outer[outer_end], inner[inner_end], count)[1:-1]
        return np.concatenate(
            [
                np.stack([inner[:inner_end], y[:inner_end]], axis=1)[::-1],
                np.stack([outer[:outer_end], y[:outer_end]], axis=1),
                np.stack([base, self.diaphragm(side, base)], axis=1),
            ]
        )

    def heart_outline(self) -> np.ndarray:
        """The heart's silhouette, from the pulmonary trunk to below the diaphragm, points `(n, 2)`."""
        top, bottom = 0.4 * self.height, max(self.dome.values()) + 12.0
        y = np.arange(top, bottom, _OUTLINE_STEP_MM)
        right, left = self.medial("right", y), self.medial("left", y)
        # The bottom closes as a flat arc, the top narrows toward the great vessels.
        close = np.sqrt(np.clip((bottom - y) / (0.16 * self.height), 0.0, 1.0))
        middle = 0.5 * (right + left)
        return np.concatenate(
            [
                np.stack([middle + (left - middle) * close, y], axis=1),
                np.stack([middle + (right - middle) * close, y], axis=1)[::-1],
            ]
        )


def draw_anatomy(rng: np.random.Generator, *, cardiomegaly: bool) -> Anatomy:
    """Measures of an adult chest; a cardiothoracic ratio above 0.55 if and only if `cardiomegaly`."""
    view_ap = bool(rng.random() < 0.35)
    female = bool(rng.random() < 0.45)
    half_width = rng.normal(128.0 if female else 139.0, 6.0)
    height = rng.normal(205.0 if view_ap else 232.0, 12.0) * (0.95 if female else 1.0)
    drop = rng.uniform(26.0, 42.0) if view_ap else rng.uniform(34.0, 54.0)
    ratio = rng.uniform(0.565, 0.66) if cardiomegaly else rng.uniform(0.44, 0.54) if view_ap else rng.uniform(0.4, 0.52)
    heart = ratio * 2 * half_width * max(_LATERAL_WIDTH)
    right_share = rng.uniform(0.28, 0.37)
    hilum = height * rng.uniform(0.42, 0.47)
    return Anatomy(
        view_ap=view_ap,
        female=female,
        half_width=half_width,
        height=height,
        dome={"right": height, "left": height + rng.uniform(7.0, 20.0)},
        dome_drop={"right": drop, "left": drop * rng.uniform(0.9, 1.1)},
        half_depth=rng.uniform(72.0, 92.0),
        wall=rng.uniform(14.0, 34.0),
        heart_right=heart * right_share,
        heart_left=heart * (1 - right_share),
        shift=0.0,
        turn=float(np.clip(rng.normal(0.0, 4.0 if view_ap else 2.5), -8.0, 8.0)),
        carina=height * rng.uniform(0.3, 0.34),
        hilum_height={"right": hilum, "left": hilum - rng.uniform(6.0, 13.0)},
        taper=rng.normal(0.0, 0.045),
        knob=rng.uniform(0.5, 1.6),
    )


def under_tension(anatomy: Anatomy, side: str, *, shift_mm: float, flatten: float) -> Anatomy:
    """The chest with the mediastinum pushed away from `side` and that diaphragm lowered and flattened (0..1)."""
    dome = dict(anatomy.dome)
    drop = dict(anatomy.dome_drop)
    dome[side] += 22.0 * flatten
    drop[side] *= 1.0 - 0.65 * flatten
    return replace(anatomy, shift=-SIDES[side] * shift_mm, dome=dome, dome_drop=drop)


def deep_sulcus(anatomy: Anatomy, side: str, *, depth_mm: float) -> Anatomy:
    """The chest with the costophrenic angle of `side` deepened, as free air does in a supine patient."""
    return replace(anatomy, dome_drop={**anatomy.dome_drop, side: anatomy.dome_drop[side] + depth_mm})


def raised_dome(anatomy: Anatomy, side: str, *, rise_mm: float) -> Anatomy:
    """The chest with one dome raised, as loss of volume above it does."""
    return replace(anatomy, dome={**anatomy.dome, side: anatomy.dome[side] - rise_mm})
