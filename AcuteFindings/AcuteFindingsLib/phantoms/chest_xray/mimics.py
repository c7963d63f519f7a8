"""Lines and lucencies on the chest radiograph phantom that look like a pneumothorax and are none."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.chest_xray.anatomy import SIDES, Anatomy
from AcuteFindingsLib.phantoms.chest_xray.drawing import Frame, ball_chords, resample

MIMICS = ("skin-fold", "bulla", "companion-shadow")


def draw_mimics(
    frame: Frame,
    anatomy: Anatomy,
    lung_depth: np.ndarray,
    present: np.ndarray,
    *,
    positive: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Skin folds, bullae and companion shadows, mm of water to add `(y, x)`.

    Parameters
    ----------
    lung_depth
        Path length through the lungs in mm `(y, x)`.
    present
        Where there is lung rather than free pleural air, 0..1 `(y, x)`: bullae lie in lung.
    positive
        Folds and bullae are rarer beside a real pneumothorax, so that they mostly stand as hard negatives.
    """
    total = frame.zeros()
    rarer = 0.35 if positive else 1.0
    if rng.random() < rarer * (0.34 if anatomy.view_ap else 0.1):
        total += _skin_fold(frame, anatomy, rng)
    if rng.random() < rarer * 0.08:
        total += _bulla(frame, anatomy, lung_depth, rng) * (present > 0.5)
    if rng.random() < 0.35:
        total += _companion_shadow(frame, anatomy, rng)
    return total


def added_mimics(
    frame: Frame,
    anatomy: Anatomy,
    lung_depth: np.ndarray,
    present: np.ndarray,
    *,
    variants: Sequence[str],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw those of `MIMICS` that are among `variants`; parameters and what is returned as `draw_mimics`."""
    total = frame.zeros()
    # Each is drawn from a source of its own, so that none depends on the others.
    for name, source in zip(MIMICS, rng.spawn(len(MIMICS)), strict=True):
        if name not in variants:
            continue
        if name == "skin-fold":
            total += _skin_fold(frame, anatomy, source)
        elif name == "bulla":
            total += _bulla(frame, anatomy, lung_depth, source) * (present > 0.5)
        else:
            total += _companion_shadow(frame, anatomy, source)
    return total


def _skin_fold(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """A fold of skin under the back: density grows toward an edge and drops there, with markings beyond it."""
    sign = rng.choice(list(SIDES.values()))
    top, bottom = rng.uniform(-20, 50), rng.uniform(150, 260)
    y = np.linspace(top, bottom, 5)
    x = sign * (rng.uniform(0.5, 0.78) * anatomy.half_width + rng.uniform(-0.1, 0.12) * (y - top)) + rng.normal(0, 4, 5)
    rows = frame.y[:, 0]
    edge = np.interp(rows, *resample(np.stack([y, x], axis=1), step_mm=2.0).T)[:, None]
    inward = sign * (edge - frame.x)
    wide = rng.uniform(9.0, 22.0)
    profile = np.exp(-inward / wide) * (inward > 0)
    fade = np.clip(np.minimum(rows - top, bottom - rows) / 25.0, 0, 1)[:, None]
    fold = rng.uniform(7.0, 14.0) * profile * fade
    return ndimage.gaussian_filter(fold.astype(np.float32), 0.5 / frame.mm)


def _bulla(frame: Frame, anatomy: Anatomy, lung_depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A thin-walled air space in an upper lobe."""
    side = str(rng.choice(list(SIDES)))
    radius = rng.uniform(11.0, 24.0)
    y = radius + rng.uniform(6.0, 40.0)
    inner, outer = anatomy.medial(side, np.array([y]))[0], anatomy.lateral(side, np.array([y]))[0]
    x = inner + rng.uniform(0.45, 0.75) * (outer - inner)
    angle = np.linspace(0, 2 * np.pi, 40)
    shape = radius * (1 + 0.1 * np.sin(2 * angle + rng.uniform(0, 6)))
    wall = np.stack([x + shape * np.cos(angle), y + shape * np.sin(angle)], axis=1)
    ring = ball_chords(frame, resample(wall, step_mm=0.4 * frame.mm), 0.5)
    hollow = ball_chords(frame, np.array([[x, y]]), radius)
    line = ring / max(float(ring.max()), 1e-6)
    return 4.0 * line - 0.2 * np.minimum(hollow, lung_depth)


def _companion_shadow(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Soft tissue along the upper border of each clavicle or along the inner apex, parallel to bone."""
    total = frame.zeros()
    for side, sign in SIDES.items():
        y = np.array([30.0, 16.0, 9.0, 8.0, 13.0]) + rng.normal(0, 1.0, 5)
        inner, outer = sign * anatomy.medial(side, y), sign * anatomy.lateral(side, y)
        x = inner + np.array([0.12, 0.2, 0.35, 0.55, 0.82]) * (outer - inner)
        axis = resample(np.stack([sign * x, y], axis=1), step_mm=0.5 * frame.mm)
        total += 1.3 * ball_chords(frame, axis, 1.1)
    return ndimage.gaussian_filter(total, 0.8 / frame.mm)
