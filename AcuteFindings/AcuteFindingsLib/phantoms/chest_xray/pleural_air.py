"""Free pleural air in the chest radiograph phantom: how far, and in which directions, a lung draws back."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.phantoms.chest_xray.anatomy import SIDES, Anatomy

KINDS = ("apical", "lateral", "large", "tension", "total")
_KIND_SHARES = (0.33, 0.3, 0.19, 0.1, 0.08)


@dataclass(frozen=True)
class Pneumothorax:
    """How the lung of one side has drawn back toward its hilum.

    A point of the expanded lung at angle t about the hilum comes to lie at `scale(t)` of its distance, which keeps
    lobes and vessels in order and crowds them as collapse grows.

    Attributes
    ----------
    side, kind
        ``"left"`` or ``"right"`` of the patient; one of `KINDS`.
    amount
        Largest retraction as a share of the distance from the hilum.
    start, end
        Angles in degrees between which the lung is off the wall: 0 up, 90 lateral, 180 down.
    softness
        Degrees over which the retraction fades at either end.
    wave
        Amplitudes of three harmonics that make the edge less than perfect.
    air_share
        How much of the depth along the beam the free air takes where there is no lung.
    shift_mm, flatten, sulcus_mm
        Mediastinal shift, flattening of the diaphragm (0..1), deepening of the costophrenic angle.
    """

    side: str
    kind: str
    amount: float
    start: float
    end: float
    softness: float
    wave: tuple[float, float, float]
    air_share: float
    shift_mm: float
    flatten: float
    sulcus_mm: float

    def scale(self, angle_deg: np.ndarray) -> np.ndarray:
        """Share of its distance from the hilum at which lung in direction `angle_deg` now lies."""
        angle = np.asarray(angle_deg, np.float64)
        on = 1 / (1 + np.exp(-(angle - self.start) / self.softness))
        off = 1 / (1 + np.exp(-(self.end - angle) / self.softness))
        # No retraction where the angle wraps around, on the mediastinal side.
        edge = np.clip((angle + 70.0) / 40.0, 0, 1) * np.clip((215.0 - angle) / 40.0, 0, 1)
        radians = np.deg2rad(angle)
        wave = 1 + sum(a * np.sin((k + 2) * radians + 3 * a * 50) for k, a in enumerate(self.wave))
        # The costophrenic tongue of a collapsed lung rounds off.
        tongue = 1 - 0.55 * np.clip(self.amount - 0.25, 0, 1) * on * off * np.exp(-(((angle - 143.0) / 24.0) ** 2))
        return np.clip((1 - self.amount * on * off * edge * wave) * tongue, 0.12, 1.0)

    def move(self, points: np.ndarray, hilum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points `(n, 2)` of the expanded lung where they lie now, and the scale at each."""
        sign = SIDES[self.side]
        away = points - hilum
        angle = np.rad2deg(np.arctan2(sign * away[:, 0], -away[:, 1]))
        scale = self.scale(np.where(angle < -145.0, angle + 360.0, angle))
        return hilum + away * scale[:, None], scale


def draw_pneumothorax(rng: np.random.Generator, anatomy: Anatomy, side: str, kind: str | None = None) -> Pneumothorax:
    """A pneumothorax of any size, small apical ones most often; or of one `kind`."""
    drawn = str(rng.choice(KINDS, p=_KIND_SHARES))
    kind = kind or drawn
    reach = anatomy.hilum_height[side]
    start, end, softness = rng.uniform(-30, -15), rng.uniform(95, 130), rng.uniform(10, 16)
    shift, flatten, sulcus = 0.0, 0.0, 0.0
    if kind == "apical":
        # A rim of 1 to 3.5 cm over the apex that tapers down the lateral wall.
        amount, end, softness = rng.uniform(11, 36) / reach, rng.uniform(42, 85), rng.uniform(9, 14)
    elif kind == "lateral":
        amount = rng.uniform(0.16, 0.34)
    elif kind == "large":
        amount, end, flatten = rng.uniform(0.34, 0.56), rng.uniform(104, 124), rng.uniform(0, 0.3)
    elif kind == "tension":
        amount, end = rng.uniform(0.48, 0.7), rng.uniform(150, 190)
        shift, flatten = rng.uniform(14, 34), rng.uniform(0.5, 1.0)
    else:
        amount, end = rng.uniform(0.6, 0.75), rng.uniform(165, 195)
        shift, flatten = rng.uniform(0, 14), rng.uniform(0.1, 0.6)
    if anatomy.view_ap and kind != "apical" and rng.random() < 0.4:
        sulcus = rng.uniform(18, 38)
    return Pneumothorax(
        side=side,
        kind=kind,
        amount=amount,
        start=start,
        end=end,
        softness=softness,
        wave=tuple(rng.normal(0, 0.045, 3)),
        air_share=rng.uniform(0.35, 0.75),
        shift_mm=shift,
        flatten=flatten,
        sulcus_mm=sulcus,
    )
