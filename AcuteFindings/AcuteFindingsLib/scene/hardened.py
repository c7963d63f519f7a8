"""A volume that was resampled since it was loaded, as by hardening its acquisition transform, and its source slices.

Hardening blends neighboring slices on another set of planes: what a network sees of thick slices then differs from the
slices themselves by more than a reader would accept. Where the node is nothing but its DICOM slices resampled, the
slices are read in its place; they lie where the scene shows the volume.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.scene.node_headers import InstanceFile, NodeHeaders, frames_of_slices
from AcuteFindingsLib.scene.node_stack import NodeStack
from AcuteFindingsLib.study.dicom_decoding import decode_one_file
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_pixels import to_hu
from AcuteFindingsLib.study.notice import Notice

# Where a plane of the node is compared: linear interpolation in whole HU agrees but for rounding, and for what lies
# where the inverse of a transform that folds does not converge.
_PLANES, _SAME_HU, _SAME_SHARE, _TISSUE_HU = 3, 3.0, 0.9, -800.0
_SAME_PIXELS, _SAME_DIRECTION = 0.25, 1e-3
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])

SLICES_READ = Notice(
    "slices-not-original",
    "info",
    "The volume was resampled since it was loaded (its acquisition transform was hardened): the slices of its DICOM "
    "files were read in its place, and results are given by position.",
)


class FileSlices:
    """The slices of DICOM files in HU ``(y, x)`` float32, each decoded when it is asked for."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = tuple(frames)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._frames)

    def __getitem__(self, number: int) -> np.ndarray:
        """Decode one.

        Raises
        ------
        StudyError
            When its file can no longer be read.
        """
        found = decoded(self._frames[number])
        if found is None:
            raise StudyError("A DICOM file of the volume can no longer be read; load its series again.")
        return found


def decoded(frame: Frame) -> np.ndarray | None:
    """Return the HU ``(y, x)`` of one image; None where its file cannot be read here."""
    found: list[Any] = []
    decode_one_file([frame], [0], lambda _, stored: found.append(to_hu(stored, frame)))
    return found[0] if found else None


def source_slices(
    array: np.ndarray, stack: NodeStack, uids: Sequence[str], headers: NodeHeaders, instance_file: InstanceFile | None
) -> tuple[NodeStack, FileSlices, NodeHeaders] | None:
    """Return the slices that a resampled volume was made of, without SOP UIDs; None where it holds anything else.

    Parameters
    ----------
    array, stack
        The node's voxels ``(z, y, x)`` and where they lie.
    uids
        SOP Instance UIDs that the node still carries, one a plane.
    headers
        What else is known of it.
    """
    frames = frames_of_slices(uids, instance_file)
    source = None if len(frames) != len(array) or len(frames) < 2 else _stack(frames, stack)
    if source is None or not _is_made_of(array, stack, frames, source):
        return None
    left = replace(headers, uids=("",) * len(frames), frames=dict(enumerate(frames)))
    return source, FileSlices(frames), left


def _stack(frames: Sequence[Frame], node: NodeStack) -> NodeStack | None:
    """Return where the slices lie by their headers, in ascending order; None where they are not the node's."""
    row, column = (one / np.linalg.norm(one) for one in (node.row, node.column))
    for frame in frames:
        if frame.position is None or frame.directions is None or frame.spacing is None or frame.shape != node.shape[1:]:
            return None
        turned = np.abs(frame.directions.reshape(2, 3) * _RAS_TO_LPS - (row, column)).max() > _SAME_DIRECTION
        if turned or frame.spacing != frames[0].spacing:
            return None
    rows, columns = frames[0].spacing or (1.0, 1.0)
    corners = np.array([frame.position for frame in frames]) * _RAS_TO_LPS
    if np.any(np.diff(corners @ node.normal) <= 0):
        return None
    return NodeStack(corners, row * columns, column * rows, node.shape)


def _is_made_of(array: np.ndarray, stack: NodeStack, frames: Sequence[Frame], source: NodeStack) -> bool:
    """Whether planes of the node are what lies between the slices at their height."""
    heights = source.corners @ source.normal
    compared = 0
    for plane in np.linspace(0, len(array) - 1, _PLANES + 2).round().astype(int)[1:-1]:
        corner = stack.corners[plane]
        after = int(np.clip(np.searchsorted(heights, corner @ source.normal), 1, len(heights) - 1))
        weight = (corner @ source.normal - heights[after - 1]) / (heights[after] - heights[after - 1])
        aside = corner - ((1 - weight) * source.corners[after - 1] + weight * source.corners[after])
        pixels = [abs(aside @ one) / (one @ one) for one in (source.row, source.column)]
        low, high = decoded(frames[after - 1]), decoded(frames[after])
        if max(pixels) > _SAME_PIXELS or not 0 <= weight <= 1 or low is None or high is None:
            return False
        expected = low + np.float32(weight) * (high - low)
        tissue = (low > _TISSUE_HU) & (high > _TISSUE_HU)
        if tissue.any():
            compared += 1
            if np.mean(np.abs(array[plane][tissue] - expected[tissue]) <= _SAME_HU) < _SAME_SHARE:
                return False
    return compared > 0
