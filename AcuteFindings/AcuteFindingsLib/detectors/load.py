"""From a detector's name and a model package to a detector that runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from AcuteFindingsLib.detectors.detector import Detector
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.default_model import Choice
from AcuteFindingsLib.models.find import default_choice, find_id, find_package
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor

NAMED = "named for this run"
"""Why a model is used that was not left to `default_choice`."""


@dataclass(frozen=True)
class LoadedDetector:
    """A detector with its weights in memory, the packages they came from, and why these were taken.

    `predictors` are the models by their task, the one of the verdict first; none where another program computes them.
    """

    detector: Detector
    package: ModelPackage
    companions: dict[Task, ModelPackage] = field(default_factory=dict)
    why: str = NAMED
    predictors: dict[Task, Predictor] = field(default_factory=dict)


def load_detector(
    name: str,
    *,
    model: str | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
    load: Callable[..., Predictor] | None = None,
) -> LoadedDetector:
    """Load the detector of a name; see `load_kind`.

    Raises
    ------
    DetectionError
        There is no detector of that name.
    ModelError
        A package is missing, damaged, or made for another task.
    """
    return load_kind(find_kind(name), model=model, device=device, folders=folders, load=load)


def load_kind(
    kind: DetectorKind,
    *,
    model: str | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
    load: Callable[..., Predictor] | None = None,
) -> LoadedDetector:
    """Find, verify and load what a detector needs.

    Parameters
    ----------
    kind
        The detector, registered or not.
    model
        Id of a model package, or a folder that holds one; None for the default.
    device
        One of `models.device.DEVICES`.
    folders
        Where the user keeps packages of their own; looked at first.
    load
        Turns a package into a predictor; by default with torch.

    Raises
    ------
    ModelError
        A package is missing, damaged, or made for another task.
    """
    if load is None:
        from AcuteFindingsLib.models.load import load_predictor

        load = load_predictor
    if model:
        choice = Choice(find_package(model, task=kind.task.made_for, folders=folders), NAMED)
    else:
        choice = default_choice(kind.task.made_for, folders=folders)
    package = choice.model
    beside = choose_companions(package, kind, folders=folders)
    companions = {task: other.model for task, other in beside.items()}
    predictor = load(package, device=device)
    others = {task: load(other, device=device) for task, other in companions.items()}
    why = "; ".join((choice.reason, *(f"{task} by {other.model.id}, {other.reason}" for task, other in beside.items())))
    try:
        detector = kind.load_detector_class(package.card.form)(predictor, **others)
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model package {package.id} does not fit the {kind.id} detector: {error}") from error
    return LoadedDetector(detector, package, companions, why, {kind.task.id: predictor, **others})


def companion_packages(
    package: ModelPackage, detector: str, *, folders: tuple[Path, ...] = ()
) -> dict[Task, ModelPackage]:
    """Return the further packages that a detector's model runs with: those its card names, else the defaults.

    Raises
    ------
    DetectionError
        There is no detector of that name.
    ModelError
        A package is missing or damaged.
    """
    return {task: choice.model for task, choice in companion_choices(package, detector, folders=folders).items()}


def companion_choices(
    package: ModelPackage, detector: str, *, folders: tuple[Path, ...] = ()
) -> dict[Task, Choice[ModelPackage]]:
    """Return what `companion_packages` returns, each with why it is the one; raises as it does."""
    return choose_companions(package, find_kind(detector), folders=folders)


def choose_companions(
    package: ModelPackage, kind: DetectorKind, *, folders: tuple[Path, ...] = ()
) -> dict[Task, Choice[ModelPackage]]:
    """Return the further packages of a kind's model, each with why it is the one; raises `ModelError` as above."""
    named = package.card.companions
    return {
        task.id: Choice(find_id(named[task.id], task=task.made_for, folders=folders), f"named by {package.id}")
        if task.id in named
        else default_choice(task.made_for, folders=folders)
        for task in kind.companions
    }
