"""The lungs-and-heart mask of the published PE preprocessing (docs/sources.md 1), slice by slice."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.preprocessing.binary import dilated, eroded, filled, median
from AcuteFindingsLib.preprocessing.convex import fill_convex, hull_corners
from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.preprocessing.windows import apply_window
from AcuteFindingsLib.study.otsu import otsu_threshold
from AcuteFindingsLib.threads import side_by_side


@dataclass(frozen=True)
class LungsHeartSettings:
    """The numbers of the published mask (docs/sources.md 1 and its public code, made for 512×512 pictures).

    The source counts pixels; here its pixel is taken as `published_pixel_mm`, so that the same distances hold on any
    matrix and field.

    Attributes
    ----------
    level, width
        Window in HU on which lungs and body part.
    published_pixel_mm
        Pixel size that turns the source's pixel counts into mm: 512 pixels over a field of 360 mm.
    working_pixel_mm
        Pixel size at which the mask is found; the convex hull is then drawn at full resolution. Twice the published
        pixel: Dice with the mask found at the published pixel stays above 0.97 (tested).
    body_min_px, body_max_px
        Area of the bright component that is the body, published pixels. In a cropped field the lower limit is the same
        share of the picture instead.
    body_centre_y, body_centre_x
        Where its center of mass may lie, as shares of the picture (190..360 and 190..310 of 512).
    median_px, closing_px
        Sides of the median filter and of the square that closes vessels and small consolidations (3×3, eight times).
    small_share
        Blobs below this share of 512×512 published pixels go.
    flat_ratio
        Blobs whose height is below this share of their width go: air under the table and in folds of skin.
    erode_px, dilate_px
        Opening of thin structures, with two pixels of margin left.
    air_hu, cropped_edge_air
        Ours, because the source assumes an uncropped field: where less than this share of the picture's edge is air
        (below `air_hu`), the field cuts through the patient, and dark regions at the edge whose median is above
        `air_hu` are lung too.
    """

    level: float = -500.0
    width: float = 1400.0
    published_pixel_mm: float = 0.7
    working_pixel_mm: float = 1.4
    body_min_px: int = 50_000
    body_max_px: int = 300_000
    body_centre_y: tuple[float, float] = (190 / 512, 360 / 512)
    body_centre_x: tuple[float, float] = (190 / 512, 310 / 512)
    median_px: int = 5
    closing_px: int = 17
    small_share: float = 0.001
    flat_ratio: float = 0.35
    erode_px: int = 1
    dilate_px: int = 3
    air_hu: float = -950.0
    cropped_edge_air: float = 0.25


PUBLISHED = LungsHeartSettings()


def lungs_heart_mask(
    array: np.ndarray,
    *,
    spacing_yx: tuple[float, float] | None = None,
    settings: LungsHeartSettings = PUBLISHED,
) -> np.ndarray:
    """Mask the lungs and what lies between them: the convex hull of the lungs in every axial slice.

    Parameters
    ----------
    array
        ``(z, y, x)`` HU, axial slices. Slices do not depend on each other: hand in as many at a time as memory allows.
    spacing_yx
        Pixel size in mm; where None, the picture is taken as a field of 360 mm, as published pictures on average are.

    Returns
    -------
    bool ``(z, y, x)``; slices without lungs are empty.
    """
    out = np.zeros(array.shape, bool)
    shape = array.shape[1:]
    if spacing_yx is None:
        pixel = 512 * settings.published_pixel_mm / max(shape)
        spacing_yx = (pixel, pixel)
    working = (
        max(8, round(shape[0] * spacing_yx[0] / settings.working_pixel_mm)),
        max(8, round(shape[1] * spacing_yx[1] / settings.working_pixel_mm)),
    )
    pixel_mm = float(np.sqrt(np.prod(spacing_yx) * np.prod(shape) / np.prod(working)))
    ratio = np.array(shape) / np.array(working)

    def fill(place: int) -> None:
        gray = apply_window(array[place : place + 1], level=settings.level, width=settings.width)
        small = (resize_in_plane(gray, working)[0] * 255).astype(np.uint8)
        corners = hull_corners(_lungs(small, pixel_mm, settings))
        if len(corners):
            fill_convex(out[place], (corners + 0.5) * ratio - 0.5)

    side_by_side(fill, range(len(array)))
    return out


def _lungs(gray: np.ndarray, pixel_mm: float, settings: LungsHeartSettings) -> np.ndarray:
    """Find the lungs in one windowed slice, 0..255: what is dark inside the body, closed and cleaned."""
    empty = np.zeros(gray.shape, bool)
    if gray.min() == gray.max():
        return empty
    scale = settings.published_pixel_mm / pixel_mm
    bright = gray > otsu_threshold(gray)
    lungs = ~bright & (_body(bright, scale, settings) | _cropped_lungs(gray, ~bright, settings))
    if not lungs.any():
        return empty
    lungs = median(lungs, _reach(settings.median_px * scale))
    # Nothing is taken off at borders: a lung cut off by the picture's edge stays whole.
    closing = _reach(settings.closing_px * scale)
    lungs = eroded(dilated(lungs, closing), closing)
    lungs = _without_small_and_flat(lungs, scale, settings)
    erode = max(1, round(settings.erode_px * scale))
    dilate = erode + max(1, round((settings.dilate_px - settings.erode_px) * scale))
    return dilated(eroded(lungs, erode), dilate)


def _body(bright: np.ndarray, scale: float, settings: LungsHeartSettings) -> np.ndarray:
    """Return the body, filled: the largest bright component of published size and place."""
    labels, count = ndimage.label(bright)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    least = min(settings.body_min_px * scale**2, settings.body_min_px / 512**2 * bright.size)
    for label in np.argsort(areas)[::-1]:
        if areas[label] < least:
            break
        if areas[label] > settings.body_max_px * scale**2:
            continue
        component = labels == label
        y, x = np.array(ndimage.center_of_mass(component)) / component.shape
        if _between(y, settings.body_centre_y) and _between(x, settings.body_centre_x):
            return filled(component)
    return np.zeros(bright.shape, bool)


def _cropped_lungs(gray: np.ndarray, dark: np.ndarray, settings: LungsHeartSettings) -> np.ndarray:
    """Return dark regions at the picture's edge that are lung tissue, not air: what a cropped field cuts off."""
    air = 255 * float(apply_window(np.array(settings.air_hu), level=settings.level, width=settings.width))
    if np.mean(_edge(gray) < air) > settings.cropped_edge_air:
        return np.zeros(gray.shape, bool)
    labels, _ = ndimage.label(dark)
    touching = np.unique(_edge(labels))
    touching = touching[touching > 0]
    if not len(touching):
        return np.zeros(gray.shape, bool)
    medians = np.asarray(ndimage.median(gray, labels, touching))
    return np.isin(labels, touching[medians > air])


def _without_small_and_flat(mask: np.ndarray, scale: float, settings: LungsHeartSettings) -> np.ndarray:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    keep = areas >= settings.small_share * 512**2 * scale**2
    keep[0] = False
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        height, width = (side.stop - side.start for side in box)
        keep[label] &= height >= settings.flat_ratio * width
    return keep[labels]


def _edge(picture: np.ndarray) -> np.ndarray:
    return np.concatenate((picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]))


def _reach(pixels: float) -> int:
    """Return how far a square about so many pixels wide reaches to each side of its middle."""
    return max(0, round((pixels - 1) / 2))


def _between(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] < value < limits[1]
