"""Pulmonary embolism on CT pulmonary angiograms, after the slice encoder and sequence network of docs/sources.md 1."""

from dataclasses import dataclass, field
from itertools import takewhile
from time import perf_counter
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import expit

from AcuteFindingsLib.detectors.detector import analysis_sources, identity_of, model_notices, slice_results
from AcuteFindingsLib.detectors.finding import Finding, Heatmap, Measurement, Verdict
from AcuteFindingsLib.detectors.pe.kind import KIND
from AcuteFindingsLib.detectors.rules import consecutive_runs, run_extent_mm, window_starts
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.lungs_heart import lungs_heart_mask
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.preprocessing.pe_input import as_channels, prepare_pe_slices, with_neighbors
from AcuteFindingsLib.preprocessing.resample import SlicePlan, plan_slices
from AcuteFindingsLib.preprocessing.windows import PE_WINDOW
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


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


class PERule(BaseModel):
    """The stack output decides (docs/sources.md 1); a run of positive slices without it is shown for review."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    review_run_slices: int = Field(default=3, ge=1)


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
    """

    axial: Axial
    plan: SlicePlan
    masks: np.ndarray | None
    box: tuple[int, int, int, int]
    settings: PESettings
    _shared: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, part: slice) -> np.ndarray:
        """Return the images of some new slices: ``(n, channels, size, size)`` float32 in -1..1."""
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
    return ChestSlices(axial, plan, masks if settings.mask else None, box, settings)


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


class PEDetector:
    """Slices → encodings → 96-slice sequences → slice and stack probabilities → verdict and heat map."""

    name = "pe"

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = PESettings.model_validate(predictor.card.preprocessing)
        self.rule = PERule.model_validate(predictor.card.rule)
        self.exam_labels = predictor.card.labels[1:]
        self.reported = predictor.card.measured_labels()
        self.study_threshold = predictor.card.threshold("study", "pe")
        self.slice_threshold = predictor.card.threshold("slice", "pe")

    def check(self, study: Study) -> tuple[Notice, ...]:
        """Say whether the study is a CT pulmonary angiogram that the model can read."""
        return check_study(study, KIND.requirements)

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        clock = perf_counter()
        progress("Finding lungs and heart", 0.0)
        prepared = chest_slices(study, self.settings)
        timings = {"preprocess": perf_counter() - clock}

        clock = perf_counter()
        encodings = self._encode(prepared, progress, cancelled)
        answer = self.sequence(encodings)
        probability, stack = answer.slices, answer.stack
        timings["network"] = perf_counter() - clock

        clock = perf_counter()
        heatmap = self._heatmap(prepared, probability, progress, cancelled)
        timings["heatmap"] = perf_counter() - clock

        at_sources = prepared.at_sources(probability[:, None])
        runs = consecutive_runs(at_sources[:, 0] >= self.slice_threshold)
        progress("Done", 1.0)
        return Finding(
            detector=self.name,
            model=identity_of(self.predictor),
            verdict=self._verdict(stack, probability, at_sources[:, 0]),
            slices=slice_results(analysis_sources(study, prepared.axial), ("pe",), at_sources),
            main_label="pe",
            slice_threshold=self.slice_threshold,
            ijk_to_ras=study.ijk_to_ras,
            # For people, whatever window the network reads.
            display_window=PE_WINDOW,
            positive_runs=tuple(runs),
            heatmap=heatmap,
            measurements=tuple(self._measurements(stack, answer.exam, probability, at_sources[:, 0])),
            warnings=model_notices(self.predictor),
            timings=timings,
            series_instance_uid=study.dicom.series_instance_uid,
            phantom=study.is_phantom,
        )

    def _encode(self, prepared: ChestSlices, progress: Progress, cancelled: Cancelled) -> np.ndarray:
        parts = [
            self.predictor.predict(prepared.read(part), part="encode")["encoding"]
            for part in batches(
                len(prepared.plan),
                self.settings.batch,
                text="Reading slices",
                progress=progress,
                cancelled=cancelled,
                span=(0.15, 0.8),
            )
        ]
        return np.concatenate(parts)

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

    def _heatmap(
        self, prepared: ChestSlices, probability: np.ndarray, progress: Progress, cancelled: Cancelled
    ) -> Heatmap | None:
        positive = np.flatnonzero(probability >= self.slice_threshold)
        if not len(positive):
            return None
        size = self.settings.size
        heat = np.zeros((len(prepared.plan), size, size), np.uint8)
        for part in batches(
            len(positive),
            self.settings.batch,
            text="Explaining positive slices",
            progress=progress,
            cancelled=cancelled,
            span=(0.8, 1.0),
        ):
            chosen = positive[part]
            images = np.concatenate([prepared.read(slice(z, z + 1)) for z in chosen])
            maps = self.predictor.explain(images, output="slice", index=0, part="encode")
            heat[chosen] = np.rint(255 * maps)
        return Heatmap(f"{self.predictor.explanation} of the slice encoder", heat, prepared.ijk_to_ras)

    def _verdict(self, stack: float, probability: np.ndarray, of_series: np.ndarray) -> Verdict:
        """Decide by the network's slices, `probability`; the words count the slices of the series, which people see."""
        threshold = self.study_threshold
        rule = (
            f"Positive where the sequence network's probability for the whole stack reaches {threshold:.2f} "
            f"and at least one slice reaches {self.slice_threshold:.2f}."
        )
        flags = probability >= self.slice_threshold
        runs = consecutive_runs(flags, minimum=self.rule.review_run_slices)
        step = self.settings.slice_mm
        if stack >= threshold:
            if flags.any():
                positive = int((of_series >= self.slice_threshold).sum())
                count = f"{positive} of the {len(of_series)} slices of the series are positive"
                if not positive:
                    count = "what is positive lies between the slices of the series"
                text = f"The stack reaches {stack:.2f}; {count}."
                return Verdict("positive", stack, threshold, rule, text)
            text = f"The stack reaches {stack:.2f}, but no slice reaches its own operating point."
            return Verdict("indeterminate", stack, threshold, rule, text)
        if runs:
            longest = max(runs, key=lambda run: run[1] - run[0])
            extent = run_extent_mm(longest, np.arange(len(flags)) * step, step)
            text = f"The stack stays at {stack:.2f}, but a run of {extent:.0f} mm of positive slices asks for a look."
            return Verdict("indeterminate", stack, threshold, rule, text)
        text = f"The stack stays at {stack:.2f}; the highest slice is {of_series.max():.2f}."
        return Verdict("negative", stack, threshold, rule, text)

    def _measurements(
        self, stack: float, exam: np.ndarray, probability: np.ndarray, of_series: np.ndarray
    ) -> list[Measurement]:
        positive = probability >= self.slice_threshold
        items = [
            Measurement("Probability of pulmonary embolism (stack)", stack, "1"),
            Measurement("Highest slice probability", float(of_series.max()), "1"),
            Measurement("Extent of positive slices", float(positive.sum() * self.settings.slice_mm), "mm"),
        ]
        items += [
            Measurement(f"Probability: {label.meaning}", float(value), "1")
            for label, value in zip(self.exam_labels, exam, strict=True)
            if label.name in self.reported
        ]
        return items
