"""What a PE model is shown of a chest CT, what it says, and where it looked (docs/sources.md 1)."""

from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import expit

from AcuteFindingsLib.detectors.detector import analysis_sources
from AcuteFindingsLib.detectors.rules import window_starts
from AcuteFindingsLib.detectors.scoring import Answer, Drawn, Images, Looked, answers_of
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.lungs_heart import lungs_heart_mask
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.preprocessing.pe_input import as_channels, prepare_pe_slices, with_neighbors
from AcuteFindingsLib.preprocessing.resample import SlicePlan, plan_slices
from AcuteFindingsLib.preprocessing.windows import PE_WINDOW
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.study.study import SourceSlice, Study


class PESettings(BaseModel):
    """Preprocessing numbers of a PE model; the defaults are the published ones (docs/sources.md 1).

    `crop` cuts the picture to the lungs and heart before resizing, so that a small network sees the arteries larger;
    the published model does not. With `adjacent` the channels are a slice in the middle of those beside it, not one
    slice three times as published: vessels go on from slice to slice, noise does not. `window` and `stride` are slices
    of `slice_mm`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_level: float = PE_WINDOW[0]
    window_width: float = PE_WINDOW[1]
    size: int = Field(default=386, gt=0)
    channels: int = Field(default=1, ge=1)
    adjacent: bool = False
    slice_mm: float = Field(default=3.0, gt=0)
    mask: bool = True
    crop: bool = False
    crop_margin_mm: float = Field(default=10.0, ge=0)
    window: int = Field(default=96, gt=0)
    stride: int = Field(default=48, gt=0)
    batch: int = Field(default=16, gt=0)

    @model_validator(mode="after")
    def _channels_fit_the_slices(self) -> Self:
        if self.adjacent and (self.channels < 3 or self.channels % 2 == 0):
            raise ValueError(
                f"adjacent slices take an odd number of channels, the slice in their middle; got {self.channels}, "
                "set channels to 3, 5 or more"
            )
        if not self.adjacent and self.channels > 3:
            raise ValueError(f"one slice fills at most 3 channels, not {self.channels}; set adjacent, or channels to 3")
        return self

    @property
    def reach(self) -> int:
        """How many slices on each side the network sees beside the one it judges."""
        return self.channels // 2 if self.adjacent else 0


@dataclass(frozen=True)
class ChestSlices:
    """A chest CT as the network wants it, made batch by batch so that the volume is never held twice.

    Attributes
    ----------
    axial
        The study in axial order.
    plan
        How its slices become slices of `settings.slice_mm`.
    masks
        ``(m, y, x)`` bool: lungs and heart on the new slices; None where the model takes the whole picture.
    box
        ``(top, left, side_y, side_x)`` in pixels of the axial slices: what the network is shown of them.
    settings
        The numbers of the model's card.
    sources
        The slices of the study that the answers speak of.
    """

    axial: Axial
    plan: SlicePlan
    masks: np.ndarray | None
    box: tuple[int, int, int, int]
    settings: PESettings
    sources: tuple[SourceSlice, ...]
    _shared: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        """Return the number of new slices."""
        return len(self.plan)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return the images of some new slices: ``(n, channels, size, size)`` float32 in -1..1."""
        part = slice(*part.indices(len(self)))
        wide, places = with_neighbors(part, len(self.plan), self.settings.reach)
        return as_channels(self._pictures(wide), places, self.settings.channels)

    def _pictures(self, part: slice) -> np.ndarray:
        """Return some new slices without those beside them, ``(n, size, size)``; what the last part ended with is kept.

        Consecutive parts overlap by as many slices as the network sees on both sides.
        """
        known = [self._shared[z] for z in takewhile(self._shared.__contains__, range(part.start, part.stop))]
        fresh = slice(part.start + len(known), part.stop)
        if not known:
            pictures = self._prepare(part)
        elif fresh.start < fresh.stop:
            pictures = np.concatenate([known, self._prepare(fresh)])
        else:
            pictures = np.stack(known)
        self._shared.clear()
        for z in range(max(part.start, part.stop - 2 * self.settings.reach), part.stop):
            self._shared[z] = pictures[z - part.start].copy()
        return pictures

    def _prepare(self, part: slice) -> np.ndarray:
        settings = self.settings
        top, left, height, width = self.box
        hu = self.plan.read(self.axial.array[:, top : top + height, left : left + width], part.start, part.stop)
        return prepare_pe_slices(
            hu,
            None if self.masks is None else self.masks[part, top : top + height, left : left + width],
            level=settings.window_level,
            width=settings.window_width,
            size=settings.size,
        )

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """Return the 4×4 of the grid of the network's images."""
        top, left, height, width = self.box
        step_z = self.settings.slice_mm / self.axial.spacing[0] if len(self.plan) > 1 else 1.0
        step_y, step_x = height / self.settings.size, width / self.settings.size
        to_axial_index = np.diag([step_x, step_y, step_z, 1.0])
        to_axial_index[:3, 3] = (left + step_x / 2 - 0.5, top + step_y / 2 - 0.5, self.plan.positions[0])
        return self.axial.ijk_to_ras @ to_axial_index

    def at_sources(self, values: np.ndarray) -> np.ndarray:
        """Read ``(m, ...)`` values at the source slices, linear between the new ones."""
        return interpolate_rows(self.axial_positions(), self.plan.positions, values)

    def picture(self, _number: int, image: np.ndarray) -> np.ndarray:
        """Return a new slice as the network is shown it, ``(size, size)`` in 0..1."""
        return (image[len(image) // 2] + 1) / 2

    def shown(self, _number: int) -> None:
        """Return nothing: the picture is the image itself."""

    def axial_positions(self) -> np.ndarray:
        """Return where each analyzed source slice lies along the axial array."""
        z = self.axial.source_z
        return z if np.isfinite(z).all() else np.arange(len(self.axial.array), dtype=float)


def interpolate_rows(at: np.ndarray, positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate ``(m, labels)`` values known at `positions` linearly at `at`: ``(len(at), labels)``."""
    return np.stack([np.interp(at, positions, column) for column in values.T], axis=1)


def chest_slices(study: Study, settings: PESettings) -> ChestSlices:
    """Plan the slices, find lungs and heart, and choose what the network is shown."""
    axial = to_axial(study)
    plan = plan_slices(len(axial.array), axial.spacing[0], settings.slice_mm)
    shape = axial.array.shape[1:]
    masks = None
    if settings.mask or settings.crop:
        masks = np.zeros((len(plan), *shape), bool)
        for start in range(0, len(plan), settings.batch):
            stop = min(start + settings.batch, len(plan))
            masks[start:stop] = lungs_heart_mask(plan.read(axial.array, start, stop), spacing_yx=axial.spacing[1:])
    box = (0, 0, *shape)
    if settings.crop and masks is not None and masks.any():
        box = _square_around(np.any(masks, axis=0), axial.spacing[1:], settings.crop_margin_mm)
    sources = analysis_sources(study, axial)
    return ChestSlices(axial, plan, masks if settings.mask else None, box, settings, sources)


def _square_around(mask: np.ndarray, spacing: tuple[float, float], margin_mm: float) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    side_mm = max(np.ptp(rows) * spacing[0], np.ptp(columns) * spacing[1]) + 2 * margin_mm
    box = []
    for found, step, count in zip((rows, columns), spacing, mask.shape, strict=True):
        length = min(count, round(side_mm / step))
        start = round(float(found[0] + found[-1] - length + 1) / 2)
        box.append((int(np.clip(start, 0, count - length)), length))
    return box[0][0], box[1][0], box[0][1], box[1][1]


class StackAnswer(NamedTuple):
    """Probabilities of the sequence network: slices ``(m,)``, the stack, and the exam labels (none: empty)."""

    slices: np.ndarray
    stack: float
    exam: np.ndarray


class PEScorer:
    """Slices to encodings, encodings in sequences to probabilities of slices, stack and exam: a `scoring.Scorer`."""

    needs: tuple[str, ...] = ()
    images_of = staticmethod(chest_slices)

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = PESettings.model_validate(predictor.card.preprocessing)
        names = tuple(label.name for label in predictor.card.labels)
        self.labels, self.exam_labels = names[:1], names[1:]

    def prepare(self, study: Study) -> ChestSlices:
        """Plan the slices, find lungs and heart, and choose what the network is shown."""
        return chest_slices(study, self.settings)

    def infer(
        self,
        images: Images,
        *,
        explain: bool = False,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> Answer:
        """Encode all slices of a series and read the encodings in sequence.

        With `explain` the small maps and masks of the slice encoder are kept, not its feature maps.
        """
        encodings, alone, maps, masks = [], [], [], []
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
            if said.maps:
                maps.append(said.maps["slice"])
                alone.append(expit(said.outputs["slice"]))
            if explain and "mask" in said.outputs:
                masks.append(expit(said.outputs["mask"][:, 0]))
        answer = self.sequence(np.concatenate(encodings))
        exam = answer.exam if self.exam_labels else ()
        if len(exam) not in (0, len(self.exam_labels)):
            raise ModelError(
                f"The model {self.predictor.card.id!r} gives {len(exam)} probabilities of the exam; its card names "
                f"{len(self.exam_labels)}."
            )
        study = {"pe": answer.stack} | dict(zip(self.exam_labels, map(float, exam), strict=False))
        soft = np.concatenate(masks) if masks else None
        looked = Looked(np.concatenate(maps), np.concatenate(alone)) if maps else None
        return Answer(answer.slices[:, None], study, looked=looked, drawn=Drawn(soft, soft))

    def sequence(self, encodings: np.ndarray) -> StackAnswer:
        """Read the encodings ``(m, 64)`` of a whole series.

        Windows overlap by half; a slice's probability is the mean over the windows that hold it, the stack's the
        highest of any window, the exam's those of that window. No slice is left out.
        """
        count, length = len(encodings), self.settings.window
        starts = window_starts(count, length, self.settings.stride)
        windows = np.zeros((len(starts), length, encodings.shape[1]), np.float32)
        for window, start in zip(windows, starts, strict=True):
            piece = encodings[start : start + length]
            window[: len(piece)] = piece
        outputs = self.predictor.predict(windows, part="sequence")
        slices, stacks = expit(outputs["slice"]), expit(outputs["stack"][:, 0])
        total, seen = np.zeros(count), np.zeros(count)
        for start, values in zip(starts, slices, strict=True):
            stop = min(start + length, count)
            total[start:stop] += values[: stop - start]
            seen[start:stop] += 1
        best = int(np.argmax(stacks))
        exam = expit(outputs["exam"][best]) if "exam" in outputs else np.empty(0)
        return StackAnswer(total / seen, float(stacks[best]), exam)

    def explain(self, images: np.ndarray, index: int = 0) -> np.ndarray:
        """Return where the slice encoder looked in each slice by itself."""
        return self.predictor.explain(images, output="slice", index=index, part="encode")
