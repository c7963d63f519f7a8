"""Single images through a model in batches, for tables of predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.special import expit

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxRule, outlines
from AcuteFindingsLib.detectors.radiograph import chest_probabilities, lung_masks, radiograph_settings
from AcuteFindingsLib.errors import DetectionError, ModelError
from AcuteFindingsLib.models.find import default_package, find_id, find_package
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.study.study import Study


@dataclass(frozen=True)
class Scores:
    """Probabilities ``(n, labels)``, and one bool mask ``(y, x)`` an image where the model draws them."""

    probabilities: np.ndarray
    masks: list[np.ndarray] | None = None


class ImageScorer(Protocol):
    """Scores single images; `labels` names the columns, none where the model gives masks only."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the columns."""
        ...

    def score(self, studies: Sequence[Study]) -> Scores:
        """Score one batch of single-image studies."""
        ...


def load_image_scorer(
    task: Task, *, model: str | None = None, device: str = "auto", folders: tuple[Path, ...] = ()
) -> ImageScorer:
    """Load the model for ``"hemorrhage"``, ``"pneumothorax"``, ``"chest"`` or ``"lungs"``.

    Raises
    ------
    ModelError
        The package is missing, damaged, made for another task, or lacks what its task needs.
    """
    package = find_package(model, task=task, folders=folders) if model else default_package(task, folders=folders)
    predictor = load_predictor(package, device=device)
    try:
        lungs = lungs_for(predictor, device=device, folders=folders) if task in ("pneumothorax", "chest") else None
        return image_scorer(task, predictor, lungs)
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model package {package.id} does not fit {task}: {error}") from error


def image_scorer(task: Task, predictor: Predictor, lungs: Predictor | None = None) -> ImageScorer:
    """Return the scorer of a loaded model; `lungs` as `lungs_for` gives it.

    Raises
    ------
    ValueError, KeyError
        The card lacks what its task needs.
    """
    if task == "hemorrhage":
        return _HemorrhageScorer(predictor)
    if task == "lungs":
        return _LungsScorer(predictor)
    return _PneumothoraxScorer(predictor, lungs) if task == "pneumothorax" else _ChestScorer(predictor, lungs)


def lungs_for(predictor: Predictor, *, device: str = "auto", folders: tuple[Path, ...] = ()) -> Predictor | None:
    """Load the model that outlines the lungs for a radiograph model that is shown part of the picture, else None.

    Raises
    ------
    ModelError
        It is missing or damaged.
    """
    if radiograph_settings(predictor).region == "whole":
        return None
    named = predictor.card.companions.get("lungs")
    package = find_id(named, task="lungs", folders=folders) if named else default_package("lungs", folders=folders)
    return load_predictor(package, device=device)


class _HemorrhageScorer:
    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = HemorrhageSettings.model_validate(predictor.card.preprocessing)
        self.labels = tuple(label.name for label in predictor.card.labels)

    def score(self, studies: Sequence[Study]) -> Scores:
        _refuse_several_slices(studies)
        prepared = [head_images(study, self.settings).images for study in studies]
        features = self.predictor.predict(np.stack(prepared), part="features")["features"]
        # Each image is a sequence of its own: none is the neighbor of another.
        return Scores(expit(self.predictor.predict(features[:, None], part="head")["slice"][:, 0]))


class _PneumothoraxScorer:
    labels = ("pneumothorax",)

    def __init__(self, predictor: Predictor, lungs: Predictor | None) -> None:
        self.predictor, self.lungs = predictor, lungs
        self.rule = PneumothoraxRule.model_validate(predictor.card.rule)
        self.empty_threshold = predictor.card.threshold("empty", "pneumothorax")

    def score(self, studies: Sequence[Study]) -> Scores:
        pictures = _pictures(studies)
        answers = outlines(pictures, self.predictor, _lungs_in(pictures, self.lungs))
        masks = [self.rule.kept(answer, self.empty_threshold) for answer in answers]
        return Scores(np.array([[answer.probability] for answer in answers]), masks)


class _ChestScorer:
    def __init__(self, predictor: Predictor, lungs: Predictor | None) -> None:
        self.predictor, self.lungs = predictor, lungs
        self.labels = tuple(label.name for label in predictor.card.labels)

    def score(self, studies: Sequence[Study]) -> Scores:
        pictures = _pictures(studies)
        return Scores(chest_probabilities(pictures, self.predictor, _lungs_in(pictures, self.lungs)))


class _LungsScorer:
    labels: tuple[str, ...] = ()

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def score(self, studies: Sequence[Study]) -> Scores:
        masks = lung_masks(_pictures(studies), self.predictor)
        return Scores(np.empty((len(masks), 0)), masks)


def _lungs_in(pictures: list[np.ndarray], lungs: Predictor | None) -> list[np.ndarray] | None:
    return None if lungs is None else lung_masks(pictures, lungs)


def _pictures(studies: Sequence[Study]) -> list[np.ndarray]:
    _refuse_several_slices(studies)
    for study in studies:
        if study.intensity != "unit":
            raise DetectionError(f"{study.source_name} is a CT image; a radiograph is expected.")
    return [study.array[0] for study in studies]


def _refuse_several_slices(studies: Sequence[Study]) -> None:
    for study in studies:
        if len(study.array) != 1:
            raise DetectionError(
                f"{study.source_name} holds {len(study.array)} slices; predict scores single images, run whole studies."
            )
