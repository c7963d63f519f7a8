"""What a reader can check of a verdict on pneumothorax, measured on the radiograph (docs/sources.md 12)."""

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.finding import Finding, Measurement, Reason
from AcuteFindingsLib.detectors.pneumothorax.kind import KIND
from AcuteFindingsLib.detectors.radiograph import Lungs, patient_half
from AcuteFindingsLib.detectors.wording import label_measured, picture_measured
from AcuteFindingsLib.study.study import Study

SOURCE = "docs/sources.md 12"

LARGE_APEX_MM, LARGE_MIDDLE_MM = 30.0, 20.0
"""From the top of the chest cavity to the lung, and between chest wall and lung at the hilum, from which on guidelines
call a pneumothorax large (docs/sources.md 12)."""

AT_TOP_MM = 8.0
RIM_MM, RIM_SHARE = 6.0, 0.02
"""What is narrower between an outline and the lung's own is their disagreement; of the cavity's height without mm."""

CHEST_MM = (180.0, 420.0)
"""Width of both lungs of an adult; files whose pictures were made smaller often state the pixels of the large one."""

RISE, FLAT = 0.7, 0.2
"""Beside two skin folds in five it rises by at least `RISE`, beside no pneumothorax of the phantoms, nor one real one;
below `FLAT` nothing of a fold is seen (docs/trust.md)."""

NEAR_MM, FAR_MM = (2.0, 7.0), (20.0, 30.0)
LEAST_CM2 = 0.3
ASSUMED_MM = 390.0
"""Side of a chest radiograph whose pixels have no stated size."""

DRAIN = 0.5
STAYS = 0.5
_ORDER = ("against", "for", "caution", "looked")


def reasons_of(study: Study, finding: Finding) -> tuple[Reason, ...]:
    """Return what speaks for and against a verdict, the most telling first; see `DetectorKind.reasons`."""
    picture = study.array[len(study.array) // 2]
    outline, right, left = (_plane(finding, number, picture.shape) for number in range(3))
    lungs = Lungs(right, left)
    found: list[Reason] = []
    if outline.any():
        for side in ("right", "left"):
            part = outline & patient_half(lungs, side, outline.shape)
            if part.any():
                found += _outlined(study, picture, part, lungs, side)
    elif finding.verdict.label != "negative":
        text = "No outline was drawn, so neither the side nor the size can be checked against the picture."
        found.append(Reason("no-outline", "caution", text))
    found += [*_shortcuts(finding), *_drain(finding)]
    if finding.verdict.label == "negative":
        found += [*_suspicious(finding, lungs), *_read(lungs)]
    elif not lungs.found:
        text = "The lungs were not outlined, so the size of the chest cavity is not known."
        found.append(Reason("lungs-not-outlined", "caution", text))
    return tuple(sorted(found, key=lambda reason: _ORDER.index(reason.bearing)))


def _plane(finding: Finding, number: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return one of the kind's segments as drawn, ``(y, x)`` bool; empty where it is not."""
    segment = KIND.segments[number]
    mask = next((mask for mask in finding.masks if mask.name == segment.name), None)
    if mask is None or mask.array.shape[1:] != shape:
        return np.zeros(shape, bool)
    return np.asarray(mask.array[len(mask.array) // 2] > 0)


def _outlined(study: Study, picture: np.ndarray, part: np.ndarray, lungs: Lungs, side: str) -> list[Reason]:
    """Say how far an outline reaches on one side, and whether what it holds looks like air."""
    lung = lungs.right if side == "right" else lungs.left
    _, dy, dx = study.spacing
    columns = np.flatnonzero(lungs.both.any(axis=0))
    wide = float(np.ptp(columns) * dx) if lungs.found else None
    known = study.pixel_spacing_known and (wide is None or CHEST_MM[0] <= wide <= CHEST_MM[1])
    if not lung.any():
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        if not known:
            return [Reason("outline", "for", f"An outline is drawn on the {side}.")]
        text = f"The outline on the {side} is {np.ptp(rows) * dy:.0f} mm high and {np.ptp(columns) * dx:.0f} mm wide."
        return [Reason("outline", "for", text)]
    cavity = part | lung
    rows = np.flatnonzero(cavity.any(axis=1))
    top, height = int(rows[0]), int(rows[-1] - rows[0] + 1)
    # Outline and lung are drawn by two networks and never end in the same pixel: a rim is no lung.
    rim = max(3, round(RIM_MM / dy if known else RIM_SHARE * height))
    rest = np.flatnonzero(ndimage.binary_opening(lung & ~part, np.ones((rim, rim))).any(axis=1))
    reaches = (int(np.flatnonzero(part.any(axis=1))[0]) - top) * dy <= (AT_TOP_MM if known else 0.03 * height * dy)
    apex = (int(rest[0]) if len(rest) else int(rows[-1])) - top if reaches else 0
    middle = slice(top + int(0.45 * height), top + max(int(0.55 * height), int(0.45 * height) + 1))
    width = float(np.median(part[middle].sum(axis=1)))
    values: tuple[Measurement, ...]
    if known:
        apex_mm, width_mm = apex * dy, width * dx
        values = (
            Measurement(f"Apical depth, {side}", apex_mm, "mm"),
            Measurement(f"Width at mid-height, {side}", width_mm, "mm"),
        )
        text = (
            f"On the {side} the outline lies {apex_mm:.0f} mm deep between the top of the chest cavity and the lung "
            f"({LARGE_APEX_MM:.0f} mm or more is called large) and is {width_mm:.0f} mm wide at mid-height "
            f"({LARGE_MIDDLE_MM:.0f} mm or more)."
        )
    else:
        share = 100 * apex / height
        values = (Measurement(f"Apical depth of the chest cavity's height, {side}", share, "%"),)
        why = (
            f"by the stated size of a pixel both lungs are {wide:.0f} mm wide, as no adult's are"
            if study.pixel_spacing_known
            else "the size of a pixel is not known"
        )
        text = (
            f"On the {side} the outline takes {share:.0f} % of the chest cavity's height at its top; {why}, so nothing "
            "is told in mm."
        )
    found = [Reason("apical-depth", "for", text, SOURCE, values)]
    if not reaches:
        wide_there = (
            f" It is {width * dx:.0f} mm wide at mid-height ({LARGE_MIDDLE_MM:.0f} mm or more is called large)."
            if known
            else ""
        )
        text = (
            f"The outline on the {side} does not reach the top of the chest cavity, where air gathers in a patient who "
            f"stands or sits.{wide_there}"
        )
        found = [Reason("not-at-the-apex", "caution", text, SOURCE, values)]
    share = float((part & ~ndimage.binary_dilation(lungs.both, iterations=max(1, round(len(part) / 60)))).sum())
    share /= float(part.sum())
    if share > 0.5:
        text = f"Of the outline on the {side} {100 * share:.0f} % lie outside the outlined lungs."
        values = (Measurement(f"Share of the outline outside the lungs, {side}", 100 * share, "%"),)
        found.append(Reason("outside-lungs", "caution", text, SOURCE, values))
    rise = rise_toward(picture, part, lung, pixel_mm=dy if known else ASSUMED_MM / len(picture))
    if rise is None:
        return found
    values = (Measurement(f"Rise toward the edge, {side}", rise, "1"),)
    if rise >= RISE:
        text = (
            f"On the {side} density rises toward the edge of the outline, by {rise:.1f} times the spread of the lung's "
            "gray values: it may be a skin fold. A pleural line is thin, with lung of even density beside it."
        )
        found.append(Reason("skin-fold-pattern", "caution", text, SOURCE, values))
    elif rise < FLAT:
        text = (
            f"On the {side} density does not rise toward the edge of the outline ({rise:+.1f} times the spread of the "
            "lung's gray values), so it does not look like a skin fold."
        )
        found.append(Reason("no-skin-fold-pattern", "for", text, SOURCE, values))
    return found


def rise_toward(picture: np.ndarray, part: np.ndarray, lung: np.ndarray, *, pixel_mm: float) -> float | None:
    """Return how much denser lung is beside an outline than farther from it, in units of its spread.

    A fold of skin gets denser toward its edge over 1 to 3 cm and ends there; a pleural line is a line.

    Parameters
    ----------
    picture
        ``(y, x)``, bone bright.
    part
        The outline, bool.
    lung
        The lung of its side, bool, with or without the outline.

    Returns
    -------
    None where there is too little lung beside it.
    """
    rest = lung & ~part
    if not rest.any() or not part.any():
        return None
    away = ndimage.distance_transform_edt(~part) * pixel_mm
    near, far = (rest & (away > least) & (away <= most) for least, most in (NEAR_MM, FAR_MM))
    if min(np.count_nonzero(near), np.count_nonzero(far)) * pixel_mm**2 < LEAST_CM2 * 100:
        return None
    return float(picture[near].mean() - picture[far].mean()) / max(float(picture[rest].std()), 1e-6)


def _shortcuts(finding: Finding) -> list[Reason]:
    """Say which share of the answer is left when the lungs are taken out of the picture, or the tubes are covered."""
    asked = {picture_measured(item): item.value for item in finding.measurements if picture_measured(item)}
    whole, found = asked.get("whole picture", 0.0), []
    if finding.verdict.label == "negative" or whole <= 0:
        return []
    for name, done in (
        ("lungs removed", "the lungs are taken out of the picture"),
        ("tubes covered", "the place of the tubes is covered"),
    ):
        if name not in asked:
            continue
        share = min(asked[name] / whole, 1.0)
        values = (Measurement(f"Share of the answer left, {name}", 100 * share, "%"),)
        told = f"When {done}, {100 * share:.0f} % of the probability stay ({asked[name]:.2f} of {whole:.2f})"
        if asked[name] > whole:
            told = f"When {done}, the probability rises from {whole:.2f} to {asked[name]:.2f}"
        leans = share >= STAYS if name == "lungs removed" else share < STAYS
        if leans:
            text = f"{told}: the answer leans on what is {'outside the lungs' if name == 'lungs removed' else 'there'}."
        else:
            text = f"{told}: the answer {'comes from the lungs' if name == 'lungs removed' else 'is not from there'}."
        found.append(
            Reason(f"share-{name.replace(' ', '-')}", "caution" if leans else "for", text, "docs/sources.md 5", values)
        )
    return found


def _drain(finding: Finding) -> list[Reason]:
    """Say that a drain is in: the pneumothorax is known then, and models learn the drain in its place."""
    value = next((item.value for item in finding.measurements if label_measured(item) == "Chest drain"), None)
    if value is None or value < DRAIN:
        return []
    text = (
        f"The chest findings model says that a chest drain is in ({value:.2f}). If one is, a pneumothorax is known or "
        "treated, and a model may answer to the drain in its place."
    )
    return [
        Reason("drain", "caution", text, "docs/sources.md 5", (Measurement("Chest drain probability", value, "1"),))
    ]


def _suspicious(finding: Finding, lungs: Lungs) -> list[Reason]:
    """Say whether the answer stayed below, and where a heat map is strongest."""
    verdict = finding.verdict
    below = verdict.probability < verdict.threshold
    how = "it stays below" if below else "the verdict is negative although that reaches"
    text = f"The probability is {verdict.probability:.2f}; {how} the operating point of {verdict.threshold:.2f}"
    where = _hottest(finding, lungs)
    text += f". {where}" if where else "."
    return [Reason("most-suspicious", "looked", text)]


def _hottest(finding: Finding, lungs: Lungs) -> str:
    heat = finding.heatmap
    if heat is None or not lungs.found or not heat.array.any():
        return ""
    plane = heat.array[len(heat.array) // 2]
    to_study = np.linalg.inv(finding.ijk_to_ras) @ heat.ijk_to_ras
    row, column = np.unravel_index(int(plane.argmax()), plane.shape)
    x, y = (to_study @ (column, row, 0, 1))[:2]
    shape = lungs.both.shape
    at = int(np.clip(round(y), 0, shape[0] - 1)), int(np.clip(round(x), 0, shape[1] - 1))
    side = "right" if patient_half(lungs, "right", shape)[at] else "left"
    rows = np.flatnonzero((lungs.right if side == "right" else lungs.left).any(axis=1))
    part = (at[0] - rows[0]) / max(rows[-1] - rows[0], 1)
    zone = "upper" if part < 1 / 3 else "middle" if part < 2 / 3 else "lower"
    return f"The most suspicious place is the {side} {zone} zone, where the heat map is strongest."


def _read(lungs: Lungs) -> list[Reason]:
    """Say what a negative verdict speaks of, and what was not covered."""
    if not lungs.found:
        text = "The whole picture was read; the lungs were not outlined, so it is not known whether they are all in it."
        return [Reason("coverage", "caution", text)]
    edges = {"top": lungs.both[0], "bottom": lungs.both[-1], "sides": lungs.both[:, [0, -1]]}
    cut = [name for name, edge in edges.items() if edge.any()]
    if cut:
        text = f"The lungs are cut off at the {' and the '.join(cut)} of the picture: what lies beyond was not seen."
        return [Reason("lungs-cut-off", "caution", text)]
    return [Reason("coverage", "looked", "Both lungs were read whole; air in front of or below them may not be seen.")]
