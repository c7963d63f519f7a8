"""Procedural non-contrast head CT with or without intracranial hemorrhage."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from AcuteFindingsLib.phantoms.head_ct.anatomy import (
    HeadDraw,
    Levels,
    brain_levels,
    draw_head,
    fold_levels,
    skull_levels,
)
from AcuteFindingsLib.phantoms.head_ct.bleeds import (
    BLEED_TYPES,
    Bleed,
    bleed_levels,
    draw_bleed,
    draw_types,
    effaced_sulci,
    pushed_brain,
    swollen_ventricles,
)
from AcuteFindingsLib.phantoms.head_ct.face import face_levels
from AcuteFindingsLib.phantoms.head_ct.render import AIR_HU, Painter
from AcuteFindingsLib.phantoms.head_ct.space import Space, make_space, ramp, rotation_matrix
from AcuteFindingsLib.phantoms.head_ct.variants import Change, change_levels, draw_change, moved_slices
from AcuteFindingsLib.phantoms.noise import noise_sd, quantum_noise
from AcuteFindingsLib.phantoms.phantom import FINDING, Phantom

# A slice counts as bloody from this area of one type on.
MIN_SLICE_AREA_MM2 = 10.0
# A voxel this much inside the skull shows no bone; those nearer the edge are not marked as blood by a reader either.
_CLEAR_OF_BONE = 0.96
# Keeps the seeds of this kind of phantom apart from those of the others.
_STREAM = 0x4EAD
# Noise in the brain at dose 1 with 5 mm slices, HU: what brain protocols give (2.5 to 6 HU).
_REFERENCE_SD = 3.0
_REFERENCE_SPACING = 5.0


def make_head_ct(
    seed: int,
    *,
    positive: bool | None = None,
    bleed_types: Sequence[str] | None = None,
    matrix: int = 512,
    slice_spacing: float | None = None,
    dose: float | None = None,
    variants: Sequence[str] = (),
    finding: str = FINDING,
) -> Phantom:
    """Make one head CT.

    The same seed gives the same head with and without blood, so pairs differ in the bleed (and its mass effect) alone;
    and the same with and without a variant.

    Parameters
    ----------
    seed
        Fixes everything that the other arguments leave open.
    positive
        Whether there is a bleed; None draws it (half of the seeds).
    bleed_types
        Which of `BLEED_TYPES` to put in; None draws one, or two in a third of positive studies. Giving some implies
        a positive study.
    matrix
        Rows and columns. The field of view, 205 to 255 mm, does not depend on it.
    slice_spacing
        mm between slices (contiguous ones); None draws 2.5 to 5 mm.
    dose
        Relative dose, 1 a usual one; None draws it.
    variants
        What looks like blood and is none, or hides it: some of `variants.VARIANTS`.
    finding
        What the union of all bleeds is called among the masks.

    Returns
    -------
    Phantom
        ``masks`` hold the five types, `finding` (their union) and ``"brain"`` (all inside the skull);
        ``slice_labels`` and ``study_labels`` hold ``"any"`` and the five types; ``study_labels`` the ``"volume_ml"``.

    Raises
    ------
    ValueError
        If a bleed type or a variant is unknown, or `bleed_types` and ``positive=False`` contradict each other.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([_STREAM, seed]).spawn(7)]
    head_rng, scan_rng, anatomy_rng, bleed_rng, grain_rng, noise_rng, variant_rng = streams
    change = draw_change(draw_head(head_rng), variants, variant_rng)
    head = change.head
    types = _choose_types(bleed_rng, positive, bleed_types)
    bleeds = [draw_bleed(kind, head, bleed_rng) for kind in types]
    scan = _draw_scan(scan_rng, head, slice_spacing, dose)
    spacing, pixel = scan["slice_spacing_mm"], scan["field_of_view_mm"] / matrix

    sub_slices = 2 if spacing > 1.5 else 1
    space = _scan_space(scan, head, matrix=matrix, pixel=pixel, sub_slices=sub_slices)
    levels = _all_levels(space, change, bleeds, anatomy_rng, grain_rng)
    painter = Painter(
        space,
        levels,
        head=head,
        blood_hu={bleed.kind: bleed.hu for bleed in bleeds},
        ventricle_swell=swollen_ventricles(bleeds),
        pixel_mm=pixel,
    )
    array, masks = _paint_all(painter, space, matrix=matrix, sub_slices=sub_slices, finding=finding)
    moved_slices(array, pixel, change)
    _add_head_holder(array, pixel, scan)
    array += _scan_noise(noise_rng, array, pixel, scan)
    np.clip(array, -1024, 3071, out=array)
    made = _with_labels(seed, np.round(array), (spacing, pixel, pixel), masks, head, bleeds, scan, finding)
    if variants:
        made.parameters["variants"] = list(variants)
    return made


def _choose_types(
    rng: np.random.Generator, positive: bool | None, bleed_types: Sequence[str] | None
) -> tuple[str, ...]:
    drawn_positive, drawn_types = bool(rng.random() < 0.5), draw_types(rng)
    if bleed_types is not None:
        unknown = sorted(set(bleed_types) - set(BLEED_TYPES))
        if unknown:
            raise ValueError(f"bleed type {unknown[0]!r} is not one of {', '.join(BLEED_TYPES)}")
        if positive is False and len(bleed_types) > 0:
            raise ValueError("bleed_types names bleeds but positive is False: give one or the other")
        return tuple(bleed_types)
    if positive is None:
        positive = drawn_positive
    return drawn_types if positive else ()


def _draw_scan(
    rng: np.random.Generator, head: HeadDraw, slice_spacing: float | None, dose: float | None
) -> dict[str, float]:
    """How the head lies and is scanned."""
    drawn_spacing = float(rng.choice((2.5, 3.0, 3.75, 4.0, 5.0), p=(0.2, 0.2, 0.15, 0.15, 0.3)))
    drawn_dose = float(np.exp(rng.uniform(np.log(0.55), np.log(1.7))))
    length = 2 * (head.half_length + head.skull_mm + head.scalp_mm)
    scan = {
        "slice_spacing_mm": float(slice_spacing) if slice_spacing else drawn_spacing,
        "relative_dose": drawn_dose if dose is None else float(dose),
        "field_of_view_mm": float(np.clip(max(rng.uniform(212, 250), length * 1.06), 205, 255)),
        "yaw_deg": float(rng.normal(0, 4.0)),
        "pitch_deg": float(rng.normal(0, 5.0)),
        "roll_deg": float(rng.normal(0, 2.5)),
        "offset_x_mm": float(rng.normal(0, 3.0)),
        "offset_y_mm": float(rng.normal(0, 3.0)),
        "coverage_mm": float(rng.uniform(142, 158)),
        "kernel_cutoff_per_mm": float(rng.uniform(0.34, 0.5)),
        "holder_mm": float(rng.uniform(88, 98)),
    }
    thin = np.sqrt(_REFERENCE_SPACING / scan["slice_spacing_mm"]) ** 0.7
    scan["noise_sd_hu"] = noise_sd(_REFERENCE_SD * thin, scan["relative_dose"])
    if dose is None:
        scan["noise_sd_hu"] = float(np.clip(scan["noise_sd_hu"], 2.5, 6.0))
    return scan


def _scan_space(scan: dict[str, float], head: HeadDraw, *, matrix: int, pixel: float, sub_slices: int) -> Space:
    spacing = scan["slice_spacing_mm"]
    top = head.half_height + 4.0 + head.skull_mm + head.scalp_mm + 2.0
    count = max(2, round(scan["coverage_mm"] / spacing))
    centers = top - spacing * (np.arange(count)[::-1] + 0.5)
    parts = ((np.arange(sub_slices) + 0.5) / sub_slices - 0.5) * spacing
    reach = head.skull_mm + head.scalp_mm + 16.0
    return make_space(
        matrix=matrix,
        pixel_mm=pixel,
        sub_z=(centers[:, None] + parts[None, :]).ravel(),
        rotation=rotation_matrix(scan["yaw_deg"], scan["pitch_deg"], scan["roll_deg"]),
        center=np.array([scan["offset_x_mm"], scan["offset_y_mm"], 0.0]),
        reach_mm=(head.half_length + reach, head.half_width + reach + 6.0),
    )


def _all_levels(
    space: Space,
    change: Change,
    bleeds: Sequence[Bleed],
    anatomy_rng: np.random.Generator,
    grain_rng: np.random.Generator,
) -> Levels:
    head = change.head
    levels = skull_levels(space, head, anatomy_rng)
    brain = _uneven(space, pushed_brain(space, bleeds), anatomy_rng)
    levels |= fold_levels(space, head, brain, levels["inner"], anatomy_rng)
    levels["sulcus_mm"] = (levels["sulcus_mm"] * effaced_sulci(space, bleeds)).astype(np.float32)
    levels |= brain_levels(space, head, brain, anatomy_rng)
    levels |= face_levels(space, head, levels["outer"], anatomy_rng)
    levels["mottle"] = space.noise(anatomy_rng, 8.0)
    levels["hardening"] = _hardening(space, head, anatomy_rng)
    levels["brain_x"] = brain[0]
    levels["falx_x"] = (0.6 * brain[0] + 0.4 * space.x).astype(np.float32)
    levels["z"] = space.z
    levels |= change_levels(space, change, levels, brain)
    levels |= bleed_levels(space, bleeds, levels, grain_rng)
    side = next((bleed.side for bleed in bleeds if bleed.place == "falx"), 1)
    levels["blood_x"] = side * levels["falx_x"]
    return levels


def _uneven(
    space: Space, brain: tuple[np.ndarray, np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """No brain is a mirror image of itself: bend its coordinates by a few mm."""
    x, y, z = (c + np.float32(s) * space.noise(rng, 34.0) for c, s in zip(brain, (1.0, 1.9, 1.9), strict=True))
    return x, y, z


def _hardening(space: Space, head: HeadDraw, rng: np.random.Generator) -> np.ndarray:
    """Dark band between the petrous bones and faint streaks from them, HU."""
    x, y, z = space.x, space.y, space.z
    low = np.exp(-(((z + 26) / 9) ** 2))
    band = -head.petrous_band_hu * np.exp(-(((y - 19) / 7) ** 2)) * np.exp(-((x / 34) ** 2))
    angle = np.arctan2(y - 18, np.abs(x) - 45)
    phases = rng.uniform(0, 2 * np.pi, 3)
    streak = sum(np.sin(k * angle + p) for k, p in zip((9, 15, 23), phases, strict=True))
    reach = np.exp(-np.hypot(np.abs(x) - 45, y - 18) / 40.0)
    return ((band + 0.22 * head.petrous_band_hu * streak * reach) * low).astype(np.float32)


def _paint_all(
    painter: Painter, space: Space, *, matrix: int, sub_slices: int, finding: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    depth = len(space.scanner_z) // sub_slices
    array = np.full((depth, matrix, matrix), AIR_HU, dtype=np.float32)
    masks = {kind: np.zeros(array.shape, dtype=np.uint8) for kind in (*BLEED_TYPES, finding, "brain")}
    for index, (hu, shares, inside) in enumerate(painter.slices(sub_slices)):
        place = (index, space.rows, space.columns)
        array[place] = hu
        masks["brain"][place] = inside >= 0.5
        for kind, share in shares.items():
            masks[kind][place] = (share >= 0.5) & (inside >= _CLEAR_OF_BONE)
            masks[finding][place] |= masks[kind][place]
    return array, masks


def _add_head_holder(array: np.ndarray, pixel: float, scan: dict[str, float]) -> None:
    """The thin shell in which the head rests, where there is air."""
    places = (np.arange(array.shape[1], dtype=np.float32) - (array.shape[1] - 1) / 2) * pixel
    y, x = places[:, None] - 8.0, places[None, :]
    ring = np.hypot(x, y * 0.86) - scan["holder_mm"]
    shell = ramp(1.1 - np.abs(ring), max(pixel, 0.7)) * ramp(y - 12.0, 2.0)
    # The cushion keeps the head from the shell: it shows beside the head, not behind it.
    shell *= ramp(np.abs(x) - 38.0, 3.0)
    rows, columns = np.nonzero(shell > 0.02)
    values = array[:, rows, columns]
    array[:, rows, columns] = np.where(values < -900, AIR_HU + shell[rows, columns] * 1120.0, values)


def _scan_noise(rng: np.random.Generator, array: np.ndarray, pixel: float, scan: dict[str, float]) -> np.ndarray:
    """Noise with the head's attenuation behind it: most in the middle, little in the air around."""
    depth, height, width = array.shape
    places = (np.arange(height, dtype=np.float32) - (height - 1) / 2) * pixel
    radius = np.hypot(places[:, None], places[None, :])
    profile = 0.35 + 0.72 * np.exp(-((radius / 88.0) ** 4))
    return quantum_noise(
        rng,
        (depth, height, width),
        pixel_mm=pixel,
        sd=scan["noise_sd_hu"] * profile,
        cutoff_per_mm=scan["kernel_cutoff_per_mm"],
    )


def _with_labels(
    seed: int,
    array: np.ndarray,
    spacing: tuple[float, float, float],
    masks: dict[str, np.ndarray],
    head: HeadDraw,
    bleeds: Sequence[Bleed],
    scan: dict[str, float],
    finding: str,
) -> Phantom:
    pixel_area = spacing[1] * spacing[2]
    slices = {
        kind: masks[kind].sum(axis=(1, 2), dtype=np.int64) * pixel_area >= MIN_SLICE_AREA_MM2 for kind in BLEED_TYPES
    }
    slice_labels = {"any": np.logical_or.reduce(list(slices.values())), **slices}
    study_labels = {name: float(label.any()) for name, label in slice_labels.items()}
    study_labels["volume_ml"] = float(masks[finding].sum(dtype=np.int64) * pixel_area * spacing[0] / 1000.0)
    return Phantom(
        kind="head-ct",
        seed=seed,
        array=array,
        spacing=spacing,
        masks=masks,
        slice_labels=slice_labels,
        study_labels=study_labels,
        parameters={"head": _as_kept(head), "scan": dict(scan), "bleeds": [_as_kept(bleed) for bleed in bleeds]},
    )


def _as_kept(drawn: HeadDraw | Bleed) -> dict[str, Any]:
    """Return what was drawn under the names that it has in ``parameters.json``, which keep their spelling."""
    return {_KEPT_NAMES.get(name, name): value for name, value in asdict(drawn).items()}


_KEPT_NAMES = {"gray_hu": "grey_hu", "edema_mm": "oedema_mm", "center": "centre"}
