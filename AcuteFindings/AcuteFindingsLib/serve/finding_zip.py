"""A finding's files out of the zip that a server sends: those that a finding has, and nothing else."""

import re
import shutil
import zipfile
from pathlib import Path

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ExportError, StudyError
from AcuteFindingsLib.files import ZIP_FAILS
from AcuteFindingsLib.study.unpacking import check_growth

_PARTS = re.compile(r"finding\.json|heatmap\.nrrd|masks/[a-z0-9-]{1,80}\.nrrd")
_STEP = 1 << 20


def unpack_finding(archive: Path, folder: Path) -> None:
    """Unpack ``finding.json``, ``masks/*.nrrd`` and ``heatmap.nrrd`` into a folder.

    Raises
    ------
    ExportError
        The zip is damaged, holds other files, or unpacks beyond the budgets.
    OSError
        A file cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            names = [entry.filename for entry in entries]
            if len(set(names)) != len(names) or not all(map(_PARTS.fullmatch, names)):
                raise ExportError("The zip of a finding holds other files.")
            if sum(entry.file_size for entry in entries) > budgets().archive_bytes:
                raise ExportError("The zip of a finding is larger than any finding.")
            for entry in entries:
                _extract(packed, entry, folder / entry.filename)
    except StudyError as error:
        raise ExportError(str(error)) from error
    except OSError:
        raise
    except ZIP_FAILS as error:
        raise ExportError("The zip of a finding is damaged or cut short.") from error


def _extract(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    # Of masks most voxels are zero and pack a thousandfold: what bounds them is the sum of what is stated.
    if not entry.filename.endswith(".nrrd"):
        check_growth(entry.file_size, entry.compress_size)
    with packed.open(entry) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink, _STEP)
