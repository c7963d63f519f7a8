"""Pneumothorax on frontal chest radiographs (docs/sources.md 3), with the shortcut check of docs/sources.md 5."""

from time import perf_counter

import numpy as np

from AcuteFindingsLib.detectors.detector import identity_of, model_notices
from AcuteFindingsLib.detectors.finding import Finding, Measurement, Verdict
from AcuteFindingsLib.detectors.pneumothorax.answer import radiograph_finding
from AcuteFindingsLib.detectors.pneumothorax.scorer import LABEL, Outline, PneumothoraxScorer
from AcuteFindingsLib.detectors.pneumothorax.shortcut import check_shortcuts
from AcuteFindingsLib.detectors.pneumothorax.view import view_measurements, view_notices
from AcuteFindingsLib.detectors.radiograph import Lungs, patient_half, split_lungs
from AcuteFindingsLib.detectors.radiograph_scorers import ChestScorer, LungsScorer
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


class PneumothoraxDetector:
    """Lungs first, then outline and probability, then what the answer leans on."""

    name = "pneumothorax"

    def __init__(self, predictor: Predictor, *, lungs: Predictor, chest: Predictor) -> None:
        self.predictor = predictor
        self.scorer, self.lungs, self.chest = PneumothoraxScorer(predictor), LungsScorer(lungs), ChestScorer(chest)
        self.settings, self.rule = self.scorer.settings, self.scorer.rule
        self.threshold = predictor.card.threshold("study", LABEL)
        self.empty_threshold = self.scorer.empty_threshold

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        timings: dict[str, float] = {}
        image = study.array[len(study.array) // 2]

        clock = perf_counter()
        progress("Finding the lungs", 0.05)
        outlined = self.lungs.read([image])[0]
        lungs = split_lungs(outlined.mask)
        timings["lungs"] = perf_counter() - clock
        stop_if(cancelled)

        clock = perf_counter()
        progress("Looking for pneumothorax", 0.25)
        outline = self.scorer.outlines([image], [lungs.both])[0]
        mask = self.scorer.kept(outline)
        timings["network"] = perf_counter() - clock
        stop_if(cancelled)

        clock = perf_counter()
        progress("Looking for tubes and other findings", 0.5)
        reading = self.chest.read(image, lungs.both)
        chest = reading.probabilities
        timings["chest"] = perf_counter() - clock
        stop_if(cancelled)

        clock = perf_counter()
        progress("Checking what the answer depends on", 0.7)
        shortcuts = check_shortcuts(
            image,
            lungs,
            outline.probability,
            reading,
            threshold=self.threshold,
            # The lungs lie where they lay before the picture was altered.
            ask=lambda pictures: self.scorer.infer(
                self.scorer.prepare_pictures(pictures, [lungs.both] * len(pictures))
            ).images[:, 0],
        )
        heatmap = None
        if LABEL in self.chest.labels:
            heatmap = reading.heatmap(study, LABEL, of="the chest findings model")
        timings["explain"] = perf_counter() - clock

        # What was never measured may warn of a shortcut, but is not reported.
        measured = self.chest.predictor.card.measured_labels(main=False)
        chest = {name: value for name, value in chest.items() if name in measured}
        verdict = self._verdict(outline, mask)
        progress("Done", 1.0)
        return radiograph_finding(
            study,
            verdict,
            model=identity_of(self.predictor),
            lungs=lungs,
            outline=mask,
            chest=chest,
            labels=self.chest.predictor.card.labels,
            shortcuts=shortcuts,
            sizes=(*_sizes(study, mask, lungs), *view_measurements(outlined.views)),
            heatmap=heatmap,
            notices=(*model_notices(self.predictor), *self._notices(lungs), *view_notices(outlined.views)),
            timings=timings,
        )

    def _verdict(self, outline: Outline, mask: np.ndarray) -> Verdict:
        probability = outline.probability
        rule = (
            f"Positive where the probability that the picture holds a pneumothorax reaches {self.threshold:.2f} and "
            f"the outline fills at least {100 * self.rule.minimum_area_share:.2f} % of the picture; "
            f"the outline is dropped where the probability that it is empty passes {self.empty_threshold:.2f}."
        )
        if probability >= self.threshold:
            if mask.any():
                text = f"The probability is {probability:.2f} and an outline was drawn."
                return Verdict("positive", probability, self.threshold, rule, text)
            text = (
                f"The probability is {probability:.2f}, but no outline large enough supports it: look at the picture."
            )
            return Verdict("indeterminate", probability, self.threshold, rule, text)
        if mask.any():
            text = f"The probability stays at {probability:.2f}, but an outline was drawn: look at the picture."
            return Verdict("indeterminate", probability, self.threshold, rule, text)
        text = f"The probability stays at {probability:.2f} and no outline is left."
        return Verdict("negative", probability, self.threshold, rule, text)

    def _notices(self, lungs: Lungs) -> tuple[Notice, ...]:
        if lungs.found:
            return ()
        text = "The lungs could not be outlined; the share of the hemithorax and the shortcut check are left out."
        return (Notice("lungs-not-found", "warn", text),)


def _sizes(study: Study, mask: np.ndarray, lungs: Lungs) -> list[Measurement]:
    """Return the area on each side, and the share of each hemithorax, where there is an outline."""
    items = []
    for side, lung in (("right", lungs.right), ("left", lungs.left)):
        part = mask & patient_half(lungs, side, mask.shape)
        if not part.any():
            continue
        if study.pixel_spacing_known:
            _, dy, dx = study.spacing
            items.append(Measurement(f"Pneumothorax area, {side}", float(part.sum() * dy * dx), "mm2"))
        if lung.any():
            share = 100 * part.sum() / (part | lung).sum()
            items.append(Measurement(f"Share of the {side} hemithorax", float(share), "%"))
    return items
