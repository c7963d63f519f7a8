"""Names and numbers of patients, where somebody asked to see them: in the account's own folder, never with the results.

Kept by the key of a study, in one file a folder of results, readable by the account alone.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.names import printable
from AcuteFindingsLib.places import settings_folder
from AcuteFindingsLib.study.dicom_files import UNREADABLE, read_tags
from AcuteFindingsLib.worklist.exams import Exam

_MOST_BYTES = 256 * 2**20
_LONGEST = 128
_FAILS: tuple[type[Exception], ...] = (InvalidDicomError, *UNREADABLE)
_TAGS = [Tag("PatientName"), Tag("PatientID")]


@dataclass(frozen=True)
class Patient:
    """Name and number (Patient ID), as the images state them."""

    name: str = ""
    number: str = ""


UNKNOWN = Patient("–", "–")
"""Of a study whose patient nobody kept."""


class Patients:
    """Who the patients of one folder of results are."""

    def __init__(self, results: Path) -> None:
        """Name the file; nothing is read yet."""
        known_as = hashlib.sha256(os.fsencode(results.resolve())).hexdigest()[:24]
        self.file = settings_folder() / "patients" / f"{known_as}.json"

    def all(self) -> dict[str, Patient]:
        """Return the patients by the key of their studies; none where nobody kept any.

        Raises
        ------
        WorklistError
            The file is damaged.
        """
        try:
            if self.file.stat().st_size > _MOST_BYTES:
                raise ValueError("too large")
            data = json.loads(self.file.read_text(encoding="utf-8"))
            return {key: Patient(str(one["name"]), str(one["number"])) for key, one in data.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WorklistError(
                f"{self.file}, which keeps the names of patients, cannot be read ({error}); delete it, and read the "
                "batch again with --show-patient."
            ) from error

    def add(self, new: dict[str, Patient]) -> None:
        """Keep further patients; raises `WorklistError` where they cannot be kept."""
        from filelock import FileLock

        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Two batches may keep names at once.
            with FileLock(self.file.with_suffix(".lock")), replace_when_written(self.file) as partial:
                kept = {key: asdict(one) for key, one in {**self.all(), **new}.items()}
                partial.touch(mode=0o600)
                partial.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise WorklistError(
                f"The names of patients could not be kept in {self.file}: {error.strerror or error}."
            ) from error


def patient_of(exam: Exam) -> Patient:
    """Return whom an examination's first file names; an empty name and number where it names nobody."""
    for file in exam.files[:1]:
        try:
            header = read_tags(file, _TAGS, stop_before_pixels=True)
        except _FAILS:
            break
        return Patient(_text(header.get("PatientName")), _text(header.get("PatientID")))
    return Patient()


def _text(value: object) -> str:
    return printable(str(value or "").replace("^", " ")).strip()[:_LONGEST]
