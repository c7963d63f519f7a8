"""What a slab model says of a head CT, slice by slice and as a series, and where its decoders draw it."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit

from AcuteFindingsLib.detectors.hemorrhage.slab_images import (
    SlabImages,
    nearest_sampled,
    sampled_slices,
    slab_images,
)
from AcuteFindingsLib.detectors.hemorrhage.slab_settings import SlabRule, SlabSettings
from AcuteFindingsLib.detectors.scoring import Answer, Images, Looked, Scores, answers_of, refuse_several_slices
from AcuteFindingsLib.models.heat import GRADCAM
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.study.study import Study

# The highest probability of a slice is kept from 0 and 1 before its logit is blended, as by the public program.
_SURE = 1e-6


class SlabScorer:
    """Slabs to features and logits, features in sequence to logits, both blended: a `Scorer` and `ImageScorer`.

    Raises
    ------
    ValueError
        The card's shares do not fit its labels.
    """

    needs: tuple[str, ...] = ()
    images_of = staticmethod(slab_images)

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = SlabSettings.model_validate(predictor.card.preprocessing)
        self.rule = SlabRule.model_validate(predictor.card.rule)
        self.labels = tuple(label.name for label in predictor.card.labels)
        for shares in (self.settings.slice_context, self.settings.study_context):
            if len(shares) != len(self.labels):
                raise ValueError(f"it blends {len(shares)} labels, but its card names {len(self.labels)}")

    def prepare(self, study: Study) -> SlabImages:
        """Place the slices of a head; raises `StudyRefusedError` where there is one window only."""
        return slab_images(study, self.settings)

    def infer(
        self,
        images: Images,
        *,
        explain: bool = False,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> Answer:
        """Read the slices of one head, inferior to superior, each once; then the series.

        Where the model looked is the mean map of its decoders, if it has some: probabilities, which `Looked.heat` does
        not stretch.
        """
        encodings, alone, maps = [], [], []
        for said in answers_of(
            self.predictor,
            images,
            size=self.settings.batch,
            part="encode",
            progress=progress,
            cancelled=cancelled,
            explain=("slice",) if explain else (),
        ):
            encodings.append(said.outputs["encoding"])
            alone.append(said.outputs["slice"])
            if said.maps:
                maps.append(said.maps["slice"])
        slices, study = self._blended(np.concatenate(encodings), np.concatenate(alone))
        looked = Looked(np.concatenate(maps), slices, drawn=self._draws) if maps else None
        return Answer(slices, dict(zip(self.labels, map(float, study), strict=True)), looked=looked)

    def score(self, studies: Sequence[Study]) -> Scores:
        """Score single slices, each by itself: without neighbors and without a series there is nothing to blend."""
        refuse_several_slices(studies)
        images = np.concatenate([self.prepare(study)[:] for study in studies])
        parts = range(0, len(images), self.settings.batch)
        alone = [self.predictor.predict(images[at : at + self.settings.batch], part="encode")["slice"] for at in parts]
        return Scores(expit(np.concatenate(alone)))

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return where the network looked in each slab, read by itself."""
        said = self.predictor.predict_explained(images, outputs=("slice",), part="encode")
        looked = Looked(said.maps["slice"], expit(said.outputs["slice"]), drawn=self._draws)
        return looked.heat(range(len(images)), index, (images.shape[-2], images.shape[-1]))

    @property
    def _draws(self) -> bool:
        """Whether its maps are probabilities that it draws itself."""
        return self.predictor.one_pass and self.predictor.explanation != GRADCAM

    def _blended(self, encodings: np.ndarray, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities ``(n, labels)`` of the slices and ``(labels,)`` of the study."""
        count = len(encodings)
        sampled = sampled_slices(count, self.settings.longest)
        read = encodings[sampled]
        read[:, -1] = sampled / max(count - 1, 1)
        context = self.predictor.predict(read[None], part="context")
        in_series = context["slice"][0][nearest_sampled(count, sampled)]
        share = np.asarray(self.settings.slice_context)
        slices = (1 - share) * alone + share * in_series
        highest = logit(np.clip(expit(alone.astype(np.float64)).max(axis=0), _SURE, 1 - _SURE))
        share = np.asarray(self.settings.study_context)
        return expit(slices).astype(np.float32), expit((1 - share) * highest + share * context["study"][0])
