"""What models of radiographs are shown, what they say, and where they looked: lungs and chest findings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import expit

from AcuteFindingsLib.detectors.finding import Heatmap
from AcuteFindingsLib.detectors.radiograph import (
    Flipped,
    Radiographs,
    RadiographSettings,
    read_flipped,
    show_pictures,
    two_largest,
)
from AcuteFindingsLib.detectors.scoring import Answer, Drawn, Images, Looked, Scores, refuse_several_slices
from AcuteFindingsLib.errors import DetectionError, ModelError
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.study import Study

# Pixels that a network is shown at once: seven pictures of 256 pixels a side with their mirror images, as a shortcut
# check asks for, or three of 512, of which a public U-Net takes a tenth of a gigabyte each.
_MOST_PIXELS = 2**20 - 1


class RadiographScorer:
    """What all have in common: a `scoring.Scorer` and `ImageScorer` but for what the outputs mean.

    Parameters
    ----------
    predictor
        The model.
    lungs
        Outlines the lungs for a model that is shown part of the picture.
    """

    outputs: tuple[str, ...] = ("mask",)
    mask = ""
    labels: tuple[str, ...] = ()

    def __init__(self, predictor: Predictor, lungs: Predictor | None = None) -> None:
        self.predictor, self.lungs = predictor, lungs
        self.settings = RadiographSettings.model_validate(predictor.card.preprocessing)
        self.threshold = predictor.card.threshold("mask", self.mask) if self.mask else 0.5
        self.needs: tuple[str, ...] = () if self.settings.region == "whole" else ("lungs",)

    @staticmethod
    def images_of(study: Study, settings: RadiographSettings) -> Radiographs:
        """Prepare the picture of a study; raises `DetectionError` where it is a CT."""
        return show_pictures([picture_of(study)], settings)

    def prepare(self, study: Study) -> Radiographs:
        """Prepare the picture of a study, as much of it as the model is shown."""
        return self.prepare_pictures([picture_of(study)])

    def prepare_pictures(
        self, pictures: Sequence[np.ndarray], lungs: Sequence[np.ndarray] | None = None
    ) -> Radiographs:
        """Prepare ``(y, x)`` pictures in 0..1; the lungs model outlines the `lungs` that are needed and not given."""
        if lungs is None and self.lungs is not None:
            lungs = LungsScorer(self.lungs).masks(pictures)
        return show_pictures(pictures, self.settings, lungs)

    def infer(
        self,
        images: Images,
        *,
        explain: bool = False,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> Answer:
        """Let the network answer for all images in one batch."""
        stop_if(cancelled)
        progress("Reading the pictures", 0.0)
        said = self.ask(images, explain=explain)
        answer = self.answer(said.probabilities)
        if not explain:
            return answer
        looked = self.looked(said.maps, said.plain) if said.maps else None
        drawn = Drawn(answer.soft, threshold=self.threshold) if self.mask else Drawn()
        return replace(answer, looked=looked, drawn=drawn)

    def ask(self, images: Images, *, explain: bool = False) -> Flipped:
        """Return all that the network gives for images; raises `ModelError` where it gives nothing of `outputs`."""
        at_once = max(1, _MOST_PIXELS // (self.settings.size**2 * (2 if self.settings.flip else 1)))
        explained = self.outputs if explain else ()
        read = [
            read_flipped(self.predictor, images[start : start + at_once], self.settings, explain=explained)
            for start in range(0, max(1, len(images)), at_once)
        ]
        said = read[0] if len(read) == 1 else _joined(read)
        if not any(name in said.probabilities for name in self.outputs):
            card, needed = self.predictor.card, " or ".join(self.outputs)
            raise ModelError(f"The model {card.id!r} gives no {needed}, which the task {card.task!r} needs.")
        return said

    def looked(self, maps: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> Looked:
        """Join the maps of the outputs explained, and the probabilities of pictures as they are, for the labels."""
        given = [name for name in self.outputs if name in maps]
        highest = [plain[name].reshape(*plain[name].shape[:2], -1).max(axis=2) for name in given]
        return Looked(np.concatenate([maps[name] for name in given], axis=1), np.concatenate(highest, axis=1))

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Say what the network's outputs, as probabilities, mean."""
        raise NotImplementedError

    def score(self, studies: Sequence[Study]) -> Scores:
        """Score single radiographs."""
        refuse_several_slices(studies)
        prepared = self.prepare_pictures([picture_of(study) for study in studies])
        answer = self.infer(prepared)
        return Scores(answer.images, self.image_masks(prepared, answer) if self.mask else None)

    def image_masks(self, prepared: Radiographs, answer: Answer) -> list[np.ndarray]:
        """Return what counts of the masks, ``(y, x)`` bool on each picture."""
        assert answer.soft is not None
        return [prepared.on_picture(number, square) >= self.threshold for number, square in enumerate(answer.soft)]

    def look(self, images: np.ndarray) -> Looked:
        """Return where the model looked for every label; of a mask, what it rests on as a whole."""
        said = self.predictor.predict_explained(images, outputs=self.outputs)
        return self.looked(said.maps, {name: expit(value) for name, value in said.outputs.items()})

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return where the model looked for a label in each picture."""
        return self.look(images).heat(range(len(images)), index, (images.shape[-2], images.shape[-1]))


VIEWS = ("AP", "PA", "lateral")
"""What the output ``views`` of a lungs model counts (docs/sources.md 6)."""


@dataclass(frozen=True)
class LungsReading:
    """What a lungs model says of one picture.

    Attributes
    ----------
    mask
        ``(y, x)`` bool: both lungs.
    views
        How probable each of `VIEWS` is; empty for a model that does not say.
    """

    mask: np.ndarray
    views: dict[str, float]


class LungsScorer(RadiographScorer):
    """Both lung fields: masks, no probabilities."""

    mask = "lungs"

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Return the masks."""
        soft = outputs["mask"][:, 0]
        return Answer(np.empty((len(soft), 0)), soft=soft)

    def masks(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outline the lungs in ``(y, x)`` pictures: one bool mask each, the two largest parts, holes filled."""
        return [reading.mask for reading in self.read(pictures)]

    def read(self, pictures: Sequence[np.ndarray]) -> list[LungsReading]:
        """Outline the lungs in ``(y, x)`` pictures as `masks`, and say which views they are where the model knows."""
        prepared = self.prepare_pictures(pictures)
        said = self.ask(prepared).probabilities
        masks = self.image_masks(prepared, self.answer(said))
        views = said.get("views", np.empty((len(masks), 0)))
        return [
            LungsReading(mask, dict(zip(VIEWS, map(float, view), strict=False)))
            for mask, view in zip(masks, views, strict=True)
        ]

    def image_masks(self, prepared: Radiographs, answer: Answer) -> list[np.ndarray]:
        """Return the two largest parts, holes filled."""
        return [two_largest(mask) for mask in super().image_masks(prepared, answer)]


class ChestScorer(RadiographScorer):
    """Findings and tubes: probabilities alone, in the order of the card's labels."""

    outputs = ("pathologies", "tubes")

    def __init__(self, predictor: Predictor, lungs: Predictor | None = None) -> None:
        super().__init__(predictor, lungs)
        self.labels = tuple(label.name for label in predictor.card.labels)

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Join findings and tubes."""
        return Answer(np.concatenate([outputs[name] for name in self.outputs if name in outputs], axis=1))

    def probabilities(self, pictures: Sequence[np.ndarray], lungs: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Return ``(n, labels)`` of ``(y, x)`` pictures; `lungs` as in `prepare_pictures`."""
        return self.infer(self.prepare_pictures(pictures, lungs)).images

    def read(self, picture: np.ndarray, lungs: np.ndarray | None = None) -> "ChestReading":
        """Read one picture ``(y, x)`` in 0..1, and where the network looked, in one pass."""
        prepared = self.prepare_pictures([picture], None if lungs is None else [lungs])
        return ChestReading(self, prepared, self.infer(prepared, explain=True))


@dataclass(frozen=True)
class ChestReading:
    """What a chest model says of one picture.

    Attributes
    ----------
    scorer
        Of the model.
    prepared, answer
        What it was shown, and its answer.
    """

    scorer: ChestScorer
    prepared: Radiographs
    answer: Answer

    @property
    def probabilities(self) -> dict[str, float]:
        """Return the probability of each label."""
        return dict(zip(self.scorer.labels, map(float, self.answer.images[0]), strict=True))

    @cached_property
    def _looked(self) -> Looked:
        return self.answer.looked or self.scorer.look(self.prepared[:])

    def where(self, label: str) -> np.ndarray:
        """Return where the network looked for a label: ``(y, x)`` in 0..1 on the picture."""
        size = self.scorer.settings.size
        heat = self._looked.heat([0], self.scorer.labels.index(label), (size, size))
        return self.prepared.on_picture(0, heat[0])

    def heatmap(self, study: Study, label: str, *, of: str) -> Heatmap:
        """Show on the grid of the picture's study where the network looked; `of` says whose map it is."""
        heat = np.zeros(study.array.shape, np.uint8)
        heat[len(study.array) // 2] = np.rint(255 * np.clip(self.where(label), 0, 1))
        return Heatmap(f"{self.scorer.predictor.explanation} of {of}", heat, study.ijk_to_ras)


class LabelScorer(ChestScorer):
    """One label of a chest model; subclasses name it. Raises `ValueError` for a model without it."""

    label = ""

    def __init__(self, predictor: Predictor, lungs: Predictor | None = None) -> None:
        super().__init__(predictor, lungs)
        if self.label not in self.labels:
            raise ValueError(f"it has no label {self.label!r}, only {', '.join(self.labels)}")
        self._chest = ChestScorer(predictor, lungs)
        self._places = [self.labels.index(self.label)]
        self.labels = (self.label,)

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Choose the label among all."""
        return Answer(self._chest.answer(outputs).images[:, self._places])

    def looked(self, maps: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> Looked:
        """Choose the label among all."""
        whole = super().looked(maps, plain)
        return Looked(whole.maps[:, self._places], whole.probability[:, self._places])


def _joined(read: Sequence[Flipped]) -> Flipped:
    """Return what was said of some pictures after the other as one."""
    probabilities, plain, maps = (
        {name: np.concatenate([one[name] for one in part]) for name in part[0]}
        for part in zip(*((one.probabilities, one.plain, one.maps) for one in read), strict=True)
    )
    return Flipped(probabilities, plain, maps)


def picture_of(study: Study) -> np.ndarray:
    """Return the picture of a radiograph, ``(y, x)`` in 0..1; raises `DetectionError` for a CT."""
    if study.intensity != "unit":
        raise DetectionError(f"{study.source_name} is a CT image; a radiograph is expected.")
    return study.array[len(study.array) // 2]
