"""From a detector's name and a model package to a detector that runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from AcuteFindingsLib.detectors.detector import Detector
from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageDetector
from AcuteFindingsLib.detectors.pe.detector import PEDetector
from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxDetector
from AcuteFindingsLib.errors import DetectionError, ModelError
from AcuteFindingsLib.models.default_model import Choice
from AcuteFindingsLib.models.find import default_choice, find_id, find_package
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor

COMPANIONS: dict[Task, tuple[Task, ...]] = {"pe": (), "hemorrhage": (), "pneumothorax": ("lungs", "chest")}
"""Tasks of the further models that a detector needs beside its own."""

NAMED = "named for this run"
"""Why a model is used that was not left to `default_choice`."""


@dataclass(frozen=True)
class LoadedDetector:
    """A detector with its weights in memory, the packages they came from, and why these were taken."""

    detector: Detector
    package: ModelPackage
    companions: dict[Task, ModelPackage] = field(default_factory=dict)
    why: str = NAMED


def load_detector(
    name: str,
    *,
    model: str | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
    load: Callable[..., Predictor] | None = None,
) -> LoadedDetector:
    """Find, verify and load what a detector needs.

    Parameters
    ----------
    name
        ``"pe"``, ``"hemorrhage"`` or ``"pneumothorax"``.
    model
        Id of a model package, or a folder that holds one; None for the default.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    folders
        Where the user keeps packages of their own; looked at first.
    load
        Turns a package into a predictor; by default with torch.

    Raises
    ------
    DetectionError
        The name is none of the three.
    ModelError
        A package is missing, damaged, or made for another task.
    """
    if name not in COMPANIONS:
        raise DetectionError(f"There is no detector {name!r}; choose one of {', '.join(COMPANIONS)}.")
    if load is None:
        from AcuteFindingsLib.models.torch_predictor import load_predictor

        load = load_predictor
    own = cast(Task, name)
    if model:
        choice = Choice(find_package(model, task=own, folders=folders), NAMED)
    else:
        choice = default_choice(own, folders=folders)
    package = choice.model
    beside = companion_choices(package, own, folders=folders)
    companions = {task: other.model for task, other in beside.items()}
    predictor = load(package, device=device)
    others = {task: load(other, device=device) for task, other in companions.items()}
    why = "; ".join((choice.reason, *(f"{task} by {other.model.id}, {other.reason}" for task, other in beside.items())))
    return LoadedDetector(_build(name, predictor, others), package, companions, why)


def companion_packages(
    package: ModelPackage, detector: Task, *, folders: tuple[Path, ...] = ()
) -> dict[Task, ModelPackage]:
    """Return the further packages that a detector's model runs with: those its card names, else the defaults.

    Raises
    ------
    ModelError
        One is missing or damaged.
    """
    return {task: choice.model for task, choice in companion_choices(package, detector, folders=folders).items()}


def companion_choices(
    package: ModelPackage, detector: Task, *, folders: tuple[Path, ...] = ()
) -> dict[Task, Choice[ModelPackage]]:
    """Return what `companion_packages` returns, each with why it is the one; raises as it does."""
    named = package.card.companions
    return {
        task: Choice(find_id(named[task], task=task, folders=folders), f"named by {package.id}")
        if task in named
        else default_choice(task, folders=folders)
        for task in COMPANIONS[detector]
    }


def _build(name: str, predictor: Predictor, others: dict[Task, Predictor]) -> Detector:
    try:
        if name == "pe":
            return PEDetector(predictor)
        if name == "hemorrhage":
            return HemorrhageDetector(predictor)
        return PneumothoraxDetector(predictor, lungs=others["lungs"], chest=others["chest"])
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model package {predictor.card.id} does not fit the {name} detector: {error}") from error
