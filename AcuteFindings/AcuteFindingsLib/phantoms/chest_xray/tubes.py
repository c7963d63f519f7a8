"""The four tubes that the chest radiograph phantom labels, and the wires that it does not."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.phantoms.chest_xray.anatomy import SIDES, Anatomy
from AcuteFindingsLib.phantoms.chest_xray.drawing import Frame, ball_chords, filled, resample, tube
from AcuteFindingsLib.phantoms.chest_xray.soft_tissue import airway_paths

TUBES = ("chest_drain", "tracheostomy", "endotracheal", "nasogastric")


@dataclass(frozen=True)
class DrawnTube:
    """One kind of tube: its attenuation in mm of soft tissue `(y, x)` and the mask of its outline."""

    attenuation: np.ndarray
    mask: np.ndarray


def draw_tubes(
    frame: Frame,
    anatomy: Anatomy,
    kinds: Iterable[str],
    *,
    drain_side: str,
    rng: np.random.Generator,
) -> dict[str, DrawnTube]:
    """Draw the tubes named in `kinds` (of `TUBES`), the chest drain on `drain_side`."""
    drawn = {}
    for kind in kinds:
        if kind == "chest_drain":
            drawn[kind] = _chest_drain(frame, anatomy, drain_side, rng)
        elif kind == "tracheostomy":
            drawn[kind] = _tracheostomy(frame, anatomy, rng)
        elif kind == "endotracheal":
            drawn[kind] = _endotracheal(frame, anatomy, rng)
        else:
            drawn[kind] = _nasogastric(frame, anatomy, rng)
    return drawn


def _hollow(
    frame: Frame,
    axis: np.ndarray,
    *,
    radius: float,
    wall: float,
    wall_factor: float,
    stripe: float,
    stripe_offset: float,
    gaps: tuple[tuple[float, float], ...] = (),
) -> DrawnTube:
    """A tube with walls and a radio-opaque stripe along one side, interrupted over `gaps` (mm from the tip)."""
    fine = resample(axis, step_mm=max(0.35 * frame.mm, 0.35))
    outer = ball_chords(frame, fine, radius)
    shell = outer - ball_chords(frame, fine, radius - wall)
    tangent = np.gradient(fine, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
    side = fine + stripe_offset * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    from_tip = np.linalg.norm(np.diff(fine, axis=0), axis=1)[::-1].cumsum()[::-1]
    from_tip = np.append(from_tip, 0.0)
    solid = np.ones(len(fine), bool)
    for start, end in gaps:
        solid &= ~((from_tip > start) & (from_tip < end))
    line = ball_chords(frame, side[solid], 0.75)
    return DrawnTube(wall_factor * shell + stripe * line, outer > 0)


def _along(path: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x of an airway axis at heights `y`."""
    fine = resample(path, step_mm=2.0)
    return np.interp(y, fine[:, 1], fine[:, 0])


def _endotracheal(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> DrawnTube:
    tip = anatomy.carina - rng.uniform(18.0, 58.0)
    y = np.append(np.arange(-170.0, tip - 8.0, 30.0), tip)
    lean = rng.normal(0, 6.0) * np.clip((-30.0 - y) / 120.0, 0, 1)
    x = _along(airway_paths(anatomy)["trachea"], y) + lean + rng.normal(0, 1.2)
    return _hollow(
        frame, np.stack([x, y], axis=1), radius=5.0, wall=1.2, wall_factor=1.3,
        stripe=rng.uniform(7.0, 11.0), stripe_offset=rng.choice([-3.4, 3.4]),
    )  # fmt: skip


def _tracheostomy(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> DrawnTube:
    """A short curved tube from the stoma, its neck plate and its connector seen end-on above."""
    tip = anatomy.carina - rng.uniform(22.0, 42.0)
    stoma = max(frame.top + 18.0, tip - rng.uniform(62.0, 78.0))
    trachea = airway_paths(anatomy)["trachea"]
    y = np.array([stoma, stoma + 8.0, 0.5 * (stoma + tip), tip])
    x = _along(trachea, y) + np.array([rng.normal(0, 4.0), 0.0, 0.0, 0.0])
    body = _hollow(
        frame, np.stack([x, y], axis=1), radius=6.0, wall=1.6, wall_factor=2.1, stripe=5.0, stripe_offset=4.0
    )
    tilt = rng.normal(0, 2.0)
    plate = tube(frame, np.array([[x[0] - 31, stoma + tilt], [x[0], stoma - 2], [x[0] + 31, stoma - tilt]]), 3.6)
    slots = ball_chords(frame, np.array([[x[0] - 26, stoma + tilt], [x[0] + 26, stoma - tilt]]), 2.2)
    hub = ball_chords(frame, np.array([[x[0], stoma - 2.0]]), 8.5) - ball_chords(
        frame, np.array([[x[0], stoma - 2.0]]), 6.6
    )
    extra = body.attenuation + 0.8 * np.clip(plate - 1.5 * slots, 0, None) + 1.5 * hub
    return DrawnTube(extra, body.mask | (plate > 0) | (hub > 0))


def _nasogastric(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> DrawnTube:
    dome = anatomy.dome["left"]
    y = np.array([-170.0, -70.0, 0.0, anatomy.carina, 0.72 * anatomy.height, dome + 6.0])
    x = np.array([1.0, 3.0, 4.0, 3.0, 8.0, 16.0]) + rng.normal(0, 2.0, 6) + anatomy.mediastinal_shift(y)
    below = rng.uniform(34.0, 70.0)
    stomach = np.array([[30.0, dome + 0.55 * below], [rng.uniform(46.0, 78.0), dome + below]])
    if rng.random() < 0.4:
        stomach = np.vstack([stomach, stomach[-1] + [rng.uniform(6, 22), -rng.uniform(8.0, 22.0)]])
    control = np.vstack([np.stack([x, y], axis=1), stomach])
    holes = tuple((h, h + 2.0) for h in (6.0, 14.0, 22.0, 30.0))
    return _hollow(
        frame, control, radius=2.3, wall=0.8, wall_factor=1.6,
        stripe=rng.uniform(6.0, 10.0), stripe_offset=1.3, gaps=holes,
    )  # fmt: skip


def _chest_drain(frame: Frame, anatomy: Anatomy, side: str, rng: np.random.Generator) -> DrawnTube:
    """From the skin through a lower interspace into the pleural space, toward apex or base; or a thin pigtail."""
    sign = SIDES[side]
    entry = rng.uniform(0.48, 0.74) * anatomy.height
    wall = sign * float(anatomy.lateral(side, np.array([entry]))[0])
    pigtail = rng.random() < 0.3
    outside = [
        [wall + anatomy.wall + 62.0, entry + rng.uniform(45.0, 100.0)],
        [wall + anatomy.wall + 14.0, entry + rng.uniform(14.0, 30.0)],
        [wall - 3.0, entry - 4.0],
    ]
    upward = rng.random() < 0.75
    if pigtail:
        center = np.array([wall - rng.uniform(26.0, 44.0), entry - rng.uniform(14.0, 50.0)])
        turn = np.linspace(0.0, 1.6 * np.pi, 12)
        radius = np.linspace(10.0, 7.0, 12)
        loop = center + np.stack([radius * np.cos(turn), -radius * np.sin(turn)], axis=1)
        inside = loop.tolist()
    elif upward:
        top = rng.uniform(0.07, 0.26) * anatomy.height
        reach = sign * float(anatomy.lateral(side, np.array([top]))[0])
        bow = rng.uniform(10.0, 24.0)
        inside = [
            [wall - bow, 0.62 * entry + 0.38 * top - 4.0],
            [0.5 * (wall + reach) - bow - 6.0, 0.3 * entry + 0.7 * top],
            [reach - rng.uniform(18.0, 42.0), top],
        ]
    else:
        inside = [
            [wall - 28.0, entry + 6.0],
            [0.62 * wall, entry + 24.0],
            [rng.uniform(0.36, 0.46) * anatomy.half_width, min(entry + 50.0, anatomy.dome[side] - 4.0)],
        ]
    control = np.array(outside + inside) * np.array([sign, 1.0])
    if pigtail:
        return _hollow(frame, control, radius=1.7, wall=0.8, wall_factor=3.4, stripe=3.0, stripe_offset=0.0)
    gap = rng.uniform(26.0, 48.0)
    holes = ((8.0, 11.0), (gap, gap + 5.0))
    return _hollow(
        frame, control, radius=rng.uniform(3.4, 4.8), wall=1.2, wall_factor=1.5,
        stripe=rng.uniform(8.0, 13.0), stripe_offset=rng.choice([-2.2, 2.2]), gaps=holes,
    )  # fmt: skip


def draw_wires(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Unlabeled hardware in mm `(y, x)`: ECG leads, central lines, sternal wires, a pacemaker."""
    total = frame.zeros()
    if rng.random() < (0.45 if anatomy.view_ap else 0.06):
        total = np.maximum(total, _ecg(frame, anatomy, rng))
    if rng.random() < (0.35 if anatomy.view_ap else 0.06):
        end = np.array([-21.0 + anatomy.shift * 0.6, rng.uniform(0.38, 0.55) * anatomy.height])
        if rng.random() < 0.6:
            start = [[-40.0, -130.0], [-34.0, -50.0], [-26.0, -10.0]]
        else:
            start = [[-150.0, 60.0], [-110.0, 6.0], [-60.0, 6.0], [-30.0, 22.0]]
        control = np.vstack([start, [[-22.0, 0.25 * anatomy.height]], [end]])
        total = np.maximum(total, 3.2 * tube(frame, control, 1.0))
    if rng.random() < 0.07:
        for k in range(int(rng.integers(4, 7))):
            y = (0.2 + 0.11 * k) * anatomy.height
            angle = np.linspace(0, 2.3 * np.pi, 12) + rng.uniform(0, 6)
            loop = np.stack([9.0 * np.cos(angle) + 1.5 * anatomy.turn, y + 3.2 * np.sin(angle)], axis=1)
            total = np.maximum(total, 14.0 * tube(frame, loop, 0.5))
    if rng.random() < 0.03:
        total = np.maximum(total, _pacemaker(frame, anatomy, rng))
    return total


def _ecg(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    total = frame.zeros()
    width, height = anatomy.half_width, anatomy.height
    places = np.array([[-0.75 * width, 0.2 * height], [0.75 * width, 0.2 * height], [0.7 * width, 0.95 * height]])
    places = places + rng.normal(0, 12.0, places.shape)
    for place in places[: int(rng.integers(2, 4))]:
        end = np.array([rng.choice([-1, 1]) * rng.uniform(160, 220), rng.choice([-100.0, 340.0])])
        middle = 0.5 * (place + end) + rng.normal(0, 30.0, 2)
        total = np.maximum(
            total, 5.0 * tube(frame, np.array([place, 0.7 * place + 0.3 * middle + 6, middle, end]), 0.8)
        )
        snap = ball_chords(frame, place[None, :], 4.2)
        total = np.maximum(total, 2.6 * snap)
        total = np.maximum(total, 0.8 * (ball_chords(frame, place[None, :], 9.0) > 0).astype(np.float32))
    return total


def _pacemaker(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    box = np.array([0.68 * anatomy.half_width, 0.17 * anatomy.height]) + rng.normal(0, 5, 2)
    tilt = rng.normal(0, 0.3)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    # A superellipse: a flat can with rounded corners.
    shape = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    shape = np.sign(shape) * np.abs(shape) ** 0.6 * [24.0, 19.0] @ turn + box
    can = 1.0 * filled(frame, shape)
    battery = filled(frame, box + (shape - box) * [0.8, 0.4] + [0.0, 6.0])
    tip = np.array([0.5 * anatomy.heart_left, 0.9 * anatomy.height])
    start = box + np.array([[-12.0, -16.0], [-40.0, -26.0]])
    middle = np.array([[10.0, 24.0], [-20.0, 0.28 * anatomy.height]])
    lead = np.vstack([start, middle, [-0.6 * anatomy.heart_right, 0.74 * anatomy.height], tip])
    return np.maximum(55.0 * can + 40.0 * battery, 6.0 * tube(frame, lead, 0.8)).astype(np.float32)
