"""Soft tissue of the chest radiograph phantom: path lengths along the beam of body, mediastinum, lung and gas."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from AcuteFindingsLib.phantoms.chest_xray.anatomy import SIDES, Anatomy
from AcuteFindingsLib.phantoms.chest_xray.drawing import Frame, ball_chords, ramp, resample, smooth_noise


@dataclass(frozen=True)
class SoftMaps:
    """Path lengths in mm, each `(y, x)`.

    Attributes
    ----------
    body
        Through everything inside the skin, as if the chest held no air.
    lung
        Through the lungs, whatever they hold.
    airway
        Gas in trachea and bronchi.
    bowel
        Gas in stomach and colon.
    """

    body: np.ndarray
    lung: np.ndarray
    airway: np.ndarray
    bowel: np.ndarray


def airway_paths(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Axes of trachea and main bronchi: points `(n, 2)`, trachea from above the picture down to the carina."""
    y = np.array([-160.0, -80.0, -30.0, 0.0, 0.22 * anatomy.height, anatomy.carina])
    bow = np.array([0.0, 0.0, 0.0, -1.0, -4.0, -2.0])
    x = bow + anatomy.mediastinal_shift(y) + 0.4 * anatomy.turn
    carina = np.array([x[-1], anatomy.carina])
    paths = {"trachea": np.stack([x, y], axis=1)}
    # The right main bronchus is steeper and shorter than the left.
    bends = {
        "right": (0.55, (2.0, -1.0), (-4.0, 4.0), (-11.0, 20.0)),
        "left": (0.6, (0.0, 3.0), (4.0, 6.0), (16.0, 20.0)),
    }
    for side, (share, bend, *ends) in bends.items():
        hilum = anatomy.hilum(side)
        middle = carina + share * (hilum - carina) + np.array(bend)
        paths[side] = np.vstack([carina, middle, hilum + np.array(ends)])
    return paths


def soft_maps(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> SoftMaps:
    """Path lengths of the soft tissues of `anatomy`."""
    rows = frame.y[:, 0]
    reach = np.maximum(-anatomy.lateral("right", rows), anatomy.lateral("left", rows))[:, None]
    cavity = 2 * anatomy.depth(rows)[:, None] * np.sqrt(np.clip(1 - (frame.x / reach) ** 2, 0, 1)).astype(np.float32)
    below = _below_diaphragm(frame, anatomy)
    mediastinum = _mediastinum_share(frame, anatomy)
    lung = cavity * (1 - mediastinum) * (1 - below)
    body = _body(frame, anatomy, reach, cavity)
    # Fat, muscle and organs are not one tissue: a few percent of slow variation.
    body *= 1 + 0.012 * smooth_noise(frame, 60.0, rng) + 0.006 * smooth_noise(frame, 14.0, rng)
    return SoftMaps(
        body=body.astype(np.float32),
        lung=lung.astype(np.float32),
        airway=_airway(frame, anatomy),
        bowel=_bowel(frame, anatomy, rng),
    )


def _below_diaphragm(frame: Frame, anatomy: Anatomy) -> np.ndarray:
    """Share of the thorax's depth that liver or spleen fill; lung still hangs behind the dome."""
    columns = frame.x[0]
    edge = np.minimum(
        np.where(columns < 0, anatomy.diaphragm("right", columns), np.inf),
        np.where(columns >= 0, anatomy.diaphragm("left", columns), np.inf),
    )
    # The two domes meet in the middle, behind the heart.
    joined = ndimage.gaussian_filter1d(edge, 14.0 / frame.mm, mode="nearest")
    edge = (joined + (edge - joined) * ramp((np.abs(columns) - 8.0) / 30.0)).astype(np.float32)
    # Behind the dome the lung reaches down to about the level of the costophrenic angle.
    angle = max(anatomy.dome[side] + anatomy.dome_drop[side] for side in SIDES) + 14.0
    under = np.clip((frame.y - edge[None, :]) / np.clip(angle - edge, 8.0, 60.0)[None, :], 0.0, 1.0)
    return (1 - (1 - under) ** 2) ** 0.36


def _mediastinum_share(frame: Frame, anatomy: Anatomy) -> np.ndarray:
    """Share of the thorax's depth that the mediastinum fills: all of it above, the heart's chord below."""
    rows = frame.y[:, 0]
    right, left = anatomy.medial("right", rows), anatomy.medial("left", rows)
    middle, half = (0.5 * (right + left))[:, None], np.maximum(0.5 * (left - right), 1.0)[:, None]
    u = ((frame.x - middle) / half).astype(np.float32)
    fill = np.interp(rows / anatomy.height, (-0.2, 0.02, 0.2, 0.45, 0.8, 1.2), (1, 1, 0.95, 0.82, 0.8, 0.8))[:, None]
    square = 1 - u**2
    return (fill * np.clip(square, 0, 1) ** 0.42).astype(np.float32)


def _body(frame: Frame, anatomy: Anatomy, reach: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """Thickness of torso, neck, shoulders, arms and breasts."""
    rows = frame.y[:, 0]
    wall_depth = 18.0 + 0.7 * anatomy.wall
    outer = reach + anatomy.wall + 10.0
    outer = (
        outer * np.interp(rows / anatomy.height, (0.0, 0.5, 1.0, 1.5), (1, 1, 1, 0.97 + 0.002 * anatomy.wall))[:, None]
    )
    depth = 2 * (np.maximum(anatomy.depth(rows), 0.4 * anatomy.half_depth)[:, None] + wall_depth)
    torso = depth * np.clip(1 - np.abs(frame.x / outer) ** 3.4, 0, 1) ** 0.5
    torso = torso * ramp((frame.y + 60.0) / 90.0)
    torso = np.maximum(torso, cavity)
    return np.maximum(torso, _shoulders(frame, anatomy)) + _breasts(frame, anatomy)


def _shoulders(frame: Frame, anatomy: Anatomy) -> np.ndarray:
    """Neck, shoulder girdle and upper arms, column by column between a top and a bottom edge."""
    out = np.abs(frame.x[0])
    wide = anatomy.half_width / 135.0
    raised = 14.0 if anatomy.view_ap else 0.0
    neck = 45.0 + 0.25 * anatomy.wall
    top = PchipInterpolator(
        (0, neck, neck + 4, neck + 10, neck + 20, neck + 38, neck + 68, 150, 180, 203, 222, 300),
        np.array((-400, -400, -140, -92, -66, -46, -31, -16, -4, 14, 40, 200)) - raised,
    )(out / wide)
    torso_edge = anatomy.half_width * 0.95 + anatomy.wall
    axilla = 0.42 * anatomy.height
    slope = 2.6 if anatomy.view_ap else 0.9
    beyond, within = np.clip(out - torso_edge, 0, None), np.clip(torso_edge - out, 0, None)
    bottom = axilla + slope * beyond + 7.0 * within - 25.0 * np.exp(-(beyond + within) / 9.0)
    depth = np.interp(out, (0, neck, 110, 180, 240), (136.0, 134.0, 138.0, 118.0, 94.0)) + 0.7 * anatomy.wall
    rounding = np.interp(out, (0, 70, 200), (26.0, 34.0, 40.0))
    upper = np.clip((frame.y - top[None, :]) / rounding, 0, 1)
    lower = np.clip((bottom[None, :] - frame.y) / 38.0, 0, 1)
    side = np.clip((neck * wide - out) / 40.0, 0, 1)
    # Above the shoulders only the neck is left: rounded to its sides.
    round_neck = np.where(frame.y < -60.0, np.sqrt(1 - (1 - side[None, :]) ** 2), 1.0)
    fade = 1 - ramp((frame.y - 60.0) / 160.0) * ramp((torso_edge + 14.0 - out) / 36.0)
    thickness = depth[None, :] * np.sqrt(1 - (1 - upper) ** 2) * np.sqrt(1 - (1 - lower) ** 2)
    return (thickness * np.maximum(round_neck, ramp((frame.y + 110.0) / 60.0)) * fade).astype(np.float32)


def _breasts(frame: Frame, anatomy: Anatomy) -> np.ndarray:
    """Two breast shadows with a sharp lower edge, or a hint of pectoral muscle."""
    total = frame.zeros()
    size = (10.0 + 0.9 * anatomy.wall) if anatomy.female else 8.0
    for sign in SIDES.values():
        x = (frame.x - sign * 0.6 * anatomy.half_width - anatomy.turn) / (0.5 * anatomy.half_width)
        offset = frame.y - (0.82 if anatomy.female else 0.5) * anatomy.height
        y = offset / np.where(offset > 0, 0.22 * anatomy.height, 0.6 * anatomy.height)
        # Sharp below where the breast hangs free, fading above where it joins the chest wall.
        fade = ramp(1 - np.clip(-offset, 0, None) / (0.55 * anatomy.height))
        total += size * fade * np.clip(1 - x**2 - y**2, 0, 1).astype(np.float32) ** np.where(offset > 0, 0.5, 0.9)
    return total


def _airway(frame: Frame, anatomy: Anatomy) -> np.ndarray:
    paths = airway_paths(anatomy)
    gas = frame.zeros()
    for name, control in paths.items():
        axis = resample(control, step_mm=max(0.5 * frame.mm, 0.8))
        t = np.linspace(0, 1, len(axis))
        radius = 8.2 + 0.0 * t if name == "trachea" else 6.6 - 3.4 * t
        gas = np.maximum(gas, ball_chords(frame, axis, radius))
    # The larynx narrows the column; bronchi run obliquely and lose contrast within the hilum.
    narrow = 1 - 0.55 * np.exp(-(((frame.y + 62.0) / 9.0) ** 2))
    return gas * narrow * (1 - 0.75 * ramp((frame.y - anatomy.carina - 4.0) / 28.0))


def _bowel(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Gas in the stomach, with a fluid level where the patient stands, and in pouches of the colon."""
    gas = frame.zeros()
    if rng.random() < 0.6:
        width, tall = rng.uniform(18, 36), rng.uniform(10, 22)
        x = rng.uniform(0.35, 0.55) * anatomy.half_width
        y = float(anatomy.diaphragm("left", np.array([x]))[0]) + tall + rng.uniform(5, 9)
        level = 0.2 * tall if not anatomy.view_ap and rng.random() < 0.6 else tall
        gas += _bubble(frame, x, y, width, tall) * ramp((y + level - frame.y) / 2.5)
    for _ in range(int(rng.integers(0, 4))):
        x = rng.uniform(-0.7, 0.75) * anatomy.half_width
        y = anatomy.height + rng.uniform(70, 130)
        for _ in range(int(rng.integers(2, 6))):
            wide = rng.uniform(6, 15)
            place = np.array([x, y]) + rng.normal(0, 11.0, 2)
            gas = np.maximum(gas, _bubble(frame, place[0], place[1], wide, wide * rng.uniform(0.6, 1.0)))
    return gas.astype(np.float32)


def _bubble(frame: Frame, x: float, y: float, width: float, tall: float) -> np.ndarray:
    square = 1 - ((frame.x - x) / width) ** 2 - ((frame.y - y) / tall) ** 2
    return 1.6 * tall * np.clip(square, 0, 1) ** 0.6
