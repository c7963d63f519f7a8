"""What must hold of any answer: it is the study, or somebody is told, or it is one readable error."""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

_HU, _VOXEL = 0.75, 0.03


# Remarks that say what was done to the places of slices; the volume is another one and right.
_TELL = {"uneven-spacing"}


@dataclass(frozen=True)
class Read:
    """A study as read, and what was said about it."""

    study: Study
    said: frozenset[str]


def read(path, detector: str) -> Read:
    """Read and check as every command does."""
    study = read_study(path, requirements=find_kind(detector).requirements)
    notices = check_study(study, find_kind(detector).requirements)
    return Read(study, frozenset(n.code for n in notices if n.severity in ("refuse", "warn") or n.code in _TELL))


def difference(base: Study, other: Study) -> str:
    """Say how a study differs from the base, place by place in the patient; "" where it is the same."""
    if other.intensity != base.intensity:
        return f"intensity {other.intensity} instead of {base.intensity}"
    if other.array.size != base.array.size:
        return f"shape {other.array.shape} instead of {base.array.shape}"
    if not np.isfinite(other.ijk_to_ras).all() or abs(np.linalg.det(other.ijk_to_ras[:3, :3])) < 1e-9:
        return "a matrix that cannot be inverted"
    change = np.linalg.inv(other.ijk_to_ras) @ base.ijk_to_ras
    k, j, i = np.indices(base.array.shape).reshape(3, -1)
    places = change[:3, :3] @ np.stack([i, j, k]).astype(float) + change[:3, 3:]
    whole = np.round(places)
    off = np.abs(places - whole).max()
    if off > _VOXEL:
        return f"voxels {off:.2f} of a voxel away"
    x, y, z = whole.astype(int)
    limits = np.array(other.array.shape)[::-1, None]
    if (whole < 0).any() or (whole >= limits).any():
        return "another place"
    values = np.abs(other.array[z, y, x] - base.array.ravel())
    tolerance = _HU if base.intensity == "HU" else 0.01
    if not values.max() <= tolerance:
        return f"values differ by up to {values.max():g}"
    return ""
