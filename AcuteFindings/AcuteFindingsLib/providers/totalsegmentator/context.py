"""A PE finding with what lies around the clots: lungs, heart, pulmonary vessels, and the RV/LV ratio."""

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter

import numpy as np

from AcuteFindingsLib.detectors.code import ANATOMICAL, LEFT_LUNG, RIGHT_LUNG
from AcuteFindingsLib.detectors.detector import Detector
from AcuteFindingsLib.detectors.finding import Code, Finding, Mask, Measurement
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.load import LoadedDetector, load_kind
from AcuteFindingsLib.errors import DetectionError, ProviderError
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of
from AcuteFindingsLib.providers.provider import Loading
from AcuteFindingsLib.providers.totalsegmentator.rv_lv_ratio import STRAIN_FROM, ventricle_diameters
from AcuteFindingsLib.providers.totalsegmentator.segmenter import Segmented, Segmenter, terms
from AcuteFindingsLib.providers.volume_files import ct_axial
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

TASKS = ("total_fast", "lung_vessels", "heartchambers_highres")
LICENSED = "heartchambers_highres"

# Segment name, the package's structures that make it up, SNOMED CT type, color; by task.
_Segment = tuple[str, tuple[str, ...], Code, tuple[float, float, float]]
SEGMENTS: Mapping[str, tuple[_Segment, ...]] = {
    "total_fast": (
        (
            "Right lung",
            ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
            RIGHT_LUNG,
            (0.30, 0.60, 0.85),
        ),
        ("Left lung", ("lung_upper_lobe_left", "lung_lower_lobe_left"), LEFT_LUNG, (0.35, 0.75, 0.60)),
        ("Heart", ("heart",), Code("SCT", "80891009", "Heart"), (0.80, 0.45, 0.40)),
    ),
    "lung_vessels": (
        ("Pulmonary arteries", ("lung_arteries",), Code("SCT", "81040000", "Pulmonary artery"), (0.25, 0.45, 0.90)),
        ("Pulmonary veins", ("lung_veins",), Code("SCT", "122972007", "Pulmonary vein"), (0.90, 0.35, 0.45)),
    ),
    LICENSED: (
        ("Right ventricle", ("heart_ventricle_right",), Code("SCT", "53085002", "Right ventricle"), (0.45, 0.35, 0.85)),
        ("Left ventricle", ("heart_ventricle_left",), Code("SCT", "87878005", "Left ventricle"), (0.85, 0.30, 0.30)),
    ),
}

_NAMES = {task: [name for _, names, _, _ in segments for name in names] for task, segments in SEGMENTS.items()}


class PEWithContext:
    """A PE detector of ours, whose finding TotalSegmentator adds segments and measurements to; the verdict stays.

    Parameters
    ----------
    detector
        Gives the verdict.
    segmenter
        TotalSegmentator.
    version
        Of its package.
    """

    def __init__(self, detector: Detector, segmenter: Segmenter, *, version: str) -> None:
        self.name = detector.name
        self.detector, self.segmenter, self.version = detector, segmenter, version

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect, then segment; a verdict that was reached is kept where segmenting fails."""

        finding = self.detector.run(study, progress=part_of(progress, 0.0, 0.4), cancelled=cancelled)
        clock = perf_counter()
        try:
            axial = ct_axial(study, "TotalSegmentator")
            segmented = self.segmenter.run(
                axial, TASKS, _NAMES, progress=part_of(progress, 0.4, 1.0), cancelled=cancelled
            )
        except (ProviderError, DetectionError) as error:
            text = f"Lungs, heart, vessels and RV/LV ratio are missing: {error}"
            return replace(finding, warnings=(*finding.warnings, Notice("context-missing", "warn", text)))
        measurements, notices = ventricles(segmented, axial)
        provider = terms()
        whose = Notice(
            "context-provider",
            "info",
            f"Lungs, heart and vessels were drawn by {provider.package} {self.version}; they did not enter the "
            f"verdict. Please cite: {provider.citations[0]}",
        )
        return replace(
            finding,
            masks=(*finding.masks, *segments_of(segmented, axial)),
            measurements=(*finding.measurements, *measurements),
            warnings=(*finding.warnings, whose, *notices),
            timings={**finding.timings, "context": perf_counter() - clock},
        )


def load_with_context(segmenter: Segmenter, kind: DetectorKind, how: Loading, *, base: str | None) -> LoadedDetector:
    """Return the detector of a model, the default one where `base` is None, with TotalSegmentator beside it."""
    own = load_kind(kind, model=base, device=how.device, folders=how.folders, load=how.load)
    known = segmenter.prepare(TASKS, progress=how.progress, cancelled=how.cancelled)
    return replace(own, detector=PEWithContext(own.detector, segmenter, version=known.version))


def segments_of(segmented: Segmented, axial: Axial) -> tuple[Mask, ...]:
    """Return the segments on the study's own grid; those of which nothing was found are left out."""
    masks = []
    for task, drawn in segmented.masks.items():
        for name, parts, code, color in SEGMENTS[task]:
            array = np.any([drawn[part] for part in parts], axis=0)
            if array.any():
                masks.append(Mask(name, axial.restore(array.astype(np.uint8)), ANATOMICAL, code, None, color))
    return tuple(masks)


def ventricles(segmented: Segmented, axial: Axial) -> tuple[tuple[Measurement, ...], tuple[Notice, ...]]:
    """Return the RV/LV ratio with both diameters, or the notice that says why there is none."""
    if LICENSED in segmented.skipped:
        text = f"The RV/LV ratio was not measured: TotalSegmentator's task {LICENSED}: {segmented.skipped[LICENSED]}."
        return (), (Notice("rv-lv-needs-licence", "info", text),)
    drawn = segmented.masks[LICENSED]
    found = ventricle_diameters(drawn["heart_ventricle_right"], drawn["heart_ventricle_left"], axial.spacing)
    if found is None:
        text = "The RV/LV ratio was not measured: the ventricles were not found whole."
        return (), (Notice("rv-lv-not-measured", "info", text),)
    measurements = (
        Measurement("RV/LV diameter ratio", found.ratio, "1"),
        Measurement("Right ventricle, widest axial diameter", found.right_mm, "mm"),
        Measurement("Left ventricle, widest axial diameter", found.left_mm, "mm"),
    )
    side = "at or above" if found.ratio >= STRAIN_FROM else "below"
    text = (
        f"The RV/LV diameter ratio is {found.ratio:.2f}, {side} {STRAIN_FROM:.1f}, from which on right heart strain is "
        "suspected (van der Meer 2005). The scan's phase of the heartbeat is unknown; measure again by hand."
    )
    return measurements, (Notice("rv-lv-ratio", "warn" if found.ratio >= STRAIN_FROM else "info", text),)
