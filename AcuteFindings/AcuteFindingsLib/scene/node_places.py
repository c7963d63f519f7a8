"""Whether a volume node still holds the slices that its DICOM headers speak of, where those say that they lie."""

from dataclasses import replace
from typing import Literal

import numpy as np

from AcuteFindingsLib.scene.hardened import decoded
from AcuteFindingsLib.scene.node_headers import NodeHeaders
from AcuteFindingsLib.scene.node_stack import NodeStack
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.notice import Notice

# Slices further from where the node shows them than this part of its step, or moved in their plane by more than this
# many pixels, are told of; rounding stays below.
_OFF_STEP, _OFF_PIXELS = 0.25, 0.25
# Between directions, as cosines: half a degree.
_OFF_DIRECTION = 0.01
# A slice that was resampled agrees with its file in air and padding alone; one that was only edited agrees in most of
# the tissue. Within 1 HU, as decoders and whole numbers round.
_TISSUE_HU, _SAME_HU, _SAME_SHARE = -800.0, 1.0, 0.5

_LOAD_AGAIN = "Load the series again in the DICOM module, whose acquisition transform places every slice."
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])

Placing = Literal["here", "moved", "elsewhere", "resampled"]
"""Where headers put the slices: where the node shows them; all together somewhere else; in other distances from each
other; or the node's planes are not these slices any more."""


def placing_of(volume_array: np.ndarray, stack: NodeStack, headers: NodeHeaders) -> Placing:
    """Compare the node's slices ``(z, y, x)`` with the headers that were read.

    One image is decoded where the two differ, to tell a volume that was resampled (as by hardening an acquisition
    transform, which keeps its matrix and its UIDs) from slices that Slicer stacked evenly or that were moved.
    """
    placed = [(k, one) for k, one in sorted(headers.frames.items()) if one.position is not None]
    if not placed or not any(headers.uids):
        return "here"
    places = np.array([k for k, _ in placed])
    away = np.array([np.asarray(one.position) for _, one in placed]) * _RAS_TO_LPS - stack.corners[places]
    step, pixel = _step(stack), min(np.linalg.norm(stack.row), np.linalg.norm(stack.column))
    limits = _OFF_STEP * step, _OFF_PIXELS * float(pixel)
    turned = _turned(placed, stack)
    if not turned and _within(away, stack.normal, limits):
        return "here"
    worst = int(np.argmax(np.linalg.norm(away, axis=1)))
    if _same_pixels(volume_array[places[worst]], placed[worst][1]) is False:
        return "resampled"
    rigid = _distances(np.array([one.position for _, one in placed])), _distances(stack.corners[places])
    return "moved" if np.abs(rigid[0] - rigid[1]).max() <= min(limits) or len(placed) == 1 else "elsewhere"


def without_slices(headers: NodeHeaders) -> NodeHeaders:
    """Return what is left of the headers where the node's planes are none of the series' slices."""
    first = dict(list(headers.frames.items())[:1])
    return replace(headers, uids=("",) * len(headers.uids), frames=first)


def place_notices(placing: Placing, stack: NodeStack, headers: NodeHeaders) -> tuple[Notice, ...]:
    """Say where the node and the headers differ."""
    if len(headers.uids) > 1 and not any(headers.uids) and headers.from_dicom:
        text = (
            "The volume was changed since it was loaded (cropped or resampled), so its slices are none of the "
            "original series; results are given by position."
        )
        return (Notice("slices-not-original", "info", text),)
    if placing == "moved":
        text = (
            "The volume is not at the position that its DICOM headers state (a transform was hardened, or the volume "
            "was centered): results are given where the scene shows it."
        )
        return (Notice("volume-moved", "info", text),)
    placed = [(k, one) for k, one in sorted(headers.frames.items()) if one.position is not None]
    if placing != "elsewhere" or len(placed) < 2:
        return ()
    step, pixel = _step(stack), float(min(np.linalg.norm(stack.row), np.linalg.norm(stack.column)))
    places = np.array([k for k, _ in placed])
    positions = np.array([one.position for _, one in placed]) * _RAS_TO_LPS
    away = positions - stack.corners[places]
    away -= away[0]
    line = (stack.corners[-1] - stack.corners[0]) / ((stack.corners[-1] - stack.corners[0]) @ stack.normal)
    along = away @ stack.normal
    within = np.linalg.norm(away - along[:, None] * line, axis=1)
    notices = []
    if within.max() > _OFF_PIXELS * pixel:
        text = (
            f"By their headers slices lie up to {within.max():.1f} mm away from where the scene shows them "
            f"(gantry tilt): each slice is read as it is, shapes across slices are slanted. {_LOAD_AGAIN}"
        )
        notices.append(Notice("slices-slanted", "warn", text))
    if np.abs(along).max() > _OFF_STEP * step:
        gaps = np.abs(np.diff(positions @ stack.normal) / np.diff(places))
        text = (
            f"By their headers slices lie {gaps.min():.1f} to {gaps.max():.1f} mm apart, but the volume in the scene "
            f"shows them evenly, {step:.1f} mm apart: volumes and extents are wrong by as much. {_LOAD_AGAIN}"
        )
        notices.append(Notice("uneven-spacing", "warn", text))
    return tuple(notices)


def _step(stack: NodeStack) -> float:
    along = stack.corners @ stack.normal
    return float(np.abs(np.diff(along)).min()) if len(along) > 1 else float("inf")


def _within(away: np.ndarray, normal: np.ndarray, limits: tuple[float, float]) -> bool:
    along = away @ normal
    within = np.linalg.norm(away - along[:, None] * normal, axis=1)
    return bool(np.abs(along).max() <= limits[0] and within.max() <= limits[1])


def _turned(placed: list[tuple[int, Frame]], stack: NodeStack) -> bool:
    own = [one / np.linalg.norm(one) for one in (stack.row, stack.column)]
    stated = [np.asarray(one.directions).reshape(2, 3) * _RAS_TO_LPS for _, one in placed if one.directions is not None]
    return bool(stated) and bool(np.abs(np.array(stated) - own).max() > _OFF_DIRECTION)


def _distances(points: np.ndarray) -> np.ndarray:
    """Return how far each point is from the first and from the last: what moving all of them keeps."""
    return np.stack([np.linalg.norm(points - points[end], axis=1) for end in (0, -1)])


def _same_pixels(plane: np.ndarray, frame: Frame) -> bool | None:
    """Whether a plane holds what is in its file; None where the file cannot be read here."""
    found = decoded(frame)
    if found is None or found.shape != plane.shape:
        return None
    tissue = found > _TISSUE_HU
    if not tissue.any():
        return None
    return bool(np.mean(np.abs(plane[tissue] - found[tissue]) <= _SAME_HU) >= _SAME_SHARE)
