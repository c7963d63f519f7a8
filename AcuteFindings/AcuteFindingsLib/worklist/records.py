"""The folder of results of many studies: one folder of results and one record a study and detector.

::

    RESULTS/<key>/              what a run writes: finding.json, report.html, scene.mrb, ...
    RESULTS/<key>/record.json   of which files and which model this is; it comes with the finding in one step
    RESULTS/records/<key>.json  why there is no finding: refused or failed
    RESULTS/records/key         the secret by which keys are made
    RESULTS/locks/<key>.lock    held while a study is read

Keys are made from the study's UID and the detector by a secret of this folder: nothing in them tells who the patient
is, and every computer that shares the folder makes the same.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from AcuteFindingsLib import __version__
from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.threads import side_by_side
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.words import State

RECORD = "record.json"
"""The record beside a finding."""

UPLOAD = "upload"
"""`Record.origin` of what was uploaded."""

_KEY_LENGTH = 20
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Record:
    """What became of one study with one detector.

    Attributes
    ----------
    key
        Names the study's folder of results; tells nothing of the patient.
    detector
        Whose verdict it is.
    state
        ``"done"``: there is a finding. ``"refused"``: the detector was not made for this study. ``"failed"``: it could
        not be read. Waiting and reading are states of the list alone, never of a record on disk.
    study_uid, series_uid
        Of the images; empty where they state none.
    instances
        SHA-256 over the contents of all files of the study, whatever their names and order.
    model, model_sha256
        Id and version of the model, and the checksum of its weights; empty where none answered.
    asked
        What was asked for: model, as on the command line, and whether DICOM results are written.
    verdict, probability
        Of the finding.
    said
        The sentence of a refusal or failure.
    arrived, started, finished
        ISO 8601, UTC: when the study was first seen, its reading began and ended.
    attempts
        How often it was read, whole or not.
    origin
        ``"upload"`` where it came by upload to the server (`serve`), which removes it after a time; else empty.
    software
        The version of AcuteFindings that read it: a later one may read what was refused or failed.
    """

    key: str
    detector: str
    state: State
    study_uid: str = ""
    series_uid: str = ""
    instances: str = ""
    model: str = ""
    model_sha256: str = ""
    asked: str = ""
    verdict: str | None = None
    probability: float | None = None
    said: str = ""
    arrived: str = ""
    started: str = ""
    finished: str = ""
    attempts: int = 0
    origin: str = ""
    software: str = __version__


def now() -> str:
    """Return the time as records have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class ResultsFolder:
    """A folder of results of many studies, as described above; made where it does not exist."""

    def __init__(self, folder: Path) -> None:
        """Open or make the folder.

        Raises
        ------
        DataError
            It cannot be written to.
        """
        self.folder = folder
        try:
            for name in ("records", "locks"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            self._secret = self._read_secret()
        except OSError as error:
            raise DataError(f"--out {folder} cannot hold results: {error.strerror or error}.") from error

    def key(self, exam: Exam, detector: str, instances: str) -> str:
        """Return the key of a study and detector; a study without UID is known by its content."""
        return self._key(f"{exam.study_uid or instances}|{detector}")

    def key_of_upload(self, detector: str, instances: str, asked: str) -> str:
        """Return the key of a study that somebody uploaded: by its content and by what was asked for.

        A UID inside an uploaded file is only what the file says: it must not put results in the place of others.
        """
        return self._key(f"upload|{instances}|{asked}|{detector}")

    def _key(self, said: str) -> str:
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()[:_KEY_LENGTH]

    def results(self, key: str) -> Path:
        """Return the folder of one study's results."""
        return self.folder / key

    def read(self, key: str) -> Record | None:
        """Return what became of a study at last; None where it was not read, or its record is damaged."""
        found = [
            record
            for path in (self.results(key) / RECORD, self.folder / "records" / f"{key}.json")
            if (record := _read(path)) is not None and record.key == key
        ]
        # Each reading counts one further; clocks may be set back.
        return max(found, key=lambda record: (record.attempts, record.finished), default=None)

    def write(self, record: Record) -> None:
        """Keep why there is no finding, whole or not at all; raises `OSError` where it cannot be written."""
        with replace_when_written(self.folder / "records" / f"{record.key}.json") as partial:
            partial.write_bytes(record_bytes(record))

    def forget(self, key: str) -> None:
        """Remove why there is no finding for a study; raises `OSError` where that is not possible."""
        (self.folder / "records" / f"{key}.json").unlink(missing_ok=True)

    def records(self) -> Iterator[Record]:
        """Yield what became of every study, in the order of the keys; records that cannot be read are left out."""
        keys = {path.stem for path in (self.folder / "records").glob("*.json")}
        keys |= {path.parent.name for path in self.folder.glob(f"*/{RECORD}")}
        for key in sorted(keys):
            record = self.read(key)
            if record is not None:
                yield record

    @contextmanager
    def alone(self, key: str) -> Iterator[bool]:
        """Hold a study for this process while the block runs; yields False where another holds it.

        A lock ends with its process, however that ends. On a folder that several computers share, the file system must
        know locks (NFS 4, SMB).
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "locks" / f"{key}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _read_secret(self) -> bytes:
        file = self.folder / "records" / "key"
        while True:
            try:
                secret = bytes.fromhex(file.read_text(encoding="ascii").strip())
                if len(secret) >= 16:
                    return secret
                raise ValueError
            except FileNotFoundError:
                pass
            except ValueError as error:
                raise DataError(f"{file}, by which studies are found again, is damaged; restore it.") from error
            # Of two that make it at once, one is first: a link to a whole file appears in one step or not at all.
            made = file.with_name(f"key.{secrets.token_hex(4)}")
            made.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
            try:
                _link(made, file)
            finally:
                made.unlink(missing_ok=True)


def instances_of(exam: Exam) -> str:
    """Return the SHA-256 over the contents of an examination's files, whatever their names and order.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    files = exam.files or _files_of(exam.source)
    digests = sorted(side_by_side(_sha256, files))
    return hashlib.sha256("".join(digests).encode("ascii")).hexdigest()


def record_bytes(record: Record) -> bytes:
    """Return a record as it is written to its file."""
    return f"{json.dumps(asdict(record), indent=1)}\n".encode()


def _files_of(source: Path) -> Sequence[Path]:
    return sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _link(made: Path, file: Path) -> None:
    """Give a whole file its name where nothing has it."""
    try:
        file.hardlink_to(made)
    except FileExistsError:
        return
    except OSError:
        # File systems without hard links (FAT, some shares).
        if not file.exists():
            made.replace(file)


def _read(path: Path) -> Record | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        record = _ADAPTER.validate_json(data) if len(data) <= _MOST_BYTES else None
    except (OSError, ValueError):
        return None
    return record


_ADAPTER = TypeAdapter(Record)
