"""The axial view of a study, whichever way its slices were cut."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from AcuteFindingsLib.study.study import Study

_AXIAL_RAS = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
"""Rows: RAS direction of x (to the patient's left), y (to the back), z (to the head): LPS, as DICOM shows axial CT."""


@dataclass(frozen=True)
class Axial:
    """A study's array with its axes permuted and flipped so that slices are as near to axial as a view can make them.

    Attributes
    ----------
    array
        ``(z, y, x)`` view: slices from inferior to superior, rows from anterior to posterior, columns from the
        patient's right to the left. No voxel is copied or interpolated.
    spacing
        ``(z, y, x)`` mm.
    ijk_to_ras
        4×4 of this view.
    source_z
        ``(n,)`` float: where each of `Study.sources` lies along this view's z, in slices; NaN where the source slices
        are not axial and so have no single z.
    order, flipped
        How the study's array axes became this view's: ``study.array.transpose(order)``, then the axes of the result
        that were reversed.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    ijk_to_ras: np.ndarray
    source_z: np.ndarray
    order: tuple[int, int, int]
    flipped: tuple[int, ...]

    def view(self, array: np.ndarray) -> np.ndarray:
        """Put an array that lies on the study's own axes in the order of this view (a view, no copy)."""
        return np.flip(array.transpose(self.order), self.flipped)

    def restore(self, array: np.ndarray) -> np.ndarray:
        """Put an array that lies on this view's grid back on the study's own axes (a view, no copy)."""
        return np.flip(array, self.flipped).transpose(np.argsort(self.order))


def to_axial(study: Study) -> Axial:
    """View a study in axial order: the nearest permutation of its axes, also where they are oblique."""
    columns = np.asarray(study.ijk_to_ras, float)[:3, :3]
    cosines = _AXIAL_RAS @ (columns / np.linalg.norm(columns, axis=0))
    # Halfway between two axes, where rounding would decide, the earlier permutation counts.
    from_ijk = max(
        (np.array(order) for order in permutations(range(3))),
        key=lambda order: round(float(np.abs(cosines[np.arange(3), order]).sum()), 9),
    )
    signs = np.sign(cosines[np.arange(3), from_ijk])

    # Array axes run (k, j, i): index axis a of (i, j, k) is array axis 2 - a.
    ordered = tuple(int(2 - axis) for axis in from_ijk[::-1])
    order = (ordered[0], ordered[1], ordered[2])
    flipped = tuple(int(axis) for axis in range(3) if signs[2 - axis] < 0)
    view = np.flip(study.array.transpose(order), flipped)

    matrix = np.eye(4)
    matrix[:3, 3] = np.asarray(study.ijk_to_ras, float)[:3, 3]
    for axis, source in enumerate(from_ijk):
        column = columns[:, source]
        if signs[axis] < 0:
            matrix[:3, 3] += column * (view.shape[2 - axis] - 1)
            column = -column
        matrix[:3, axis] = column

    k = np.array([source.k for source in study.sources], float)
    along_z = view.shape[0] - 1 - k if 0 in flipped else k
    source_z = along_z if order[0] == 0 else np.full(len(k), np.nan)
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    spacing = (float(lengths[2]), float(lengths[1]), float(lengths[0]))
    return Axial(view, spacing, matrix, source_z, order, flipped)
