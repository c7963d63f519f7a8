"""TotalSegmentator: hemorrhage masks on head CT, and what a chest CT holds beside clots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.hemorrhage.detector import HEMORRHAGE
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.hemorrhage_result import (
    AREA_MM2,
    LABELS,
    Drawn,
    drawn_levels,
    hemorrhage_finding,
    points,
)
from AcuteFindingsLib.providers.own_process import run_child
from AcuteFindingsLib.providers.provided import ModelFacts, provided_package, provider_notices
from AcuteFindingsLib.providers.provider import find_provider
from AcuteFindingsLib.providers.volume_files import ct_axial, read_volume, write_volume
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

ID = "totalsegmentator"
SCRIPT = "run_totalsegmentator.py"

FACTS = ModelFacts(
    network="nnU-Net, task cerebral_bleed",
    labels=LABELS,
    points=points("the package draws masks; 0.5 tells drawn from not drawn"),
    preprocessing={},
    limitations="Made for intracerebral hemorrhage; other bleeds may be missed. It draws masks, no probabilities.",
    rule={},
)


@dataclass(frozen=True)
class Prepared:
    """What is known once the weights are there: version of the package, SHA-256 by task, tasks left out with reason."""

    version: str
    sha256: dict[str, str]
    skipped: dict[str, str]


@dataclass(frozen=True)
class Segmented:
    """What the package drew: by task, masks ``(z, y, x)`` bool on the axial grid by the package's own names."""

    masks: dict[str, dict[str, np.ndarray]]
    skipped: dict[str, str]


@dataclass(frozen=True)
class Segmenter:
    """TotalSegmentator in a process of its own.

    Attributes
    ----------
    python
        The Python that has the package.
    device
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    environment
        Variables added to this process's own.
    """

    python: Path
    device: str
    environment: Mapping[str, str] | None = None

    def prepare(
        self, tasks: Sequence[str], *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> Prepared:
        """Have the package fetch the weights of these tasks, less those that need a license which is not there.

        Raises
        ------
        ProviderError
            The weights cannot be fetched, or the package does not work.
        """
        with temporary_folder() as place:
            result = run_child(
                SCRIPT,
                {"do": "prepare", "tasks": list(tasks)},
                place,
                python=self.python,
                environment=self.environment,
                progress=progress,
                cancelled=cancelled,
            )
        return Prepared(result["version"], result["sha256"], result["skipped"])

    def run(
        self,
        axial: Axial,
        tasks: Sequence[str],
        names: Mapping[str, Sequence[str]],
        *,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> Segmented:
        """Segment a CT in axial order.

        Parameters
        ----------
        tasks
            Names as `children.run_totalsegmentator.TASKS` has them.
        names
            Which structures are wanted of each task.

        Raises
        ------
        ProviderError
            The package failed.
        """
        with temporary_folder() as folder:
            request = {
                "do": "run",
                "tasks": list(tasks),
                "input": str(write_volume(axial, folder / "input.nii.gz")),
                "device": self.device.replace("cuda", "gpu"),
            }
            result = run_child(
                SCRIPT,
                request,
                folder,
                python=self.python,
                environment=self.environment,
                progress=progress,
                cancelled=cancelled,
            )
            masks = {}
            for task, file in result["outputs"].items():
                labels, numbers = read_volume(folder / file, axial), result["labels"][task]
                masks[task] = {name: labels == numbers[name] for name in names[task]}
        return Segmented(masks, result["skipped"])


class TotalSegmentatorHemorrhage:
    """Head CT → the mask of the task cerebral_bleed → the rule over neighboring slices → volume."""

    name = "hemorrhage"

    def __init__(self, segmenter: Segmenter, package: ModelPackage) -> None:
        self.segmenter, self.package = segmenter, package

    def check(self, study: Study) -> tuple[Notice, ...]:
        """Say whether the study is a non-contrast head CT."""
        return check_study(study, find_kind(self.name).requirements)

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
            [Drawn("Hemorrhage", mask, HEMORRHAGE, (0.85, 0.15, 0.15))],
            drawn_levels(mask, axial.spacing),
            package=self.package,
            notices=(*provider_notices(find_provider(ID), self.package.version), only_masks),
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
    return provided_package(find_provider(ID), FACTS, task="hemorrhage", version=version, sha256=sha256)
