"""Intracranial hemorrhage on non-contrast head CT, after RADnet (docs/sources.md 4)."""

from time import perf_counter

import numpy as np

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.detector import identity_of, model_notices, slice_results
from AcuteFindingsLib.detectors.finding import Finding, Measurement, Verdict, mask_of
from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.detectors.hemorrhage.places import planes_between
from AcuteFindingsLib.detectors.hemorrhage.scorer import HeadImages, HemorrhageScorer
from AcuteFindingsLib.detectors.hemorrhage.volumes import blood_volumes
from AcuteFindingsLib.detectors.measure import Density, densities
from AcuteFindingsLib.detectors.rules import consecutive_runs, run_extent_mm
from AcuteFindingsLib.detectors.scoring import Answer
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.brain import brain_mask
from AcuteFindingsLib.preprocessing.resample import unfit_in_plane
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

HU = "[hnsf'U]"

DENSEST_BLOOD_HU = 100.0
"""Clotted blood reaches 80 to 100 HU, as its hematocrit has a limit; calcification, bone and metal lie above."""


class HemorrhageDetector:
    """Slices → probabilities and attention masks → the three-consecutive-slices rule → volume."""

    name = "hemorrhage"

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.scorer = predictor, HemorrhageScorer(predictor)
        self.settings, self.rule, self.labels = self.scorer.settings, self.scorer.rule, self.scorer.labels
        self.reported = predictor.card.measured_labels()
        self.slice_threshold = predictor.card.threshold("slice", self.labels[0])
        self.mask_threshold = predictor.card.threshold("mask", self.labels[0])

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        clock = perf_counter()
        progress("Preparing the slices", 0.0)
        prepared = self.scorer.prepare(study)
        timings = {"preprocess": perf_counter() - clock}

        clock = perf_counter()
        answer = self.scorer.infer(prepared, progress=part_of(progress, 0.1, 0.85), cancelled=cancelled)
        probabilities = answer.images
        timings["network"] = perf_counter() - clock

        clock = perf_counter()
        progress("Measuring", 0.85)
        mask = self._mask(study, prepared, answer)
        positions = prepared.positions_mm
        verdict = self._verdict(study, answer, positions)
        by_source = prepared.at_sources(probabilities)
        reported = [number for number, label in enumerate(self.labels) if label in self.reported]
        runs = consecutive_runs(by_source[:, 0] >= self.slice_threshold)
        outlines = (
            [] if study.intensity == "windowed" else densities(prepared.axial.array, mask, prepared.axial.spacing)
        )
        measurements = self._measurements(study, prepared.axial.spacing, mask, probabilities, outlines)
        on_study = prepared.axial.restore(mask)
        timings["postprocess"] = perf_counter() - clock
        progress("Done", 1.0)
        return Finding(
            detector=self.name,
            model=identity_of(self.predictor),
            verdict=verdict,
            slices=slice_results(
                prepared.sources,
                tuple(self.labels[number] for number in reported),
                by_source[:, reported],
            ),
            main_label=self.labels[0],
            slice_threshold=self.slice_threshold,
            ijk_to_ras=study.ijk_to_ras,
            display_window=(0.5, 1.0)
            if study.intensity == "windowed"
            else (self.settings.window_level, self.settings.window_width),
            positive_runs=tuple(runs),
            masks=(mask_of(KIND.segments[0], on_study),),
            measurements=tuple(measurements),
            warnings=(
                *model_notices(self.predictor),
                *self._notices(len(probabilities)),
                *density_notices(outlines),
            ),
            timings=timings,
            series_instance_uid=study.dicom.series_instance_uid,
            phantom=study.is_phantom,
        )

    def _mask(self, study: Study, prepared: HeadImages, answer: Answer) -> np.ndarray:
        """Return the bleed as ``(z, y, x)`` uint8 on the axial grid, planes between source slices interpolated."""
        axial = prepared.axial
        out: np.ndarray = np.zeros(axial.array.shape, np.uint8)
        _, ny, nx = out.shape
        soft = answer.soft
        if soft is None:
            raise ModelError(
                f"The model {self.predictor.card.id!r} gives no mask, which the hemorrhage detector needs."
            )
        positive = answer.images[:, 0] >= self.slice_threshold
        if not positive.any() or study.intensity == "windowed":
            return out
        inside = brain_mask(axial.array, axial.spacing)

        def on_grid(number: int) -> np.ndarray:
            return unfit_in_plane(
                soft[number][None] * positive[number],
                axial.spacing[1:],
                (ny, nx),
                target_spacing=self.settings.pixel_mm,
                size=self.settings.size,
                order=1,
                center_yx=tuple(prepared.centers[number]),
            )[0]

        for z, shown in planes_between(len(out), prepared.planes, positive, on_grid):
            out[z] = (shown >= self.mask_threshold) & inside[z]
        return remove_small(out, axial.spacing, self.rule.minimum_mask_mm3)

    def _verdict(self, study: Study, answer: Answer, positions: np.ndarray) -> Verdict:
        probability, score = answer.images[:, 0], answer.study[self.labels[0]]
        needed = min(self.rule.minimum_consecutive, len(probability))
        thickness = step_mm(study, positions)
        flags = probability >= self.slice_threshold
        runs = consecutive_runs(flags)
        span = f"{counted(needed, 'slice')} {'spans' if needed == 1 else 'span'} {needed * thickness:.1f} mm"
        rule = (
            f"Positive where {self.rule.minimum_consecutive} or more consecutive slices reach "
            f"{self.slice_threshold:.2f} (in this series {span})."
        )
        if not runs:
            text = f"No slice reaches the operating point; the highest is {probability.max():.2f}."
            return Verdict("negative", score, self.slice_threshold, rule, text)
        longest = max(runs, key=lambda run: run[1] - run[0])
        count = longest[1] - longest[0] + 1
        extent = run_extent_mm(longest, positions, thickness)
        found = f"The longest run of positive slices is {count} ({extent:.1f} mm)"
        if count >= needed:
            above = int(flags.sum())
            text = f"{found}; {counted(above, 'slice')} {'is' if above == 1 else 'are'} positive."
            return Verdict("positive", score, self.slice_threshold, rule, text)
        text = f"{found}, fewer than the rule asks for: look at these slices."
        return Verdict("indeterminate", score, self.slice_threshold, rule, text)

    def _measurements(
        self,
        study: Study,
        spacing: tuple[float, float, float],
        mask: np.ndarray,
        probabilities: np.ndarray,
        outlines: list[Density],
    ) -> list[Measurement]:
        items: list[Measurement] = []
        if study.intensity != "windowed" and study.pixel_spacing_known:
            items += blood_volumes(mask, spacing)
        for number, outline in enumerate(outlines, start=1):
            if study.pixel_spacing_known:
                items.append(Measurement(f"Volume of outline {number}", outline.volume_ml, "mL"))
            items += [
                Measurement(f"Mean density of outline {number}", outline.mean_hu, HU),
                Measurement(f"95th percentile of density of outline {number}", outline.high_hu, HU),
            ]
        items += [
            Measurement(f"Highest slice probability: {label.meaning}", float(probabilities[:, number].max()), "1")
            for number, label in enumerate(self.predictor.card.labels)
            if label.name in self.reported
        ]
        return items

    def _notices(self, count: int) -> tuple[Notice, ...]:
        if count >= self.rule.minimum_consecutive:
            return ()
        text = (
            f"The series has {count} slice{'s' if count > 1 else ''}; the rule of "
            f"{self.rule.minimum_consecutive} consecutive slices is applied to all there are."
        )
        return (Notice("too-few-slices-for-rule", "warn", text),)


def density_notices(outlines: list[Density]) -> tuple[Notice, ...]:
    """Warn of outlines whose 95th percentile is denser than blood."""
    dense = [number for number, item in enumerate(outlines, start=1) if item.high_hu > DENSEST_BLOOD_HU]
    if not dense:
        return ()
    names = ", ".join(map(str, dense))
    highest = max(outlines[number - 1].high_hu for number in dense)
    text = (
        f"Outline{'s' if len(dense) > 1 else ''} {names} reach{'' if len(dense) > 1 else 'es'} {highest:.0f} HU (95th "
        f"percentile); blood stays below {DENSEST_BLOOD_HU:.0f} HU. Look for calcification, bone, contrast agent or "
        "metal."
    )
    return (Notice("denser-than-blood", "warn", text),)


def step_mm(study: Study, positions: np.ndarray) -> float:
    """Return the usual distance between source slices in mm, or their thickness where there is one slice only."""
    if len(positions) > 1:
        return float(np.median(np.diff(positions)))
    stated = study.sources[0].thickness_mm if study.sources else None
    return float(stated if stated is not None else study.spacing[0])


def remove_small(mask: np.ndarray, spacing: tuple[float, float, float], minimum_mm3: float) -> np.ndarray:
    """Drop connected parts of a ``(z, y, x)`` mask that are smaller than `minimum_mm3`."""
    from scipy import ndimage

    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return mask
    keep = np.bincount(components.ravel()) * np.prod(spacing) >= minimum_mm3
    keep[0] = False
    return keep[components].astype(np.uint8)
