"""Pulmonary embolism on CT pulmonary angiograms, after the slice encoder and sequence network of docs/sources.md 1."""

from time import perf_counter

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from AcuteFindingsLib.detectors.detector import identity_of, model_notices, slice_results
from AcuteFindingsLib.detectors.finding import Finding, Heatmap, Measurement, Verdict
from AcuteFindingsLib.detectors.pe.scorer import ChestSlices, PEScorer
from AcuteFindingsLib.detectors.rules import consecutive_runs, run_extent_mm
from AcuteFindingsLib.detectors.scoring import Answer
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.windows import PE_WINDOW
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress, part_of
from AcuteFindingsLib.study.study import Study


class PERule(BaseModel):
    """The stack output decides (docs/sources.md 1); a run of positive slices without it is shown for review."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    review_run_slices: int = Field(default=3, ge=1)


class PEDetector:
    """Slices → encodings → 96-slice sequences → slice and stack probabilities → verdict and heat map."""

    name = "pe"

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.scorer = predictor, PEScorer(predictor)
        self.settings = self.scorer.settings
        self.rule = PERule.model_validate(predictor.card.rule)
        self.reported = predictor.card.measured_labels()
        self.study_threshold = predictor.card.threshold("study", "pe")
        self.slice_threshold = predictor.card.threshold("slice", "pe")

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        clock = perf_counter()
        progress("Finding lungs and heart", 0.0)
        prepared = self.scorer.prepare(study)
        timings = {"preprocess": perf_counter() - clock}

        clock = perf_counter()
        answer = self.scorer.infer(prepared, explain=True, progress=part_of(progress, 0.15, 0.8), cancelled=cancelled)
        probability, stack = answer.images[:, 0], answer.study["pe"]
        timings["network"] = perf_counter() - clock

        clock = perf_counter()
        heatmap = self._heatmap(prepared, answer, progress, cancelled)
        timings["heatmap"] = perf_counter() - clock

        at_sources = prepared.at_sources(answer.images)
        runs = consecutive_runs(at_sources[:, 0] >= self.slice_threshold)
        progress("Done", 1.0)
        return Finding(
            detector=self.name,
            model=identity_of(self.predictor),
            verdict=self._verdict(stack, probability, at_sources[:, 0]),
            slices=slice_results(prepared.sources, ("pe",), at_sources),
            main_label="pe",
            slice_threshold=self.slice_threshold,
            ijk_to_ras=study.ijk_to_ras,
            # For people, whatever window the network reads.
            display_window=PE_WINDOW,
            positive_runs=tuple(runs),
            heatmap=heatmap,
            measurements=tuple(self._measurements(answer.study, probability, at_sources[:, 0])),
            warnings=model_notices(self.predictor),
            timings=timings,
            series_instance_uid=study.dicom.series_instance_uid,
            phantom=study.is_phantom,
        )

    def _heatmap(
        self, prepared: ChestSlices, answer: Answer, progress: Progress, cancelled: Cancelled
    ) -> Heatmap | None:
        positive = np.flatnonzero(answer.images[:, 0] >= self.slice_threshold)
        if not len(positive):
            return None
        size = self.settings.size
        heat = np.zeros((len(prepared.plan), size, size), np.uint8)
        for part in batches(
            len(positive),
            self.settings.batch,
            text="Explaining positive slices",
            progress=progress,
            cancelled=cancelled,
            span=(0.8, 1.0),
        ):
            chosen = positive[part]
            if answer.looked is not None:
                shown = answer.looked.heat(chosen, 0, (size, size))
            else:
                # What costs many passes is done for these slices alone.
                shown = self.scorer.explain(np.concatenate([prepared[z : z + 1] for z in chosen]))
            heat[chosen] = np.rint(255 * shown)
        return Heatmap(f"{self.predictor.explanation} of the slice encoder", heat, prepared.ijk_to_ras)

    def _verdict(self, stack: float, probability: np.ndarray, of_series: np.ndarray) -> Verdict:
        """Decide by the network's slices, `probability`; the words count the slices of the series, which people see."""
        threshold = self.study_threshold
        rule = (
            f"Positive where the sequence network's probability for the whole stack reaches {threshold:.2f} "
            f"and at least one slice reaches {self.slice_threshold:.2f}."
        )
        flags = probability >= self.slice_threshold
        runs = consecutive_runs(flags, minimum=self.rule.review_run_slices)
        step = self.settings.slice_mm
        if stack >= threshold:
            if flags.any():
                positive = int((of_series >= self.slice_threshold).sum())
                count = f"{positive} of the {len(of_series)} slices of the series are positive"
                if not positive:
                    count = "what is positive lies between the slices of the series"
                text = f"The stack reaches {stack:.2f}; {count}."
                return Verdict("positive", stack, threshold, rule, text)
            text = f"The stack reaches {stack:.2f}, but no slice reaches its own operating point."
            return Verdict("indeterminate", stack, threshold, rule, text)
        if runs:
            longest = max(runs, key=lambda run: run[1] - run[0])
            extent = run_extent_mm(longest, np.arange(len(flags)) * step, step)
            text = f"The stack stays at {stack:.2f}, but a run of {extent:.0f} mm of positive slices asks for a look."
            return Verdict("indeterminate", stack, threshold, rule, text)
        text = f"The stack stays at {stack:.2f}; the highest slice is {of_series.max():.2f}."
        return Verdict("negative", stack, threshold, rule, text)

    def _measurements(
        self, exam: dict[str, float], probability: np.ndarray, of_series: np.ndarray
    ) -> list[Measurement]:
        positive = probability >= self.slice_threshold
        items = [
            Measurement("Probability of pulmonary embolism (stack)", exam["pe"], "1"),
            Measurement("Highest slice probability", float(of_series.max()), "1"),
            Measurement("Extent of positive slices", float(positive.sum() * self.settings.slice_mm), "mm"),
        ]
        items += [
            Measurement(f"Probability: {label.meaning}", exam[label.name], "1")
            for label in self.predictor.card.labels[1:]
            if label.name in self.reported and label.name in exam
        ]
        return items
