"""Bleeds drawn into a real head CT slice without one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# Of the five types, in the order of the challenge's labels; the shares are those of its slices, roughly.
KINDS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
_SHARES = (0.12, 0.40, 0.16, 0.14, 0.18)
# Fewer pixels than this nobody would see.
_LEAST_PIXELS = 25


@dataclass(frozen=True)
class Bleed:
    """A slice ``(y, x)`` float32 in 0..1 with a bleed of a kind drawn into it, and its bool outline ``(y, x)``."""

    image: np.ndarray
    mask: np.ndarray
    kind: str


@dataclass(frozen=True)
class _Head:
    """One slice and what the drawing asks of it: lengths in pixels, levels in 0..1."""

    image: np.ndarray
    brain: np.ndarray
    depth: np.ndarray
    ripple: np.ndarray
    level: float
    spread: float

    @property
    def center(self) -> np.ndarray:
        return np.argwhere(self.brain).mean(axis=0)

    def offsets(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.ogrid[: self.image.shape[0], : self.image.shape[1]]
        return y - point[0], x - point[1]


def draw_bleed(rng: np.random.Generator, image: np.ndarray, *, kind: str | None = None) -> Bleed | None:
    """Draw a bleed where such a bleed lies.

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1: brain window, the head cut out (`preprocessing.head_slice.neutral_head`) and some 120 to 200
        pixels across; the sizes of the bleeds are in pixels.
    kind
        One of `KINDS`; drawn where None.

    Returns
    -------
    Bleed or None
        None where the slice has no room for it, for example no ventricle.
    """
    brain = brain_region(image)
    if not brain.any():
        return None
    kind = kind or str(rng.choice(KINDS, p=_SHARES))
    low, level, high = np.percentile(image[brain], (10, 50, 90))
    depth = ndimage.distance_transform_edt(brain)
    ripple = _ripple(rng, image.shape, rng.uniform(3, 8))
    head = _Head(image, brain, depth, ripple, float(level), float(high - low))
    mask = _SHAPES[kind](rng, head)
    if np.count_nonzero(mask) < _LEAST_PIXELS:
        return None
    return _painted(rng, head, mask, kind)


def draw_calcium(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Draw one to three specks of calcium, as in plexus and pineal gland: bright, small, and no bleed.

    Takes and returns ``(y, x)`` in 0..1.
    """
    depth = ndimage.distance_transform_edt(brain_region(image))
    inside = np.argwhere(depth > 10)
    if not len(inside):
        return image
    out = image.copy()
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    for _ in range(int(rng.integers(1, 4))):
        at, radius = inside[rng.integers(len(inside))], rng.uniform(1, 2.6)
        speck = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * radius**2))
        out = np.maximum(out, speck * rng.uniform(0.7, 1.0) * (speck > 0.3))
    return out.astype(np.float32)


def brain_region(image: np.ndarray) -> np.ndarray:
    """Return what lies inside the skull, bool ``(y, x)``, of a slice whose head is cut out; all False without one."""
    head = ndimage.binary_fill_holes(ndimage.binary_closing(image > 0, iterations=2))
    if not head.any():
        return np.zeros(image.shape, bool)
    bone = image >= 0.8 * np.percentile(image[head], 99)
    soft = ndimage.binary_opening(head & ~ndimage.binary_dilation(bone), iterations=2)
    labels, count = ndimage.label(soft)
    if not count:
        return np.zeros(image.shape, bool)
    core = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_dilation(core) & ~bone))


def _ripple(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), sigma)
    return np.asarray(field / max(float(field.std()), 1e-6))


def _in_brain(rng: np.random.Generator, head: _Head) -> np.ndarray:
    inside = np.argwhere(head.depth > rng.uniform(5, 14))
    if not len(inside):
        return np.zeros_like(head.brain)
    y, x = head.offsets(inside[rng.integers(len(inside))])
    radius = np.exp(rng.uniform(np.log(4), np.log(26)))
    narrow, angle = rng.uniform(0.55, 1), rng.uniform(0, np.pi)
    along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    field = np.hypot(along / narrow, across) / radius + 0.22 * head.ripple
    return np.asarray((field < 1) & (head.depth > 2))


def _under_skull(
    rng: np.random.Generator, head: _Head, half_angle: tuple[float, float], thickness: tuple[float, float], power: float
) -> np.ndarray:
    y, x = head.offsets(head.center)
    middle, half = rng.uniform(-np.pi, np.pi), rng.uniform(*half_angle)
    off = np.abs(np.angle(np.exp(1j * (np.arctan2(y, x) - middle)))) / half
    thick = rng.uniform(*thickness) * np.clip(1 - off**4, 0, 1) ** power
    return np.asarray(head.brain & (head.depth < thick * (1 + 0.12 * head.ripple)))


def _crescent(rng: np.random.Generator, head: _Head) -> np.ndarray:
    return _under_skull(rng, head, (0.35, 1.1), (4, 11), 1.0)


def _lens(rng: np.random.Generator, head: _Head) -> np.ndarray:
    return _under_skull(rng, head, (0.25, 0.55), (7, 20), 0.5)


def _in_ventricles(rng: np.random.Generator, head: _Head) -> np.ndarray:
    y, x = head.offsets(head.center)
    dark = ndimage.gaussian_filter(head.image, 1.2) < head.level - 0.35 * head.spread - 0.02
    middle = np.hypot(y, x) < 0.33 * np.sqrt(np.count_nonzero(head.brain))
    labels, count = ndimage.label(ndimage.binary_opening(dark & middle & (head.depth > 12)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    horns = [int(n) + 1 for n in np.argsort(-sizes)[:3] if sizes[n] > 40]
    if not horns:
        return np.zeros_like(head.brain)
    mask = np.isin(labels, horns if rng.random() < 0.5 else horns[:1])
    mask = ndimage.binary_dilation(mask) & head.brain
    if rng.random() < 0.5:
        # Blood settles at the back of a patient who lies.
        mask &= np.arange(len(mask))[:, None] > np.quantile(np.nonzero(mask)[0], rng.uniform(0.2, 0.7))
    return mask


def _in_sulci(rng: np.random.Generator, head: _Head) -> np.ndarray:
    inside = np.argwhere(head.brain)
    y, x = head.offsets(inside[rng.integers(len(inside))])
    dark = ndimage.gaussian_filter(head.image, 0.8) < head.level - 0.1 * head.spread
    near = np.hypot(y, x) < rng.uniform(18, 55) * (1 + 0.2 * head.ripple)
    outer = head.depth < rng.uniform(14, 40)
    return np.asarray(ndimage.binary_opening(dark & near & outer & head.brain, structure=np.ones((2, 2))))


_SHAPES: dict[str, Callable[[np.random.Generator, _Head], np.ndarray]] = {
    "epidural": _lens,
    "intraparenchymal": _in_brain,
    "intraventricular": _in_ventricles,
    "subarachnoid": _in_sulci,
    "subdural": _crescent,
}
# How much brighter than brain the faintest is: what lies thinly among CSF shows only when dense.
_LEAST_RISE = {"epidural": 0.25, "intraventricular": 0.29, "subarachnoid": 0.22}


def _painted(rng: np.random.Generator, head: _Head, mask: np.ndarray, kind: str) -> Bleed:
    share = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.5, 1.1))
    rise = max(rng.uniform(0.14, 0.5), _LEAST_RISE.get(kind, 0.0))
    clots = _ripple(rng, head.image.shape, rng.uniform(1.5, 5)) * rng.uniform(0.0, 0.05)
    noise = head.image - ndimage.gaussian_filter(head.image, 1.5)
    out = head.image
    if kind == "intraparenchymal" and rng.random() < 0.6:
        wide = ndimage.binary_dilation(mask, iterations=int(rng.integers(2, 7)))
        edema = ndimage.gaussian_filter(wide.astype(np.float32), 1.5) * (head.depth > 1)
        out = out - edema * rng.uniform(0.03, 0.12) * (1 - share)
    out = out * (1 - share) + (head.level + rise + clots + noise) * share
    return Bleed(np.clip(out, 0, 1).astype(np.float32), share > 0.5, kind)
