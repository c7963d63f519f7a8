"""A procedural frontal chest radiograph: a projection of analytic anatomy, with pneumothorax, tubes and their truth."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.phantoms.chest_xray.anatomy import (
    SIDES,
    Anatomy,
    deep_sulcus,
    draw_anatomy,
    raised_dome,
    under_tension,
)
from AcuteFindingsLib.phantoms.chest_xray.bones import bone_map
from AcuteFindingsLib.phantoms.chest_xray.display import (
    draw_exposure,
    expose,
    inside_collimator,
    marker_map,
    rotation_indices,
)
from AcuteFindingsLib.phantoms.chest_xray.drawing import Frame, filled
from AcuteFindingsLib.phantoms.chest_xray.lungs import Opacities, lung_contents
from AcuteFindingsLib.phantoms.chest_xray.mimics import MIMICS, added_mimics, draw_mimics
from AcuteFindingsLib.phantoms.chest_xray.pleural_air import KINDS, Pneumothorax, draw_pneumothorax
from AcuteFindingsLib.phantoms.chest_xray.soft_tissue import soft_maps
from AcuteFindingsLib.phantoms.chest_xray.tubes import TUBES, draw_tubes, draw_wires
from AcuteFindingsLib.phantoms.phantom import FINDING, Phantom

DRAIN = "chest-drain"
VARIANTS = (*MIMICS, DRAIN)
PATHOLOGIES = ("cardiomegaly", "effusion", "consolidation", "atelectasis", "nodule")
_POSITIVE_SHARE = 0.3
_PATHOLOGY_SHARE = {"cardiomegaly": 0.14, "effusion": 0.14, "consolidation": 0.13, "atelectasis": 0.12, "nodule": 0.11}
_DRAIN_SHARE = {True: 0.5, False: 0.04}
_TUBE_SHARE = {"tracheostomy": (0.03, 0.12), "endotracheal": (0.02, 0.26), "nasogastric": (0.05, 0.3)}
_BONE_AS_WATER = 2.6
"""Dense bone attenuates about 2.6 times as much as water a mm more than the tissue it displaces, near 65 keV."""


def make_chest_xray(
    seed: int,
    *,
    positive: bool | None = None,
    collapse: str | None = None,
    tubes: Sequence[str] | None = None,
    size: int = 512,
    variants: Sequence[str] = (),
    finding: str = FINDING,
) -> Phantom:
    """A frontal chest radiograph with truth; the same seed is the same chest with and without a variant.

    Path lengths of soft tissue, lung, gas, bone and plastic are summed along the beam, turned into transmitted
    radiation with scatter and noise, and shown through a sigmoid display curve. Anatomy, projection (PA or AP) and
    findings depend on `seed` alone, not on `size`.

    Parameters
    ----------
    seed
        Fixes everything, with the other arguments.
    positive
        Whether there is a pneumothorax; drawn (30 %) where None.
    collapse
        Which of ``"apical"``, ``"lateral"``, ``"large"``, ``"tension"``, ``"total"`` a pneumothorax is; drawn where
        None, with small ones most often.
    tubes
        Which of ``"chest_drain"``, ``"tracheostomy"``, ``"endotracheal"``, ``"nasogastric"`` are in; drawn where
        None, with a chest drain in 50 % of the positive and 4 % of the negative pictures.
    size
        Rows and columns.
    variants
        What imitates a pneumothorax or goes with one: some of `VARIANTS`.
    finding
        What the pneumothorax is called in masks and labels.

    Returns
    -------
    Phantom
        `array` `(1, y, x)`. Masks: `finding`, ``"lungs"`` (both fields with pleural air, without heart and
        mediastinum), ``"left_lung"``, ``"right_lung"`` (the patient's sides), ``"heart"``, and one for each tube.
        `slice_labels`: pneumothorax, four tubes, five pathologies. `study_labels`: the same as 0/1 and
        its area and share ``"..._area_mm2"``, ``"..._share"`` (of the hemithorax or hemithoraces it is in),
        ``"cardiothoracic_ratio"``, ``"view_ap"``.

    Raises
    ------
    AcuteFindingsError
        If a tube is not one of the four, `collapse` not one of the five, a variant not known, or `size` below 64.
    """
    if collapse is not None and collapse not in KINDS:
        raise AcuteFindingsError(f"Unknown pneumothorax {collapse!r}: expected one of {', '.join(KINDS)}.")
    unknown = sorted(set(tubes or ()) - set(TUBES))
    if unknown:
        raise AcuteFindingsError(f"Unknown tube {unknown[0]!r}: expected some of {', '.join(TUBES)}.")
    unknown = sorted(set(variants) - set(VARIANTS))
    if unknown:
        raise AcuteFindingsError(f"Unknown variant {unknown[0]!r}: expected some of {', '.join(VARIANTS)}.")
    if size < 64:
        raise AcuteFindingsError(f"A chest radiograph phantom needs at least 64 pixels per side, not {size}.")
    plan, body, bones, lung, plastic, film, noise, more = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(8)
    )
    findings = {name: bool(plan.random() < share) for name, share in _PATHOLOGY_SHARE.items()}
    drawn_positive = bool(plan.random() < _POSITIVE_SHARE)
    positive = drawn_positive if positive is None else positive
    anatomy = draw_anatomy(plan, cardiomegaly=findings["cardiomegaly"])
    frame = _draw_frame(plan, size)
    sides = _affected_sides(plan)
    collapses = {side: draw_pneumothorax(plan, anatomy, side, collapse) for side in sides} if positive else {}
    opacities = _draw_opacities(plan, findings, collapses)
    anatomy = _consequences(anatomy, collapses, opacities)
    kinds = _draw_tubes(plan, positive=positive, view_ap=anatomy.view_ap) if tubes is None else _in_order(tubes)
    drain_side = next(iter(collapses), str(plan.choice(list(SIDES))))

    soft = soft_maps(frame, anatomy, body)
    contents = lung_contents(frame, anatomy, soft.lung, collapses, opacities, lung)
    drawn = draw_tubes(frame, anatomy, kinds, drain_side=drain_side, rng=plastic)
    attenuation = (
        soft.body
        - soft.lung * (1 - contents.density)
        - soft.airway
        - soft.bowel
        + contents.extra
        + _BONE_AS_WATER * bone_map(frame, anatomy, bones)
        + draw_wires(frame, anatomy, plastic)
        + draw_mimics(frame, anatomy, soft.lung, contents.present, positive=positive, rng=plastic)
    )
    if variants:
        drain, further = more.spawn(2)
        if DRAIN in variants and "chest_drain" not in kinds:
            drawn |= draw_tubes(frame, anatomy, ("chest_drain",), drain_side=drain_side, rng=drain)
            kinds = _in_order({*kinds, "chest_drain"})
        attenuation += added_mimics(frame, anatomy, soft.lung, contents.present, variants=variants, rng=further)
    attenuation = np.maximum(attenuation, 0.0)
    for one in drawn.values():
        attenuation += one.attenuation

    exposure = draw_exposure(film, view_ap=anatomy.view_ap)
    truth = {
        finding: contents.pneumothorax,
        "lungs": contents.fields["left"] | contents.fields["right"],
        "left_lung": contents.fields["left"],
        "right_lung": contents.fields["right"],
        "heart": filled(frame, anatomy.heart_outline()),
        **{kind: one.mask for kind, one in drawn.items()},
    }
    source = rotation_indices(frame, exposure.rotation_deg)
    attenuation = ndimage.map_coordinates(attenuation, source, order=3, mode="nearest")
    nearest = np.clip(np.rint(source), 0, size - 1).astype(np.intp)
    visible = inside_collimator(frame, exposure)
    masks = {name: (mask[nearest[0], nearest[1]] & visible).astype(np.uint8)[None] for name, mask in truth.items()}
    picture = expose(frame, attenuation, masks["lungs"][0] > 0, exposure, noise)
    picture = np.maximum(picture, 0.97 * marker_map(frame, exposure.marker, film)) * visible

    labels = {finding: positive, **{kind: kind in kinds for kind in TUBES}, **findings}
    area = float(masks[finding].sum()) * frame.mm**2
    whole = sum(float(masks[f"{side}_lung"].sum()) for side in collapses) * frame.mm**2
    return Phantom(
        kind="chest-xray",
        seed=seed,
        array=picture[None],
        spacing=(1.0, frame.mm, frame.mm),
        masks=masks,
        slice_labels={name: np.array([present]) for name, present in labels.items()},
        study_labels={
            **{name: float(present) for name, present in labels.items()},
            f"{finding}_area_mm2": area,
            f"{finding}_share": area / whole if whole else 0.0,
            "cardiothoracic_ratio": anatomy.cardiothoracic_ratio,
            "view_ap": float(anatomy.view_ap),
        },
        parameters={
            "view": "AP" if anatomy.view_ap else "PA",
            "sex": "F" if anatomy.female else "M",
            finding: [f"{one.side} {one.kind}" for one in collapses.values()],
            "rotation_deg": exposure.rotation_deg,
            "marker": exposure.marker,
            "mediastinal_shift_mm": anatomy.shift,
            "lung_height_mm": anatomy.height,
            **({"variants": list(variants)} if variants else {}),
        },
    )


def _draw_frame(rng: np.random.Generator, size: int) -> Frame:
    """A detector field of 350 to 430 mm (0.17 to 0.21 mm a pixel at 2048)."""
    extent = rng.uniform(350.0, 430.0)
    return Frame(
        size=size,
        mm=extent / size,
        left=-0.5 * extent + rng.normal(0, 7.0),
        top=-rng.uniform(0.14, 0.21) * extent,
    )


def _affected_sides(rng: np.random.Generator) -> tuple[str, ...]:
    """One side, the right slightly more often; both in 3 %."""
    side = "right" if rng.random() < 0.55 else "left"
    other = "left" if side == "right" else "right"
    return (side, other) if rng.random() < 0.03 else (side,)


def _draw_opacities(
    rng: np.random.Generator, findings: dict[str, bool], collapses: dict[str, Pneumothorax]
) -> Opacities:
    """A side for each finding in the lung; a lung that has collapsed far is left to its collapse."""
    roomy = [side for side in SIDES if side not in collapses or collapses[side].amount < 0.25]
    chosen: dict[str, str | None] = {}
    for name in ("effusion", "consolidation", "atelectasis", "nodule"):
        side = str(rng.choice(list(SIDES)))
        if name != "effusion" and side not in roomy and roomy:
            side = roomy[0]
        chosen[name] = side if findings[name] else None
    return Opacities(**chosen)


def _consequences(anatomy: Anatomy, collapses: dict[str, Pneumothorax], opacities: Opacities) -> Anatomy:
    """What air and collapse do to mediastinum and diaphragm; two pneumothoraces balance each other."""
    for side, collapse in collapses.items():
        shift = collapse.shift_mm if len(collapses) == 1 else 0.0
        anatomy = under_tension(anatomy, side, shift_mm=shift, flatten=collapse.flatten)
        if collapse.sulcus_mm > 0:
            anatomy = deep_sulcus(anatomy, side, depth_mm=collapse.sulcus_mm)
    if opacities.atelectasis:
        anatomy = raised_dome(anatomy, opacities.atelectasis, rise_mm=12.0)
    return anatomy


def _draw_tubes(rng: np.random.Generator, *, positive: bool, view_ap: bool) -> tuple[str, ...]:
    """Tubes as in life: drains go with a pneumothorax, the others with bedside pictures; one airway at a time."""
    chosen = {"chest_drain"} if rng.random() < _DRAIN_SHARE[positive] else set()
    for kind, shares in _TUBE_SHARE.items():
        if rng.random() < shares[view_ap]:
            chosen.add(kind)
    if "tracheostomy" in chosen:
        chosen.discard("endotracheal")
    return _in_order(chosen)


def _in_order(kinds: Sequence[str] | set[str]) -> tuple[str, ...]:
    return tuple(kind for kind in TUBES if kind in kinds)
