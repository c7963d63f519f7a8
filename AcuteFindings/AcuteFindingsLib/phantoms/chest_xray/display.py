"""From path lengths to a radiograph: Beer-Lambert law, scatter, quantum noise, detector blur and display curve."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.phantoms.chest_xray.drawing import Frame, ball_chords, resample

_WATER_PER_MM = 0.0195
"""Attenuation of water near 65 keV, about the mean energy of a 110 to 125 kVp chest beam (NIST XCOM: 0.195 / cm)."""


@dataclass(frozen=True)
class Exposure:
    """How one radiograph is taken and shown.

    Attributes
    ----------
    quanta
        Detected quanta per mm² where nothing is in the beam, in thousands (sets the noise).
    scatter
        Scattered over primary radiation reaching the detector, relative to the open beam.
    blur_mm
        Detector and focal blur, standard deviation.
    level, width
        Path length in mm of water shown as middle gray, and the slope of the sigmoid in mm.
    equalise
        Share of large-scale differences taken out, as multi-scale processing does.
    rotation_deg
        Tilt of the patient against the detector.
    border
        Collimation inside the picture: distances from left, top, right, bottom edges in mm.
    marker
        ``"R"``, ``"L"`` or nothing.
    """

    quanta: float
    scatter: float
    blur_mm: float
    level: float
    width: float
    equalise: float
    rotation_deg: float
    border: tuple[float, float, float, float]
    border_deg: float
    marker: str


def draw_exposure(rng: np.random.Generator, *, view_ap: bool) -> Exposure:
    """Settings of one radiograph: bedside pictures have more scatter, noise and tilt."""
    collimated = rng.random() < 0.45
    sides = rng.uniform(2.0, 16.0, 4) * (rng.random(4) < 0.6) * collimated
    return Exposure(
        quanta=rng.uniform(70.0, 300.0) * (0.6 if view_ap else 1.0),
        scatter=rng.uniform(0.02, 0.045) * (1.5 if view_ap else 1.0),
        blur_mm=rng.uniform(0.15, 0.45),
        level=rng.uniform(-0.12, 0.12),
        width=rng.uniform(0.8, 1.25),
        equalise=rng.uniform(0.0, 0.36),
        rotation_deg=rng.normal(0, 2.6 if view_ap else 1.2),
        border=(float(sides[0]), float(sides[1]), float(sides[2]), float(sides[3])),
        border_deg=rng.normal(0, 0.8) * collimated,
        marker=str(rng.choice(["R", "L", ""], p=[0.35, 0.3, 0.35])),
    )


def rotation_indices(frame: Frame, angle_deg: float) -> np.ndarray:
    """Source rows and columns `(2, y, x)` of a picture turned by `angle_deg` about its center."""
    angle = np.deg2rad(angle_deg)
    middle = 0.5 * (frame.size - 1)
    rows, columns = np.mgrid[: frame.size, : frame.size].astype(np.float32) - np.float32(middle)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.stack([cosine * rows + sine * columns, -sine * rows + cosine * columns]) + np.float32(middle)


def expose(
    frame: Frame, attenuation_mm: np.ndarray, lung: np.ndarray, exposure: Exposure, rng: np.random.Generator
) -> np.ndarray:
    """The radiograph in 0..1, MONOCHROME2.

    Parameters
    ----------
    attenuation_mm
        Path length in mm of water `(y, x)`.
    lung
        Mask `(y, x)` of the lung fields, from which the display curve takes its levels.
    """
    thickness = ndimage.gaussian_filter(attenuation_mm, exposure.blur_mm / frame.mm, truncate=3.0)
    primary = np.exp(-_WATER_PER_MM * thickness)
    scattered = exposure.scatter * _wide_blur(primary, 38.0 / frame.mm)
    signal = primary + scattered
    count = exposure.quanta * 1000.0 * frame.mm**2
    signal = signal + np.sqrt(signal / count) * rng.standard_normal(signal.shape, dtype=np.float32)
    shown = -np.log(np.maximum(signal, 1e-4)) / _WATER_PER_MM
    shown = shown - exposure.equalise * (_wide_blur(np.clip(shown, 30.0, 220.0), 30.0 / frame.mm) - 110.0)
    aerated = float(np.median(shown[lung][::7])) if lung.any() else float(np.percentile(shown, 30))
    dense = max(float(np.percentile(shown[::5, ::5], 93)), aerated + 30.0)
    # Lung comes out near 0.25 and the densest tenth near 0.9.
    middle = aerated + (0.34 + exposure.level) * (dense - aerated)
    slope = exposure.width * (dense - aerated) / 3.1
    picture = 1.0 / (1.0 + np.exp(-(shown - middle) / max(slope, 1.0)))
    floor = 1.0 / (1.0 + np.exp(middle / max(slope, 1.0)))
    return np.clip((picture - floor) / (0.985 - floor), 0.0, 1.0).astype(np.float32)


def _wide_blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur by way of a smaller picture: the scale is far above the pixel."""
    step = max(1, int(sigma_px / 4.0))
    rows, columns = image.shape
    trimmed = np.pad(image, ((0, -rows % step), (0, -columns % step)), mode="edge")
    small = trimmed.reshape(trimmed.shape[0] // step, step, trimmed.shape[1] // step, step).mean(axis=(1, 3))
    small = ndimage.gaussian_filter(small, sigma_px / step, mode="nearest")
    scale = [(np.arange(n, dtype=np.float32) - 0.5 * (step - 1)) / step for n in (rows, columns)]
    return ndimage.map_coordinates(small, np.meshgrid(*scale, indexing="ij"), order=1, mode="nearest")


def inside_collimator(frame: Frame, exposure: Exposure) -> np.ndarray:
    """Mask `(y, x)` of what the collimator lets through."""
    left, top, right, bottom = exposure.border
    extent = frame.size * frame.mm
    along_x, along_y = frame.x - frame.left, frame.y - frame.top
    tilt = np.tan(np.deg2rad(exposure.border_deg))
    x = along_x + tilt * (along_y - 0.5 * extent)
    y = along_y - tilt * (along_x - 0.5 * extent)
    inside = np.ones((frame.size, frame.size), bool)
    for distance, value in ((left, x), (top, y), (right, extent - x), (bottom, extent - y)):
        if distance > 0:
            inside &= value > distance
    return inside


def marker_map(frame: Frame, letter: str, rng: np.random.Generator) -> np.ndarray:
    """Opacity 0..1 `(y, x)` of a lead side marker, on the side of the picture that it names."""
    out = frame.zeros()
    if not letter:
        return out
    extent = frame.size * frame.mm
    tall = rng.uniform(9.0, 15.0)
    edge = rng.uniform(24.0, 42.0)
    center_x = frame.left + (edge if letter == "R" else extent - edge)
    center_y = frame.top + rng.uniform(24.0, 46.0)
    # Strokes on a unit box, x right and y down.
    bowl = [(0.0, 0.0), (0.45, 0.02), (0.62, 0.25), (0.45, 0.48), (0.0, 0.5)]
    strokes = {
        "R": ([(0.0, 0.0), (0.0, 1.0)], bowl, [(0.25, 0.5), (0.65, 1.0)]),
        "L": ([(0.0, 0.0), (0.0, 1.0)], [(0.0, 1.0), (0.6, 1.0)]),
    }[letter]
    angle = rng.normal(0, 0.12)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for stroke in strokes:
        points = (np.array(stroke) - [0.3, 0.5]) * tall @ turn + [center_x, center_y]
        curve = resample(points, step_mm=0.4 * frame.mm)
        out = np.maximum(out, ball_chords(frame, curve, 0.09 * tall))
    return np.clip(out / (0.09 * tall), 0.0, 1.0)
