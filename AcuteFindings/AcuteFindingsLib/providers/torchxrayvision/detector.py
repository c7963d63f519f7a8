"""TorchXRayVision behind the seams of detectors: one radiograph to a finding, and tables of single radiographs."""

from time import perf_counter

from AcuteFindingsLib.detectors.detector import identity_of
from AcuteFindingsLib.detectors.finding import Finding, Verdict
from AcuteFindingsLib.detectors.pneumothorax.answer import radiograph_finding
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
        reading = self.chest.read(image)
        chest = reading.probabilities
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
            reading,
            threshold=self.threshold,
            ask=lambda pictures: self.chest.probabilities(pictures)[:, place],
        )
        heatmap = reading.heatmap(study, LABEL, of="TorchXRayVision's pneumothorax")
        timings["explain"] = perf_counter() - clock
        progress("Done", 1.0)

        return radiograph_finding(
            study,
            self._verdict(whole),
            model=identity_of(self.package),
            lungs=lungs,
            outline=None,
            chest=chest,
            labels=self.chest.predictor.card.labels,
            shortcuts=shortcuts,
            heatmap=heatmap,
            notices=(
                *provider_notices(terms(), self.chest.predictor.version),
                _NO_OUTLINE,
                *(() if lungs.found else (_NO_LUNGS,)),
            ),
            timings=timings,
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
    if task == LABEL:
        return PneumothoraxOfChest(predictor)
    return find_task(task).load_scorer(predictor.card.form)(predictor)


_NO_OUTLINE = Notice(
    "no-outline", "warn", "TorchXRayVision says whether there is a pneumothorax, not where: it draws no outline."
)
_NO_LUNGS = Notice("lungs-not-found", "warn", "The lungs could not be outlined; the shortcut check is left out.")
