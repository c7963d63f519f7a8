"""What a page needs of a study beside its results: the voxels as NIfTI, and what the pictures show in words."""

import json
from collections.abc import Callable, Iterable

from AcuteFindingsLib.jobs.write_results import StudyResult
from AcuteFindingsLib.scene.nodes import stored_kind
from AcuteFindingsLib.study.nifti_writer import nifti_pieces
from AcuteFindingsLib.study.study import Study

VOLUME, CAPTIONS = "volume.nii.gz", "pictures.json"
"""Files beside the results."""


def viewing_files(study: Study) -> dict[str, Callable[[StudyResult], Iterable[bytes]]]:
    """Return what `jobs.run_study` writes also, by the names of the files."""
    return {
        VOLUME: lambda _: nifti_pieces(study.array, study.array.shape, stored_kind(study), study.ijk_to_ras),
        CAPTIONS: lambda result: [_captions(result)],
    }


def _captions(result: StudyResult) -> bytes:
    shown = [{"file": one.path.name, "kind": one.kind, "caption": one.caption} for one in result.pictures]
    return json.dumps(shown).encode()
