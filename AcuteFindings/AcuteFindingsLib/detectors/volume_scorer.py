"""From a CT to a probability volume by a three-dimensional network, block by block (docs/sources.md 8)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.study.study import SourceSlice, Study

Triple = tuple[int, int, int]


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
    box: tuple[slice, slice, slice]
    axial: Axial
    sources: tuple[SourceSlice, ...]


class VolumeScorer:
    """A study to a probability for each of its voxels: `prepare`, `infer`, `restore`; `probability` does all three.

    The network's first output is one logit a voxel, ``(n, 1, z, y, x)``.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = VolumeSettings.model_validate(predictor.card.preprocessing)
        self.labels = tuple(label.name for label in predictor.card.labels)

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
        raise NotImplementedError

    def estimate(self, volume: VolumeInput) -> float:
        """Return how many seconds `infer` will take, from what the smallest block takes here."""
        raise NotImplementedError

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
        raise NotImplementedError

    def restore(self, volume: VolumeInput, logits: np.ndarray) -> np.ndarray:
        """Return the probability of each voxel of the study: float32 of the shape of `Study.array`, 0 beside the box."""
        raise NotImplementedError

    def probability(
        self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> np.ndarray:
        """Return the probability of each voxel of the study; raises as `prepare` and `infer`."""
        volume = self.prepare(study, progress=progress, cancelled=cancelled)
        return self.restore(volume, self.infer(volume, progress=progress, cancelled=cancelled))
