"""Bones of the chest radiograph phantom, projected along the beam: path length of dense bone in mm."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.chest_xray.anatomy import SIDES, Anatomy
from AcuteFindingsLib.phantoms.chest_xray.drawing import (
    Cloud,
    Frame,
    ball_chords,
    bone_tube,
    filled,
    project,
    resample,
    smooth_noise,
)

_RIBS = 11
_VERTEBRAE_ABOVE = 5
_VERTEBRAE = 23


def bone_map(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Dense bone along the beam, mm `(y, x)`: ribs, clavicles, shoulder blades, upper arms and spine."""
    clouds = _ribs(frame, anatomy, rng) + _clavicles(frame, anatomy, rng)
    plates, borders = _shoulder_blades(frame, anatomy, rng)
    return project(frame, clouds + borders) + plates + _spine(frame, anatomy, rng)


def rib_axis(anatomy: Anatomy, side: str, number: int) -> np.ndarray:
    """Axis of rib `number` (1 to 11) from the spine around the chest wall to its cartilage, points `(n, 3)`."""
    step = anatomy.height / 9.6
    head = -2.0 + step * (number - 1) * (0.85 + 0.012 * number)
    end = np.deg2rad(np.interp(number, (1, 3, 7, 10, 11), (150, 150, 146, 112, 95)))
    fall = np.interp(number, (1, 2, 4, 7, 10, 11), (46, 62, 84, 104, 80, 62)) * anatomy.height / 225
    angle = np.linspace(np.deg2rad(7.0), end, 26)
    share = angle / np.deg2rad(150.0)
    # The posterior part rises slightly off its joint, then falls ever faster toward the front.
    y = (
        head
        - min(5.0, 1.5 + number) * np.sin(np.clip(angle * 2.2, 0, np.pi))
        + fall * (0.35 * share + 0.65 * share**1.7)
    )
    # The upper ribs are hoops of their own size around the apex; the lower ones follow the wall.
    side_height = float(np.interp(0.5 * np.pi, angle, y))
    follow = np.interp(number, (1, 3, 5), (0.0, 0.35, 1.0))
    radius = np.abs(anatomy.lateral(side, np.maximum(side_height + follow * (y - side_height), 4.0))) + 3.0
    depth = np.maximum(anatomy.depth(np.maximum(y, 6.0)), 22.0) + 4.0
    turn = anatomy.turn * (1 - np.cos(angle)) / 2
    return np.stack([SIDES[side] * radius * np.sin(angle) + turn, y, -depth * np.cos(angle)], axis=1)


def _ribs(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> list[Cloud]:
    clouds = []
    # The front of a rib is thinner and turns into cartilage.
    fade = np.concatenate([[0.1, 0.75], np.linspace(1.0, 0.62, 16), [0.5, 0.2]])
    cortex = rng.uniform(0.5, 0.78)
    for side in SIDES:
        for number in range(1, _RIBS + 1):
            axis = rib_axis(anatomy, side, number)
            axis[:, 1] += rng.normal(0, 0.8)
            half_height = np.interp(number, (1, 3, 8, 11), (6.6, 6.2, 6.0, 4.6)) * rng.uniform(0.93, 1.07)
            clouds.append(
                bone_tube(
                    frame,
                    axis,
                    half_height_mm=half_height,
                    half_depth_mm=3.0,
                    cortex_mm=cortex,
                    marrow=0.28,
                    strength=fade if number < 10 else 1.0,
                    rng=rng,
                )
            )
    return clouds


def _clavicles(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> list[Cloud]:
    clouds = []
    tilt = rng.normal(-6.0 if anatomy.view_ap else 0.0, 5.0)
    base = rng.uniform(20.0, 30.0) - (10.0 if anatomy.view_ap else 0.0)
    wide = anatomy.half_width / 135.0
    for sign in SIDES.values():
        lift = rng.normal(0, 2.0)
        turn = anatomy.turn * 1.6
        control = np.array(
            [
                [sign * 15.0 + turn, base + 7, 60],
                [sign * 45.0 * wide + turn, base + 1, 62],
                [sign * 85.0 * wide + turn, base - 15 + 0.4 * tilt, 50],
                [sign * 128.0 * wide, base - 29 + tilt + lift, 15],
                [sign * 165.0 * wide, base - 33 + tilt + lift, 0],
            ]
        )
        t = np.linspace(0, 1, 40)
        thick = 5.2 + 3.2 * np.exp(-((t / 0.1) ** 2)) + 1.6 * ((t - 0.5) / 0.5) ** 2
        clouds.append(
            bone_tube(frame, control, half_height_mm=thick, half_depth_mm=5.0, cortex_mm=1.0, marrow=0.12, rng=rng)
        )
    return clouds


def _shoulder_blades(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> tuple[np.ndarray, list[Cloud]]:
    """Thin plates with dense borders; in PA views the arms draw them off the lungs, in AP views they lie over them."""
    total = frame.zeros()
    clouds = []
    wide = anatomy.half_width / 135.0
    inward = rng.uniform(14, 34) if anatomy.view_ap else rng.uniform(-10, 6)
    down = -12.0 if anatomy.view_ap else 0.0
    ends = np.array([0.35, 0.9, 1.0, 1.0, 0.9, 0.35])
    for sign in SIDES.values():
        drift = inward + rng.normal(0, 3.0)
        place = np.array([[sign * wide, 1.0, 1.0]])

        def at(*points: tuple[float, float], place: np.ndarray = place, drift: float = drift) -> np.ndarray:
            return np.array([[x - drift, y + down, 0.0] for x, y in points]) * place

        outline = at((122, 4), (160, 2), (170, 30), (157, 75), (143, 128), (134, 142), (128, 128), (122, 70), (119, 30))
        plate = filled(frame, resample(np.vstack([outline, outline[:1]]), step_mm=3.0)[:, :2])
        total += 0.9 * plate.astype(np.float32)
        borders = (
            (at((122, 6), (119, 35), (123, 80), (128, 126), (134, 141)), 2.0, 0.35),
            (at((134, 141), (144, 124), (156, 78), (168, 38)), 3.2, 0.55),
            (at((124, 24), (145, 8), (168, -8), (184, -12)), 4.6, 0.5),
            (at((168, 8), (160, 12), (153, 20), (151, 27)), 4.2, 0.4),
            (at((168, 12), (172, 26), (169, 42)), 3.4, 0.8),
        )
        for axis, radius, cortex in borders:
            clouds.append(
                bone_tube(
                    frame,
                    axis,
                    half_height_mm=radius * ends,
                    half_depth_mm=radius,
                    cortex_mm=cortex,
                    marrow=0.1,
                    rng=rng,
                )
            )
        head = at((186, 20))[:, :2]
        ball = ball_chords(frame, head, 23.0)
        total += 0.1 * ball + 0.22 * (ball - ball_chords(frame, head, 22.0))
        lean = 34.0 if anatomy.view_ap else 52.0
        shaft = at((187, 8), (190, 34), (196, 70), (200, 100), (200 + lean, 240))
        taper = np.array([4.0, 15.0, 18.0, 14.5, 12.5, 11.5, 11.0, 11.0, 11.0, 11.0, 11.0])
        clouds.append(
            bone_tube(
                frame,
                shaft,
                half_height_mm=taper,
                half_depth_mm=10.0,
                cortex_mm=1.6,
                marrow=0.03,
                strength=np.array([0.0, 0.3, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]),
                rng=rng,
            )
        )
    return total, clouds


def _spine(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Vertebral bodies with end plates, disc spaces, pedicles and spinous processes, and the sternum's haze."""
    heights = np.linspace(15.0, 29.0, _VERTEBRAE) * anatomy.height / 225.0
    ends = np.cumsum(heights) - heights[: _VERTEBRAE_ABOVE + 1].sum() + 12.0
    starts = ends - heights
    rows = frame.y[:, 0]
    which = np.clip(np.searchsorted(ends, rows), 0, _VERTEBRAE - 1)
    part = np.clip((rows - starts[which]) / heights[which], 0, 1)
    size = np.interp(rows, (-120, 0, 250), (11.5, 14.0, 19.5))
    waist = size * (1 - 0.12 * np.sin(np.pi * part))
    bend = rng.normal(0, 2.5) * np.sin(np.pi * rows / 330.0 + rng.uniform(0, 2))
    offset = np.abs(frame.x - bend[:, None])
    u = offset / waist[:, None]
    disc = 0.65 * (0.5 + 0.5 * np.tanh((np.abs(part - 0.5) - 0.42) * 26.0))
    plate = np.exp(-(((np.abs(part - 0.5) - 0.4) / 0.035) ** 2))
    inside = np.clip((1 - u) * waist[:, None] / 1.6, 0, 1)
    rim = np.exp(-(((u - 0.95) * waist[:, None] / 1.6) ** 2))
    trabeculae = 1 + 0.25 * smooth_noise(frame, 4.0, rng)
    body = inside * ((4.4 * (1 - disc) + 1.8 * plate)[:, None] * trabeculae) + 1.8 * rim * (1 - disc)[:, None]
    fine = np.stack([np.interp(part, (0, 1), (0, 1)) * heights[which]], axis=0)[0]
    pedicle = _ring(offset - 0.62 * size[:, None], fine[:, None] - 0.36 * heights[which][:, None], 3.2, 4.4)
    process = _ring(offset, fine[:, None] - 0.85 * heights[which][:, None], 2.4, 5.5)
    arch = 1.3 * (offset < 0.8 * size[:, None]) * np.exp(-(((part - 0.6) / 0.22) ** 2))[:, None]
    wing = 2.2 * np.exp(-(((part - 0.3) / 0.13) ** 2))[:, None] * np.clip((size[:, None] + 13 - offset) / 6, 0, 1)
    wing = wing * (offset > 0.8 * size[:, None])
    sternum = 2.0 * np.clip((17 - np.abs(frame.x - 1.5 * anatomy.turn)) / 6, 0, 1)
    sternum = sternum * ((rows > 22) & (rows < 0.75 * anatomy.height))[:, None]
    total = (0.65 * body + 1.5 * pedicle + 1.2 * process + 0.9 * arch + 0.8 * wing + sternum).astype(np.float32)
    return ndimage.gaussian_filter(total, 0.7 / frame.mm)


def _ring(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    """An oval with a bright rim, as a pedicle looks end-on."""
    distance = np.sqrt((x / half_width) ** 2 + (y / half_height) ** 2)
    return (0.7 * np.clip(1.3 - distance, 0, 0.3) / 0.3 + np.exp(-(((distance - 1) / 0.3) ** 2))).astype(np.float32)
