"""Which of a folder's DICOM series to read: the one that a detector was made for."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.dicom_copies import without_copies
from AcuteFindingsLib.study.dicom_facts import facts_of
from AcuteFindingsLib.study.dicom_fit import (
    OTHER_MODALITIES,
    PROJECTION_MODALITIES,
    VOLUME_MODALITIES,
    as_projection,
    fit_of,
)
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_identity import modality_of, patient_of, series_of, study_of
from AcuteFindingsLib.study.dicom_places import SAME_PLACE_MM, heights_of, parallel
from AcuteFindingsLib.study.dicom_volumes import Volume, volumes_of
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import Requirements

# As many series of one image each, alike in all but their identifier, are slices of one volume.
_LEAST_SINGLES = 3
# Of those in studies of their own: even to this share of their distance, and so near above each other; ours.
_EVEN_SHARE, _ABOVE_MM = 0.1, 1.0


def group_volumes(frames: Sequence[Frame]) -> list[Volume]:
    """Group images by Series Instance UID and take each series apart; each radiograph stands for itself.

    A series without UID is known by its number and description; single images whose series differ in nothing but the
    UID are slices of one series.
    """
    kept, copies = without_copies(frames)
    groups: dict[tuple[str, ...], list[Frame]] = defaultdict(list)
    for frame in kept:
        key: tuple[str, ...] = (study_of(frame), series_of(frame), modality_of(frame))
        if not key[1]:
            key = (*key, patient_of(frame), str(frame.header.get("SeriesNumber") or ""), _description(frame))
        if key[2] in PROJECTION_MODALITIES:
            key = (*key, str(frame.file), str(frame.number))
        groups[key].append(frame)
    volumes: list[Volume] = []
    for key, group in _join_singles(groups).items():
        if key[2] in PROJECTION_MODALITIES:
            volumes.append(Volume(frames=tuple(group), uids=frozenset({series_of(group[0])})))
        else:
            volumes += volumes_of(group, copies=sum(copies[uid] for uid in {series_of(frame) for frame in group}))
    return volumes


def largest_volume(frames: Sequence[Frame]) -> Volume:
    """Return the largest of the volumes that the images of one series make."""
    kept, copies = without_copies(frames)
    return max(volumes_of(kept, copies=copies.total()), key=lambda volume: len(volume.frames))


def choose_volume(
    volumes: Sequence[Volume], *, requirements: Requirements | None, uid: str | None, source_name: str
) -> tuple[Volume, tuple[Notice, ...]]:
    """Return the volume that suits best, and notices that list the others.

    Parameters
    ----------
    volumes
        All volumes and radiographs found.
    requirements
        What is asked of the study; None where nobody asks anything.
    uid
        A Series Instance UID to take whatever is asked for.
    source_name
        Name of the file or folder, for messages.

    Raises
    ------
    StudyError
        No series has the UID asked for, or the chosen one is all localizers.
    """
    candidates = list(volumes)
    if uid is not None:
        candidates = [one for one in volumes if uid in one.uids]
        if not candidates:
            known = "; ".join(f"{', '.join(sorted(one.uids))}: {label_of(one)}" for one in volumes)
            raise StudyError(f"{source_name} holds no series {uid}. It holds {known}.")
    readable = [
        one for one in candidates if one.modality in (*VOLUME_MODALITIES, *PROJECTION_MODALITIES, *OTHER_MODALITIES)
    ]
    # Of other kinds the best is read too, so that the check can say what it is.
    ranked = sorted(readable or candidates, key=lambda one: fit_of(one, requirements), reverse=True)
    # Decodes and looks at slices, for which a bare Slicer lacks packages: only where series are read.
    from AcuteFindingsLib.study.dicom_sample import first_that_fits

    chosen = first_that_fits(ranked, requirements)
    if chosen.modality in VOLUME_MODALITIES and all(frame.is_localizer for frame in chosen.frames):
        raise StudyError(f"{source_name} holds only localizer (scout) images; give the CT series itself.")
    return chosen, (
        *_by_content(chosen, ranked[0]),
        *_equals(chosen, ranked, requirements),
        *_others(chosen, volumes),
    )


def label_of(volume: Volume) -> str:
    """Return number, kind and count of images; no free text, which may speak of a patient."""
    number = facts_of(volume.frames[0]).series_number
    count = len(volume.frames)
    name = "a series without number" if number is None else f"series {number}"
    return f"{name} ({volume.modality or 'no modality'}, {count} image{'s' * (count > 1)})"


def _description(frame: Frame) -> str:
    return str(frame.header.get("SeriesDescription") or "").strip().upper()


def _join_singles(groups: dict[tuple[str, ...], list[Frame]]) -> dict[tuple[str, ...], list[Frame]]:
    """Join series of one image each that agree in study, modality, patient, description and matrix.

    Tools that replace identifiers may give each image a study of its own too: where a study holds one image, and
    those of one patient make one even stack, they are joined as well.
    """
    alike: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    in_study = Counter(key[0] for key in groups)
    for key, group in groups.items():
        frame = group[0]
        if len(group) == 1 and key[2] not in PROJECTION_MODALITIES and not frame.is_localizer:
            alone = in_study[key[0]] == 1 and bool(patient_of(frame))
            study = "" if alone else key[0]
            alike[(study, key[2], patient_of(frame), _description(frame), str(frame.shape))].append(key)
    alike = {key: keys for key, keys in alike.items() if key[0] or _even_stack([groups[one][0] for one in keys])}
    joined = dict(groups)
    for keys in alike.values():
        if len(keys) >= _LEAST_SINGLES:
            joined[keys[0]] = [joined.pop(key)[0] for key in keys]
            joined = {keys[0]: joined.pop(keys[0]), **joined}
    return joined


def _even_stack(frames: Sequence[Frame]) -> bool:
    """Whether images with a study each lie in parallel planes at equal distances, above each other."""
    placed = [frame for frame in frames if frame.position is not None and frame.directions is not None]
    plane = frames[0].directions
    if plane is None or len(placed) < len(frames) or not all(parallel(frame, placed[0]) for frame in placed):
        return False
    places = np.array([frame.position for frame in placed])
    gaps = np.diff(np.sort(heights_of(placed)))
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    return bool(
        usual > SAME_PLACE_MM
        and np.abs(gaps - usual).max() < _EVEN_SHARE * usual
        and np.ptp(places @ np.reshape(plane, (2, 3)).T, axis=0).max() < _ABOVE_MM
    )


def _by_content(chosen: Volume, first: Volume) -> list[Notice]:
    if chosen is first:
        return []
    text = (
        f"By its header {label_of(first)} suits as well or better, but its images do not fit the detector; "
        f"{label_of(chosen)} was read instead."
    )
    return [Notice("chosen-by-content", "info", text)]


def _equals(chosen: Volume, ranked: Sequence[Volume], requirements: Requirements | None) -> list[Notice]:
    """Warn where other radiographs of the study suit as well: what they show is not looked at."""
    if not as_projection(chosen, requirements):
        return []
    best = fit_of(chosen, requirements)[:-1]
    equal = sum(
        fit_of(one, requirements)[:-1] == best for one in ranked if one is not chosen and one.study == chosen.study
    )
    if not equal:
        return []
    text = (
        f"{equal} other radiograph{'s' * (equal > 1)} of the study suit{'s' * (equal == 1)} as well and "
        f"{'are' if equal > 1 else 'is'} not read; run each of them by its own file."
    )
    return [Notice("equal-images", "warn", text)]


def _others(chosen: Volume, volumes: Sequence[Volume]) -> list[Notice]:
    """List what is not read: other series by their number, other studies and patients by kind and count alone."""
    found: list[Notice] = []
    elsewhere: Counter[tuple[str, str, str]] = Counter()
    named: set[int] = set()
    for one in volumes:
        whose = relation(one, chosen)
        if one is chosen or id(one) in named or (one.uids == chosen.uids and not whose and any(one.uids)):
            continue
        if whose:
            elsewhere[(whose, one.study, one.modality or "no modality")] += len(one.frames)
            continue
        same = [other for other in volumes if other.uids == one.uids and other.study == one.study]
        same = same if one.modality not in PROJECTION_MODALITIES and any(one.uids) else [one]
        named |= {id(other) for other in same}
        together = replace(one, frames=tuple(frame for other in same for frame in other.frames))
        found.append(Notice("other-series", "info", f"Not read: {label_of(together)}."))
    for (whose, _, modality), count in elsewhere.items():
        text = f"Not read: {whose} ({modality}, {count} image{'s' * (count > 1)})."
        found.append(Notice("other-study" if "patient" not in whose else "other-patient", "info", text))
    return found


def relation(one: Volume, other: Volume) -> str:
    """Return "another patient", "another study", or "" where both are of one study."""
    if one.patient != other.patient and one.patient and other.patient:
        return "images of another patient"
    return "" if one.study == other.study else "a series of another study"
