"""What a pneumothorax model says of radiographs: its probability and outline (docs/sources.md 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from AcuteFindingsLib.detectors.radiograph import Radiographs
from AcuteFindingsLib.detectors.radiograph_scorers import RadiographScorer
from AcuteFindingsLib.detectors.scoring import Answer
from AcuteFindingsLib.models.predictor import Predictor

LABEL = "pneumothorax"


@dataclass(frozen=True)
class Outline:
    """What the segmenter says of one picture: mask ``(y, x)`` bool before the empty rule, probability of any."""

    mask: np.ndarray
    probability: float


class PneumothoraxRule(BaseModel):
    """When an outline is too small to count: share of the picture (fourth-place solution, docs/sources.md 3)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_area_share: float = Field(default=0.0005, ge=0, le=1)

    def kept(self, outline: Outline, empty_threshold: float) -> np.ndarray:
        """Return the mask after the empty rule: nothing where the branch says empty or the outline is too small."""
        empty = 1 - outline.probability > empty_threshold
        small = outline.mask.mean() < self.minimum_area_share
        return np.zeros_like(outline.mask) if empty or small else outline.mask


class PneumothoraxScorer(RadiographScorer):
    """Pneumothorax: its probability and outline."""

    mask = LABEL
    labels = (LABEL,)

    def __init__(self, predictor: Predictor, lungs: Predictor | None = None) -> None:
        super().__init__(predictor, lungs)
        self.rule = PneumothoraxRule.model_validate(predictor.card.rule)
        self.empty_threshold = predictor.card.threshold("empty", LABEL)

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Take one minus the empty-mask branch as probability; without that branch the highest pixel of the mask."""
        soft = outputs["mask"][:, 0]
        probability = 1 - outputs["empty"][:, 0] if "empty" in outputs else soft.max(axis=(1, 2))
        return Answer(probability[:, None], soft=soft)

    def outlines(self, pictures: Sequence[np.ndarray], lungs: Sequence[np.ndarray] | None = None) -> list[Outline]:
        """Segment ``(y, x)`` pictures in one batch; `lungs` as in `prepare_pictures`."""
        prepared = self.prepare_pictures(pictures, lungs)
        return self._outlines(prepared, self.infer(prepared))

    def kept(self, outline: Outline) -> np.ndarray:
        """Return the mask after the empty rule."""
        return self.rule.kept(outline, self.empty_threshold)

    def image_masks(self, prepared: Radiographs, answer: Answer) -> list[np.ndarray]:
        """Return the masks after the empty rule."""
        return [self.kept(outline) for outline in self._outlines(prepared, answer)]

    def _outlines(self, prepared: Radiographs, answer: Answer) -> list[Outline]:
        masks = super().image_masks(prepared, answer)
        return [Outline(mask, float(value)) for mask, value in zip(masks, answer.images[:, 0], strict=True)]
