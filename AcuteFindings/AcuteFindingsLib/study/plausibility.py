"""The one place that doubts numbers: whether values and sizes can be those of a CT or a radiograph.

What a scanner cannot write is refused, what is unlikely is warned of. Each limit says where it is from; "ours" is a
judgment of this project, set well outside the real examinations it was tried on.
"""

import numpy as np

from AcuteFindingsLib.study.content import CtContent
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.slice_values import MOST_BELOW_AIR, SliceValues, slice_values
from AcuteFindingsLib.study.study import Study

NOISE = "noise"
"""Code of the notice that neighboring pixels have nothing in common."""

# 16 bits hold no more; extended CT scales end at 30710 HU (10 times 3071).
_MOST_HU = 32767.0
# Air with its noise, and the lung, in HU by definition of the scale; soft tissue from fat to enhanced organs.
_AIR_HU = (-1100.0, -850.0)
_SOFT_HU = (-200.0, 200.0)
_SOFT_PEAK_HU = (-160.0, 160.0)
_NOT_AIR_HU = -500.0
# 1000 to 1024 above soft tissue: where it lies if the intercept was not applied.
_SHIFTED_HU = (900.0, 1200.0)
# Edges of the body mix air and tissue in every true CT; ours.
_EDGE_HU = (-1000.0, -160.0)
# -1000 and -1024 as 12 unsigned bits, and less 1024; metal never fills so much of a volume.
_WRAPPED_HU = (1900.0, 3300.0)
_WRAPPED_12 = 4096.0
_WRAPPED_16 = 65536.0
_WRAPPED_AIR = 3096.0
# Air under a smaller slope; lungs are broader and have air or fat beside them. Ours.
_HALF_AIR_HU, _LEAST_HALF_AIR = (-800.0, -300.0), 0.3
# An adult's brain is 0.8 of its widest slice some 30 mm above it (an ellipsoid 140 mm high), lungs, 200 mm high and
# more, some 50 mm above; ours, with room to spare.
_NARROW, _LEAST_NARROWS_MM, _LEAST_LUNGS_MM = 0.8, 16.0, 120.0
# Shares of the volume; ours.
_LEAST_SHARE = 0.05
_LEAST_SOFT = 0.005
_NEXT_TO_NOTHING = 0.003
# All tissues and air span 1000 HU, soft tissue with its noise alone 150; ours.
_LEAST_RANGE_HU = 100.0
# Neighboring slices of one scan share their levels within noise and anatomy; ours.
_JUMP_HU = 100.0
# Neighboring pixels of a picture; noise has 0, the noisiest true slices 0.8 (measured).
_LEAST_ALIKE = 0.4
_FEW, _MANY = 0.1, 1 / 3


def check_values(study: Study, values: SliceValues) -> list[Notice]:
    """Say whether the values can be HU of a CT; refusals stop further looks.

    Parameters
    ----------
    study
        With intensity ``"HU"``; others have no scale to be held against, only noise to be told from a picture.
    values
        Of its array.
    """
    noise = _noise(values, least_spread=100.0 if study.intensity == "HU" else 0.05)
    if noise and noise[0].severity == "refuse":
        return noise
    if study.intensity != "HU":
        return [*noise, *_constant_slices(values)]
    whole = _scale(values.whole)
    if whole is not None:
        return [whole]
    return [*noise, *_constant_slices(values), *_other_slices(values)]


def check_geometry(study: Study) -> list[Notice]:
    """Say whether sizes of pixels, slices and the field can be those of a scanner.

    Sources: displayed fields of view run from 25 mm (Philips, inner ear) to 850 mm (Siemens, extended), in matrices of
    256 to 2048; tables move 2 m; slices are 0.2 mm (photon counting) to 10 mm thick. Detectors for radiographs are 10
    to 45 cm wide, stitched ones longer.
    """
    dz, dy, dx = study.spacing
    depth, height, width = study.array.shape
    found = []
    if depth > 1 and np.array_equal(np.abs(study.ijk_to_ras), np.eye(4)):
        text = (
            "The volume states voxels of 1 mm that begin at 0, 0, 0, as programs write if they do not know the "
            "position: sizes are probably wrong, and left and right are not known. Load the original series."
        )
        found.append(Notice("no-geometry", "warn", text))
    field = max(height * dy, width * dx)
    ratio = max(dy, dx) / min(dy, dx) if min(dy, dx) > 0 else np.inf
    projection = study.orientation == "projection"
    if study.pixel_spacing_known:
        widest, narrowest = (1500.0, 50.0) if projection else (1000.0, 20.0)
        if field > widest or field < narrowest or min(dy, dx) < 0.02 or max(dy, dx) > 15.0:
            text = (
                f"Pixels of {dx:.3g} × {dy:.3g} mm make a picture of {width * dx:.0f} × {height * dy:.0f} mm, which no "
                "scanner makes: the pixel spacing is wrong, and no size can be trusted."
            )
            # Sizes are no part of the answer about a radiograph.
            found.append(Notice("impossible-size", "warn" if projection else "refuse", text))
        elif field < 80.0 or (projection and field > 700.0):
            text = (
                f"The picture is {width * dx:.0f} × {height * dy:.0f} mm by its pixel spacing, which is unusual; "
                "make sure that the spacing is right before you trust a size."
            )
            found.append(Notice("unlikely-size", "warn", text))
    if ratio > 1.05:
        text = (
            f"Pixels are {dx:.3g} mm wide and {dy:.3g} mm high, while scanners make square ones: shapes are stretched "
            "if that is wrong."
        )
        found.append(Notice("pixel-aspect", "refuse" if ratio > 3.0 else "warn", text))
    if not projection and depth > 1 and (dz > 25.0 or dz < 0.05 or depth * dz > 2500.0):
        text = (
            f"{depth} slices {dz:.3g} mm apart make {depth * dz:.0f} mm, which no scanner makes; the distance between "
            "slices is wrong."
        )
        found.append(Notice("impossible-slice-distance", "refuse", text))
    return found


def check_body_size(content: CtContent, body_part: str) -> list[Notice]:
    """Say whether brain or lungs have a size that people have; where not, spacing is wrong or the patient is a child.

    Axial areas: within an adult's skull 170 to 210 cm2 at its widest, a newborn's 80 (occipitofrontal 11.5 by
    biparietal 9.5 cm); both lungs of an adult 200 to 450 cm2. Heights: brain to 150 mm, lungs to 350 mm. Limits ours,
    from the real and drawn studies this was tried on, with a third to spare.
    """
    head = body_part == "head"
    areas = content.brain_cm2 if head else content.lung_cm2
    extent = content.brain_extent_mm if head else content.lung_extent_mm
    area, organ = float(areas.max()), "brain" if head else "lungs"
    least, most, impossible = (115.0, 290.0, 450.0) if head else (90.0, 600.0, 1000.0)
    size = f"The {organ} measure{'s' if head else ''} {area:.0f} cm² at the widest and {extent:.0f} mm in height"
    if area > impossible:
        text = f"{size}, which is impossible: the pixel spacing is wrong; load the original DICOM series."
        return [Notice("impossible-size", "refuse", text)]
    if area > most or extent > (220.0 if head else 450.0):
        text = f"{size}, more than people have: pixel spacing or slice distance may be wrong."
        return [Notice("unlikely-size", "warn", text)]
    narrows = _narrows_mm(areas, content.spacing[0])
    whole = narrows is not None if head else _both_ends(areas)
    flat = (narrows is not None and narrows < _LEAST_NARROWS_MM) or (whole and not head and extent < _LEAST_LUNGS_MM)
    if flat or (whole and area < least):
        text = (
            f"{size} and narrow{'s' * head} toward the top within the field, as in a small child or where the pixel "
            "spacing or the distance between slices is wrong; the models know adults only."
        )
        return [Notice("small-body", "warn", text)]
    if area < least and extent > (70.0 if head else 140.0):
        text = f"{size}, as in a small child or with a wrong pixel spacing; the models know adults only."
        return [Notice("small-body", "warn", text)]
    return []


def mend_wrapped(array: np.ndarray) -> Notice | None:
    """Mend, in place, negative HU that were written as unsigned numbers; None where there are none.

    Of 16 bits everything above 32767 was negative. Of 12 bits air stands at 3096 (-1000), brighter than bone: a known
    share of the RSNA 2019 hemorrhage challenge, whose participants took 4096 off; what lies from 3000 on was negative,
    between lies bone and metal.
    """
    if array.max() > _MOST_HU and array.max() <= _WRAPPED_16:
        array[array > _MOST_HU] -= np.float32(_WRAPPED_16)
        bits = 16
    else:
        whole = slice_values(array[:: max(1, len(array) // 16)]).whole
        at_air = whole.share(_WRAPPED_AIR - 96, _WRAPPED_AIR + 104)[0]
        if at_air < _LEAST_SHARE or whole.share(*_AIR_HU)[0] > 0.2 * at_air:
            return None
        array[array >= np.float32(_WRAPPED_AIR - 96)] -= np.float32(_WRAPPED_12)
        bits = 12
    text = (
        f"Negative values were written as {bits}-bit numbers without sign (air brighter than bone); they were turned "
        "back. Compare the pictures with the original study."
    )
    return Notice("signed-as-unsigned", "warn", text)


def _narrows_mm(areas: np.ndarray, step: float) -> float | None:
    """Return how far above its widest slice an organ narrows to `_NARROW`; None where the field does not show it."""
    widest = int(areas.argmax())
    wide = int(np.flatnonzero(areas >= _NARROW * areas[widest])[-1])
    if widest == 0 or wide == len(areas) - 1:
        return None
    return (wide + 1 - widest) * step


def _both_ends(areas: np.ndarray) -> bool:
    """Whether lungs begin and end within the field."""
    found = np.flatnonzero(areas > 5.0)
    return len(found) > 2 and found[0] > 0 and found[-1] < len(areas) - 1


def not_hu(why: str) -> Notice:
    """Return the refusal of values that are not HU; `why` is a clause of what was found."""
    return Notice("not-hu", "refuse", f"The values are not in HU: {why}; load the original DICOM series.")


def _noise(values: SliceValues, *, least_spread: float) -> list[Notice]:
    """Find slices with contrast, more than the noise of air or water, in which neighbors have nothing in common."""
    noise = (values.spread > least_spread) & (values.alike < _LEAST_ALIKE)
    count, depth = int(noise.sum()), len(noise)
    if not count:
        return []
    where = "" if count == depth else f" of {count} of {depth} slices"
    text = (
        f"Neighboring pixels{where} differ as in noise: the images were damaged, encrypted or written "
        "with exchanged bytes; export the study again from its source."
    )
    return [Notice(NOISE, "refuse" if count > _FEW * depth else "warn", text)]


def _scale(whole: SliceValues) -> Notice | None:
    """Judge a whole volume, or one slice of it, against the HU scale."""
    low, high = float(whole.low[0]), float(whole.high[0])
    if high > _MOST_HU or low < -_MOST_HU - 1:
        return not_hu(f"they run from {low:.6g} to {high:.6g}, further than a CT can write")
    if whole.below[0] > MOST_BELOW_AIR:
        why = f"{whole.below[0]:.0%} lie below -1500, where nothing is, as if the rescale was applied twice"
        return not_hu(why)
    if high - low < _LEAST_RANGE_HU and not 0 <= low <= high <= 255:
        return not_hu(f"all of them lie between {low:.3g} and {high:.3g}, as after normalization")
    soft, edges = whole.share(*_SOFT_HU)[0], whole.share(*_EDGE_HU)[0]
    air, shifted = whole.share(*_AIR_HU)[0], whole.share(*_SHIFTED_HU)[0]
    middle, share = (float(found[0]) for found in whole.peak(_WRAPPED_HU[0], 200.0))
    if share > _LEAST_SHARE and middle < _WRAPPED_HU[1] and air < 0.2 * share:
        return not_hu(f"air is brighter than bone ({middle:.0f}), as negative numbers written without their sign are")
    if shifted > _LEAST_SHARE and edges < _NEXT_TO_NOTHING:
        return not_hu("soft tissue lies near 1000 and no air at -1000, as where the rescale intercept was lost")
    middle, share = (float(found[0]) for found in whole.peak(_HALF_AIR_HU[0], 60.0))
    if share > _LEAST_HALF_AIR and middle < _HALF_AIR_HU[1] and air < _LEAST_SHARE:
        return not_hu(f"air lies near {middle:.0f} instead of -1000")
    if soft < _LEAST_SOFT:
        return not_hu("hardly any lies between -200 and 200, where blood, brain and muscle are")
    middle, share = (float(found[0]) for found in whole.peak(_NOT_AIR_HU, 100.0))
    if not _SOFT_PEAK_HU[0] < middle < _SOFT_PEAK_HU[1] and share > whole.share(*_SOFT_PEAK_HU)[0]:
        return not_hu(f"most tissue lies near {middle:.0f}, not between -200 and 200")
    return None


def _constant_slices(values: SliceValues) -> list[Notice]:
    """Judge slices of one value: outside the patient where they end the stack, lost where they lie within."""
    constant = values.low == values.high
    count, depth = int(constant.sum()), len(constant)
    filled = np.flatnonzero(~constant)
    if not count or not len(filled):
        return []
    # What is filled up outside the patient holds zero or the lowest value; a slice of any other value was lost.
    lost = constant & (values.low != 0) & (values.low > _NOT_AIR_HU) & (values.low > values.low.min())
    lost[filled[0] : filled[-1]] |= constant[filled[0] : filled[-1]]
    inside = int(lost.sum())
    share = count / depth
    if not inside and share <= _MANY:
        return []
    where = f", {inside} of them where the patient is" if inside else ""
    text = (
        f"{count} of {depth} slices hold one value only{where}: nothing can be seen there. The copy or the export "
        "of the study may be incomplete."
    )
    return [Notice("constant-slices", "refuse" if share > _MANY else "warn", text)]


def _other_slices(values: SliceValues) -> list[Notice]:
    """Find slices on another scale than the stack: each on its own, and by steps of all levels between neighbors."""
    depth = len(values.low)
    constant = values.low == values.high
    middle, share = values.peak(_NOT_AIR_HU, 100.0)
    soft = values.share(*_SOFT_HU)
    off = ~constant & ((middle < _SOFT_PEAK_HU[0]) | (middle > _SOFT_PEAK_HU[1]))
    off &= (share > _LEAST_SHARE) & (share > 3 * soft)
    off |= ~constant & (values.share(*_SHIFTED_HU) > _LEAST_SHARE) & (values.share(*_EDGE_HU) < _NEXT_TO_NOTHING)
    middle, share = values.peak(_HALF_AIR_HU[0], 60.0)
    off |= ~constant & (middle < _HALF_AIR_HU[1]) & (share > _LEAST_HALF_AIR) & (values.share(*_AIR_HU) < _LEAST_SHARE)
    off |= values.below > _LEAST_SHARE
    off |= _stepped(values.quantiles)
    count = int(off.sum())
    if not count:
        return []
    text = (
        f"{count} of {depth} slices are on another scale than the rest (another rescale slope or intercept); load the "
        "original DICOM series."
    )
    return [Notice("mixed-scales", "refuse" if count > _FEW * depth else "warn", text)]


def _stepped(quantiles: np.ndarray) -> np.ndarray:
    """Return the slices whose levels are all shifted against most others, ``(z,)`` bool."""
    known = np.flatnonzero(np.isfinite(quantiles).all(axis=1))
    off = np.zeros(len(quantiles), bool)
    if len(known) < 3:
        return off
    steps = np.diff(quantiles[known], axis=0)
    least, most = steps.min(axis=1), steps.max(axis=1)
    # Air alone has no quartiles apart: where a field holds nothing but the patient, its ends are no change of scale.
    spread = np.ptp(quantiles[known], axis=1) > 2 * _JUMP_HU
    jumps = ((least > _JUMP_HU) | (most < -_JUMP_HU)) & spread[:-1] & spread[1:]
    level = np.concatenate([[0.0], np.cumsum(np.where(jumps, np.median(steps, axis=1), 0.0))])
    off[known] = np.abs(level - np.median(level)) > _JUMP_HU
    return off
