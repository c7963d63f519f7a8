"""Intracranial hemorrhage on head CT by a slab model: the series decides, decoders say where (docs/sources.md 7)."""

from time import perf_counter

import numpy as np

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.detector import identity_of, model_notices, slice_results
from AcuteFindingsLib.detectors.finding import Finding, Heatmap, Measurement, Verdict
from AcuteFindingsLib.detectors.hemorrhage.places import planes_between
from AcuteFindingsLib.detectors.hemorrhage.slab_images import SlabImages
from AcuteFindingsLib.detectors.hemorrhage.slab_scorer import SlabScorer
from AcuteFindingsLib.detectors.rules import consecutive_runs
from AcuteFindingsLib.detectors.scoring import Answer
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress, part_of
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


class SlabDetector:
    """Slabs → encodings → series → probabilities of slices and study → verdict and heat map; no volume."""

    name = "hemorrhage"
    looked_for = "any hemorrhage"
    """What the main label stands for, in the words of a verdict."""

    def __init__(self, predictor: Predictor) -> None:
        card = predictor.card
        self.predictor, self.scorer = predictor, SlabScorer(predictor)
        self.settings, self.rule, self.labels = self.scorer.settings, self.scorer.rule, self.scorer.labels
        self.reported = card.measured_labels()
        self.slice_threshold = card.threshold("slice", self.labels[0])
        self.study_threshold = card.threshold("study", self.labels[0])
        points = {point.label: point.threshold for point in card.operating_points if point.level == "study"}
        self.kinds = {label.name: label for label in card.labels[1:] if label.name in self.reported}
        self.kind_thresholds = {name: points.get(name, self.study_threshold) for name in self.kinds}

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        clock = perf_counter()
        progress("Preparing the slices", 0.0)
        prepared = self.scorer.prepare(study)
        timings = {"preprocess": perf_counter() - clock}

        clock = perf_counter()
        answer = self.scorer.infer(
            prepared, explain=self.predictor.one_pass, progress=part_of(progress, 0.02, 0.95), cancelled=cancelled
        )
        timings["network"] = perf_counter() - clock

        clock = perf_counter()
        heatmap = self._heatmap(prepared, answer, part_of(progress, 0.95, 1.0), cancelled)
        timings["heatmap"] = perf_counter() - clock
        by_source = prepared.at_sources(answer.images)
        reported = [number for number, label in enumerate(self.labels) if label in self.reported]
        progress("Done", 1.0)
        return Finding(
            detector=self.name,
            model=identity_of(self.predictor),
            verdict=self._verdict(answer),
            slices=slice_results(
                prepared.sources, tuple(self.labels[number] for number in reported), by_source[:, reported]
            ),
            main_label=self.labels[0],
            slice_threshold=self.slice_threshold,
            ijk_to_ras=study.ijk_to_ras,
            display_window=self.settings.windows[0],
            positive_runs=tuple(consecutive_runs(by_source[:, 0] >= self.slice_threshold)),
            heatmap=heatmap,
            measurements=tuple(self._measurements(answer)),
            warnings=(*model_notices(self.predictor), *self._notices(len(prepared), heatmap is not None)),
            timings=timings,
            series_instance_uid=study.dicom.series_instance_uid,
            phantom=study.is_phantom,
        )

    def _heatmap(
        self, prepared: SlabImages, answer: Answer, progress: Progress, cancelled: Cancelled
    ) -> Heatmap | None:
        """Return where the model looked for the main label in the positive slices, on the axial grid."""
        positive = answer.images[:, 0] >= self.slice_threshold
        if not positive.any():
            return None
        size = self.settings.size
        looked = answer.looked
        squares: dict[int, np.ndarray] = {}
        if looked is None:
            # What costs many passes is done for these slices alone, and kept as it will be shown.
            chosen = np.flatnonzero(positive)
            for part in batches(
                len(chosen), 1, text="Explaining positive slices", progress=progress, cancelled=cancelled, span=(0, 1)
            ):
                number = int(chosen[part][0])
                squares[number] = np.rint(255 * self.scorer.explain(prepared[number : number + 1])[0]).astype(np.uint8)

        def on_grid(number: int) -> np.ndarray:
            if not positive[number]:
                return np.zeros(prepared.axial.array.shape[1:], np.float32)
            square = looked.heat([number], 0, (size, size))[0] if looked else squares[number] / np.float32(255)
            return prepared.on_grid(number, square)

        heat = np.zeros(prepared.axial.array.shape, np.uint8)
        for z, shown in planes_between(len(heat), prepared.planes, positive, on_grid):
            heat[z] = np.rint(255 * np.clip(shown, 0, 1))
        return Heatmap(self.predictor.explanation, heat, prepared.axial.ijk_to_ras)

    def _verdict(self, answer: Answer) -> Verdict:
        threshold, score = self.study_threshold, answer.study[self.labels[0]]
        rule = (
            f"Positive where the probability of the whole series reaches {threshold:.2f} and at least one slice "
            f"reaches {self.slice_threshold:.2f}. {self._how_chosen()}"
        )
        flags = answer.images[:, 0] >= self.slice_threshold
        highest = answer.images[:, 0].max()
        if score >= threshold:
            if flags.any():
                above = int(flags.sum())
                text = f"The series reaches {score:.2f}; {above} of its {counted(len(flags), 'slice')} "
                text += "is positive." if above == 1 else "are positive."
                return Verdict("positive", score, threshold, rule, text)
            text = f"The series reaches {score:.2f}, but no slice reaches its own operating point."
            return Verdict("indeterminate", score, threshold, rule, text)
        kinds = [name for name, least in self.kind_thresholds.items() if answer.study[name] >= least]
        if kinds:
            told = ", ".join(f"{self.kinds[name].meaning.lower()} ({answer.study[name]:.2f})" for name in kinds)
            text = f"The series stays at {score:.2f} for {self.looked_for}, "
            text += f"but reaches the limit for {told}: look at it."
            return Verdict("indeterminate", score, threshold, rule, text)
        runs = consecutive_runs(flags, minimum=self.rule.review_run_slices)
        if runs:
            longest = max(last - first + 1 for first, last in runs)
            text = f"The series stays at {score:.2f}, but {longest} slices in a row are positive: look at these slices."
            return Verdict("indeterminate", score, threshold, rule, text)
        text = f"The series stays at {score:.2f}; the highest slice is {highest:.2f}."
        return Verdict("negative", score, threshold, rule, text)

    def _how_chosen(self) -> str:
        """Return how the study's operating point was chosen, as the card says."""
        points = self.predictor.card.operating_points
        told = next(point.chosen for point in points if (point.level, point.label) == ("study", self.labels[0]))
        return f"Operating point: {told.rstrip('.')}."

    def _measurements(self, answer: Answer) -> list[Measurement]:
        labels = {
            number: label for number, label in enumerate(self.predictor.card.labels) if label.name in self.reported
        }
        return [
            *(
                Measurement(f"Series probability: {label.meaning}", answer.study[label.name], "1")
                for label in labels.values()
            ),
            *(
                Measurement(f"Highest slice probability: {label.meaning}", float(answer.images[:, number].max()), "1")
                for number, label in labels.items()
            ),
        ]

    def _notices(self, count: int, drawn: bool) -> tuple[Notice, ...]:
        notices = []
        if count > self.settings.longest:
            text = (
                f"The series has {count} slices; the model reads at most {self.settings.longest} of them in context, "
                f"evenly spaced, and every slice by itself."
            )
            notices.append(Notice("series-read-in-part", "info", text))
        if drawn:
            text = "The heat map shows where to look. It is not an outline, and no volume is measured with this model."
            notices.append(Notice("volume-not-measured", "info", text))
        return tuple(notices)
