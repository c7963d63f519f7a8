"""The branching trees of the CT angiogram phantom: pulmonary arteries, veins and airways.

The large vessels follow fixed anatomy; from the lobar roots on, a tree grows into points spread through its lobe: each
branch heads for the middle of its points and splits them in two, as lung models do, with radii by Murray's law.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from AcuteFindingsLib.phantoms.ctpa.raster import polyline_tubes

CENTRAL, LOBAR, SEGMENTAL, SUBSEGMENTAL = "central", "lobar", "segmental", "subsegmental"
# Murray's law: the cube of the radius goes with the flow.
MURRAY_EXPONENT = 3.0
# Places along a branch drawn with 3 or 4 points.
STEPS = {count: np.linspace(0, 1, count) for count in (3, 4)}


@dataclass
class Branch:
    """One unbranched vessel.

    Attributes
    ----------
    points
        ``(n, 3)`` center line ``(x, y, z)`` in mm, from the trunk outward.
    radii
        ``(n,)`` in mm.
    level
        ``"central"``, ``"lobar"``, ``"segmental"`` or ``"subsegmental"``.
    side
        -1 right, 1 left, 0 the main trunk.
    lobe
        Name of the lobe it feeds, empty for central vessels.
    parent
        Index of the branch it leaves, -1 for the trunk.
    depth
        Generations from the lobar root.
    share
        Lung points that it feeds: a measure of flow.
    """

    points: np.ndarray
    radii: np.ndarray
    level: str
    side: int
    lobe: str = ""
    parent: int = -1
    depth: int = 0
    share: int = 0
    children: list[int] = field(default_factory=list)

    @property
    def length(self) -> float:
        """Along the center line, mm."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    @property
    def tubes(self) -> np.ndarray:
        """``(n - 1, 8)`` for `ctpa_raster.draw_tubes`."""
        return polyline_tubes(self.points, self.radii)


def all_tubes(tree: list[Branch]) -> np.ndarray:
    """Every tube of a tree, ``(n, 8)``."""
    return np.vstack([branch.tubes for branch in tree])


def add_branch(tree: list[Branch], branch: Branch) -> int:
    """Append a branch, tell its parent, return its index."""
    tree.append(branch)
    index = len(tree) - 1
    if branch.parent >= 0:
        tree[branch.parent].children.append(index)
    return index


def grow(rng: np.random.Generator, tree: list[Branch], root: int, targets: np.ndarray, *, end_share: int = 1) -> None:
    """Grow a tree from the end of branch `root` into `targets`, in place.

    Parameters
    ----------
    rng
        Source of the splits and of the wobble.
    tree
        Branches; `root` gives direction, radius, side and lobe.
    root
        Index of the branch to go on from.
    targets
        ``(n, 3)`` points in the lobe, mm.
    end_share
        Branches that feed this many points or fewer do not split again.
    """
    start = tree[root]
    direction = _unit(start.points[-1] - start.points[-2])
    scale = start.radii[-1] * 0.97 / max(len(targets), 1) ** (1 / MURRAY_EXPONENT)
    waiting = [(root, direction, part) for part in _split(rng, start.points[-1], targets)]
    while waiting:
        parent, direction, part = waiting.pop()
        before = tree[parent]
        origin = before.points[-1]
        way = part.mean(axis=0) - origin
        distance = math.sqrt(float(way @ way))
        last = len(part) <= end_share
        reach = distance * (0.9 if last else rng.uniform(0.34, 0.46))
        reach = max(reach, 2.0)
        depth = before.depth + 1
        radius = min(scale * len(part) ** (1 / MURRAY_EXPONENT), before.radii[-1])
        heading = _unit(0.35 * direction + _unit(way) + rng.normal(0, 0.06, 3))
        points = _curve(rng, origin, direction, heading, reach, 4 if radius > 1.4 else 3)
        level = SEGMENTAL if depth <= 2 else SUBSEGMENTAL
        wide, narrow = min(before.radii[-1], radius * 1.08), radius * (0.55 if last else 0.94)
        radii = wide + (narrow - wide) * STEPS[len(points)]
        branch = Branch(points, radii, level, start.side, start.lobe, parent, depth, len(part))
        index = add_branch(tree, branch)
        if not last:
            onward = _unit(points[-1] - points[-2])
            waiting += [(index, onward, piece) for piece in _split(rng, points[-1], part)]


def _curve(
    rng: np.random.Generator, origin: np.ndarray, leave: np.ndarray, arrive: np.ndarray, reach: float, count: int
) -> np.ndarray:
    """A quadratic curve that leaves along one direction and turns into another."""
    bend = origin + leave * reach * 0.3
    end = origin + arrive * reach
    middle = bend + (end - bend) * 0.35 + rng.normal(0, 0.03 * reach, 3)
    t = STEPS[count][:, None]
    return (1 - t) ** 2 * origin + 2 * t * (1 - t) * middle + t**2 * end


def _split(rng: np.random.Generator, origin: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Two groups of points, cut across their widest extent seen from `origin`; sometimes uneven."""
    if len(points) < 2:
        return [points] if len(points) else []
    if len(points) == 2:
        return [points[:1], points[1:]]
    middle = points.mean(axis=0)
    centered = points - middle
    axis_out = _unit(middle - origin)
    flat = centered - np.outer(centered @ axis_out, axis_out)
    widest = np.linalg.eigh(flat.T @ flat)[1][:, -1]
    along = flat @ widest
    count = int(np.clip(rng.uniform(0.28, 0.72) * len(points), 1, len(points) - 1))
    order = np.argsort(along)
    return [points[order[:count]], points[order[count:]]]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(math.sqrt(float(vector @ vector)), 1e-6)


def airways_beside(arteries: list[Branch], *, smallest: float = 1.1) -> list[Branch]:
    """Bronchi that run beside the arteries of the lobes, a little thinner than they are.

    Parameters
    ----------
    arteries
        The arterial tree.
    smallest
        Arteries thinner than this radius in mm have no visible bronchus.
    """
    beside = []
    for branch in arteries:
        if branch.level == CENTRAL or branch.radii[-1] < smallest:
            continue
        radii = branch.radii * 0.72
        inward = np.array([-branch.side * 0.45, 0.75, 0.35])
        tangent = _unit(branch.points[-1] - branch.points[0])
        aside = _unit(inward - tangent * (inward @ tangent))
        points = branch.points + aside * (branch.radii + radii + 0.9)[:, None]
        parent = branch.parent
        if parent >= 0 and arteries[parent].level != CENTRAL:
            start = arteries[parent]
            tangent = _unit(start.points[-1] - start.points[0])
            turned = _unit(inward - tangent * (inward @ tangent))
            points[0] = start.points[-1] + turned * (start.radii[-1] * 1.72 + 0.9)
        beside.append(Branch(points, radii, branch.level, branch.side, branch.lobe, depth=branch.depth))
    return beside


def pick_path(rng: np.random.Generator, tree: list[Branch], index: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """A stretch of vessel about `length` mm long that begins in a branch and may run on into its larger child.

    Returns
    -------
    tuple
        Points ``(n, 3)`` about 1 mm apart and the lumen's radius at each, ``(n,)``, mm.
    """
    points, radii = [tree[index].points], [tree[index].radii]
    total, current = tree[index].length, index
    while total < length * 1.3 and tree[current].children:
        children = tree[current].children
        shares = np.array([max(tree[c].share, 1) for c in children], float) ** 2
        current = int(rng.choice(children, p=shares / shares.sum()))
        points.append(tree[current].points[1:])
        radii.append(tree[current].radii[1:])
        total += tree[current].length
    line, width = np.vstack(points), np.concatenate(radii)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    slack = max(min(along[-1] - length, tree[index].length * 0.7), 0.0)
    begin = rng.uniform(0, slack) if slack else 0.0
    stop = min(begin + length, along[-1])
    where = np.linspace(begin, stop, max(4, int((stop - begin) / 1.2)))
    return np.stack([np.interp(where, along, line[:, k]) for k in range(3)], axis=1), np.interp(where, along, width)
