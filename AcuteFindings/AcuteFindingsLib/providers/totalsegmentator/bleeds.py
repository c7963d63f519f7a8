"""Bleeds on head CT, drawn by TotalSegmentator's task cerebral_bleed."""

from time import perf_counter

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.hemorrhage.drawn import (
    AREA_MM2,
    BLEED,
    LABELS,
    Drawn,
    drawn_levels,
    hemorrhage_finding,
    points,
)
from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.provided import ModelFacts, provided_package, provider_notices
from AcuteFindingsLib.providers.totalsegmentator.segmenter import Segmenter, terms
from AcuteFindingsLib.providers.volume_files import ct_axial
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

FACTS = ModelFacts(
    network="nnU-Net, task cerebral_bleed",
    labels=LABELS,
    points=points("the package draws masks; 0.5 tells drawn from not drawn"),
    preprocessing={},
    limitations="Made for intracerebral hemorrhage; other bleeds may be missed. It draws masks, no probabilities.",
    rule={},
)


class TotalSegmentatorHemorrhage:
    """Head CT → the mask of the task cerebral_bleed → the rule over neighboring slices → volume."""

    name = KIND.id

    def __init__(self, segmenter: Segmenter, package: ModelPackage) -> None:
        self.segmenter, self.package = segmenter, package

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        axial = ct_axial(study, "TotalSegmentator")
        clock = perf_counter()
        task, structure = "cerebral_bleed", "intracerebral_hemorrhage"
        segmented = self.segmenter.run(axial, [task], {task: [structure]}, progress=progress, cancelled=cancelled)
        mask = segmented.masks[task][structure]
        only_masks = Notice(
            "no-probabilities",
            "warn",
            "TotalSegmentator draws a mask and gives no probabilities: 1 stands for a slice with a drawn bleed, 0 for "
            "one without. It was made for intracerebral hemorrhage; bleeds outside the brain may be missed.",
        )
        return hemorrhage_finding(
            study,
            axial,
            [Drawn(BLEED.name, mask, BLEED.type, BLEED.color)],
            drawn_levels(mask, axial.spacing),
            package=self.package,
            notices=(*provider_notices(terms(), self.package.version), only_masks),
            timings={"network": perf_counter() - clock},
            rule_words=f"a slice is positive where at least {AREA_MM2:.0f} mm² of bleed are drawn in it",
        )


def load_hemorrhage(
    segmenter: Segmenter, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> TotalSegmentatorHemorrhage:
    """Have the package fetch its weights, and return the detector."""
    known = segmenter.prepare(["cerebral_bleed"], progress=progress, cancelled=cancelled)
    package = package_of(version=known.version, sha256=known.sha256["cerebral_bleed"])
    return TotalSegmentatorHemorrhage(segmenter, package)


def package_of(*, version: str, sha256: str) -> ModelPackage:
    """Return the model package that stands for the task cerebral_bleed."""
    return provided_package(terms(), FACTS, task=KIND.id, version=version, sha256=sha256)
