"""What a reader can check of the defect itself: its density, the vessel around it, where it lies."""

from collections.abc import Sequence

from AcuteFindingsLib.detectors.finding import Mask, Measurement, Reason
from AcuteFindingsLib.detectors.pe.defects import Defect, darker_than, drawn_defects, looked_share, seen_defect
from AcuteFindingsLib.detectors.pe.kind import KIND
from AcuteFindingsLib.detectors.pe.view import HU, SOURCE, View
from AcuteFindingsLib.detectors.volume_finding import volume_text

CLOT_RANGE_HU = (-20.0, 130.0)
"""Fresh and old clot with the noise of a voxel (docs/sources.md 11); fat and lung lie below, blood above."""

CENTRAL_MM, SEGMENTAL_MM = 8.0, 3.5
"""Vessels at least this wide are of the caliber of a central or lobar artery, of a segmental one (docs/sources.md 11).
"""

MOST_ON_ONE_SIDE = 0.75

AS_BRIGHT_AS_BLOOD, NOT_CLOT, NO_CONTRAST = "as-bright-as-blood", "not-as-dense-as-clot", "contrast-none"
NOT_FOUND, ARTIFACT_ALONE = "defect-not-found", "artifact-without-defect"
"""Codes of reasons; which of them leave a positive verdict indeterminate: `kind.KIND.doubts`."""


def defect_reasons(view: View) -> tuple[tuple[Defect, ...], list[Reason]]:
    """Return the defects that were found, the largest first, and what there is to say of them."""
    blood = view.opacified_hu
    mask = _drawn(view)
    if blood is None:
        return (), []
    if mask is not None:
        defects = drawn_defects(view.chest, mask.array, blood)
        return defects, _of_drawn(view, defects, blood)
    heatmap = view.finding.heatmap
    if heatmap is None:
        if not view.finding.positive_runs:
            return (), []
        text = "The model does not say where in the slices it looked, so no defect was looked for."
        return (), [Reason("place-unknown", "caution", text)]
    seen = seen_defect(view.chest, heatmap, blood)
    if seen is not None:
        text = f"Where the network looked there is a defect of {_told(view, seen)}."
        return (seen,), [Reason("defect-seen", "for", text, SOURCE, _values(seen), view.index(seen.place[0]))]
    text = (
        f"Where the network looked{_looked(view)} no defect with opacified blood around it was found. A clot that "
        "fills its artery is not found this way, nor is a very small one, nor is an artifact: look at the slices."
    )
    return (), [Reason(NOT_FOUND, "caution", text, SOURCE)]


def _drawn(view: View) -> Mask | None:
    own = KIND.segments[0].type
    return next((mask for mask in view.finding.masks if mask.type == own and mask.voxels), None)


def _of_drawn(view: View, defects: Sequence[Defect], blood: float) -> list[Reason]:
    """Say what the largest parts drawn measure; what speaks against them speaks against all, or it is not said so."""
    if not defects:
        return []
    largest = defects[0]
    which = "What is drawn" if len(defects) == 1 else "The largest part that is drawn"
    values, index = _values(largest), view.index(largest.place[0])
    if not any(darker_than(blood, defect) for defect in defects):
        text = f"{which} measures {largest.hu:.0f} HU, as bright as blood ({blood:.0f} HU): no filling defect."
        return [Reason(AS_BRIGHT_AS_BLOOD, "against", text, SOURCE, values, index)]
    if not any(_may_be_clot(defect) for defect in defects):
        around = "" if largest.around_hu is not None else " and no opacified blood lies around it"
        clot = f"{CLOT_RANGE_HU[0]:.0f} to {CLOT_RANGE_HU[1]:.0f} HU"
        text = f"{which} measures {largest.hu:.0f} HU{around}; clot has {clot}."
        return [Reason(NOT_CLOT, "against", text, SOURCE, values, index)]
    best = next(
        (defect for defect in defects if _may_be_clot(defect) and darker_than(blood, defect) and defect.around_hu),
        None,
    )
    if best is None:
        text = (
            f"{which} measures {largest.hu:.0f} HU, but no opacified blood lies around it; a clot that fills its "
            "artery looks so, and so do a lymph node and lung without air."
        )
        return [Reason("vessel-not-seen", "caution", text, SOURCE, values, index)]
    which = which if best is largest else "One of the parts that are drawn"
    text = f"{which} is a defect of {_told(view, best)}."
    return [Reason("defect-drawn", "for", text, SOURCE, _values(best), view.index(best.place[0]))]


def _may_be_clot(defect: Defect) -> bool:
    """Say whether a defect has the density of clot; one with blood around it may look denser, by partial volume."""
    return defect.hu >= CLOT_RANGE_HU[0] and (defect.around_hu is not None or defect.hu <= CLOT_RANGE_HU[1])


def _told(view: View, defect: Defect) -> str:
    """Say what a defect measures, and where it is."""
    parts = [f"{defect.hu:.0f} HU and {volume_text(defect.mm3)}"]
    if defect.around_hu is not None:
        parts.append(f"with blood of {defect.around_hu:.0f} HU around it")
    if defect.caliber_mm is not None:
        caliber = (
            "a central or lobar artery"
            if defect.caliber_mm >= CENTRAL_MM
            else "a segmental artery"
            if defect.caliber_mm >= SEGMENTAL_MM
            else "a subsegmental artery"
        )
        parts.append(f"in a vessel {defect.caliber_mm:.0f} mm wide, as {caliber} is")
    side = view.side(defect.place[2])
    return ", ".join([*parts, *([side] if side else [])])


def _looked(view: View) -> str:
    """Say on which side the network looked, where most of it is on one."""
    if view.middle is None or view.finding.heatmap is None:
        return ""
    right = looked_share(view.chest, view.finding.heatmap, view.middle)
    if right is None:
        return ""
    if max(right, 1 - right) < MOST_ON_ONE_SIDE:
        return " (on both sides)"
    return " (mostly on the right)" if right > 0.5 else " (mostly on the left)"


def _values(defect: Defect) -> tuple[Measurement, ...]:
    items = [Measurement("Attenuation of the defect", defect.hu, HU)]
    if defect.around_hu is not None:
        items.append(Measurement("Attenuation of the blood around it", defect.around_hu, HU))
    if defect.caliber_mm is not None:
        items.append(Measurement("Width of the vessel", defect.caliber_mm, "mm"))
    return (*items, Measurement("Volume of the defect", defect.mm3, "mm3"))
