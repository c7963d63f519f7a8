"""Bleeds that another program drew, as a finding: the rule over neighboring slices, volumes, notices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.detectors.detector import analysis_sources, identity_of, slice_results
from AcuteFindingsLib.detectors.finding import Code, Finding, Mask, Verdict
from AcuteFindingsLib.detectors.hemorrhage.detector import remove_small, step_mm
from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.detectors.hemorrhage.scorer import HemorrhageRule, HemorrhageSettings
from AcuteFindingsLib.detectors.hemorrhage.volumes import blood_volumes
from AcuteFindingsLib.detectors.rules import consecutive_runs, consecutive_score, run_extent_mm
from AcuteFindingsLib.models.metadata import Label, OperatingPoint
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

LABEL = KIND.id
BLEED = KIND.segments[0]
LABELS = (Label(name=LABEL, meaning=KIND.finding, code=KIND.codes.finding.value),)

AREA_MM2 = 10.0
"""How much of a slice must show a bleed before the slice counts; ours: a disk of 3.6 mm across."""

THRESHOLD = 0.5


@dataclass(frozen=True)
class Drawn:
    """One kind of lesion on the axial grid: `array` ``(z, y, x)`` bool; `is_bleed` says whether it is blood."""

    name: str
    array: np.ndarray
    type: Code
    color: tuple[float, float, float]
    is_bleed: bool = True


def points(chosen: str) -> tuple[OperatingPoint, ...]:
    """Return the operating points of another program's model, which says nowhere how they were chosen."""
    return (
        OperatingPoint(level="slice", label=LABEL, threshold=THRESHOLD, chosen=chosen),
        OperatingPoint(level="mask", label=LABEL, threshold=THRESHOLD, chosen=chosen),
    )


def drawn_levels(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return 1 for each slice of ``(z, y, x)`` in which at least `AREA_MM2` is drawn, else 0."""
    area = np.count_nonzero(mask, axis=(1, 2)) * spacing[1] * spacing[2]
    return (area >= AREA_MM2).astype(float)


def reached_levels(probability: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return for each slice of ``(z, y, x)`` the highest probability that at least `AREA_MM2` of it reaches."""
    count = max(1, int(np.ceil(AREA_MM2 / (spacing[1] * spacing[2]))))
    flat = probability.reshape(len(probability), -1)
    count = min(count, flat.shape[1])
    return np.partition(flat, -count, axis=1)[:, -count].clip(0, 1)


def hemorrhage_finding(
    study: Study,
    axial: Axial,
    drawn: Sequence[Drawn],
    levels: np.ndarray,
    *,
    package: ModelPackage,
    notices: Sequence[Notice],
    timings: dict[str, float],
    rule_words: str,
) -> Finding:
    """Apply the rule of `HemorrhageDetector` (three consecutive slices, docs/sources.md 4) to what a package drew.

    Parameters
    ----------
    drawn
        What was drawn, on the axial grid.
    levels
        ``(z,)`` in 0..1: what stands for a slice's probability.
    rule_words
        What a slice's level means, in words, for the rule's text.
    """
    rule = HemorrhageRule.model_validate(package.card.rule)
    settings = HemorrhageSettings()
    sources = analysis_sources(study, axial)
    z = axial.source_z if np.isfinite(axial.source_z).all() else np.arange(len(axial.array), dtype=float)
    planes = np.clip(np.rint(z), 0, len(axial.array) - 1).astype(int)
    order = np.argsort(z, kind="stable")
    by_source = levels[planes]
    cleaned = [_cleaned(item, axial.spacing, rule.minimum_mask_mm3) for item in drawn]
    bleeds = [item.array for item in cleaned if item.is_bleed]
    whole = np.any(bleeds, axis=0) if bleeds else np.zeros(axial.array.shape, bool)
    parts = {item.name: item.array for item in cleaned} if len(cleaned) > 1 else {}
    measurements = blood_volumes(whole, axial.spacing, parts=parts) if study.pixel_spacing_known else []
    verdict = _verdict(study, by_source[order], z[order] * axial.spacing[0], rule, rule_words)
    return Finding(
        detector=KIND.id,
        model=identity_of(package),
        verdict=verdict,
        slices=slice_results(sources, (LABEL,), by_source[:, None]),
        main_label=LABEL,
        slice_threshold=THRESHOLD,
        ijk_to_ras=study.ijk_to_ras,
        display_window=(settings.window_level, settings.window_width),
        positive_runs=tuple(consecutive_runs(by_source >= THRESHOLD)),
        masks=tuple(
            Mask(
                item.name,
                axial.restore(item.array.astype(np.uint8)),
                BLEED.category,
                item.type,
                BLEED.anatomy,
                item.color,
            )
            for item in cleaned
        ),
        measurements=tuple(measurements),
        warnings=tuple(notices),
        timings=timings,
        series_instance_uid=study.dicom.series_instance_uid,
        phantom=study.is_phantom,
    )


def _cleaned(item: Drawn, spacing: tuple[float, float, float], minimum_mm3: float) -> Drawn:
    return Drawn(
        item.name, remove_small(item.array, spacing, minimum_mm3).astype(bool), item.type, item.color, item.is_bleed
    )


def _verdict(study: Study, levels: np.ndarray, positions: np.ndarray, rule: HemorrhageRule, rule_words: str) -> Verdict:
    needed = min(rule.minimum_consecutive, len(levels))
    score = consecutive_score(levels, minimum=rule.minimum_consecutive)
    words = f"Positive where {rule.minimum_consecutive} or more consecutive slices are positive; {rule_words}."
    runs = consecutive_runs(levels >= THRESHOLD)
    if not runs:
        return Verdict("negative", score, THRESHOLD, words, "No slice is positive.")
    longest = max(runs, key=lambda run: run[1] - run[0])
    count = longest[1] - longest[0] + 1
    extent = run_extent_mm(longest, positions, step_mm(study, positions))
    found = f"The longest run of positive slices is {count} ({extent:.1f} mm)"
    if count >= needed:
        return Verdict("positive", score, THRESHOLD, words, f"{found}.")
    return Verdict("indeterminate", score, THRESHOLD, words, f"{found}, fewer than the rule asks for: look at them.")
