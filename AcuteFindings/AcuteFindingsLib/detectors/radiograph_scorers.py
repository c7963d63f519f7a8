"""What models of radiographs are shown, what they say, and where they looked: lungs and chest findings."""

from collections.abc import Sequence

import numpy as np

from AcuteFindingsLib.detectors.finding import Heatmap
from AcuteFindingsLib.detectors.radiograph import (
    Radiographs,
    RadiographSettings,
    predict_flipped,
    show_pictures,
    two_largest,
)
from AcuteFindingsLib.detectors.scoring import Answer, Drawn, Images, Scores, refuse_several_slices
from AcuteFindingsLib.detectors.wording import TUBES
from AcuteFindingsLib.errors import DetectionError, ModelError
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.study import Study


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
        self, images: Images, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> Answer:
        """Let the network answer for all images in one batch."""
        stop_if(cancelled)
        progress("Reading the pictures", 0.0)
        outputs = predict_flipped(self.predictor, images[:], self.settings)
        if not any(name in outputs for name in self.outputs):
            card, needed = self.predictor.card, " or ".join(self.outputs)
            raise ModelError(f"The model {card.id!r} gives no {needed}, which the task {card.task!r} needs.")
        return self.answer(outputs)

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

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return what the mask as a whole rests on."""
        return self.predictor.explain(images, output="mask", index=index)

    def drawn(self, images: np.ndarray) -> Drawn:
        """Return what the model outlines."""
        return Drawn(self.infer(images).soft, threshold=self.threshold) if self.mask else Drawn()


class LungsScorer(RadiographScorer):
    """Both lung fields: masks, no probabilities."""

    mask = "lungs"

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Return the masks."""
        soft = outputs["mask"][:, 0]
        return Answer(np.empty((len(soft), 0)), soft=soft)

    def masks(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outline the lungs in ``(y, x)`` pictures: one bool mask each, the two largest parts, holes filled."""
        prepared = self.prepare_pictures(pictures)
        return self.image_masks(prepared, self.infer(prepared))

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

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return where the network looked for a finding or a tube."""
        tubes = [name for name in self.labels if name in TUBES]
        if self.labels[index] in tubes:
            return self.predictor.explain(images, output="tubes", index=tubes.index(self.labels[index]))
        return self.predictor.explain(images, output="pathologies", index=index)

    def where(self, picture: np.ndarray, label: str, lungs: np.ndarray | None = None) -> np.ndarray:
        """Return where the network looked for a label in one picture: ``(y, x)`` in 0..1 on that picture."""
        prepared = self.prepare_pictures([picture], None if lungs is None else [lungs])
        return prepared.on_picture(0, self.explain(prepared[:], self.labels.index(label))[0])

    def heatmap(self, study: Study, label: str, *, of: str, lungs: np.ndarray | None = None) -> Heatmap:
        """Show on a study's grid where the network looked for a label in its picture; `of` says whose map it is."""
        middle = len(study.array) // 2
        heat = np.zeros(study.array.shape, np.uint8)
        heat[middle] = np.rint(255 * np.clip(self.where(study.array[middle], label, lungs), 0, 1))
        return Heatmap(f"{self.predictor.explanation} of {of}", heat, study.ijk_to_ras)


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

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return where the network looked for the label."""
        return self._chest.explain(images, self._places[index])


def picture_of(study: Study) -> np.ndarray:
    """Return the picture of a radiograph, ``(y, x)`` in 0..1; raises `DetectionError` for a CT."""
    if study.intensity != "unit":
        raise DetectionError(f"{study.source_name} is a CT image; a radiograph is expected.")
    return study.array[len(study.array) // 2]
