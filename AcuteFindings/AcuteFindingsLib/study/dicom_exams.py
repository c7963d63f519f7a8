"""Whether a folder holds one examination: a verdict is on one, and must not be taken for one on all."""

import os
from collections.abc import Sequence
from pathlib import Path

from AcuteFindingsLib.study.dicom_volumes import Volume
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.notice import Notice

_MOST_LISTED = 12


def several_examinations(volumes: Sequence[Volume]) -> Notice | None:
    """Return a refusal where the volumes are of several patients or studies; None where all are of one study."""
    patients = {one.patient for one in volumes} - {""}
    studies = _studies(volumes)
    way_out = "a verdict is for one study, so give the folder or file of one, or name one series by its UID"
    if len(patients) > 1:
        text = f"The input holds images of {len(patients)} patients ({len(studies)} studies); {way_out}."
        return Notice("several-patients", "refuse", text)
    if len(studies) > 1:
        return Notice("several-studies", "refuse", f"The input holds {len(studies)} studies; {way_out}.")
    return None


def listing_of(volumes: Sequence[Volume], root: Path) -> str:
    """Return what each examination holds and how to name it, for the terminal: it has paths and UIDs in it."""
    lines = []
    for (patient, _), own in _studies(volumes).items():
        files = sorted({frame.file for one in own for frame in one.frames})
        counts: dict[str, int] = {}
        for one in own:
            counts[one.modality or "?"] = counts.get(one.modality or "?", 0) + len(one.frames)
        what = ", ".join(f"{count} {modality}" for modality, count in counts.items())
        uid = next(iter(sorted(own[0].uids)))
        lines.append((patient, f"{_place(files, root)} ({what}; --series {uid or 'without UID'})"))
    numbers = {patient: place + 1 for place, patient in enumerate(dict.fromkeys(patient for patient, _ in lines))}
    listed = [f"patient {numbers[patient]}: {text}" for patient, text in lines[:_MOST_LISTED]]
    if len(lines) > _MOST_LISTED:
        listed.append(f"and {len(lines) - _MOST_LISTED} more")
    return "; ".join(listed)


def _studies(volumes: Sequence[Volume]) -> dict[tuple[str, str], list[Volume]]:
    """Group by patient and study; where a study names one patient, images that name none are that one's."""
    named: dict[str, set[str]] = {}
    for one in volumes:
        named.setdefault(one.study, set()).update({one.patient} - {""})
    studies: dict[tuple[str, str], list[Volume]] = {}
    for one in volumes:
        patient = next(iter(named[one.study])) if len(named[one.study]) == 1 else one.patient
        studies.setdefault((patient, one.study), []).append(one)
    return studies


def _place(files: Sequence[Path], root: Path) -> str:
    place = files[0] if len(files) == 1 else Path(os.path.commonpath([file.parent for file in files]))
    if place == root or not place.is_relative_to(root):
        return "in the same folder"
    return "/".join(shown_name(Path(part)) for part in place.relative_to(root).parts)
