"""Detectors whose model draws its finding in the whole volume at once; each kind has one of its own."""

from time import perf_counter
from typing import ClassVar

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.detector import model_notices
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.volume_finding import volume_finding
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.task import VOLUME_MASK
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


class VolumeDetector:
    """Volume → probability of each voxel → what is drawn, its parts and their volume → verdict."""

    kind: ClassVar[DetectorKind]

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.scorer = self.kind.scorer(VOLUME_MASK)(predictor)
        # What a card lacks is found before a network runs for minutes.
        self.rule = self.kind.load_rule(VOLUME_MASK).model_validate(predictor.card.rule)
        self.mask_threshold = predictor.card.threshold("mask", self.scorer.labels[0])

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`. Nothing is said of a study that was not read to its end."""
        clock = perf_counter()
        progress("Preparing the volume", 0.0)
        volume = self.scorer.prepare(study, progress=part_of(progress, 0.0, 0.05), cancelled=cancelled)
        timings = {"preprocess": perf_counter() - clock}

        clock = perf_counter()
        logits = self.scorer.infer(volume, progress=part_of(progress, 0.05, 0.95), cancelled=cancelled)
        timings["network"] = perf_counter() - clock

        stop_if(cancelled)
        clock = perf_counter()
        progress("Measuring what is drawn", 0.95)
        probability = self.scorer.restore(volume, logits)
        notices = (*model_notices(self.predictor), *region_notices(volume.axial, volume.box))
        # Each is as large as the study.
        del volume, logits
        restored = perf_counter() - clock
        stop_if(cancelled)
        finding = volume_finding(
            study,
            probability,
            kind=self.kind,
            model=self.predictor,
            notices=notices,
            timings=timings,
        )
        finding.timings["postprocess"] += restored
        progress("Done", 1.0)
        return finding


def region_notices(axial: Axial, box: tuple[slice, slice, slice]) -> tuple[Notice, ...]:
    """Say of which part of a study the network was shown nothing; `box` is what it was shown of the axial array."""
    read = [side.stop - side.start for side in box]
    if read == list(axial.array.shape):
        return ()
    depth, height, width = (count * step for count, step in zip(read, axial.spacing, strict=True))
    text = (
        f"The network read {width:.0f} × {height:.0f} mm of {counted(read[0], 'slice')} ({depth:.0f} mm) around the "
        "lungs and the heart. Nothing is said of the rest of the study, where probabilities are 0."
    )
    return (Notice("region-read", "info", text),)
