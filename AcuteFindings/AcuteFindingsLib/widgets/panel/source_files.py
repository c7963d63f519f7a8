"""The DICOM files that a volume's slices came from, asked of Slicer's database a few at a time."""

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from AcuteFindingsLib.study.study import Study


def find_source_files(study: Study, instance_file: Callable[[str], str] | None) -> Generator[float, None, Study]:
    """Return the study with the file of each slice that is known, yielding the share that was requested.

    Parameters
    ----------
    study
        As `scene.study_from_node.study_facts` gives it: without files.
    instance_file
        Gives the file of a SOP Instance UID, ``""`` where it is not known; None where there is no database.
    """
    uids = list(dict.fromkeys(source.sop_instance_uid for source in study.sources if source.sop_instance_uid))
    files: dict[str, Path] = {}
    for number, uid in enumerate(uids if instance_file is not None else ()):
        name = instance_file(uid) if instance_file is not None else ""
        if name:
            files[uid] = Path(name)
        yield (number + 1) / len(uids)
    return replace(
        study, sources=tuple(replace(source, file=files.get(source.sop_instance_uid)) for source in study.sources)
    )
