"""Which images of a series can be stacked: by plane, by what their headers say, by number and by time."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_identity import MAY_FOLLOW, NEVER_MIXED, TELLS_TIME, values_of
from AcuteFindingsLib.study.dicom_places import SAME_PLACE_MM, heights_of, parallel, places_of

# Distances that differ by less than this share, or by what rounding of positions makes of them, are equal.
_EVEN_SHARE, _EVEN_MM = 0.1, 0.12
# Thicknesses within this ratio are one: headers round them.
_THICKNESS_RATIO = 1.1
# Parts of one scan lie no further apart than this many slices.
_REACH_STEPS = 3
# Fewer images than these in one direction are no scan of their own but an odd numbering.
_LEAST_RUN = 5

_Item = TypeVar("_Item")


def parts_of(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Part the placed images of a series into stacks that agree in plane, size and all of `NEVER_MIXED`."""
    parts: list[list[Frame]] = [list(frames)]
    for split in (_by_plane_and_size, _by_facts, _by_runs, _by_time):
        parts = [part for whole in parts for part in split(whole)]
    return parts


def alike(one: Frame, other: Frame) -> bool:
    """Whether two images have the same matrix, pixel size and plane."""
    if one.shape != other.shape or not parallel(one, other):
        return False
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing
    return one.spacing == other.spacing or bool(np.allclose(one.spacing, other.spacing, rtol=1e-3))


def _by_plane_and_size(frames: list[Frame]) -> list[list[Frame]]:
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if alike(frame, group[0]):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _groups(items: Iterable[_Item], keys: Iterable[Hashable]) -> list[list[_Item]]:
    groups: dict[Hashable, list[_Item]] = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        groups[key].append(item)
    return list(groups.values())


def _by_facts(frames: list[Frame]) -> list[list[Frame]]:
    """Part images with different stated values; a fact that only some of them state is left to `_may_follow`."""
    columns = [values for fact in NEVER_MIXED if len(set(values := values_of(frames, fact))) > 1]
    mixed = [values for values in columns if len(set(values) - {""}) > 1]
    partly = [values for values in columns if values not in mixed]
    groups = _groups(range(len(frames)), zip(*mixed, strict=True)) if mixed else [list(range(len(frames)))]
    return [
        part
        for group in groups
        for part in _may_follow([frames[n] for n in group], [[values[n] for n in group] for values in partly])
    ]


def _may_follow(frames: list[Frame], partly_stated: list[list[str]]) -> list[list[Frame]]:
    """Part images of different acquisitions unless they lie side by side, or are one even stack only together."""
    columns = [values for fact in MAY_FOLLOW if len(set(values := values_of(frames, fact))) > 1]
    columns += [values for values in partly_stated if len(set(values)) > 1]
    thickness = _thickness_classes(frames)
    if len(set(thickness)) > 1:
        columns.append(thickness)
    if not columns:
        return [frames]
    parts = sorted(_groups(frames, zip(*columns, strict=True)), key=_acquired)
    base = frames[0]
    spans = [_span(part, base) for part in parts]
    in_order = sorted(spans)
    if all(low - high > SAME_PLACE_MM for (_, high), (low, _) in pairwise(in_order)):
        return [frames]
    if _even(frames) and not all(_even(part) for part in parts):
        return [frames]
    reach = _REACH_STEPS * max(frames[0].thickness_mm or 0.0, *(_step(part, base) for part in parts))
    chains: list[tuple[list[Frame], list[tuple[float, float]]]] = []
    for part, (low, high) in zip(parts, spans, strict=True):
        for chain, taken in chains:
            apart = [max(low - top, bottom - high) for bottom, top in taken]
            if SAME_PLACE_MM < min(apart) <= reach:
                chain += part
                taken.append((low, high))
                break
        else:
            chains.append((list(part), [(low, high)]))
    return [chain for chain, _ in chains]


def _thickness_classes(frames: Sequence[Frame]) -> list[str]:
    """Return for each image the least of the thicknesses that count as its own."""
    classes: dict[float | None, float | None] = {None: None}
    start = 0.0
    for value in sorted({frame.thickness_mm for frame in frames if frame.thickness_mm is not None}):
        if not start or value > start * _THICKNESS_RATIO:
            start = value
        classes[value] = start
    return [str(classes[frame.thickness_mm]) for frame in frames]


def _acquired(part: Sequence[Frame]) -> tuple[float, int, str]:
    number = MAY_FOLLOW[0].read(part[0])
    first = min(frame.instance_number or 0 for frame in part)
    return float(number) if number else np.inf, first, TELLS_TIME[0].read(part[0])


def _span(part: Sequence[Frame], base: Frame) -> tuple[float, float]:
    heights = heights_of([base, *part])[1:]
    return float(heights.min()), float(heights.max())


def _step(part: Sequence[Frame], base: Frame) -> float:
    heights = np.sort(heights_of([base, *part])[1:])
    return float(np.median(np.diff(heights))) if len(heights) > 1 else 0.0


def _even(frames: Sequence[Frame]) -> bool:
    """Whether the images lie at equal distances, one at each place."""
    gaps = np.diff(np.sort(heights_of(frames)))
    if not len(gaps):
        return True
    usual = float(np.median(gaps))
    return bool(gaps.min() > SAME_PLACE_MM and np.abs(gaps - usual).max() <= max(_EVEN_SHARE * usual, _EVEN_MM))


def _by_runs(frames: list[Frame]) -> list[list[Frame]]:
    """Part images whose instance numbers run along the body several times, over the same range, in even steps."""
    numbers = [frame.instance_number for frame in frames]
    if None in numbers or len(set(numbers)) < len(numbers):
        return [frames]
    order = sorted(range(len(frames)), key=lambda n: numbers[n] or 0)
    heights = heights_of(frames)
    runs: list[list[int]] = [[]]
    for index in order:
        run = runs[-1]
        step = heights[index] - heights[run[-1]] if run else 0.0
        before = heights[run[-1]] - heights[run[-2]] if len(run) > 1 else step
        if run and (abs(step) <= SAME_PLACE_MM or abs(step - before) > max(_EVEN_SHARE * abs(before), _EVEN_MM)):
            runs.append([])
        runs[-1].append(index)
    parts = [[frames[index] for index in run] for run in runs]
    if len(runs) < 2 or min(map(len, runs)) < _LEAST_RUN:
        return [frames]
    spans = sorted((float(heights[run].min()), float(heights[run].max())) for run in runs)
    return [frames] if all(low > high for (_, high), (low, _) in pairwise(spans)) else parts


def _by_time(frames: list[Frame]) -> list[list[Frame]]:
    """Part the images of places that hold several where time or instance number says which belong together."""
    places = places_of(heights_of(frames))
    count = int(places.max()) + 1
    if len(frames) == count:
        return [frames]
    for fact in TELLS_TIME:
        groups = _groups(range(len(frames)), [fact.read(frame) for frame in frames])
        each_once = all(len(set(places[group])) == len(group) for group in groups)
        if each_once and 2 <= len(groups) <= len(frames) / count + 1:
            return [[frames[index] for index in group] for group in groups]
    each = np.bincount(places)
    if each.min() != each.max():
        return [frames]
    orders = [[fact.read(frame) for frame in frames] for fact in TELLS_TIME]
    orders.append([f"{frame.instance_number or 0:08d}" for frame in frames])
    for order in orders:
        if len(set(zip(places.tolist(), order, strict=True))) == len(frames):
            return _by_rank(frames, places, order)
    return [frames]


def _by_rank(frames: list[Frame], places: np.ndarray, order: list[str]) -> list[list[Frame]]:
    """Put the first image of every place together, the second of every place, and so on."""
    ranked: list[list[Frame]] = []
    seen: Counter[int] = Counter()
    for index in sorted(range(len(frames)), key=lambda n: order[n]):
        place = int(places[index])
        if seen[place] == len(ranked):
            ranked.append([])
        ranked[seen[place]].append(frames[index])
        seen[place] += 1
    return ranked
