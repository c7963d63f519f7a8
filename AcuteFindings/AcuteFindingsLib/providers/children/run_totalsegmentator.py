"""TotalSegmentator on one NIfTI file: ``do`` is ``"prepare"`` (fetch weights) or ``"run"``; see `child_tools`.

Request: ``tasks`` (names of `TASKS`), for a run also ``input`` (file) and ``device`` (``"cpu"``, ``"gpu:1"``).
Result: ``version``, ``sha256`` by task, ``outputs`` (task → file with the labels), ``labels`` (task → name → number),
``license`` (whether one for the licensed tasks is installed), ``skipped`` (task → reason).
"""

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

from child_tools import ChildError, Telling, file_sha256, nothing_executed, serve

TASKS: dict[str, dict[str, Any]] = {
    "cerebral_bleed": {"task": "cerebral_bleed", "fast": False, "weights": (298, 150)},
    "total_fast": {"task": "total", "fast": True, "weights": (297,)},
    "lung_vessels": {"task": "lung_vessels", "fast": False, "weights": (297, 117)},
    "heartchambers_highres": {"task": "heartchambers_highres", "fast": False, "weights": (297, 301)},
}
"""What each is called with, and the numbers of the weights it needs: first those it crops with, last its own."""

NO_LICENSE = "it needs a license of its authors, and none is installed"


def work(request: dict[str, Any], folder: Path, tell: Telling) -> dict[str, Any]:
    """Prepare or run."""
    tell("Starting TotalSegmentator", 0.0)
    import totalsegmentator.libs as libs
    from totalsegmentator.config import has_valid_license_offline, setup_nnunet, setup_totalseg
    from totalsegmentator.registry import requires_license

    setup_nnunet()
    setup_totalseg()
    licensed = has_valid_license_offline()[0] == "yes"
    # The license rule is the package's own; a task it asks a license for is never run without.
    skipped = {name: NO_LICENSE for name in request["tasks"] if requires_license(TASKS[name]["task"]) and not licensed}
    names = [name for name in request["tasks"] if name not in skipped]
    numbers = list(dict.fromkeys(number for name in names for number in TASKS[name]["weights"]))
    for done, number in enumerate(numbers):
        fetch(libs, number, lambda text, share, done=done: tell(text, 0.3 * (done + share) / len(numbers)))
    result: dict[str, Any] = {
        "version": importlib.metadata.version("TotalSegmentator"),
        "sha256": {name: file_sha256(checkpoint_of(TASKS[name]["weights"][-1])) for name in names},
        "license": licensed,
        "skipped": skipped,
    }
    if request["do"] == "run":
        result.update(segment(request, names, folder, tell))
    return result


def fetch(libs: Any, number: int, tell: Any) -> None:
    """Have the package fetch the weights with this number, where they are not there yet."""
    place = weights_folder(number)
    if place.exists():
        return

    class Bar:
        """Stands in for the package's progress bar on stderr."""

        def __init__(self, *, total: int = 0, **_others: Any) -> None:
            self.total, self.count = total, 0

        def update(self, count: int) -> None:
            self.count += count
            share = self.count / self.total if self.total else 0.0
            tell(f"Fetching weights {number} of TotalSegmentator ({self.count / 1e6:.0f} MB)", min(share, 1.0))

        def close(self) -> None:
            return

    import requests

    tell(f"Fetching weights {number} of TotalSegmentator", 0.0)
    original, libs.tqdm = libs.tqdm, Bar
    try:
        libs.download_pretrained_weights(number)
    except (requests.RequestException, OSError) as error:
        raise ChildError(
            f"The weights {place.name} could not be fetched ({type(error).__name__}): check the connection and the "
            f"proxy, or unpack them by hand as {place}."
        ) from error
    finally:
        libs.tqdm = original
    if not place.exists():
        raise ChildError(f"The weights {place.name} could not be fetched; unpack them by hand as {place}.")


def weights_folder(number: int) -> Path:
    """Return where the package keeps the weights with this number."""
    from totalsegmentator.config import get_weights_dir
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

    return Path(get_weights_dir()) / TASK_ID_WEIGHTS_CONFIGS[number]["foldername"]


def checkpoint_of(number: int) -> Path:
    """Return the checkpoint with this number."""
    found = sorted(weights_folder(number).glob("*/fold_0/checkpoint_final.pth"))
    if not found:
        raise ChildError(
            f"{weights_folder(number)} holds no checkpoint; delete the folder, so that it is fetched again."
        )
    return found[0]


def segment(request: dict[str, Any], names: list[str], folder: Path, tell: Telling) -> dict[str, Any]:
    """Run the tasks one after another."""
    import nibabel
    import totalsegmentator.python_api as api
    from totalsegmentator.map_to_binary import class_map

    # The package reports every use to its authors unless it is told not to; a study's use is nobody's business.
    api.send_usage_stats = lambda *_arguments, **_named: None
    outputs, labels = {}, {}
    for number, name in enumerate(names):
        settings = TASKS[name]
        tell(f"TotalSegmentator: {settings['task']}", 0.3 + 0.65 * number / max(len(names), 1))
        image = nibabel.load(request["input"])
        with nothing_executed():
            answer = api.totalsegmentator(
                image,
                None,
                ml=True,
                task=settings["task"],
                fast=settings["fast"],
                device=request["device"],
                quiet=True,
                nr_thr_resamp=1,
                nr_thr_saving=1,
            )
        target = folder / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(answer.get_fdata().astype("uint8"), image.affine), target)
        outputs[name] = target.name
        labels[name] = {label: value for value, label in class_map[settings["task"]].items()}
    tell("TotalSegmentator is done", 1.0)
    return {"outputs": outputs, "labels": labels}


if __name__ == "__main__":
    sys.exit(serve(work))
