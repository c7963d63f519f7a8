"""The type that every phantom generator returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FINDING = "finding"
"""What generators call the finding that they draw where nobody names it."""


@dataclass(frozen=True)
class Phantom:
    """One procedural study with its truth. It depicts no person.

    Attributes
    ----------
    kind
        ``"head-ct"``, ``"ctpa"`` or ``"chest-xray"``.
    seed
        The number that, with the generator's arguments, fixes every voxel.
    array
        ``(z, y, x)`` float32. CT: HU, axial slices from inferior to superior, rows from anterior to posterior, columns
        from the patient's right to the left (DICOM LPS order). Radiograph: ``(1, y, x)`` in 0..1, MONOCHROME2 (bone
        bright), the patient's right at the left edge of the picture.
    spacing
        ``(z, y, x)`` in mm.
    masks
        Segment name to uint8 array shaped as `array`. Always holds the finding, or the lesions named in
        `slice_labels`; other structures (``"lungs"``, ``"heart"``) where the generator has them.
    slice_labels
        Label to ``(z,)`` bool array: in which slices the finding is present. The first label is the overall one.
    study_labels
        Label to number: 0/1 labels and measured values such as ``"rv_lv_ratio"``.
    parameters
        What was drawn for this seed (anatomy, dose, lesion sizes in mm): for tables and figures.
    """

    kind: str
    seed: int
    array: np.ndarray
    spacing: tuple[float, float, float]
    masks: dict[str, np.ndarray]
    slice_labels: dict[str, np.ndarray]
    study_labels: dict[str, float]
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def positive(self) -> bool:
        """Whether the study shows the finding its detector looks for."""
        return bool(next(iter(self.slice_labels.values())).any())


def check_variants(variants: Sequence[str], known: Sequence[str]) -> None:
    """Raise `ValueError` for a variant that is not among those that a generator knows."""
    unknown = sorted(set(variants) - set(known))
    if unknown:
        raise ValueError(f"variant {unknown[0]!r} is not one of {', '.join(known)}")
