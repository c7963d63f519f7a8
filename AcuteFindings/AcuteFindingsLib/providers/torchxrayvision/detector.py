"""TorchXRayVision behind the seams of detectors: one radiograph to a finding, and tables of single radiographs."""

from time import perf_counter

import numpy as np

from AcuteFindingsLib.detectors.detector import identity_of, slice_results
from AcuteFindingsLib.detectors.finding import Finding, Mask, Measurement, Verdict, mask_of
from AcuteFindingsLib.detectors.pneumothorax.kind import KIND
from AcuteFindingsLib.detectors.pneumothorax.scorer import LABEL
from AcuteFindingsLib.detectors.pneumothorax.shortcut import check_shortcuts
from AcuteFindingsLib.detectors.radiograph import split_lungs
from AcuteFindingsLib.detectors.radiograph_scorers import ChestScorer, LabelScorer, LungsScorer
from AcuteFindingsLib.detectors.registry import find_task
from AcuteFindingsLib.detectors.scoring import ImageScorer
from AcuteFindingsLib.errors import DetectionError
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.providers.provided import provider_notices
from AcuteFindingsLib.providers.torchxrayvision.networks import package_of, terms
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


class XrvPneumothoraxDetector:
    """Lungs, the 18 findings, and what the answer leans on; no outline.

    Parameters
    ----------
    chest, lungs
        As `load_chest` and `load_lungs` give them.
    """

    name = KIND.id

    def __init__(self, *, chest: TorchPredictor, lungs: TorchPredictor) -> None:
        self.chest, self.lungs = ChestScorer(chest), LungsScorer(lungs)
        self.threshold = chest.card.threshold("study", LABEL)
        self.package = package_of(task=self.name, version=chest.version, sha256=chest.sha256)

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        if study.intensity != "unit":
            raise DetectionError(f"{study.source_name} is a CT image; a radiograph is expected.")
        timings: dict[str, float] = {}
        image = study.array[len(study.array) // 2]

        clock = perf_counter()
        progress("Finding the lungs", 0.05)
        lungs = split_lungs(self.lungs.masks([image])[0])
        timings["lungs"] = perf_counter() - clock
        stop_if(cancelled)

        clock = perf_counter()
        progress("Looking for 18 findings", 0.4)
        chest = dict(zip(self.chest.labels, map(float, self.chest.probabilities([image])[0]), strict=True))
        whole = chest[LABEL]
        timings["network"] = perf_counter() - clock
        stop_if(cancelled)

        clock = perf_counter()
        progress("Checking what the answer depends on", 0.6)
        place = self.chest.labels.index(LABEL)
        shortcuts = check_shortcuts(
            image,
            lungs,
            whole,
            chest,
            threshold=self.threshold,
            chest=self.chest,
            ask=lambda pictures: self.chest.probabilities(pictures)[:, place],
        )
        heatmap = self.chest.heatmap(study, LABEL, of="TorchXRayVision's pneumothorax")
        timings["explain"] = perf_counter() - clock
        progress("Done", 1.0)

        probabilities = {LABEL: whole, **{name: value for name, value in chest.items() if name != LABEL}}
        verdict = self._verdict(whole)
        meanings = {label.name: label.meaning for label in self.chest.predictor.card.labels}
        measured = [Measurement("Pneumothorax probability, whole picture", whole, "1")]
        measured += [
            Measurement(f"Pneumothorax probability, {name}", value, "1")
            for name, value in shortcuts.probabilities.items()
        ]
        measured += [Measurement(f"Probability: {meanings[name]}", value, "1") for name, value in chest.items()]
        return Finding(
            detector=self.name,
            model=identity_of(self.package),
            verdict=verdict,
            slices=slice_results(
                study.sources, tuple(probabilities), np.tile(list(probabilities.values()), (len(study.sources), 1))
            ),
            main_label=LABEL,
            slice_threshold=self.threshold,
            ijk_to_ras=study.ijk_to_ras,
            display_window=(0.5, 1.0),
            positive_runs=((0, 0),) if verdict.label == "positive" else (),
            masks=_lung_segments(study, lungs.right, lungs.left),
            heatmap=heatmap,
            measurements=tuple(measured),
            warnings=(
                *provider_notices(terms(), self.chest.predictor.version),
                _NO_OUTLINE,
                *(() if lungs.found else (_NO_LUNGS,)),
                *shortcuts.notices,
            ),
            timings=timings,
            series_instance_uid=study.dicom.series_instance_uid,
            phantom=study.is_phantom,
        )

    def _verdict(self, probability: float) -> Verdict:
        rule = (
            f"Positive where TorchXRayVision's probability of pneumothorax, normalized to its own operating point, "
            f"reaches {self.threshold:.2f}; it draws no outline that could support the answer."
        )
        if probability >= self.threshold:
            text = f"The probability is {probability:.2f}; look at the picture for where it is."
            return Verdict("positive", probability, self.threshold, rule, text)
        return Verdict("negative", probability, self.threshold, rule, f"The probability stays at {probability:.2f}.")


class PneumothoraxOfChest(LabelScorer):
    """The probability of pneumothorax alone."""

    label = LABEL


def image_scorer(task: str, predictor: TorchPredictor) -> ImageScorer:
    """Return the scorer of single radiographs for a task; `predictor` as `load_chest` or `load_lungs` gives it."""
    return PneumothoraxOfChest(predictor) if task == LABEL else find_task(task).load_scorer()(predictor)


_NO_OUTLINE = Notice("no-outline", "warn", "TorchXRayVision detects a pneumothorax but draws no outline.")
_NO_LUNGS = Notice("lungs-not-found", "warn", "The lungs could not be outlined; the shortcut check is left out.")


def _lung_segments(study: Study, right: np.ndarray, left: np.ndarray) -> tuple[Mask, ...]:
    def volume(plane: np.ndarray) -> np.ndarray:
        out = np.zeros(study.array.shape, np.uint8)
        out[len(out) // 2] = plane
        return out

    # The kind's first segment is the finding, which nobody draws here.
    return tuple(
        mask_of(segment, volume(plane)) for segment, plane in zip(KIND.segments[1:], (right, left), strict=True)
    )
