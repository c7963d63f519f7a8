"""TotalSegmentator in a process of its own: a CT in, masks by their names out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.own_process import run_child
from AcuteFindingsLib.providers.terms import Terms, read_terms
from AcuteFindingsLib.providers.volume_files import read_volume, write_volume

SCRIPT = "run_totalsegmentator.py"


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


def terms() -> Terms:
    """Return what a person has to know of TotalSegmentator."""
    return read_terms(Path(__file__).with_name("terms.json"))
