"""Which images of a CT series belong to the stack: without localizers, other sizes, duplicates and other phases."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from AcuteFindingsLib.study.dicom_frames import Frame, number
from AcuteFindingsLib.study.geometry import normal_of, usual_step
from AcuteFindingsLib.study.notice import Notice

# Slices nearer than this are at one place: positions are written with 0.01 mm or better, slices are 0.2 mm or more
# apart.
_SAME_PLACE_MM = 0.05
# A gap of this many steps and mm parts two stacks, as of bolus tracking and the scan itself.
_PARTED_STEPS, _PARTED_MM = 10, 50.0
_AXIAL = np.array([1.0, 0, 0, 0, 1, 0])


def clean_stack(frames: Sequence[Frame]) -> tuple[list[Frame], tuple[Notice, ...]]:
    """Return the frames that make one stack, each with position and directions, sorted along the slice normal.

    Each thing left out, and each assumption, is told in a notice: ``localizer-dropped``, ``mixed-sizes``,
    ``other-orientation``, ``no-position``, ``several-phases``, ``duplicate-slices``, ``stray-slices``.
    """
    notices: list[Notice] = []
    kept = _without_copies(frames, notices)
    kept = _without_localizers(kept, notices)
    kept = _with_positions(kept, notices)
    kept = _one_shape(kept, notices)
    kept = _one_phase(kept, notices)
    kept = _one_a_place(_sorted(kept), notices)
    return _one_block(kept, notices), tuple(notices)


def _without_copies(frames: Sequence[Frame], notices: list[Notice]) -> list[Frame]:
    first: dict[Hashable, Frame] = {}
    for frame in frames:
        first.setdefault((frame.sop_instance_uid or str(frame.file), frame.number), frame)
    copies = len(frames) - len(first)
    if copies:
        notices.append(_notice("duplicate-slices", "info", f"{_images(copies)} in the folder twice; one each is used."))
    return list(first.values())


def _without_localizers(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    kept = [frame for frame in frames if not frame.is_localizer]
    return _report_dropped(frames, kept, notices) if kept else frames


def _report_dropped(frames: list[Frame], kept: list[Frame], notices: list[Notice]) -> list[Frame]:
    dropped = len(frames) - len(kept)
    if dropped:
        text = f"{_images(dropped)} in the series a localizer, not a slice of the stack; left out."
        notices.append(_notice("localizer-dropped", "info", text))
    return kept


def _with_positions(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Keep the frames that say where they lie; where none does, place them by slice location or number."""
    placed = [frame for frame in frames if frame.position is not None and frame.directions is not None]
    if len(placed) == len(frames):
        return frames
    if placed:
        text = f"{_images(len(frames) - len(placed))} without a position (0020,0032); left out."
        notices.append(_notice("no-position", "warn", text))
        return placed
    by_location = all(frame.location_mm is not None for frame in frames)
    by_location = by_location and len({frame.location_mm for frame in frames}) == len(frames)
    assumed = []
    for place, frame in enumerate(sorted(frames, key=lambda one: (one.instance_number or 0, one.file.name))):
        step = _stated_step(frame)
        height = frame.location_mm if by_location and frame.location_mm is not None else place * step
        directions = _AXIAL if frame.directions is None else frame.directions
        position = height * normal_of(directions)
        assumed.append(replace(frame, position=position, directions=directions))
    source = "slice location (0020,1041)" if by_location else "instance number (0020,0013)"
    text = (
        f"No image states its position in the patient (0020,0032); slices were placed by {source} as if axial. "
        "Left and right, and top and bottom, may be exchanged."
    )
    notices.append(_notice("no-position", "warn", text))
    return assumed


def _stated_step(frame: Frame) -> float:
    return abs(number(frame.header.get("SpacingBetweenSlices")) or frame.thickness_mm or 1.0)


def _one_shape(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Keep the largest group of frames of one orientation, matrix and pixel size."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _alike(frame, group[0]):
                group.append(frame)
                break
        else:
            groups.append([frame])
    kept = max(groups, key=len)
    for group in groups:
        if group is kept:
            continue
        if not _parallel(group[0], kept[0]):
            few = len(group) <= 3
            what = "a localizer" if few else "slices in another plane"
            code = "localizer-dropped" if few else "other-orientation"
            text = f"{_images(len(group))} in another plane than the stack ({what}); left out."
            notices.append(_notice(code, "info" if few else "warn", text))
        else:
            rows, columns = group[0].shape
            text = (
                f"{_images(len(group))} of another size ({columns}×{rows} pixels or other pixel spacing) than the "
                f"{len(kept)} of the stack; left out."
            )
            notices.append(_notice("mixed-sizes", "warn", text))
    return kept


def _alike(one: Frame, other: Frame) -> bool:
    if one.shape != other.shape or not _parallel(one, other):
        return False
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing
    return bool(np.allclose(one.spacing, other.spacing, rtol=1e-3))


def _parallel(one: Frame, other: Frame) -> bool:
    return bool(np.abs(np.asarray(one.directions) - np.asarray(other.directions)).max() < 0.01)


def _heights(frames: Sequence[Frame]) -> np.ndarray:
    normal = normal_of(np.asarray(frames[0].directions))
    return np.array([np.asarray(frame.position) @ normal for frame in frames])


def _sorted(frames: list[Frame]) -> list[Frame]:
    """Sort along the normal; at one place the earlier instance first."""
    heights = np.round(_heights(frames) / _SAME_PLACE_MM)
    order = sorted(range(len(frames)), key=lambda n: (heights[n], frames[n].instance_number or 0, n))
    return [frames[n] for n in order]


def _one_phase(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Keep one phase where most places hold several images that a header attribute tells apart."""
    places = len({round(height / _SAME_PLACE_MM) for height in _heights(frames)})
    if len(frames) < 1.5 * places:
        return frames
    for attribute in range(4):
        phases: dict[str, list[Frame]] = defaultdict(list)
        for frame in frames:
            phases[frame.phase[attribute]].append(frame)
        unique = all(
            len({round(height / _SAME_PLACE_MM) for height in _heights(phase)}) == len(phase)
            for phase in phases.values()
        )
        if unique and 2 <= len(phases) <= len(frames) / places + 1:
            kept = max(phases.values(), key=len)
            text = (
                f"The series holds {len(phases)} phases or reconstructions of the same slices; the "
                f"{'first' if kept is next(iter(phases.values())) else 'largest'} is read ({len(kept)} slices)."
            )
            notices.append(_notice("several-phases", "warn", text))
            return kept
    return frames


def _one_a_place(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Keep the first of the images at one place; `frames` are sorted."""
    heights = _heights(frames)
    kept, last = [], -np.inf
    for frame, height in zip(frames, heights, strict=True):
        if height - last > _SAME_PLACE_MM:
            kept.append(frame)
            last = height
    if len(kept) < len(frames):
        text = f"{_images(len(frames) - len(kept))} at the same place as another one; the first of each is used."
        notices.append(_notice("duplicate-slices", "info", text))
    return kept


def _one_block(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Keep the largest block where a wide gap parts the stack; `frames` are sorted."""
    if len(frames) < 3:
        return frames
    gaps = np.diff(_heights(frames))
    wide = np.flatnonzero(gaps > max(_PARTED_MM, _PARTED_STEPS * usual_step(gaps)))
    if not len(wide):
        return frames
    edges = [0, *(wide + 1).tolist(), len(frames)]
    blocks = [frames[low:high] for low, high in pairwise(edges)]
    kept = max(blocks, key=len)
    text = (
        f"{_images(len(frames) - len(kept))} more than {gaps[wide].min():.0f} mm away from the other "
        f"{len(kept)} slices; left out."
    )
    notices.append(_notice("stray-slices", "warn", text))
    return kept


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def _notice(code: str, severity: str, text: str) -> Notice:
    return Notice(code, "warn" if severity == "warn" else "info", text)
