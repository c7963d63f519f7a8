"""Filling defects of the CT angiogram phantom: where they lie, their shape, and their place in the image."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.phantoms.ctpa.raster import Grid, draw_tubes, polyline_tubes
from AcuteFindingsLib.phantoms.ctpa.vessels import CENTRAL, LOBAR, SEGMENTAL, SUBSEGMENTAL, Branch, pick_path

# Main trunk, right and left artery are the first three branches of the tree.
RIGHT_ARTERY, LEFT_ARTERY = 1, 2
LENGTH_MM = {CENTRAL: (16, 42), LOBAR: (12, 30), SEGMENTAL: (9, 24), SUBSEGMENTAL: (7, 15)}
SMALLEST_RADIUS_MM = {CENTRAL: 5.0, LOBAR: 3.2, SEGMENTAL: 1.9, SUBSEGMENTAL: 1.5}
# Burden decides how many clots lie where, and how strained the right ventricle is (mean and sd of RV/LV).
BURDENS = {
    "large": ((2, 6), {CENTRAL: 0.45, LOBAR: 0.3, SEGMENTAL: 0.2, SUBSEGMENTAL: 0.05}, (1.2, 0.2)),
    "moderate": ((1, 4), {CENTRAL: 0.1, LOBAR: 0.4, SEGMENTAL: 0.4, SUBSEGMENTAL: 0.1}, (1.0, 0.14)),
    "small": ((1, 3), {CENTRAL: 0.0, LOBAR: 0.05, SEGMENTAL: 0.6, SUBSEGMENTAL: 0.35}, (0.9, 0.11)),
    "none": ((0, 0), {}, (0.9, 0.11)),
    # No patient's: many examples in one chest, for slice networks to learn from.
    "many": ((12, 20), {CENTRAL: 0.05, LOBAR: 0.2, SEGMENTAL: 0.45, SUBSEGMENTAL: 0.3}, (1.0, 0.14)),
}


@dataclass(frozen=True)
class Embolus:
    """One filling defect.

    Attributes
    ----------
    level
        ``"central"``, ``"lobar"``, ``"segmental"`` or ``"subsegmental"``.
    side
        -1 right, 1 left, 0 both or the trunk.
    shape
        ``"partial"``, ``"mural"``, ``"occlusive"`` or ``"saddle"``.
    hu
        Its density.
    tubes
        The clot, ``(n, 8)``; whatever lies outside the lumen is cut off when drawn.
    widened
        Lumen tubes where the clot stretches the vessel, maybe empty.
    length_mm
        Along the vessel.
    """

    level: str
    side: int
    shape: str
    hu: float
    tubes: np.ndarray
    widened: np.ndarray
    length_mm: float

    @property
    def chronic(self) -> bool:
        """Whether it looks like old clot: a layer on the wall."""
        return self.shape == "mural"


def draw_burden(rng: np.random.Generator, positive: bool, asked: str | None = None) -> tuple[str, float]:
    """How much clot, drawn where not `asked` for, and the RV/LV ratio (0.7 to 1.6) that goes with it."""
    burden = str(rng.choice(["large", "moderate", "small"], p=[0.35, 0.4, 0.25])) if positive else "none"
    burden = asked or burden
    mean, sd = BURDENS[burden][2]
    return burden, float(np.clip(rng.normal(mean, sd), 0.7, 1.6))


def draw_emboli(rng: np.random.Generator, tree: list[Branch], burden: str) -> list[Embolus]:
    """All clots of one study, none on the same branch twice."""
    (low, high), weights, _ = BURDENS[burden]
    count = int(rng.integers(low, high + 1)) if high else 0
    age = rng.choice(["acute", "chronic", "both"], p=[0.84, 0.09, 0.07])
    emboli: list[Embolus] = []
    used: set[int] = set()
    if burden == "large" and age == "acute" and rng.random() < 0.4:
        emboli.append(saddle(rng, tree))
        used |= {0, RIGHT_ARTERY, LEFT_ARTERY}
    while len(emboli) < count:
        level = str(rng.choice(list(weights), p=list(weights.values())))
        old = age == "chronic" or (age == "both" and len(emboli) % 2 == 1)
        emboli.append(draw_embolus(rng, tree, level, used, chronic=bool(old)))
    return emboli


def draw_embolus(
    rng: np.random.Generator, tree: list[Branch], level: str, used: set[int], *, chronic: bool = False
) -> Embolus:
    """One clot in a branch of the given level that is not in `used` (which it joins)."""
    wide = SMALLEST_RADIUS_MM[level]
    free = [i for i, b in enumerate(tree) if b.level == level and i not in used and i > 0 and b.radii[0] >= wide]
    if not free:
        free = [i for i, b in enumerate(tree) if b.level == LOBAR]
    index = int(rng.choice(free))
    used.add(index)
    low, high = LENGTH_MM[level]
    line, lumen = pick_path(rng, tree, index, float(rng.uniform(low, high)))
    small = level in (SEGMENTAL, SUBSEGMENTAL)
    shape = "mural" if chronic else str(rng.choice(["partial", "occlusive"], p=[0.3, 0.7] if small else [0.65, 0.35]))
    hu = float(rng.uniform(45, 80) if chronic else rng.uniform(30, 70))
    along = np.linspace(0, 1, len(line))
    lumps = 1 + 0.1 * np.sin(along * rng.uniform(4, 14) + rng.uniform(0, 6))
    ends = np.sqrt(np.clip(1 - np.abs(2 * along - 1) ** 5, 0.12, 1))
    tangent = line[-1] - line[0]
    aside = np.cross(tangent, rng.normal(size=3))
    aside /= max(float(np.linalg.norm(aside)), 1e-6)
    widened = np.zeros((0, 8))
    if shape == "mural":
        # The layer thins out toward its ends and leaves half of the lumen or more open.
        offset = lumen * (1.25 - 0.55 * ends)
        radii, line = lumen * 0.85, line + aside * offset[:, None]
    elif shape == "occlusive":
        radii = lumen * 1.35 * np.clip(ends, 0.6, 1)
        widened = polyline_tubes(line, lumen * (1 + rng.uniform(0.08, 0.2) * ends))
    else:
        radii = lumen * float(rng.uniform(0.52, 0.74)) * lumps * ends
        line = line + aside * (lumen * rng.uniform(0.0, 0.22))[:, None]
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    return Embolus(level, tree[index].side, shape, hu, polyline_tubes(line, radii), widened, length)


def saddle(rng: np.random.Generator, tree: list[Branch]) -> Embolus:
    """A long clot that rides on the division of the main pulmonary artery into the right and left one."""
    right, left = tree[RIGHT_ARTERY], tree[LEFT_ARTERY]
    reach_right, reach_left = rng.uniform(0.5, 0.95), rng.uniform(0.45, 0.9)
    first = right.points[: max(4, int(reach_right * len(right.points)))][::-1]
    second = left.points[1 : max(4, int(reach_left * len(left.points)))]
    line = np.vstack([first, second])
    lumen = np.concatenate([right.radii[: len(first)][::-1], left.radii[1 : len(second) + 1]])
    # Off the crotch and into the trunk a little, as clot folded over the bifurcation hangs.
    back = np.exp(-(((np.arange(len(line)) - len(first)) / 4.0) ** 2))
    line = line + np.array([0.0, 3.5, 1.5]) * back[:, None] + rng.normal(0, 0.5, (1, 3))
    along = np.linspace(0, 1, len(line))
    ends = np.sqrt(np.clip(1 - np.abs(2 * along - 1) ** 6, 0.15, 1))
    radii = lumen * rng.uniform(0.36, 0.55) * ends * (1 + 0.14 * np.sin(along * rng.uniform(8, 16)))
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    hu = float(rng.uniform(35, 65))
    return Embolus(CENTRAL, 0, "saddle", hu, polyline_tubes(line, radii), np.zeros((0, 8)), length)


def place_emboli(grid: Grid, lumen: np.ndarray, emboli: list[Embolus]) -> tuple[np.ndarray, np.ndarray]:
    """Draw the clots into the arteries.

    Parameters
    ----------
    grid
        The image's grid.
    lumen
        Cover of the arteries, ``(z, y, x)`` uint8, the widened stretches included.
    emboli
        The clots.

    Returns
    -------
    tuple
        Cover of the clots (uint8) and, for each voxel, the clot's number counted from 1 (uint8).
    """
    cover = np.zeros(grid.shape, np.uint8)
    number = np.zeros(grid.shape, np.uint8)
    for index, embolus in enumerate(emboli, start=1):
        ends = np.vstack([embolus.tubes[:, :3], embolus.tubes[:, 3:6]])
        reach = float(embolus.tubes[:, 6:].max()) + 2 * max(grid.spacing)
        box = grid.box(tuple(ends.min(axis=0) - reach), tuple(ends.max(axis=0) + reach))
        if box is None:
            continue
        own = np.zeros(tuple(s.stop - s.start for s in box), np.uint8)
        draw_tubes(own, grid.part(box), embolus.tubes, thin=embolus.shape == "partial")
        own[lumen[box] == 0] = 0
        stronger = own > cover[box]
        cover[box][stronger] = own[stronger]
        number[box][stronger] = index
    return cover, number
