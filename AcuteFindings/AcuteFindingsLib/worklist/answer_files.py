"""What readers said, as files beside the results: one file an answer, so that two never write the same."""

import glob
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.files import replace_when_written

_FOLDER = "answers"
_MOST_BYTES = 2**16


@dataclass(frozen=True)
class AnswerFile:
    """One answer: to which study, what, by whom, and when (ISO 8601, UTC)."""

    key: str
    answer: str
    note: str
    reader: str
    at: str


_ADAPTER = TypeAdapter(AnswerFile)


def write_answer(folder: Path, said: AnswerFile) -> None:
    """Write an answer into a folder of results.

    Raises
    ------
    WorklistError
        It cannot be written there; the database has it.
    """
    name = f"{said.key}-{secrets.token_hex(6)}.json"
    try:
        (folder / _FOLDER).mkdir(exist_ok=True)
        with replace_when_written(folder / _FOLDER / name) as partial:
            partial.write_bytes(_ADAPTER.dump_json(said) + b"\n")
    except OSError as error:
        raise WorklistError(
            f"The answer is on the list, but could not be written to {folder / _FOLDER} too "
            f"({error.strerror or error}); a list that is rebuilt from that folder alone would lack it."
        ) from error


def remove_answers(folder: Path, key: str) -> None:
    """Remove the answers to one study from a folder of results."""
    for path in (folder / _FOLDER).glob(f"{glob.escape(key)}-*.json"):
        path.unlink(missing_ok=True)


def read_answers(folder: Path) -> list[AnswerFile]:
    """Return the answers of a folder of results, the earliest first; damaged files are left out."""
    found = []
    for path in (folder / _FOLDER).glob("*.json"):
        try:
            with path.open("rb") as stream:
                found.append(_ADAPTER.validate_json(stream.read(_MOST_BYTES)))
        except (OSError, ValidationError):
            continue
    return sorted(found, key=lambda one: one.at)
