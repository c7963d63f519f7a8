"""Where the images of a series lie: what their headers state, what follows from it, and what cannot be placed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from AcuteFindingsLib.study.dicom_frames import Frame, attribute, number
from AcuteFindingsLib.study.geometry import normal_of
from AcuteFindingsLib.study.notice import Notice

SAME_PLACE_MM = 0.05
"""Slices nearer than this are at one place: positions are written with 0.01 mm or better, slices are 0.2 mm or more
apart."""

_AXIAL = np.array([1.0, 0, 0, 0, 1, 0])
# A slice that slice location or instance number places between others has to fit them as well as they fit each other.
_FIT_MM = 0.2
# Cine frames follow each other in time: their increment is Frame Time or Frame Time Vector (PS3.3 C.7.6.5).
_IN_TIME = (0x00181063, 0x00181065)


@dataclass(frozen=True)
class Placed:
    """The images that have a place, each with position and directions.

    Attributes
    ----------
    frames
        Those that could be placed.
    unplaced
        How many could not.
    notices
        What had to be assumed.
    broken
        A sentence where the series as a whole cannot be placed and must not be read; else empty.
    """

    frames: tuple[Frame, ...]
    unplaced: int = 0
    notices: tuple[Notice, ...] = ()
    broken: str = ""


class _Unplaceable(Exception):
    """The series cannot be placed; the text is a sentence for the user."""


def place_frames(frames: Sequence[Frame]) -> Placed:
    """Return the images of one series with the places that their headers state or imply.

    Codes of notices: ``no-orientation``, ``no-position``, ``frames-placed``.
    """
    notices: list[Notice] = []
    try:
        placed = _own_frames(_without_zeros(frames), notices)
        placed = _with_directions(placed, notices)
        placed = _with_positions(placed, notices)
    except _Unplaceable as error:
        return Placed(frames=tuple(frames), broken=str(error))
    return Placed(frames=tuple(placed), unplaced=len(frames) - len(placed), notices=tuple(notices))


def heights_of(frames: Sequence[Frame]) -> np.ndarray:
    """Return the place of each image along the first one's normal in mm."""
    normal = normal_of(np.asarray(frames[0].directions))
    return np.array([frame.position for frame in frames], float) @ normal


def places_of(heights: np.ndarray) -> np.ndarray:
    """Return the number of each image's place, from 0 for the lowest; images within `SAME_PLACE_MM` share one."""
    order = np.argsort(heights, kind="stable")
    numbers = np.empty(len(heights), int)
    numbers[order] = np.concatenate([[0], np.cumsum(np.diff(heights[order]) > SAME_PLACE_MM)])
    return numbers


def parallel(one: Frame, other: Frame) -> bool:
    """Whether two images lie in the same plane or in parallel ones, turned alike."""
    return bool(np.abs(np.asarray(one.directions) - np.asarray(other.directions)).max() < 0.01)


def _without_zeros(frames: Sequence[Frame]) -> list[Frame]:
    """Take positions of 0, 0, 0 for not stated where the other images contradict them, or where all are zero."""
    zero = [frame.position is not None and not frame.position.any() for frame in frames]
    if not any(zero) or len(frames) == 1:
        return list(frames)
    others = [frame for frame, is_zero in zip(frames, zero, strict=True) if not is_zero and frame.position is not None]
    directions = next((frame.directions for frame in others if frame.directions is not None), _AXIAL)
    if others:
        in_plane = np.array([frame.position for frame in others]) @ directions.reshape(2, 3).T
        if (in_plane.min(axis=0) <= 1.0).all() and (in_plane.max(axis=0) >= -1.0).all() and sum(zero) == 1:
            return list(frames)
    return [replace(frame, position=None) if is_zero else frame for frame, is_zero in zip(frames, zero, strict=True)]


def _own_frames(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Give the frames of one file places of their own where it states but one for all of them."""
    files: dict[int, list[Frame]] = defaultdict(list)
    for frame in frames:
        files[id(frame.header)].append(frame)
    placed: list[Frame] = []
    for own in files.values():
        placed += own if len(own) == 1 or _states_places(own) else _equal_steps(own, notices)
    return placed


def _states_places(frames: list[Frame]) -> bool:
    groups = frames[0].header.get("PerFrameFunctionalGroupsSequence")
    return bool(groups) and any(group.get("PlanePositionSequence") for group in groups)


def _equal_steps(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    first = frames[0]
    increment = first.header.get("FrameIncrementPointer")
    pointers = increment if isinstance(increment, (list, tuple)) or hasattr(increment, "__iter__") else [increment]
    if any(pointer in _IN_TIME for pointer in pointers if pointer is not None):
        raise _Unplaceable(f"its {len(frames)} frames follow each other in time (0028,0009), not in space")
    step = number(attribute(first.header, "SpacingBetweenSlices", group="PixelMeasuresSequence"))
    if not step:
        raise _Unplaceable(
            f"a file of {len(frames)} frames states neither positions (0020,0032) nor a distance (0018,0088); "
            "export the series as single images or as enhanced CT"
        )
    directions = _AXIAL if first.directions is None else first.directions
    start = np.zeros(3) if first.position is None else first.position
    text = (
        f"A file of {len(frames)} frames states no position for each (0020,0032); they were placed {abs(step):g} mm "
        "apart (0018,0088) in the order of the frames. Head and foot may be exchanged."
    )
    notices.append(Notice("frames-placed", "warn", text))
    normal = normal_of(directions)
    return [
        replace(frame, position=start + frame.number * abs(step) * normal, directions=frame.directions)
        for frame in frames
    ]


def _with_directions(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Give images that state a position but no orientation the one of the others, or axial where that fits."""
    without = [frame for frame in frames if frame.directions is None and frame.position is not None]
    if not without:
        return frames
    stated = [frame for frame in frames if frame.directions is not None]
    if stated:
        if not all(parallel(frame, stated[0]) for frame in stated):
            text = f"{images(len(without))} without a valid orientation (0020,0037); left out."
            notices.append(Notice("no-orientation", "warn", text))
            return [frame for frame in frames if frame.directions is not None or frame.position is None]
        directions = np.asarray(stated[0].directions)
        text = f"{images(len(without))} without a valid orientation (0020,0037); that of the other images was taken."
    else:
        directions = _AXIAL
        line = np.ptp([np.asarray(frame.position) for frame in without], axis=0)
        if len(without) > 1 and line[2] < 0.7 * np.linalg.norm(line):
            raise _Unplaceable(
                "no image states a valid orientation (0020,0037), and their positions do not follow each other from "
                "foot to head as those of axial slices do"
            )
        text = (
            "No image states a valid orientation (0020,0037); the slices were taken as axial ones of a patient on the "
            "back. Left and right, and front and back, may be exchanged."
        )
    notices.append(Notice("no-orientation", "warn", text))
    return [
        replace(frame, directions=directions) if frame.directions is None and frame.position is not None else frame
        for frame in frames
    ]


def _with_positions(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Place images without position: between those that have one, else by slice location or instance number."""
    stated = [frame for frame in frames if frame.position is not None]
    if not stated or _one_position_for_all(stated):
        return _without_any_position(frames, notices)
    missing = [frame for frame in frames if frame.position is None]
    if not missing:
        return frames
    added, source = _between(stated, missing)
    if added:
        text = f"{images(len(added))} without a position (0020,0032) and placed between the others by {source}."
        notices.append(Notice("no-position", "warn", text))
    if len(added) < len(missing):
        text = f"{images(len(missing) - len(added))} without a position (0020,0032); left out."
        notices.append(Notice("no-position", "warn", text))
    return stated + added


def _one_position_for_all(frames: list[Frame]) -> bool:
    """Whether all images state one position while their slice locations differ."""
    if len(frames) < 3 or np.ptp([np.asarray(frame.position) for frame in frames], axis=0).max() > SAME_PLACE_MM:
        return False
    return len({frame.location_mm for frame in frames}) == len(frames) and frames[0].location_mm is not None


def _between(stated: list[Frame], missing: list[Frame]) -> tuple[list[Frame], str]:
    """Place images on the line that positions of the others follow; none where they follow no line."""
    sources: tuple[tuple[Callable[[Frame], float | None], str], ...] = (
        (lambda frame: frame.location_mm, "slice location (0020,1041)"),
        (lambda frame: frame.instance_number, "instance number (0020,0013)"),
    )
    if len(stated) < 3 or not all(parallel(frame, stated[0]) for frame in stated):
        return [], ""
    for read, source in sources:
        known = [(value, frame) for frame in stated if (value := read(frame)) is not None]
        if len(known) < len(stated) or len({value for value, _ in known}) < len(known):
            continue
        x = np.array([value for value, _ in known], float)
        line = np.stack([x, np.ones_like(x)], axis=1)
        positions = np.array([frame.position for _, frame in known])
        fit = np.linalg.lstsq(line, positions, rcond=None)[0]
        if np.abs(line @ fit - positions).max() > _FIT_MM:
            continue
        new = [(value, frame) for frame in missing if (value := read(frame)) is not None and value not in x]
        placed = [
            replace(frame, position=np.array([value, 1.0]) @ fit, directions=stated[0].directions)
            for value, frame in new
        ]
        if placed:
            return placed, source
    return [], ""


def _without_any_position(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    by_location = all(frame.location_mm is not None for frame in frames)
    by_location = by_location and len({frame.location_mm for frame in frames}) == len(frames)
    heights = [frame.location_mm or 0.0 for frame in frames] if by_location else _heights_by_number(frames)
    source = "slice location (0020,1041)" if by_location else "instance number (0020,0013)"
    why = "No image states its own position in the patient (0020,0032)"
    text = f"{why}; slices were placed by {source} as if axial. Left and right, and top and bottom, may be exchanged."
    notices.append(Notice("no-position", "warn", text))
    directions = [_AXIAL if frame.directions is None else frame.directions for frame in frames]
    return [
        replace(frame, position=height * normal_of(own), directions=own)
        for frame, height, own in zip(frames, heights, directions, strict=True)
    ]


def _heights_by_number(frames: list[Frame]) -> list[float]:
    """Return places by instance number, one step for each number; a number that is skipped is a missing slice."""
    if len(frames) == 1:
        return [0.0]
    numbers = [frame.instance_number for frame in frames]
    if None in numbers or max(Counter(numbers).values()) > 1:
        raise _Unplaceable(
            f"its {len(frames)} images state neither positions (0020,0032) nor slice locations (0020,1041), and their "
            "instance numbers (0020,0013) give no order"
        )
    first = frames[0]
    step = abs(number(first.header.get("SpacingBetweenSlices")) or first.thickness_mm or 0.0)
    if not step:
        raise _Unplaceable(
            f"its {len(frames)} images state neither positions (0020,0032) nor a distance between slices (0018,0088)"
        )
    ordered = sorted(value for value in numbers if value is not None)
    usual = int(np.gcd.reduce([high - low for low, high in pairwise(ordered)]))
    return [((value or 0) - ordered[0]) // usual * step for value in numbers]


def images(count: int) -> str:
    """Return "1 image is" or "n images are"."""
    return "1 image is" if count == 1 else f"{count} images are"
