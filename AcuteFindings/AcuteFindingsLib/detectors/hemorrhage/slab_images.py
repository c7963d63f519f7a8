"""What a slab model is shown of a head CT: each slice with its neighbors in several windows, made batch by batch.

Windows, field and the order of the channels are those of ``ianpan/ct-head-hemorrhage-detection`` (docs/sources.md 7).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.detectors.detector import analysis_sources
from AcuteFindingsLib.detectors.hemorrhage.places import place_slices
from AcuteFindingsLib.detectors.hemorrhage.slab_settings import SlabSettings
from AcuteFindingsLib.errors import StudyRefusedError
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.preprocessing.resample import fit_in_plane, resize_in_plane, unfit_in_plane
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import SourceSlice, Study

# Below every window, so that what lies outside the picture is 0 in each channel.
_OUTSIDE_HU = -4000.0
# As the public program divides: never by 0.
_EPSILON = 1e-6
# Pixels that differ less are square.
_SQUARE = 0.01


@dataclass(frozen=True)
class SlabImages:
    """The slices of one head as slabs, from inferior to superior, and the way back to the axial grid.

    Attributes
    ----------
    axial
        The study's array in axial order.
    sources
        The slices of the study that the answers speak of.
    order, planes, centers
        As `places.place_slices` gives them.
    settings
        Of the model.
    """

    axial: Axial
    sources: tuple[SourceSlice, ...]
    order: np.ndarray
    planes: np.ndarray
    centers: np.ndarray
    settings: SlabSettings

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.planes)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return some slabs, ``(n, slices * windows, size, size)`` float32 in 0..1; where no slice is, 0."""
        start, stop, step = part.indices(len(self))
        wanted = range(start, stop, step)
        windows, size, beside = len(self.settings.windows), self.settings.size, self.settings.neighbors
        out = np.zeros((len(wanted), (2 * beside + 1) * windows, size, size), np.float32)
        made: dict[int, np.ndarray] = {}
        for slab, number in zip(out, wanted, strict=True):
            near = range(max(number - beside, 0), min(number + beside + 1, len(self)))
            made = {other: made[other] if other in made else self._windowed(other) for other in near}
            for other, channels in made.items():
                place = windows * (other - number + beside)
                slab[place : place + windows] = channels
        return out

    def picture(self, _number: int, image: np.ndarray) -> np.ndarray:
        """Return the slice itself in the first window."""
        return image[self.settings.neighbors * len(self.settings.windows)]

    def shown(self, _number: int) -> None:
        """Return nothing: the picture is the image itself."""

    def at_sources(self, values: np.ndarray) -> np.ndarray:
        """Put ``(n, ...)`` values of the slices in the order of the sources."""
        out = np.empty_like(values)
        out[self.order] = values
        return out

    def on_grid(self, number: int, square: np.ndarray) -> np.ndarray:
        """Bring a map ``(size, size)`` of one slice back on the axial grid: ``(y, x)`` float32, 0 outside."""
        rows, columns = self._own(number)
        own = (rows.stop - rows.start, columns.stop - columns.start)
        size = self.settings.size
        if not self._is_square():
            shown = unfit_in_plane(
                square[None], self.axial.spacing[1:], own, target_spacing=self._pixel_mm(), size=size, order=1
            )[0]
        elif max(own) > self.settings.whole_above:
            shown = resize_in_plane(square[None], own)[0]
        else:
            shown = np.zeros(own, np.float32)
            (there_y, y), (there_x, x) = (_overlap(count, size) for count in own)
            shown[there_y, there_x] = square[y, x]
        out = np.zeros(self.axial.array.shape[1:], np.float32)
        out[rows, columns] = shown
        return out

    def _windowed(self, number: int) -> np.ndarray:
        """Return one slice in each window: ``(windows, size, size)``."""
        hu = self._field(number)
        out = np.empty((len(self.settings.windows), *hu.shape), np.float32)
        for channel, (level, width) in zip(out, self.settings.windows, strict=True):
            low = level - width / 2
            np.clip(hu, low, level + width / 2, out=channel)
            channel -= np.float32(low)
            channel /= np.float32(width + _EPSILON)
        return out

    def _field(self, number: int) -> np.ndarray:
        """Return one slice in HU: its middle, or all of it where it is larger than any that was seen in training."""
        rows, columns = self._own(number)
        plane, size = self.axial.array[self.planes[number], rows, columns], self.settings.size
        if not self._is_square():
            return fit_in_plane(
                plane[None], self.axial.spacing[1:], target_spacing=self._pixel_mm(), size=size, fill=_OUTSIDE_HU
            )[0]
        if max(plane.shape) > self.settings.whole_above:
            return resize_in_plane(plane[None], (size, size))[0]
        out = np.full((size, size), _OUTSIDE_HU, np.float32)
        (there_y, y), (there_x, x) = (_overlap(count, size) for count in plane.shape)
        out[y, x] = plane[there_y, there_x]
        return out

    def _own(self, number: int) -> tuple[slice, slice]:
        """Return where on the axial grid a slice's own picture lies: the grid of an undone tilt is taller."""
        begin = np.rint(self.centers[number] - (np.array(self._extent()) - 1) / 2).astype(int)
        top, left = np.clip(begin, 0, np.array(self.axial.array.shape[1:]) - self._extent())
        rows, columns = self._extent()
        return slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)

    def _extent(self) -> tuple[int, int]:
        """Return rows and columns of the slices' own pictures."""
        rows, columns = np.array(self.axial.array.shape[1:]) - np.rint(np.ptp(self.centers, axis=0)).astype(int)
        return max(int(rows), 1), max(int(columns), 1)

    def _is_square(self) -> bool:
        """Whether the pixels of the axial grid are square; those of coronal and sagittal series are not."""
        _, y, x = self.axial.spacing
        return abs(y - x) <= _SQUARE * min(y, x)

    def _pixel_mm(self) -> float:
        """Return the pixel that squares others: the smaller side, or so large that all of a large field is shown."""
        spacing = self.axial.spacing[1:]
        extent = max(count * mm for count, mm in zip(self._extent(), spacing, strict=True))
        whole = extent / min(spacing) > self.settings.whole_above
        return extent / self.settings.size if whole else min(spacing)


def slab_images(study: Study, settings: SlabSettings) -> SlabImages:
    """Place the slices of a head; they are windowed when they are asked for.

    Raises
    ------
    StudyRefusedError
        The study is a picture in one window: the others cannot be made of it.
    """
    if study.intensity == "windowed":
        text = (
            "The display window is burned into the images (8-bit gray levels instead of HU), but this model reads "
            f"{len(settings.windows)} windows of each slice; load the original DICOM series or choose another model."
        )
        raise StudyRefusedError(text, (Notice("window-burnt-in", "refuse", text),))
    axial = to_axial(study)
    sources = analysis_sources(study, axial)
    order, planes, _, centers = place_slices(axial, sources)
    return SlabImages(axial, sources, order, planes, centers, settings)


def sampled_slices(count: int, most: int) -> np.ndarray:
    """Return which slices of a series are read in context: all, or `most` of them, evenly from first to last."""
    if count <= most:
        return np.arange(count)
    return np.rint(np.linspace(0, count - 1, most)).astype(int)


def nearest_sampled(count: int, sampled: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return for each of `count` slices the place in `sampled` of the nearest one, of two as near the lower."""
    every, known = np.arange(count), np.asarray(sampled)
    above = np.clip(np.searchsorted(known, every), 0, len(known) - 1)
    below = np.clip(above - 1, 0, None)
    return np.where(every - known[below] <= known[above] - every, below, above)


def _overlap(count: int, size: int) -> tuple[slice, slice]:
    """Return which part of an axis of `count` pixels is shown, and where in a field of `size`.

    Of an odd difference the smaller half is cut off, or added, at the beginning, as by the public program.
    """
    cut, pad = max(count - size, 0) // 2, max(size - count, 0) // 2
    shown = min(count, size)
    return slice(cut, cut + shown), slice(pad, pad + shown)
