"""From the images of one series to the volumes it holds: one, or several that must not be stacked on each other."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_identity import (
    MAY_FOLLOW,
    NEVER_MIXED,
    Fact,
    modality_of,
    patient_of,
    series_of,
    study_of,
    values_of,
)
from AcuteFindingsLib.study.dicom_parting import parts_of
from AcuteFindingsLib.study.dicom_places import heights_of, images, place_frames
from AcuteFindingsLib.study.notice import Notice


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
    parts = parts_of(placed.frames)
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
