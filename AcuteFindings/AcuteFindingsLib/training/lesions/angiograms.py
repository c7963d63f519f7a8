"""One real CT angiogram again and again: another enhancement, mixing and noise, with clots drawn in or none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.training.lesions.emboli import draw_embolus, draw_mixing


@dataclass(frozen=True)
class DrawnAngiogram:
    """A study with clots drawn in or none, and the clots' mask ``(z, y, x)``."""

    study: Study
    mask: np.ndarray
    kinds: tuple[str, ...]


def draw_angiograms(study: Study, artery: np.ndarray, *, count: int, seed: int) -> Iterator[DrawnAngiogram]:
    """Yield `count` versions of a study in HU, every other with one to three clots.

    Parameters
    ----------
    artery
        ``(z, y, x)`` bool: the pulmonary artery, where alone a clot is drawn.
    """
    for number, child in enumerate(np.random.SeedSequence(seed).spawn(count)):
        rng = np.random.default_rng(child)
        volume = study.array.astype(np.float32)
        # Less contrast agent: whatever is brighter than muscle and liver comes down.
        volume = np.where(volume > 150, 150 + (volume - 150) * rng.uniform(0.55, 1.0), volume)
        if rng.random() < 0.5:
            volume = draw_mixing(rng, volume, artery, study.spacing)
        mask, kinds = np.zeros(volume.shape, bool), []
        for _ in range(int(rng.integers(1, 4)) if number % 2 else 0):
            drawn = draw_embolus(rng, volume, artery & ~ndimage.binary_dilation(mask), study.spacing)
            if drawn is not None:
                volume, mask = drawn.volume, mask | drawn.mask
                kinds.append(drawn.kind)
        grain = ndimage.gaussian_filter(rng.standard_normal(volume.shape).astype(np.float32), (0, 0.6, 0.6))
        volume = volume + grain / grain.std() * rng.uniform(3, 16)
        yield DrawnAngiogram(replace(study, array=volume.astype(np.float32)), mask, tuple(kinds))
