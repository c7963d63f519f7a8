"""What a hemorrhage model is shown of a head CT, what it says, and where it looked (docs/sources.md 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from AcuteFindingsLib.detectors.detector import analysis_sources
from AcuteFindingsLib.detectors.hemorrhage.places import place_slices
from AcuteFindingsLib.detectors.rules import consecutive_score
from AcuteFindingsLib.detectors.scoring import (
    Answer,
    Drawn,
    Images,
    Looked,
    Scores,
    answers_of,
    refuse_several_slices,
)
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.head_slice import neutral_head
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.preprocessing.resample import fit_in_plane
from AcuteFindingsLib.preprocessing.windows import apply_window
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.study.study import SourceSlice, Study

_ATTENTION = "attention_"


class HemorrhageSettings(BaseModel):
    """Preprocessing numbers of a hemorrhage model; the defaults are the published ones (docs/sources.md 4).

    `head_size` is the share of `size` that a head fills where the picture does not say how large a pixel is: an adult
    head is about 190 mm long in a field of 250 mm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_level: float = 40.0
    window_width: float = 80.0
    pixel_mm: float = Field(default=1.0, gt=0)
    size: int = Field(default=250, gt=0)
    head_size: float = Field(default=0.76, gt=0, le=1)
    batch: int = Field(default=16, gt=0)


class HemorrhageRule(BaseModel):
    """Three or more consecutive positive slices make a positive study (docs/sources.md 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_consecutive: int = Field(default=3, ge=1)
    minimum_mask_mm3: float = Field(default=20.0, ge=0)


@dataclass(frozen=True)
class HeadImages:
    """What the network is shown: one image for each source slice, and the way back to the study's grid.

    Attributes
    ----------
    images
        ``(n, size, size)`` float32 in 0..1, from inferior to superior, whichever way the series runs.
    planes
        Index along the axial array of each image, ascending.
    positions_mm
        Where each source slice itself lies along the axial array's z, ascending.
    centers
        Pixel ``(y, x)`` of the axial array at the middle of each image: the middle of the source slice, which wanders
        from slice to slice where a gantry tilt was undone.
    order
        Which of `sources` each image is.
    axial
        The study's array in axial order.
    sources
        The slices of the study that the answers speak of.
    """

    images: np.ndarray
    planes: np.ndarray
    positions_mm: np.ndarray
    centers: np.ndarray
    order: np.ndarray
    axial: Axial
    sources: tuple[SourceSlice, ...]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return some images: ``(n, 1, size, size)`` float32."""
        return self.images[part, None]

    def picture(self, _number: int, image: np.ndarray) -> np.ndarray:
        """Return an image without its axis of channels."""
        return image[0]

    def shown(self, _number: int) -> None:
        """Return nothing: the picture is the image itself."""

    def at_sources(self, values: np.ndarray) -> np.ndarray:
        """Put ``(n, ...)`` values of the images in the order of the sources."""
        out = np.empty_like(values)
        out[self.order] = values
        return out


def head_images(study: Study, settings: HemorrhageSettings) -> HeadImages:
    """Window the source slices to the brain and fit them to the network's field; z is left as it is."""
    axial = to_axial(study)
    sources = analysis_sources(study, axial)
    order, planes, z, centers = place_slices(axial, sources)
    if study.intensity == "windowed":
        images = np.stack([_head_in_field(axial.array[plane], settings) for plane in planes])
    else:
        images = np.stack(
            [_field(axial, plane, center, settings) for plane, center in zip(planes, centers, strict=True)]
        )
    return HeadImages(images, planes, z * axial.spacing[0], centers, order, axial, sources)


def _field(axial: Axial, plane: int, center: np.ndarray, settings: HemorrhageSettings) -> np.ndarray:
    windowed = apply_window(axial.array[plane][None], level=settings.window_level, width=settings.window_width)
    return fit_in_plane(
        windowed,
        axial.spacing[1:],
        target_spacing=settings.pixel_mm,
        size=settings.size,
        fill=0.0,
        center_yx=(center[0], center[1]),
    )[0]


def _head_in_field(image: np.ndarray, settings: HemorrhageSettings) -> np.ndarray:
    head = neutral_head(image, round(settings.size * settings.head_size))
    before = (settings.size - len(head)) // 2
    after = settings.size - len(head) - before
    return np.pad(head, ((before, after), (before, after))).astype(np.float32, copy=False)


class HemorrhageScorer:
    """Slices to features and masks, features in sequence to probabilities: a `scoring.Scorer` and `ImageScorer`."""

    needs: tuple[str, ...] = ()
    images_of = staticmethod(head_images)

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = HemorrhageSettings.model_validate(predictor.card.preprocessing)
        self.rule = HemorrhageRule.model_validate(predictor.card.rule)
        self.labels = tuple(label.name for label in predictor.card.labels)

    def prepare(self, study: Study) -> HeadImages:
        """Window the source slices to the brain and fit them to the network's field."""
        return head_images(study, self.settings)

    def infer(
        self,
        images: Images,
        *,
        explain: bool = False,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> Answer:
        """Read the slices of one head, inferior to superior as the rule of consecutive slices wants them.

        The attention that is drawn is the mean of that at all scales, the mask where there is none. Where the network
        looked is asked of each slice by itself; `Looked.probability` is that of the slice in its series.
        """
        features, masks, maps, attention = [], [], [], []
        for said in answers_of(
            self.predictor,
            images,
            size=self.settings.batch,
            part="features",
            progress=progress,
            cancelled=cancelled,
            explain=("slice",) if explain else (),
            then="head",
        ):
            outputs = said.outputs
            features.append(outputs["features"])
            if "mask" in outputs:
                masks.append(expit(outputs["mask"][:, 0]))
            if said.maps:
                maps.append(said.maps["slice"])
            scales = [outputs[name][:, 0] for name in outputs if name.startswith(_ATTENTION)]
            if explain and scales:
                attention.append(expit(np.mean(scales, axis=0)))
        slices = expit(self.predictor.predict(np.concatenate(features)[None], part="head")["slice"][0])
        minimum = self.rule.minimum_consecutive
        study = {
            name: consecutive_score(column, minimum=minimum) for name, column in zip(self.labels, slices.T, strict=True)
        }
        soft = np.concatenate(masks) if masks else None
        looked = Looked(np.concatenate(maps), slices) if maps else None
        threshold = self.predictor.card.threshold("mask", self.labels[0]) if explain else 0.5
        drawn = Drawn(soft, np.concatenate(attention) if attention else soft, threshold) if explain else Drawn()
        return Answer(slices, study, soft, looked, drawn)

    def score(self, studies: Sequence[Study]) -> Scores:
        """Score single slices; each is a sequence of its own, none the neighbor of another."""
        refuse_several_slices(studies)
        images = np.concatenate([self.prepare(study)[:] for study in studies])
        features = self.predictor.predict(images, part="features")["features"]
        return Scores(expit(self.predictor.predict(features[:, None], part="head")["slice"][:, 0]))

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return where the network looked in each slice by itself."""
        return self.predictor.explain(images, output="slice", index=index, part="features", then="head")
