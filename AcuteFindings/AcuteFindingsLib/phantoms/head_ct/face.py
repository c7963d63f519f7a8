"""What lies under and around the skull in the lowest slices: orbits, sinuses, mastoids, muscles."""

import numpy as np

from AcuteFindingsLib.phantoms.head_ct.anatomy import HeadDraw, Levels
from AcuteFindingsLib.phantoms.head_ct.space import FAR, Shapes, Space

# Slices that lie wholly above this height, mm, show nothing of the face.
FACE_TOP_MM = 20.0


def face_levels(space: Space, head: HeadDraw, outer: np.ndarray, rng: np.random.Generator) -> Levels:
    """Orbits, air cells, bony walls and muscles as signed distances; `outer` is the level that the skin hangs on.

    They are worked out for the slices that reach below `FACE_TOP_MM` and are ``FAR`` away in the others.
    """
    low = int((space.z.reshape(len(space.z), -1).min(axis=1) <= FACE_TOP_MM).sum())
    levels = _low_face_levels(space.lowest(low), head, outer[:low], rng)
    above = ((0, len(space.z) - low), (0, 0), (0, 0))
    return {name: np.pad(level, above, constant_values=FAR) for name, level in levels.items()}


def _low_face_levels(space: Space, head: HeadDraw, outer: np.ndarray, rng: np.random.Generator) -> Levels:
    side = np.abs(space.x)
    y = space.y * (83.5 / head.half_length)
    z = space.z
    shapes = Shapes(side * (68 / head.half_width), y, z)
    cells = space.noise(rng, 5.0)
    septa = np.sin(0.55 * space.x + 0.8 * cells) * np.cos(0.42 * y + 0.9 * cells)
    ethmoid = shapes.union(((5.5, -74, -30), (5, -28, -29), 7.5, 7.0, (0.8, 1, 0.55)))
    ethmoid = np.maximum(ethmoid, 1.6 - np.abs(septa) * 6.0)
    sphenoid = shapes.union(((5.5, -18, -26), (6.5, -10, -26), 6.5, 6.0, (1, 1, 0.75)))
    sphenoid = np.maximum(sphenoid, 0.7 - np.abs(space.x - 1.2))
    frontal = shapes.union(((4, -88, -6), (17, -86, 2), 4.2, 3.5, (1, 1, 0.7)))
    antrum = shapes.union(((30, -58, -62), (30, -48, -56), 13, 9))
    mastoid = np.maximum(shapes.union(((60, 33, -40), (57, 30, -24), 10, 7, (1, 1, 0.8))), 1.0 - 2.6 * cells)
    ear = shapes.union(((48, 17, -29), (85, 17, -31), 3.2, 3.6), ((30, 11, -22), (47, 17, -28), 1.2, 3.5))
    air = np.minimum.reduce([ethmoid, sphenoid, antrum, mastoid, ear, frontal])
    walls = shapes.union(
        ((16, -24, -30), (47, -62, -32), 2.0, 2.6, (1, 1, 0.28)),
        ((13, -27, -28), (15, -78, -28), 1.1, 1.2, (1, 1, 0.25)),
        ((47, -62, -34), (68, -18, -44), 2.8, 2.6),
        ((54, 2, -46), (54, 2, -58), 6.0, 6.0),
        ((3, -82, -28), (6, -98, -44), 2.2, 2.0),
        ((0, -76, -30), (0, -30, -34), 0.9, 0.9, (1, 1, 0.2)),
        ((60, 33, -40), (56, 28, -24), 12.5, 9.5, (1, 1, 0.8)),
        ((0, -10, -30), (6, -18, -28), 10, 10),
        ((0, 4, -40), (0, 12, -52), 8, 6),
    )
    sinus_wall = np.minimum.reduce([np.abs(antrum + 0.8) - 0.9, np.abs(frontal) - 1.6])
    globe = shapes.union(((31, -70, -31), (31, -70, -31), 12.2, 12.2))
    eye_muscle = shapes.union(
        ((31, -54, -31), (13, -26, -28), 2.0, 1.6),
        ((20, -62, -31), (13, -28, -28), 1.6, 1.8, (1, 1, 0.6)),
        ((42, -62, -31), (17, -28, -28), 1.6, 1.8, (1, 1, 0.6)),
    )
    orbit = shapes.union(((31, -72, -31), (15, -30, -29), 17, 5))
    temporal = shapes.union(((71, -18, -8), (73, -30, -45), 9, 12, (1, 0.42, 0.45)))
    pinna = shapes.union(((80, 20, -12), (92, 30, -14), 2.0, 2.2, (1, 1, 0.2)), ((90, 30, -24), (92, 36, -4), 2.2, 2.0))
    # Muscles lie in layers under the skin, each parted into bellies; the planes between them hold fat.
    layers = np.sin(np.pi / 11.0 * outer + 1.2 * space.noise(rng, 22.0)) * np.float32(11.0 / np.pi)
    turn = np.arctan2(side, -y - 5)
    radius = np.maximum(np.hypot(side, y), 20.0)
    bellies = np.sin(5.0 * turn + 1.2 * space.noise(rng, 22.0)) * radius / 5.0
    lens = shapes.union(((31, -79.5, -31), (31, -79.5, -31), 3.2, 3.2, (0.7, 1.4, 0.7)))
    levels = {
        "air": air,
        "wall": np.minimum(walls, sinus_wall),
        "globe": globe,
        "lens": lens,
        "eye_muscle": eye_muscle,
        "orbit": orbit,
        "temporal": temporal,
        "pinna": pinna,
        "layers": layers,
        "bellies": np.clip(bellies, -9, 9),
        "bulk": space.noise(rng, 16.0),
    }
    return {name: np.asarray(level, dtype=np.float32) for name, level in levels.items()}
