"""What else an image may go through before it is read: parts of it, noise, smoothing, another grid, a mirror."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.study.study import Study


def ct_version(study: Study, rng: np.random.Generator) -> Study:
    """Return a CT in HU after none, one or several of the changes, drawn."""
    array, spacing = study.array.astype(np.float32), study.spacing
    if rng.random() < 0.35:
        for axis in range(3):
            count = array.shape[axis]
            kept = max(2, int(count * rng.uniform(0.65, 1)))
            start = int(rng.integers(0, count - kept + 1))
            array = np.take(array, range(start, start + kept), axis=axis)
    if rng.random() < 0.3:
        array = array + rng.normal(0, rng.uniform(3, 40), array.shape).astype(np.float32)
    if rng.random() < 0.3:
        width = rng.uniform(0.4, 1.5)
        array = ndimage.gaussian_filter(array, (0, width / spacing[1], width / spacing[2]))
    if rng.random() < 0.3:
        wanted = (rng.uniform(1, 6), *[rng.uniform(0.8, 3)] * 2)
        array, spacing = _on_grid(array, spacing, wanted)
    if rng.random() < 0.3:
        array = array[..., ::-1]
    return with_array(study, array, spacing)


def radiograph_version(study: Study, rng: np.random.Generator) -> Study:
    """Return a radiograph in 0..1 after none, one or several of the changes, drawn; contrast and brightness too."""
    picture = study.array[0].astype(np.float32)
    if rng.random() < 0.4:
        rows, columns = picture.shape
        top, bottom, left, right = rng.uniform(0, 0.08, 4)
        picture = picture[
            int(top * rows) : rows - int(bottom * rows), int(left * columns) : columns - int(right * columns)
        ]
    if rng.random() < 0.4:
        picture = np.clip(picture, 0, 1) ** rng.uniform(0.75, 1.3)
    if rng.random() < 0.3:
        picture = picture + rng.normal(0, rng.uniform(0.005, 0.05), picture.shape).astype(np.float32)
    if rng.random() < 0.3:
        picture = ndimage.gaussian_filter(picture, rng.uniform(0.5, 1.5) * min(picture.shape) / 256)
    if rng.random() < 0.3:
        picture = ndimage.zoom(picture, rng.uniform(0.5, 1.2), order=1)
    if rng.random() < 0.2:
        picture = picture[:, ::-1]
    return replace(study, array=np.ascontiguousarray(np.clip(picture, 0, 1))[None])


def with_array(study: Study, array: np.ndarray, spacing: tuple[float, float, float]) -> Study:
    """Return a study that shows other voxels of another size."""
    matrix = study.ijk_to_ras.copy()
    matrix[:3, :3] *= np.array(spacing[::-1]) / np.linalg.norm(matrix[:3, :3], axis=0)
    return replace(study, array=np.ascontiguousarray(array), ijk_to_ras=matrix)


def _on_grid(
    array: np.ndarray, spacing: tuple[float, float, float], wanted: tuple[float, ...]
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Resample to about a voxel size; finer by at most a half, which adds nothing but memory."""
    factors = [min(have / want, 1.5) for have, want in zip(spacing, wanted, strict=True)]
    made = ndimage.zoom(array, factors, order=1)
    z, y, x = (step * old / new for step, old, new in zip(spacing, array.shape, made.shape, strict=True))
    return made, (z, y, x)
