"""What a reader can check of a verdict on pulmonary embolism, measured on the images (docs/sources.md 11)."""

from dataclasses import replace

import numpy as np

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.finding import Bearing, Finding, Measurement, Reason
from AcuteFindingsLib.detectors.pe.artifacts import edge_sharpness, streak_strength
from AcuteFindingsLib.detectors.pe.chest import Chest
from AcuteFindingsLib.detectors.pe.defect_reasons import ARTIFACT_ALONE, NO_CONTRAST, NOT_FOUND, defect_reasons
from AcuteFindingsLib.detectors.pe.defects import Defect
from AcuteFindingsLib.detectors.pe.ventricles import measure_ventricles
from AcuteFindingsLib.detectors.pe.view import HU, LEAST_HU, SOURCE, View, view_of
from AcuteFindingsLib.study.study import Study

ADEQUATE_HU = 210.0
"""Attenuation of the pulmonary trunk from which on clot of any age stands out (docs/sources.md 11)."""

STRAIN = 1.0
"""Right over left ventricle, from which on the right one is enlarged (docs/sources.md 11)."""

RATIO_ERROR = 0.1
"""On phantoms of known ratio the measured one is right to this (docs/trust.md)."""

BLURRED = 0.88
"""Share of their sharpness above from which on the lungs' edges below are not blurred; phantoms without motion have
0.94 or more, with 3 mm and more 0.86 or less (docs/trust.md)."""

STREAKED = 1.25
"""So many times the noise far from a dense vein there are streaks beside it; phantoms without have 1.1 at most."""

NEAR_MM = 30.0
THICK_MM = 2.5
"""On 1 mm slices more clots in subsegmental arteries are found than on 3 mm ones (docs/sources.md 11)."""

CUT_CM2 = 20.0

LEAST_LUNGS_MM = 100.0
"""A stack that shows less of the lungs may not hold the heart and its large vessels."""
_ARTIFACTS = {"streaks": "streaks", "breathing": "breathing", "pulsation": "blur beside the beating heart"}
_ORDER = ("against", "for", "caution", "looked")


def reasons_of(study: Study, finding: Finding) -> tuple[Reason, ...]:
    """Return what speaks for and against a verdict, the most telling first; see `DetectorKind.reasons`."""
    negative = finding.verdict.label == "negative"
    view = view_of(study, finding)
    found = [*(_highest(finding) if negative else _in_a_row(finding))]
    if view is None:
        text = (
            "Nothing was measured on the images: they hold no Hounsfield units, too few slices, or slices too far from "
            "axial planes."
        )
        return (*found, Reason("not-measured", "looked", text))
    defects: tuple[Defect, ...] = ()
    if negative:
        found += _coverage(view)
    else:
        defects, told = defect_reasons(view)
        found += told
    artifacts = [*_streaks(view, defects), *_blur(view.chest)]
    found = [_beside(reason, artifacts) for reason in found]
    found += [*_contrast(view), *artifacts, *_ventricles(view)]
    return tuple(sorted(found, key=lambda reason: _ORDER.index(reason.bearing)))


def _beside(reason: Reason, artifacts: list[Reason]) -> Reason:
    """Return a reason that no defect was found as one against the finding, where an artifact may be all that is seen.

    Share of false alarms, and of true ones, that this leaves indeterminate: docs/trust.md.
    """
    if reason.code != NOT_FOUND or not artifacts:
        return reason
    names = " and ".join(_ARTIFACTS[item.code] for item in artifacts)
    text = f"{reason.text} The images show {names}, which the network may have taken for clot."
    return replace(reason, code=ARTIFACT_ALONE, bearing="against", text=text)


def _in_a_row(finding: Finding) -> list[Reason]:
    """Say in how many slices the finding is seen: clot goes on from slice to slice, noise does not."""
    if not finding.positive_runs:
        return []
    first, last = max(finding.positive_runs, key=lambda run: run[1] - run[0])
    count = last - first + 1
    value = (Measurement("Positive slices in a row", float(count), "1"),)
    if count == 1:
        text = f"Only slice {first + 1} is positive; clot is usually seen in several slices in a row."
        return [Reason("single-slice", "caution", text, SOURCE, value, first)]
    text = f"{count} slices in a row are positive, {first + 1} to {last + 1}."
    return [Reason("slices-in-a-row", "for", text, SOURCE, value, (first + last) // 2)]


def _highest(finding: Finding) -> list[Reason]:
    """Say which slice came nearest to a finding, and why it stayed below."""
    if not finding.slices:
        return []
    top = max(finding.slices, key=lambda item: item.probabilities[finding.main_label])
    value = top.probabilities[finding.main_label]
    if value >= finding.slice_threshold:
        reached = sum(item.probabilities[finding.main_label] >= finding.slice_threshold for item in finding.slices)
        text = (
            f"{counted(reached, 'slice')} {'reaches' if reached == 1 else 'reach'} the operating point of "
            f"{finding.slice_threshold:.2f}, the highest is slice {top.index + 1} ({value:.2f}); the rule asks for "
            "more than that."
        )
    else:
        text = (
            f"The most suspicious is slice {top.index + 1} with {value:.2f}; it stays below the operating point of "
            f"{finding.slice_threshold:.2f}."
        )
    said = (Measurement("Highest slice probability", value, "1"),)
    return [Reason("most-suspicious", "looked", text, "", said, top.index)]


def _coverage(view: View) -> list[Reason]:
    """Say what a negative verdict speaks of, and what was not covered."""
    area, step = view.chest.lung_cm2, view.chest.spacing[0]
    levels = np.flatnonzero(area > CUT_CM2)
    count = len(view.chest.axial.array)
    if not len(levels):
        return [Reason("no-lungs", "caution", "No lungs were found in the images.")]
    height = (levels[-1] - levels[0] + 1) * step
    text = f"{counted(count, 'slice')} were read; lungs are seen over {height:.0f} mm of them."
    found = [Reason("coverage", "looked", text, "", (Measurement("Height of the lungs read", float(height), "mm"),))]
    ends = [name for name, z in (("lowest", 0), ("uppermost", len(area) - 1)) if area[z] > CUT_CM2]
    if ends:
        text = f"The lungs go on beyond the {' and the '.join(ends)} slice: nothing is said of what lies there."
        found.append(Reason("lungs-cut-off", "caution", text))
    step = view.chest.axial.spacing[0]
    if step >= THICK_MM:
        text = (
            f"Slices are {step:.1f} mm apart; clots in subsegmental arteries are found less often on them than on "
            "slices of 1 mm."
        )
        found.append(Reason("thick-slices", "caution", text, SOURCE, (Measurement("Slice distance", step, "mm"),)))
    return found


def _contrast(view: View) -> list[Reason]:
    """Say whether the pulmonary trunk is opacified well enough to see clot."""
    hu, z = view.trunk or (view.blood_hu, None)
    if hu is None:
        text = "How strongly blood is enhanced was not measured, because no heart lies between lungs in the field."
        return [Reason("contrast-not-measured", "caution", text, SOURCE)]
    height = np.count_nonzero(view.chest.lung_cm2 > CUT_CM2) * view.chest.spacing[0]
    if z is None and hu < LEAST_HU and height < LEAST_LUNGS_MM:
        text = (
            f"How strongly blood is enhanced was not measured: lungs are seen over {height:.0f} mm alone, and the "
            "pulmonary trunk was not found."
        )
        return [Reason("contrast-not-measured", "caution", text, SOURCE)]
    where = "The pulmonary trunk" if z is not None else "Blood between the lungs (the pulmonary trunk was not found)"
    index = None if z is None else view.index((z + 0.5) * view.chest.factors[0] - 0.5)
    values = (Measurement("Attenuation of the pulmonary trunk" if z is not None else "Attenuation of blood", hu, HU),)
    if hu < LEAST_HU:
        text = f"{where} measures {hu:.0f} HU, as without contrast agent: clot cannot be seen."
        return [Reason(NO_CONTRAST, "against", text, SOURCE, values, index)]
    if hu < ADEQUATE_HU:
        text = (
            f"{where} measures {hu:.0f} HU, less than the {ADEQUATE_HU:.0f} HU in which clot of any age stands out: "
            "small clots may be missed, and uneven mixing imitates them."
        )
        return [Reason("contrast-poor", "caution", text, SOURCE, values, index)]
    text = f"{where} measures {hu:.0f} HU; from {ADEQUATE_HU:.0f} HU on clot of any age stands out."
    return [Reason("contrast-adequate", "looked", text, SOURCE, values, index)]


def _streaks(view: View, defects: tuple[Defect, ...]) -> list[Reason]:
    """Say where a dense vein sends streaks: into what was found, or, where nothing is located, anywhere near it."""
    if view.vein is None:
        return []
    strength = streak_strength(view.chest, view.vein)
    if strength is None or strength < STREAKED:
        return []
    away = [view.vein.away_mm(view.chest, defect.place) for defect in defects]
    if away and min(away) > NEAR_MM:
        return []
    near = f", {min(away):.0f} mm from what was found" if away else ""
    text = (
        f"A vein with {view.vein.hu:.0f} HU of undiluted contrast agent lies between the lungs{near}; noise beside it "
        f"is {strength:.1f} times that farther away. Its streaks imitate clot in the arteries beside it, or hide it."
    )
    values = (
        Measurement("Attenuation of the dense vein", view.vein.hu, HU),
        Measurement("Noise beside the dense vein over noise far from it", strength, "1"),
        *(Measurement("Distance of the dense vein", value, "mm") for value in sorted(away)[:1]),
    )
    z = float(np.median(np.flatnonzero(view.vein.where.any(axis=(1, 2)))))
    index = view.index((z + 0.5) * view.chest.factors[0] - 0.5)
    return [Reason("streaks", "caution", text, SOURCE, values, index)]


def _blur(chest: Chest) -> list[Reason]:
    """Say whether breathing or the beating heart blurred the lower half of the chest."""
    sharp = edge_sharpness(chest)
    if sharp is None:
        return []
    found = []
    if sharp.wall < BLURRED:
        text = (
            f"The edges of the lower lungs are {100 * sharp.wall:.0f} % as sharp as those of the upper ones, as after "
            "breathing: arteries there look double or broken, which imitates clot or hides it."
        )
        values = (Measurement("Sharpness of the lower lungs' edges", 100 * sharp.wall, "%"),)
        found.append(Reason("breathing", "caution", text, SOURCE, values))
    if sharp.heart < BLURRED:
        text = (
            f"Beside the heart the edges of the lungs are {100 * sharp.heart:.0f} % as sharp as they should be, as the "
            "beating heart leaves them: arteries beside it look broken, which imitates clot or hides it."
        )
        values = (Measurement("Sharpness of the lungs' edges beside the heart", 100 * sharp.heart, "%"),)
        found.append(Reason("pulsation", "caution", text, SOURCE, values))
    return found


def _ventricles(view: View) -> list[Reason]:
    """Say how wide the right ventricle is against the left one."""
    # Without a heart between two lungs what is measured may be a part of it.
    seen = None if view.blood_hu is None else measure_ventricles(view.chest)
    if seen is None:
        if view.finding.verdict.label == "negative" or view.opacified_hu is None:
            return []
        text = (
            "The RV/LV ratio was not measured: an opacified left ventricle beside the right one, with the septum "
            "between them, was not seen as a whole, or slices or pixels are too large."
        )
        return [Reason("rv-lv-not-measured", "looked", text, SOURCE)]
    text = (
        f"The right ventricle is {seen.right_mm:.0f} mm wide, the left one {seen.left_mm:.0f} mm, on axial slices at "
        f"right angles to the septum: an RV/LV ratio of {seen.ratio:.2f} (± {RATIO_ERROR:.1f})."
    )
    strained = seen.ratio >= STRAIN
    text += f" From {STRAIN:.1f} on the right ventricle is enlarged." if strained else ""
    values = (
        Measurement("RV/LV diameter ratio", seen.ratio, "1"),
        Measurement("Right ventricle, width", seen.right_mm, "mm"),
        Measurement("Left ventricle, width", seen.left_mm, "mm"),
    )
    index = view.index((seen.z + 0.5) * view.chest.factors[0] - 0.5)
    sick = view.finding.verdict.label != "negative"
    bearing: Bearing = "caution" if strained and not sick else "for" if strained else "looked"
    return [Reason("rv-lv-ratio", bearing, text, SOURCE, values, index)]
