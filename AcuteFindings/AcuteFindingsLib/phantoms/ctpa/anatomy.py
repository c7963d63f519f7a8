"""What is drawn for one chest of the CT angiogram phantom, and the fixed course of its large vessels.

The frame: x to the patient's left, y to the back, z to the head, mm; z = 0 where the main pulmonary artery divides.
"""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.phantoms.ctpa.raster import smooth_path
from AcuteFindingsLib.phantoms.ctpa.vessels import CENTRAL, LOBAR, Branch, add_branch, grow

SPINE_Y = 64.0
TISSUE_BLOOD = 40.0


@dataclass(frozen=True)
class Chest:
    """One drawn chest; lengths in mm of the anatomy's frame, which `scale` takes to the patient's."""

    scale: float
    female: bool
    fat: float
    cage_width: float
    cage_depth: float
    dome_right: float
    dome_left: float
    heart_turn: float
    heart_size: float
    rv_lv_ratio: float
    trunk_radius: float
    aorta_radius: float


@dataclass(frozen=True)
class Enhancement:
    """HU of each blood pool: what the timing of the contrast decides."""

    timing: str
    superior_vena_cava: float
    right_atrium: float
    right_ventricle: float
    pulmonary_artery: float
    pulmonary_vein: float
    left_heart: float
    aorta: float
    myocardium: float
    inferior_vena_cava: float
    liver: float
    spleen: float


def draw_chest(rng: np.random.Generator, rv_lv_ratio: float) -> Chest:
    """A chest with everything that varies between patients; `rv_lv_ratio` was drawn with the clot."""
    return Chest(
        scale=float(rng.uniform(0.92, 1.06)),
        female=bool(rng.random() < 0.5),
        fat=float(np.clip(rng.gamma(4.0, 4.5), 5, 38)),
        cage_width=float(rng.uniform(0.93, 1.07)),
        cage_depth=float(rng.uniform(0.92, 1.1)),
        dome_right=float(rng.uniform(-96, -80)),
        dome_left=float(rng.uniform(-112, -96)),
        heart_turn=float(rng.uniform(-0.22, 0.2)),
        heart_size=float(rng.uniform(0.93, 1.1)),
        rv_lv_ratio=rv_lv_ratio,
        trunk_radius=float(rng.uniform(11.5, 14.0) * (1 + 0.14 * max(rv_lv_ratio - 1, 0))),
        aorta_radius=float(rng.uniform(12.5, 17.5)),
    )


def draw_enhancement(rng: np.random.Generator, contrast: float | None) -> Enhancement:
    """Blood pools of one contrast phase; `contrast` forces the pulmonary artery's HU, 0 means no contrast agent."""
    timing = str(rng.choice(["good", "late", "early"], p=[0.74, 0.14, 0.12]))
    trunk = {"good": rng.uniform(250, 500), "late": rng.uniform(180, 255), "early": rng.uniform(180, 260)}[timing]
    left = {"good": rng.uniform(0.4, 0.95), "late": rng.uniform(1.1, 1.5), "early": rng.uniform(0.1, 0.35)}[timing]
    cava = {"good": rng.uniform(1.2, 2.6), "late": rng.uniform(0.75, 1.1), "early": rng.uniform(2.4, 4.0)}[timing]
    vein, muscle, organ = rng.uniform(0.9, 1.05), rng.uniform(85, 112), rng.uniform(55, 75)
    if contrast is not None:
        trunk = contrast
    if trunk <= TISSUE_BLOOD:
        blood = TISSUE_BLOOD
        return Enhancement("none", blood, blood, blood, blood, blood, blood, blood, 45.0, blood, organ, 48.0)
    gain = trunk - TISSUE_BLOOD
    faint = min(1.0, gain / 150)
    return Enhancement(
        timing=timing,
        superior_vena_cava=TISSUE_BLOOD + min(gain * cava, 950.0),
        right_atrium=TISSUE_BLOOD + gain * (0.6 + 0.4 * cava if cava < 1.5 else 1.2),
        right_ventricle=TISSUE_BLOOD + gain * 1.03,
        pulmonary_artery=trunk,
        pulmonary_vein=TISSUE_BLOOD + gain * left * vein,
        left_heart=TISSUE_BLOOD + gain * left * 0.96,
        aorta=TISSUE_BLOOD + gain * left * 0.92,
        myocardium=45 + (muscle - 45) * faint * (0.75 if timing == "early" else 1.0),
        inferior_vena_cava=60.0 + 20 * faint,
        liver=organ + 12 * faint * (timing == "late"),
        spleen=50 + 55 * faint * min(left, 1.0),
    )


def aorta_tubes(chest: Chest) -> np.ndarray:
    """Root, ascending part, arch and descending aorta."""
    r = chest.aorta_radius
    points = [(12, -8, -50), (2, -15, -36), (-10, -22, -18), (-14, -24, 0), (-13, -22, 22), (-4, -14, 44)]
    points += [(13, 0, 54), (29, 25, 51), (30, 47, 36), (27, 53, 0), (24, 52, -60), (15, 47, -120), (8, 42, -240)]
    radii = [0.85 * r, r * 1.05, r, r, r, 0.95 * r, 0.92 * r, 0.86 * r, 0.82 * r, 0.8 * r, 0.76 * r, 0.74 * r, 0.7 * r]
    return smooth_path(points, radii, 4)


def neck_arteries() -> np.ndarray:
    """Brachiocephalic, left carotid and left subclavian arteries."""
    right = smooth_path(
        [(-2, -10, 50), (-12, -8, 72), (-20, -2, 95), (-36, 2, 112), (-70, 0, 120)], [6, 5.5, 5, 4.5, 4], 4
    )
    carotid = smooth_path([(14, 2, 56), (15, 2, 80), (20, 4, 110), (24, 8, 150)], [4, 3.6, 3.5, 3.3], 4)
    left = smooth_path([(27, 22, 53), (28, 22, 75), (31, 18, 98), (50, 8, 114), (85, 2, 118)], [5, 4.6, 4.5, 4.3, 4], 4)
    return np.vstack([right, carotid, left])


def upper_cava() -> tuple[np.ndarray, np.ndarray]:
    """Superior vena cava, and the brachiocephalic veins (the left one carries the dense bolus, crossing in front)."""
    cava = smooth_path(
        [(-27, -16, 66), (-31, -10, 40), (-32, -8, 12), (-33, -10, -14), (-34, -12, -34)], [8, 9, 9.5, 9.5, 10], 4
    )
    right = smooth_path([(-27, -16, 66), (-32, -14, 90), (-44, -12, 112), (-85, -14, 118)], [7, 6.5, 6, 5.5], 4)
    left = smooth_path(
        [(-27, -16, 66), (-8, -30, 72), (12, -30, 82), (30, -20, 100), (48, -14, 113), (90, -14, 119)],
        [7, 6, 6, 6, 5.5, 5],
        4,
    )
    return cava, np.vstack([right, left])


def lower_cava(chest: Chest) -> np.ndarray:
    """Inferior vena cava, up to the right atrium."""
    return smooth_path(
        [(-20, 22, -240), (-24, 16, -140), (-28, 8, chest.dome_right - 6), (-30, -4, -78)], [11, 12, 13, 13], 4
    )


def airway_trunk() -> np.ndarray:
    """Trachea and the bronchi down to the lobes, tubes of the lumen."""
    trachea = smooth_path([(0, 0, 160), (-1, 6, 110), (-4, 15, 60), (1, 21, 18)], [8.5, 8.5, 8.3, 8.0], 6)
    right = smooth_path(
        [(1, 21, 18), (-14, 24, 9), (-36, 29, 0), (-44, 30, -20), (-48, 32, -42)], [7.5, 7, 6.2, 5.2, 4.2], 5
    )
    right_upper = smooth_path([(-30, 28, 3), (-46, 26, 8), (-60, 20, 22)], [4.5, 4, 3.2], 4)
    middle = smooth_path([(-44, 30, -20), (-56, 12, -32), (-70, -12, -44)], [3.6, 3, 2.2], 4)
    left = smooth_path(
        [(1, 21, 18), (20, 24, 6), (40, 29, -8), (48, 36, -26), (52, 40, -46)], [6.8, 6.2, 5.5, 4.8, 4], 5
    )
    left_upper = smooth_path([(38, 28, -7), (54, 18, -4), (64, 4, 10)], [4.2, 3.6, 2.8], 4)
    return np.vstack([trachea, right, right_upper, middle, left, left_upper])


def central_arteries(chest: Chest) -> list[Branch]:
    """Main, right and left pulmonary artery, interlobar arteries and the six lobar roots.

    The first three branches are the main trunk, the right and the left artery.
    """
    r = chest.trunk_radius
    tree: list[Branch] = []

    def branch(
        points: list[tuple[float, float, float]], radii: list[float], side: int, parent: int, lobe: str = ""
    ) -> int:
        tubes = smooth_path(points, radii, 5)
        line = np.vstack([tubes[:, :3], tubes[-1:, 3:6]])
        width = np.append(tubes[:, 6], tubes[-1, 7])
        return add_branch(tree, Branch(line, width, LOBAR if lobe else CENTRAL, side, lobe, parent))

    trunk = branch([(15, -44, -34), (20, -36, -16), (20, -18, 0)], [r * 1.05, r, r * 0.98], 0, -1)
    right = branch(
        [(20, -18, 0), (6, -2, 0), (-12, 8, -3), (-32, 12, -6)], [r * 0.9, r * 0.8, r * 0.78, r * 0.74], -1, trunk
    )
    left = branch(
        [(20, -18, 0), (33, -2, 8), (44, 16, 10), (51, 30, 0)], [r * 0.86, r * 0.78, r * 0.74, r * 0.66], 1, trunk
    )
    interlobar = branch([(-32, 12, -6), (-46, 14, -16), (-54, 22, -32)], [r * 0.66, r * 0.6, r * 0.55], -1, right)
    left_lower = branch([(51, 30, 0), (56, 35, -14), (58, 39, -28)], [r * 0.62, r * 0.58, r * 0.54], 1, left)
    branch([(-26, 10, -4), (-42, 2, 6), (-56, -2, 22)], [r * 0.48, r * 0.45, r * 0.4], -1, right, "right upper")
    branch(
        [(-48, 14, -18), (-60, 2, -26), (-70, -12, -34)], [r * 0.36, r * 0.33, r * 0.3], -1, interlobar, "right middle"
    )
    branch(
        [(-54, 22, -32), (-58, 30, -42), (-62, 36, -54)], [r * 0.54, r * 0.5, r * 0.46], -1, interlobar, "right lower"
    )
    branch([(40, 10, 11), (54, 4, 18), (62, 0, 32)], [r * 0.46, r * 0.42, r * 0.38], 1, left, "left upper")
    branch([(55, 33, -10), (66, 16, -14), (76, -4, -22)], [r * 0.36, r * 0.33, r * 0.3], 1, left_lower, "lingula")
    branch([(58, 39, -28), (61, 44, -42), (64, 47, -56)], [r * 0.52, r * 0.48, r * 0.44], 1, left_lower, "left lower")
    return tree


def venous_roots() -> list[Branch]:
    """Four pulmonary veins where they leave the left atrium."""
    courses = {
        "right upper": [(-24, 18, -34), (-42, 8, -24), (-56, -8, -8)],
        "right lower": [(-22, 26, -46), (-42, 30, -54), (-58, 38, -66)],
        "left upper": [(30, 18, -32), (46, 8, -20), (58, -12, -4)],
        "left lower": [(32, 26, -44), (46, 34, -52), (60, 42, -66)],
    }
    roots = []
    for lobe, points in courses.items():
        tubes = smooth_path(points, [7.5, 6.2, 5.2], 4)
        line, width = np.vstack([tubes[:, :3], tubes[-1:, 3:6]]), np.append(tubes[:, 6], tubes[-1, 7])
        roots.append(Branch(line, width, LOBAR, -1 if "right" in lobe else 1, lobe))
    return roots


def oblique_fissure(y: np.ndarray) -> np.ndarray:
    """Height z in mm of the oblique fissure at depth y: high at the back, low in front."""
    return 45 + (y - 62) * np.float32(1.17)


def lobe_of(points: np.ndarray) -> np.ndarray:
    """The lobe, ``(n,)`` of str, in which each lung point ``(n, 3)`` lies."""
    x, y, z = points.T
    upper = z > oblique_fissure(y)
    low = z < -16
    right = np.where(upper, np.where(low, "right middle", "right upper"), "right lower")
    left = np.where(upper, np.where(low, "lingula", "left upper"), "left lower")
    return np.where(x < 0, right, left)


def grow_arteries(rng: np.random.Generator, chest: Chest, points: np.ndarray) -> list[Branch]:
    """The whole arterial tree, feeding the lung points ``(n, 3)``."""
    tree = central_arteries(chest)
    lobes = lobe_of(points)
    for index in [i for i, branch in enumerate(tree) if branch.lobe]:
        grow(rng, tree, index, points[lobes == tree[index].lobe])
    return tree


def grow_veins(rng: np.random.Generator, points: np.ndarray) -> list[Branch]:
    """The pulmonary veins that drain the lung points ``(n, 3)``."""
    tree = venous_roots()
    drained = np.char.replace(np.char.replace(lobe_of(points), "right middle", "right upper"), "lingula", "left upper")
    for index in range(4):
        grow(rng, tree, index, points[drained == tree[index].lobe])
    return tree
