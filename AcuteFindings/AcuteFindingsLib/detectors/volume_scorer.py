"""From a CT to a probability volume by a three-dimensional network, block by block (docs/sources.md 8)."""

from dataclasses import dataclass
from math import prod
from time import perf_counter
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from AcuteFindingsLib.counting import about, counted
from AcuteFindingsLib.detectors.blocks import Blocks, JoinedBlocks, Triple, choose_blocks, least_block
from AcuteFindingsLib.detectors.detector import analysis_sources
from AcuteFindingsLib.detectors.volume_finding import refuse_unmeasured
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.last_resort import out_of_memory
from AcuteFindingsLib.memory import free_memory
from AcuteFindingsLib.models.device import CPU
from AcuteFindingsLib.models.predictor import Predictor, predict_until
from AcuteFindingsLib.preprocessing.chest_box import Box, chest_box
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.preprocessing.spline import picked_axis, resize_volume, resized_shape
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if
from AcuteFindingsLib.study.study import SourceSlice, Study

MOST_BYTES = 5_600_000_000
"""Memory that a block may take, so that a CTPA of 400 slices needs less than 8 GB with all that is held beside it."""

SHRINK = 0.7
"""Of a block that the memory did not suffice for, what the next may have."""

FREE_SHARE = 0.8
"""Share of the free memory that a block may take."""


class VolumeSettings(BaseModel):
    """Preprocessing numbers of a three-dimensional network; axes are ``(z, y, x)``, axial.

    Attributes
    ----------
    lowest_hu, highest_hu, mean_hu, deviation_hu
        HU are clipped, the mean is taken off, and the rest divided by the deviation.
    spacing_mm
        Size of a voxel as the network is shown it.
    tile, smallest_tile
        Largest block that the network is shown at once, and the smallest one that is tried when memory is short.
    divisor
        What the sides of a block are multiples of.
    bytes_per_voxel
        Memory that the network takes for a voxel of a block; measured in ONNX Runtime with the one of docs/sources.md
        8, whose first stage has 32 channels: four maps of them at once, and what convolutions take beside.
    overlap
        Share of a block by which neighbors overlap, at least.
    region
        What of the study is read: the box around lungs, heart and pulmonary trunk, or all of it.
    margin_mm
        What is read beyond that box.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lowest_hu: float
    highest_hu: float
    mean_hu: float
    deviation_hu: float = Field(gt=0)
    spacing_mm: tuple[float, float, float]
    tile: Triple
    smallest_tile: Triple
    divisor: Triple
    bytes_per_voxel: float = Field(default=650.0, gt=0)
    overlap: float = Field(default=0.5, ge=0, lt=1)
    region: Literal["all", "chest"] = "all"
    margin_mm: float = Field(default=20.0, ge=0)


@dataclass(frozen=True)
class VolumeInput:
    """What the network is shown of a study, and the way back.

    Attributes
    ----------
    array
        ``(z, y, x)`` float32: the box, normalized, in voxels of `VolumeSettings.spacing_mm`.
    box
        Of the axial array: what of it is read.
    axial
        The study's array in axial order.
    sources
        The slices of the study that the answers speak of.
    """

    array: np.ndarray
    box: Box
    axial: Axial
    sources: tuple[SourceSlice, ...]


class VolumeScorer:
    """A study to a probability for each of its voxels: `prepare`, `infer`, `restore`; `probability` does all three.

    The network's only output is one logit a voxel, ``(n, 1, z, y, x)``.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = VolumeSettings.model_validate(predictor.card.preprocessing)
        self.labels = tuple(label.name for label in predictor.card.labels)
        self._seconds_per_voxel: float | None = None

    def prepare(
        self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> VolumeInput:
        """Choose what is read of a study in HU, clip, normalize and resample it as nnU-Net does.

        Raises
        ------
        DetectionError
            The study holds no Hounsfield units, one slice, or pixels of unknown size.
        CancelledError
            `cancelled` answered True.
        """
        refuse_unmeasured(study)
        settings = self.settings
        axial = to_axial(study)
        box = whole_box(axial)
        if settings.region == "chest":
            progress("Finding lungs and heart", 0.0)
            box = chest_box(study, axial, margin_mm=settings.margin_mm)
        stop_if(cancelled)
        progress("Preparing the volume", 0.3)
        array = np.clip(axial.array[box], settings.lowest_hu, settings.highest_hu, dtype=np.float32)
        array -= settings.mean_hu
        array /= settings.deviation_hu
        shape = resized_shape(array.shape, axial.spacing, settings.spacing_mm)
        array = resize_volume(array, shape, order=3, picked=picked_axis(axial.spacing, settings.spacing_mm))
        stop_if(cancelled)
        return VolumeInput(array, box, axial, analysis_sources(study, axial))

    def estimate(self, volume: VolumeInput, *, cancelled: Cancelled = never_cancelled) -> float:
        """Return how many seconds `infer` will take: what there is to compute, at the pace of a small block.

        The first call runs the network on noise to measure that, twice, for the first run loads the weights; a block of
        64³ takes the network of docs/sources.md 8 about 0.1 TFLOP. Raises as `infer`.
        """
        # The weights are in memory then, so that what is free is left for blocks.
        pace = self._pace(cancelled)
        return pace * self._choose(volume).voxels

    def infer(
        self,
        volume: VolumeInput,
        *,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> np.ndarray:
        """Return the logit of each voxel of `volume.array`: float32 of its shape.

        How long it takes is said before the first block and after each. `cancelled` is asked within a block too.
        Blocks get smaller where the memory does not suffice.

        Raises
        ------
        ModelError
            The memory does not suffice for the smallest block, or the network gives no logit a voxel.
        CancelledError
            `cancelled` answered True.
        """
        progress("Loading the network and measuring its pace", 0.0)
        pace = self._pace(cancelled)
        blocks = self._choose(volume)
        while True:
            where = "this processor" if self.predictor.device == CPU else f"the device {self.predictor.device}"
            progress(f"Reading {counted(len(blocks), 'block')}, {about(pace * blocks.voxels)} on {where}", 0.0)
            try:
                return self._read(volume.array, blocks, progress, cancelled)
            except ModelError as error:
                least = prod(self.settings.smallest_tile)
                smaller = self._laid(volume, max(least, SHRINK * prod(blocks.side)))
                if not out_of_memory(error) or smaller is None or prod(smaller.side) >= prod(blocks.side):
                    raise
                blocks = smaller

    def restore(self, volume: VolumeInput, logits: np.ndarray) -> np.ndarray:
        """Return the probability of each voxel of a study, 0 beside the box: float32 of the shape of `Study.array`."""
        axial, box = volume.axial, volume.box
        z, y, x = (side.stop - side.start for side in box)
        picked = picked_axis(self.settings.spacing_mm, axial.spacing)
        whole = np.zeros(axial.restore(axial.array).shape, np.float32)
        expit(resize_volume(logits, (z, y, x), order=1, picked=picked), out=axial.view(whole)[box])
        return whole

    def probability(
        self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> np.ndarray:
        """Return the probability of each voxel of the study; raises as `prepare` and `infer`."""
        volume = self.prepare(study, progress=part_of(progress, 0.0, 0.05), cancelled=cancelled)
        logits = self.infer(volume, progress=part_of(progress, 0.05, 0.97), cancelled=cancelled)
        progress("Bringing the answer to the study's slices", 0.97)
        return self.restore(volume, logits)

    def _read(self, array: np.ndarray, blocks: Blocks, progress: Progress, cancelled: Cancelled) -> np.ndarray:
        joined = JoinedBlocks((array.shape[0], array.shape[1], array.shape[2]), blocks)
        begun = perf_counter()
        for number, (z, y, x) in enumerate(blocks.corners):
            if number:
                left = (perf_counter() - begun) / number * (len(blocks) - number)
                progress(f"Reading block {number + 1} of {len(blocks)}, {about(left)} left", number / len(blocks))
            shown = np.zeros((1, 1, *blocks.side), np.float32)
            part = array[z : z + blocks.side[0], y : y + blocks.side[1], x : x + blocks.side[2]]
            shown[0, 0, : part.shape[0], : part.shape[1], : part.shape[2]] = part
            joined.add((z, y, x), self._logits(shown, cancelled))
        progress("The volume is read", 1.0)
        return joined.mean()

    def _logits(self, shown: np.ndarray, cancelled: Cancelled) -> np.ndarray:
        outputs = predict_until(self.predictor, shown, cancelled=cancelled)
        logits = next(iter(outputs.values()))
        if len(outputs) != 1 or logits.shape != shown.shape:
            raise ModelError(
                f"The model {self.predictor.card.id!r} answers a block of {shown.shape} voxels with {logits.shape} "
                f"numbers in {counted(len(outputs), 'output')}; one logit a voxel is expected."
            )
        return logits[0, 0]

    def _pace(self, cancelled: Cancelled) -> float:
        if self._seconds_per_voxel is None:
            noise = np.random.default_rng(23).normal(size=(1, 1, *least_block(self.settings.divisor)))
            shown = noise.astype(np.float32)
            self._logits(shown, cancelled)
            begun = perf_counter()
            self._logits(shown, cancelled)
            self._seconds_per_voxel = (perf_counter() - begun) / shown.size
        return self._seconds_per_voxel

    def _choose(self, volume: VolumeInput) -> Blocks:
        free = free_memory() if self.predictor.device == CPU else None
        most = MOST_BYTES if free is None else min(MOST_BYTES, FREE_SHARE * free)
        blocks = self._laid(volume, most / self.settings.bytes_per_voxel)
        if blocks is None:
            least = prod(self.settings.smallest_tile) * self.settings.bytes_per_voxel / FREE_SHARE
            raise ModelError(
                f"The model {self.predictor.card.id!r} needs {least / 1e9:.1f} GB of free memory, and "
                f"{(free or 0) / 1e9:.1f} GB are free; close other programs and volumes."
            )
        return blocks

    def _laid(self, volume: VolumeInput, most_voxels: float) -> Blocks | None:
        settings, (z, y, x) = self.settings, volume.array.shape
        return choose_blocks(
            (z, y, x),
            largest=settings.tile,
            smallest=settings.smallest_tile,
            divisor=settings.divisor,
            overlap=settings.overlap,
            most_voxels=most_voxels,
        )


def whole_box(axial: Axial) -> Box:
    """Return all of an axial array."""
    z, y, x = (slice(0, count) for count in axial.array.shape)
    return z, y, x
