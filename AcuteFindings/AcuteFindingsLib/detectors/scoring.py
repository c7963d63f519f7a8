"""The one way from a study to probabilities and masks: what a model is shown, what it says, and where it looked.

Each task of a kind names its scorer (`ModelTask.scorer`); detectors, tables of single images, explanations, the scoring
of training and MONAI's bundles all use that one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from AcuteFindingsLib.detectors.registry import find_task
from AcuteFindingsLib.errors import DetectionError, ModelError
from AcuteFindingsLib.models.find import default_package, find_id, find_package
from AcuteFindingsLib.models.heat import scale_maps
from AcuteFindingsLib.models.predictor import Explained, Predictor
from AcuteFindingsLib.models.task import VOLUME_MASK
from AcuteFindingsLib.preprocessing.square import Shown
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress
from AcuteFindingsLib.study.study import SourceSlice, Study


class Images(Protocol):
    """Images as a network wants them, held in memory or made when they are read; an array is one too."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """Return some of them: ``(n, channels, y, x)`` float32."""
        ...


class Prepared(Images, Protocol):
    """What a network is shown of a study, and the way back."""

    @property
    def sources(self) -> tuple[SourceSlice, ...]:
        """Return the slices that the answers speak of; none for radiographs, each of which is a study of its own."""
        ...

    def at_sources(self, values: np.ndarray) -> np.ndarray:
        """Bring ``(n, labels)`` values of the images to the sources: ``(sources, labels)``."""
        ...

    def picture(self, number: int, image: np.ndarray, /) -> np.ndarray:
        """Return image `number`, which the network is shown as ``(channels, y, x)``, as people see it: 0..1."""
        ...

    def shown(self, number: int, /) -> Shown | None:
        """Return what of its picture image `number` shows; None where the picture is the image itself."""
        ...


@dataclass(frozen=True)
class Looked:
    """Where a model looked in images, small.

    Attributes
    ----------
    maps
        ``(n, labels, y, x)`` float32, at least 0, as `Predictor.predict_explained` gives them.
    probability
        ``(n, labels)``: of each image by itself.
    drawn
        Whether the maps are probabilities themselves, which are not stretched (`models.heat.scale_maps`).
    """

    maps: np.ndarray
    probability: np.ndarray
    drawn: bool = False

    def heat(
        self,
        images: Sequence[int] | np.ndarray,
        index: int,
        shape_yx: tuple[int, int],
        probability: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return heat maps of some images for a label: ``(len(images), *shape_yx)`` in 0..1.

        Each reaches as high as the image's `probability`, that of the image by itself when None; one that the model
        draws itself reaches no higher.
        """
        chosen = np.asarray(images, int)
        if probability is None:
            probability = self.probability[chosen, index]
        return scale_maps(self.maps[chosen, index], probability, shape_yx, drawn=self.drawn)


@dataclass(frozen=True)
class Drawn:
    """What a model draws in images by itself.

    Attributes
    ----------
    mask, attention
        ``(n, y, x)`` float32 in 0..1 at the network's size or smaller; None where the model has none.
    threshold
        From where on the mask counts.
    """

    mask: np.ndarray | None = None
    attention: np.ndarray | None = None
    threshold: float = 0.5


@dataclass(frozen=True)
class Answer:
    """What a model says of images.

    Attributes
    ----------
    images
        ``(n, labels)``: probability of each of `Scorer.labels` for each image.
    study
        Probability by label of all images as one study, the one of the verdict first; empty where every image is a
        study of its own.
    soft
        ``(n, y, x)`` float32: probability of the mask of each image at the network's size; None without one.
    looked
        Where the model looked, if that was asked for and comes in the same pass (`Predictor.one_pass`).
    drawn
        What it drew, if it was asked where it looked.
    """

    images: np.ndarray
    study: dict[str, float] = field(default_factory=dict)
    soft: np.ndarray | None = None
    looked: Looked | None = None
    drawn: Drawn = field(default_factory=Drawn)


@dataclass(frozen=True)
class Scores:
    """Probabilities ``(n, labels)``, and one bool mask ``(y, x)`` an image where the model draws them."""

    probabilities: np.ndarray
    masks: list[np.ndarray] | None = None


class ImageScorer(Protocol):
    """Scores single images by `predictor`; `labels` names the columns, none where the model gives masks only."""

    predictor: Predictor

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the columns."""
        ...

    def score(self, studies: Sequence[Study]) -> Scores:
        """Score one batch of single-image studies; raises `DetectionError` where one is none."""
        ...


class Scorer(Protocol):
    """One model and the one way through it.

    A class that is one is called with a predictor and, by the tasks in `needs`, with further predictors. It raises
    `ValueError` or `KeyError` where the card lacks what the task needs. Where its task is one of single images, it is
    an `ImageScorer` too.

    Attributes
    ----------
    predictor
        The model.
    labels
        The labels of single images, of which `Answer.images` has a column each.
    needs
        Tasks of the further models without which it is not shown its images.
    """

    predictor: Predictor
    labels: tuple[str, ...]
    needs: tuple[str, ...]

    @staticmethod
    def images_of(study: Study, settings: Any) -> Prepared:
        """Prepare a study by the numbers of a card alone, before any network is there."""
        ...

    def prepare(self, study: Study) -> Prepared:
        """Window, crop, mask and resize a study; raises `StudyError` where it is of another kind."""
        ...

    def infer(
        self,
        images: Images,
        *,
        explain: bool = False,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> Answer:
        """Let the network answer and, with `explain`, say in the same pass where it looked and what it drew.

        Raises `CancelledError` within one batch, `ModelError` where the model lacks an output.
        """
        ...

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return where the model looked for a label in each image: ``(n, y, x)`` in 0..1 at the network's size.

        How it was found says `Predictor.explanation`. The network runs for this; `infer` gives the same without.
        """
        ...


def load_scorer(task: str, *, model: str | None = None, device: str = "auto", folders: tuple[Path, ...] = ()) -> Any:
    """Find, verify and load the model of a task with what it needs; return its `Scorer`.

    Raises
    ------
    ModelError
        A package is missing, damaged, made for another task, or lacks what its task needs; or its model is not shown
        images one by one.
    """
    from AcuteFindingsLib.models.load import load_predictor

    own = find_task(task)
    package = (
        find_package(model, task=own.made_for, folders=folders)
        if model
        else default_package(own.made_for, folders=folders)
    )
    if package.card.form == VOLUME_MASK:
        raise ModelError(
            f"The model {package.id} reads a whole volume at once, not image by image, and draws what it finds: "
            "`acutefindings run` shows that."
        )
    predictor = load_predictor(package, device=device)
    try:
        make = own.load_scorer(package.card.form)
        scorer = make(predictor)
        if not scorer.needs:
            return scorer
        named = package.card.companions
        needed = {
            name: find_id(named[name], task=name, folders=folders)
            if name in named
            else default_package(name, folders=folders)
            for name in scorer.needs
        }
        return make(predictor, **{name: load_predictor(other, device=device) for name, other in needed.items()})
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model package {package.id} does not fit {task}: {error}") from error


def answers_of(
    predictor: Predictor,
    images: Images,
    *,
    size: int,
    part: str,
    progress: Progress,
    cancelled: Cancelled,
    explain: Sequence[str] = (),
    then: str = "",
) -> Iterator[Explained]:
    """Yield what one part of a network says of images, batch by batch.

    The maps of the outputs to `explain`, of the part `then`, come with it where they come in the same pass; else there
    are none.
    """
    for chosen in batches(
        len(images), size, text="Reading slices", progress=progress, cancelled=cancelled, span=(0.0, 1.0)
    ):
        if explain and predictor.one_pass:
            yield predictor.predict_explained(images[chosen], outputs=explain, part=part, then=then)
        else:
            yield Explained(predictor.predict(images[chosen], part=part), {})


def refuse_several_slices(studies: Sequence[Study]) -> None:
    """Raise `DetectionError` where a study is not a single image."""
    for study in studies:
        if len(study.array) != 1:
            raise DetectionError(
                f"{study.source_name} holds {len(study.array)} slices; predict scores single images, run whole studies."
            )
