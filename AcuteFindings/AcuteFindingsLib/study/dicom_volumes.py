"""From the images of one series to the volumes it holds: one, or several that must not be stacked on each other."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_identity import (
    MAY_FOLLOW,
    NEVER_MIXED,
    TELLS_TIME,
    Fact,
    modality_of,
    patient_of,
    series_of,
    study_of,
    values_of,
)
from AcuteFindingsLib.study.dicom_places import SAME_PLACE_MM, heights_of, images, parallel, place_frames, places_of
from AcuteFindingsLib.study.notice import Notice

# Distances that differ by less than this share, or by what rounding of positions makes of them, are equal.
_EVEN_SHARE, _EVEN_MM = 0.1, 0.12
# Thicknesses within this ratio are one: headers round them.
_THICKNESS_RATIO = 1.1
# Fewer images than these in one direction are no scan of their own but an odd numbering.
_LEAST_RUN = 5

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Volume:
    """Images that can be stacked; of radiographs, one image.

    Attributes
    ----------
    frames
        The images, each with position and directions unless `broken`.
    uids
        Series Instance UIDs of the images: one, unless every slice has one of its own.
    differs
        What tells this volume from the others of its series: name of the fact and value.
    beside
        The other placed images of the series, for how much of it is not read.
    unplaced
        How many images of the series state no place.
    broken
        Why the images cannot be placed; else empty.
    notices
        What was found when the series was taken apart.
    """

    frames: tuple[Frame, ...]
    uids: frozenset[str]
    differs: tuple[tuple[str, str], ...] = ()
    beside: tuple["Volume", ...] = ()
    unplaced: int = 0
    broken: str = ""
    notices: tuple[Notice, ...] = ()

    @property
    def modality(self) -> str:
        """Modality in upper case."""
        return modality_of(self.frames[0])

    @property
    def patient(self) -> str:
        """Hash that stands for the patient; "" where not stated."""
        return patient_of(self.frames[0])

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return study_of(self.frames[0])


def volumes_of(frames: Sequence[Frame], *, copies: int = 0) -> list[Volume]:
    """Take the images of one series apart into volumes that agree in all of `NEVER_MIXED` and lie side by side.

    Parameters
    ----------
    frames
        The images, each once.
    copies
        How many copies of them were left out before, for the notice.
    """
    uids = frozenset(series_of(frame) for frame in frames)
    notices = [*_copy_notices(frames, copies)]
    if len(uids) > 1:
        text = (
            f"Each of the {len(frames)} images has a Series Instance UID (0020,000E) of its own; as they agree in all "
            "else, they were put together as one series."
        )
        notices.append(Notice("own-series-each", "warn", text))
    slices = _without_localizers(frames, notices)
    placed = place_frames(slices)
    if placed.broken:
        return [Volume(frames=placed.frames, uids=uids, broken=placed.broken, notices=tuple(notices))]
    parts: list[list[Frame]] = [list(placed.frames)]
    for split in (_by_plane_and_size, _never_mixed, _may_follow, _by_runs, _by_time):
        parts = [part for whole in parts for part in split(whole)]
    differences = _differences(parts)
    bare = [Volume(tuple(part), uids, own) for part, own in zip(parts, differences, strict=True)]
    return [
        Volume(
            frames=one.frames,
            uids=uids,
            differs=one.differs,
            beside=tuple(other for other in bare if other is not one),
            unplaced=placed.unplaced,
            notices=(*notices, *placed.notices, *_put_together(one.frames)),
        )
        for one in bare
    ]


def alike(one: Frame, other: Frame) -> bool:
    """Whether two images have the same matrix, pixel size and plane."""
    if one.shape != other.shape or not parallel(one, other):
        return False
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing
    return bool(np.allclose(one.spacing, other.spacing, rtol=1e-3))


def _copy_notices(frames: Sequence[Frame], copies: int) -> Iterable[Notice]:
    if copies:
        text = f"{images(copies)} in the folder twice; one each is used."
        yield Notice("duplicate-slices", "info", text)
    uses = Counter((frame.sop_instance_uid, frame.number) for frame in frames if frame.sop_instance_uid)
    repeated = sum(count for count in uses.values() if count > 1)
    if repeated:
        text = (
            f"{repeated} different images share a SOP Instance UID (0008,0018), as after a faulty export; they were "
            "told apart by place and pixels. A result cannot name its source images to an archive."
        )
        yield Notice("repeated-uids", "warn", text)


def _without_localizers(frames: Sequence[Frame], notices: list[Notice]) -> list[Frame]:
    kept = [frame for frame in frames if not frame.is_localizer]
    if not kept or len(kept) == len(frames):
        return list(frames)
    text = f"{images(len(frames) - len(kept))} in the series a localizer, not a slice of the stack; left out."
    notices.append(Notice("localizer-dropped", "info", text))
    return kept


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


def _never_mixed(frames: list[Frame]) -> list[list[Frame]]:
    """Part images with different stated values; a fact that only some images state is left to `_may_follow`."""
    columns = [values for fact in NEVER_MIXED if len(set(values := values_of(frames, fact)) - {""}) > 1]
    return _groups(frames, zip(*columns, strict=True)) if columns else [frames]


def _may_follow(frames: list[Frame]) -> list[list[Frame]]:
    """Part images of different acquisitions unless they lie side by side, or are one even stack only together."""
    facts = (*MAY_FOLLOW, *NEVER_MIXED)
    columns = [values for fact in facts if len(set(values := values_of(frames, fact))) > 1]
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
    chains: list[tuple[list[Frame], list[tuple[float, float]]]] = []
    for part, (low, high) in zip(parts, spans, strict=True):
        for chain, taken in chains:
            if all(low - top > SAME_PLACE_MM or bottom - high > SAME_PLACE_MM for bottom, top in taken):
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


def _differences(parts: Sequence[Sequence[Frame]]) -> list[tuple[tuple[str, str], ...]]:
    """Name for each part the facts whose values it shares with none or not all of the others."""
    if len(parts) == 1:
        return [()]
    whole = [frame for part in parts for frame in part]
    found: list[list[tuple[str, str]]] = [[] for _ in parts]
    for fact in (*NEVER_MIXED, *MAY_FOLLOW, Fact("slice thickness", _thickness)):
        values = iter(values_of(whole, fact))
        sets = [{next(values) for _ in part} for part in parts]
        if len({frozenset(one) for one in sets}) == 1:
            continue
        for own, names in zip(sets, found, strict=True):
            names.append((fact.name, next(iter(own)) if len(own) == 1 else ""))
    return [tuple(names) or (("time", ""),) for names in found]


def _thickness(frame: Frame) -> str:
    return "" if frame.thickness_mm is None else f"{frame.thickness_mm:g} mm"


def _put_together(frames: Sequence[Frame]) -> Iterable[Notice]:
    """Say that a volume consists of several acquisitions or stacks, with a warning where the joints are uneven."""
    ordered = [frames[index] for index in np.argsort(heights_of(frames), kind="stable")]
    for fact in MAY_FOLLOW[:2]:
        values = values_of(ordered, fact)
        parts = len(set(values) - {""})
        if parts < 2:
            continue
        heights = heights_of(ordered)
        gaps = np.diff(heights)
        joints = [n for n in range(len(gaps)) if values[n] != values[n + 1]]
        uneven = any(_uneven_joint(gaps, n) for n in joints)
        text = f"The volume is put together from {parts} parts ({fact.name}) that lie side by side"
        if uneven:
            text += (
                "; where they meet, the distance between slices changes, and what lies there may be missing or shifted"
            )
        yield Notice("put-together", "warn" if uneven else "info", f"{text}.")
        return


def _uneven_joint(gaps: np.ndarray, place: int) -> bool:
    beside = [gaps[n] for n in (place - 1, place + 1) if 0 <= n < len(gaps)]
    if not beside:
        return False
    return bool(gaps[place] > 1.5 * max(beside) or gaps[place] < 0.5 * min(beside))
