"""Radiographs through the three kinds of network that read them: lungs, chest findings, pneumothorax."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage
from scipy.special import expit

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.predictor import Explained, Predictor
from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.preprocessing.square import Shown, fit_square, stretch_square, unfit_square
from AcuteFindingsLib.study.study import SourceSlice


class RadiographSettings(BaseModel):
    """Preprocessing numbers of a radiograph model: pixels per side, and the scale on which 0..1 is shown to it.

    `flip` averages the answer with that for the mirrored picture, as the fourth place does (docs/sources.md 3).
    `region` is what of the picture the model is shown: all of it, a crop to the lungs (third place, docs/sources.md 3),
    nothing but the lungs, or all but them (docs/sources.md 5); what is not shown is black.
    `stretch` brings each side to the size by itself instead of padding the shorter one (docs/sources.md 6).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=512, gt=0)
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)
    flip: bool = False
    equalise: bool = True
    region: Literal["whole", "lung-crop", "lungs-only", "lungs-removed"] = "whole"
    stretch: bool = False


# How far a crop reaches beyond the lungs, as a share of the picture: the pleura and the costophrenic angles stay in it.
_CROP_MARGIN = 0.05


def stretch_gray(image: np.ndarray) -> np.ndarray:
    """Bring ``(y, x)`` to 0..1 between its 1st and 99th percentile, so that exposure and window matter less."""
    low, high = np.percentile(image, (1.0, 99.0))
    if high <= low:
        return np.zeros_like(image, dtype=np.float32)
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def network_images(
    images: Sequence[np.ndarray], settings: RadiographSettings, lungs: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Cut to the settings' region, pad, resize and scale ``(y, x)`` pictures in 0..1: ``(n, 1, size, size)`` float32.

    Parameters
    ----------
    lungs
        ``(y, x)`` bool of each picture. A picture without lungs found is shown whole.

    Raises
    ------
    ModelError
        The model is shown part of the pictures and `lungs` is None.
    """
    squares = []
    for number, image in enumerate(images):
        box = shown_box(image.shape, settings, None if lungs is None else lungs[number])
        square = to_square(stretch_gray(image[box]) if settings.equalise else image[box], settings)
        if settings.region in ("lungs-only", "lungs-removed") and lungs is not None and lungs[number].any():
            inside = to_square(lungs[number].astype(np.float32), settings) >= 0.5
            square *= inside if settings.region == "lungs-only" else ~inside
        squares.append(square)
    return ((np.stack(squares)[:, None] - settings.mean) / settings.std).astype(np.float32)


def to_square(image: np.ndarray, settings: RadiographSettings) -> np.ndarray:
    """Bring ``(y, x)`` to the size of the network's pictures: float32."""
    return stretch_square(image, settings.size) if settings.stretch else fit_square(image, settings.size)


def shown_box(shape: tuple[int, ...], settings: RadiographSettings, lungs: np.ndarray | None) -> tuple[slice, slice]:
    """Return the part of a picture that the network is shown; raises ModelError where that needs lungs that lack."""
    if settings.region == "whole":
        return slice(0, shape[0]), slice(0, shape[1])
    if lungs is None:
        raise ModelError(
            f"The model is shown radiographs with region {settings.region!r}; it needs the lungs outlined first."
        )
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    if settings.region != "lung-crop" or not len(rows):
        return slice(0, shape[0]), slice(0, shape[1])
    (top, bottom), (left, right) = (
        (max(int(found[0]) - margin, 0), min(int(found[-1]) + margin + 1, length))
        for found, length, margin in zip((rows, columns), shape, (round(_CROP_MARGIN * s) for s in shape), strict=True)
    )
    return slice(top, bottom), slice(left, right)


def unfit_shown(square: np.ndarray, shape: tuple[int, ...], shown: Shown | None = None) -> np.ndarray:
    """Bring a network's ``(size, size)`` map back on the picture ``(y, x)`` of which it was shown a part: float32."""
    shown = shown or Shown((slice(0, shape[0]), slice(0, shape[1])))
    out = np.zeros(shape, np.float32)
    size = shown.box[0].stop - shown.box[0].start, shown.box[1].stop - shown.box[1].start
    out[shown.box] = resize_in_plane(square[None], size)[0] if shown.stretched else unfit_square(square, size)
    return out


@dataclass(frozen=True)
class Radiographs:
    """Pictures as a network is shown them, and the way back.

    Attributes
    ----------
    images
        ``(n, 1, size, size)`` float32.
    pictures
        ``(y, x)`` in 0..1 each.
    parts
        What of each picture is shown.
    """

    images: np.ndarray
    pictures: Sequence[np.ndarray]
    parts: list[Shown]
    sources: tuple[SourceSlice, ...] = ()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return some images."""
        return self.images[part]

    def at_sources(self, values: np.ndarray) -> np.ndarray:
        """Return nothing: each picture is a study of its own."""
        return values[:0]

    def picture(self, number: int, _image: np.ndarray) -> np.ndarray:
        """Return the whole picture, whatever the network is shown of it."""
        return self.pictures[number]

    def shown(self, number: int) -> Shown:
        """Return what of a picture is shown."""
        return self.parts[number]

    def on_picture(self, number: int, square: np.ndarray) -> np.ndarray:
        """Bring a map of what the network was shown back on the picture: float32."""
        return unfit_shown(square, self.pictures[number].shape, self.parts[number])


def show_pictures(
    pictures: Sequence[np.ndarray], settings: RadiographSettings, lungs: Sequence[np.ndarray] | None = None
) -> Radiographs:
    """Prepare pictures with the way back; parameters and errors as `network_images`."""
    parts = [
        Shown(shown_box(picture.shape, settings, None if lungs is None else lungs[number]), settings.stretch)
        for number, picture in enumerate(pictures)
    ]
    return Radiographs(network_images(pictures, settings, lungs), pictures, parts)


@dataclass(frozen=True)
class Flipped:
    """What a network says of pictures.

    Attributes
    ----------
    probabilities
        By output, averaged with the mirrored pictures where the settings say so.
    plain
        Of the pictures as they are.
    maps
        Where it looked in these, by output ``(n, numbers, y, x)``; none where it was not asked.
    """

    probabilities: dict[str, np.ndarray]
    plain: dict[str, np.ndarray]
    maps: dict[str, np.ndarray]


def predict_flipped(predictor: Predictor, batch: np.ndarray, settings: RadiographSettings) -> dict[str, np.ndarray]:
    """Return probabilities by output, averaged with the mirrored pictures where the settings say so."""
    return read_flipped(predictor, batch, settings).probabilities


def read_flipped(
    predictor: Predictor, batch: np.ndarray, settings: RadiographSettings, *, explain: Sequence[str] = ()
) -> Flipped:
    """Ask a network about pictures and, where the settings say so, their mirror images, in one pass.

    Where it looked for the outputs to `explain` comes with it, if it comes in the same pass (`Predictor.one_pass`).
    """
    count = len(batch)
    shown = np.concatenate([batch, batch[..., ::-1]]) if settings.flip else batch
    said = (
        predictor.predict_explained(shown, outputs=explain)
        if explain and predictor.one_pass
        else Explained(predictor.predict(shown), {})
    )
    plain = {name: expit(value[:count]) for name, value in said.outputs.items()}
    maps = {name: value[:count] for name, value in said.maps.items()}
    if not settings.flip:
        return Flipped(plain, plain, maps)
    probabilities = {}
    for name, value in said.outputs.items():
        mirrored = expit(value[count:])
        probabilities[name] = (plain[name] + (mirrored[..., ::-1] if value.ndim == 4 else mirrored)) / 2
    return Flipped(probabilities, plain, maps)


@dataclass(frozen=True)
class Lungs:
    """Both lung fields of one radiograph, ``(y, x)`` bool each; the patient's right is at the picture's left."""

    right: np.ndarray
    left: np.ndarray

    @property
    def both(self) -> np.ndarray:
        """Return the union."""
        return self.right | self.left

    @property
    def found(self) -> bool:
        """Whether both fields are there and together fill at least a twentieth of the picture."""
        return bool(self.right.any() and self.left.any() and self.both.mean() > 0.05)


def two_largest(mask: np.ndarray) -> np.ndarray:
    """Keep the two largest connected parts of ``(y, x)``, holes filled."""
    components, count = ndimage.label(mask)
    if count > 2:
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        mask = np.isin(components, np.argsort(sizes)[-2:])
    return ndimage.binary_fill_holes(mask)


def split_lungs(mask: np.ndarray) -> Lungs:
    """Tell right from left: connected parts by the side of the picture on which their center lies."""
    components, count = ndimage.label(mask)
    columns = np.flatnonzero(mask.any(axis=0))
    middle = (columns[0] + columns[-1]) / 2 if len(columns) else mask.shape[1] / 2
    if count < 2:
        # The fields touch: the line between them is the middle of what they span.
        picture_left = np.arange(mask.shape[1])[None, :] < middle
        return Lungs(mask & picture_left, mask & ~picture_left)
    centers = ndimage.center_of_mass(mask, components, range(1, count + 1))
    right = np.isin(components, [number for number, center in enumerate(centers, 1) if center[1] < middle])
    return Lungs(right, mask & ~right)


def patient_half(lungs: Lungs, side: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the patient's half of the picture, divided midway between the lungs, or at its middle without them."""
    middle = shape[1] / 2
    if lungs.right.any() and lungs.left.any():
        middle = (np.flatnonzero(lungs.right.any(axis=0))[-1] + np.flatnonzero(lungs.left.any(axis=0))[0]) / 2
    picture_left = np.broadcast_to(np.arange(shape[1])[None, :] < middle, shape)
    return picture_left if side == "right" else ~picture_left
