"""A procedural CT pulmonary angiogram with truth: the chest of nobody, in HU, with or without emboli."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from AcuteFindingsLib.phantoms.ctpa import anatomy
from AcuteFindingsLib.phantoms.ctpa.body import BodyFields, make_body
from AcuteFindingsLib.phantoms.ctpa.bones import paint_bones
from AcuteFindingsLib.phantoms.ctpa.emboli import BURDENS, Embolus, draw_burden, draw_emboli, draw_embolus
from AcuteFindingsLib.phantoms.ctpa.heart import make_heart
from AcuteFindingsLib.phantoms.ctpa.marks import add_marks, draw_added
from AcuteFindingsLib.phantoms.ctpa.paint import Lumen, draw_lumen, paint_tissue, paint_vessels
from AcuteFindingsLib.phantoms.ctpa.raster import Grid
from AcuteFindingsLib.phantoms.ctpa.vessels import CENTRAL, LOBAR, SEGMENTAL, Branch
from AcuteFindingsLib.phantoms.phantom import FINDING, Phantom

# Least area of clot that makes a slice positive, mm²: what a reader would still mark.
SLICE_AREA_MM2 = 6.0
# Below this enhancement of the pulmonary artery a reader calls the study indeterminate, HU.
POOR_CONTRAST_HU = 150.0
FIELD_OF_VIEW_MM = (310.0, 430.0)


def make_ctpa(
    seed: int,
    *,
    positive: bool | None = None,
    matrix: int = 512,
    slice_spacing: float | None = None,
    contrast: float | None = None,
    burden: str | None = None,
    variants: Sequence[str] = (),
    finding: str = FINDING,
) -> Phantom:
    """A chest CT with contrast in the pulmonary arteries.

    The same seed is the same chest with and without a variant.

    Parameters
    ----------
    seed
        Fixes anatomy, clots, timing, dose and noise. Of the anatomy only the ventricles' sizes follow `positive`.
    positive
        Whether there is an embolus; drawn evenly where None (never where `contrast` is too poor to show one).
    matrix
        Rows and columns; the field of view, 310 to 430 mm, does not depend on it.
    slice_spacing
        Distance between slices in mm, 1 to 5; drawn where None (mostly 3 mm).
    contrast
        HU of the pulmonary artery; 0 gives a chest without contrast agent, where all blood has 40 HU.
    burden
        How much clot a positive study has: ``"large"``, ``"moderate"``, ``"small"``, or ``"many"``: 12 to 20 clots,
        more than any patient has, as training examples. Drawn where None.
    variants
        What imitates clot or hides it: some of `marks.VARIANTS`.
    finding
        What the label of any embolus is called.

    Returns
    -------
    Phantom
        HU float32. Masks: ``embolus``, ``pulmonary_artery`` (lumen with clot), ``lungs``, ``heart``,
        ``right_ventricle``, ``left_ventricle``. Slice labels: `finding` (at least 6 mm² of clot), ``central``,
        ``left``, ``right``. Study labels: those of the RSNA pulmonary embolism challenge and ``clot_volume_ml``.

    Raises
    ------
    ValueError
        If `matrix` is under 64, `slice_spacing` outside 0.5 to 10 mm, or `burden` or a variant not known.
    """
    if matrix < 64:
        raise ValueError(f"matrix must be at least 64, got {matrix}")
    if slice_spacing is not None and not 0.5 <= slice_spacing <= 10:
        raise ValueError(f"slice_spacing must lie between 0.5 and 10 mm, got {slice_spacing}")
    if burden is not None and burden not in BURDENS:
        raise ValueError(f"burden must be one of {', '.join(BURDENS)}, got {burden!r}")
    names = (
        "study",
        "chest",
        "timing",
        "surfaces",
        "trees",
        "clots",
        "tissue",
        "vessels",
        "marks",
        "noise",
        "variants",
    )
    seeds = np.random.SeedSequence([seed, 0xC7FA]).spawn(len(names))
    rng = {name: np.random.default_rng(s) for name, s in zip(names, seeds, strict=True)}

    drawn = bool(rng["study"].random() < 0.5)
    poor = contrast is not None and contrast < POOR_CONTRAST_HU
    sick = (drawn and not poor) if positive is None else positive
    burden, ratio = draw_burden(rng["clots"], sick, burden if sick else None)
    chest = anatomy.draw_chest(rng["chest"], ratio)
    timed = anatomy.draw_enhancement(rng["timing"], contrast)
    added = draw_added(rng["variants"], variants)
    pools = replace(timed, superior_vena_cava=added.cava_hu) if added.cava_hu else timed
    grid, spacing = _grid(rng["study"], chest, matrix, slice_spacing)

    heart = make_heart(rng["surfaces"], chest, grid)
    body = make_body(rng["surfaces"], chest, grid, _contents(chest), heart)
    arteries = anatomy.grow_arteries(rng["trees"], chest, _lung_points(rng["trees"], body, 2600))
    veins = anatomy.grow_veins(rng["trees"], _lung_points(rng["trees"], body, 2000))
    emboli, lumen = _clots(rng["clots"], grid, arteries, burden, sick)

    volume, lungs, masks = paint_tissue(rng["tissue"], grid, pools, body, heart)
    paint_bones(rng["surfaces"], volume, grid, chest)
    paint_vessels(rng["vessels"], volume, grid, chest, pools, (arteries, veins), emboli, lumen)
    marks = add_marks(rng["marks"], rng["noise"], added, volume, lungs, masks["heart"], grid, spacing, chest, timed)

    number = lumen.clot_number
    slice_labels = _slice_labels(finding, number, emboli, grid, spacing)
    masks = {"embolus": (number > 0).astype(np.uint8), "pulmonary_artery": lumen.mask, "lungs": lungs, **masks}
    study_labels = _study_labels(finding, slice_labels, emboli, ratio, poor)
    study_labels["clot_volume_ml"] = float(masks["embolus"].sum() * np.prod(spacing) / 1000)
    parameters = {
        "burden": burden,
        "septal_normal": heart.septal_normal,
        "enhancement": asdict(pools),
        "chest": asdict(chest),
        "emboli": [
            {"level": e.level, "side": e.side, "shape": e.shape, "hu": e.hu, "length_mm": e.length_mm} for e in emboli
        ],
        **marks,
        **({"variants": list(variants)} if variants else {}),
    }
    return Phantom("ctpa", seed, volume, spacing, masks, slice_labels, study_labels, parameters)


def _grid(
    rng: np.random.Generator, chest: anatomy.Chest, matrix: int, slice_spacing: float | None
) -> tuple[Grid, tuple[float, float, float]]:
    """The grid in the anatomy's frame, and the image's spacing in mm."""
    room = rng.uniform(6, 40)
    view = float(np.clip(2 * (160 * chest.cage_width + chest.fat) * chest.scale + room, *FIELD_OF_VIEW_MM))
    thick = float(rng.choice([1.0, 1.5, 2.0, 2.5, 3.0], p=[0.04, 0.06, 0.1, 0.1, 0.7]))
    step = thick if slice_spacing is None else float(slice_spacing)
    low, high = rng.uniform(-186, -166), rng.uniform(118, 128)
    pixel = view / matrix
    spacing = (step, pixel, pixel)
    count = round((high - low) * chest.scale / step)
    middle = 12 + 0.25 * chest.fat + rng.uniform(-6, 6)
    half = view / 2 / chest.scale
    own = tuple(d / chest.scale for d in spacing)
    origin = (low, middle - half + own[1] / 2, rng.uniform(-4, 4) - half + own[2] / 2)
    return Grid((count, matrix, matrix), own, origin), spacing  # type: ignore[arg-type]


def _contents(chest: anatomy.Chest) -> list[tuple[np.ndarray, float]]:
    """What the mediastinum wraps, with the fat round each in mm."""
    cava, brachial = anatomy.upper_cava()
    central = np.vstack([branch.tubes for branch in anatomy.central_arteries(chest)])
    return [
        (anatomy.aorta_tubes(chest), 4.0),
        (anatomy.neck_arteries(), 6.0),
        (cava, 4.0),
        (brachial, 6.0),
        (anatomy.lower_cava(chest), 3.0),
        (anatomy.airway_trunk(), 3.0),
        (central, 2.0),
    ]


def _lung_points(rng: np.random.Generator, body: BodyFields, count: int) -> np.ndarray:
    """Points ``(n, 3)`` spread evenly through both lungs, a little inside their surface, mm."""
    index = np.flatnonzero(np.maximum(body.lungs, 4 - body.fluid) < -4.5)
    chosen = rng.choice(index, size=min(count, index.size), replace=False)
    z, y, x = (axis[w] for axis, w in zip(body.grid.axes, np.unravel_index(chosen, body.grid.shape), strict=True))
    return np.stack([x, y, z], axis=1).astype(float) + rng.uniform(-2, 2, (len(chosen), 3))


def _clots(
    rng: np.random.Generator, grid: Grid, arteries: list[Branch], burden: str, positive: bool
) -> tuple[list[Embolus], Lumen]:
    """The clots and the arteries with them; at least one slice is positive where the study is to be."""
    emboli = draw_emboli(rng, arteries, burden)
    lumen = draw_lumen(grid, arteries, emboli)
    pixel_mm2 = float(np.prod(grid.spacing[1:]))
    used: set[int] = set()
    while positive and np.count_nonzero(lumen.clot_number, axis=(1, 2)).max() * pixel_mm2 < 2 * SLICE_AREA_MM2:
        # Clots too small for this grid: give one of them a larger artery.
        emboli = [*emboli[1:], draw_embolus(rng, arteries, LOBAR if len(used) > 2 else SEGMENTAL, used)]
        lumen = draw_lumen(grid, arteries, emboli)
    return emboli, lumen


def _slice_labels(
    finding: str, number: np.ndarray, emboli: list[Embolus], grid: Grid, spacing: tuple[float, float, float]
) -> dict[str, np.ndarray]:
    pixel_mm2 = spacing[1] * spacing[2]

    def marked(wanted: list[int], columns: slice = slice(None)) -> np.ndarray:
        table = np.zeros(len(emboli) + 1, bool)
        table[wanted] = True
        return np.count_nonzero(table[number[:, :, columns]], axis=(1, 2)) * pixel_mm2 >= SLICE_AREA_MM2

    everything = range(1, len(emboli) + 1)
    # A saddle clot belongs to both sides, on either side of the division, which lies at x = 20 mm.
    both = [i for i in everything if emboli[i - 1].side == 0]
    middle = int(np.searchsorted(grid.axes[2], 20.0))
    sides = {side: [i for i in everything if emboli[i - 1].side == side] for side in (-1, 1)}
    return {
        finding: marked(list(everything)),
        "central": marked([i for i in everything if emboli[i - 1].level == CENTRAL]),
        "left": marked(sides[1]) | marked(both, slice(middle, None)),
        "right": marked(sides[-1]) | marked(both, slice(0, middle)),
    }


def _study_labels(
    finding: str, slice_labels: dict[str, np.ndarray], emboli: list[Embolus], ratio: float, poor: bool
) -> dict[str, float]:
    """The exam labels of the RSNA pulmonary embolism challenge, 0 or 1, with the RV/LV ratio itself."""
    found = {name: float(marked.any()) for name, marked in slice_labels.items()}
    old = [embolus.chronic for embolus in emboli]
    return {
        **found,
        "rv_lv_ratio": ratio,
        "rv_lv_ge_1": float(ratio >= 1),
        "chronic": float(bool(old) and all(old)),
        "acute_and_chronic": float(any(old) and not all(old)),
        "indeterminate": float(poor and not found[finding]),
    }
