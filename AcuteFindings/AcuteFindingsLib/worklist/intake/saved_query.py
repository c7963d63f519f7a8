"""A saved question to an archive as the source of a batch: what fits is fetched into the spool, and read from there."""

from dataclasses import dataclass
from pathlib import Path

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Connection
from AcuteFindingsLib.pacs.matches import StudyMatch, StudyQuery
from AcuteFindingsLib.pacs.pull import pull_studies
from AcuteFindingsLib.pacs.study_search import find_studies
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if
from AcuteFindingsLib.worklist.exams import Exam, Found, find_exams
from AcuteFindingsLib.worklist.intake.spool import Spool

_KNOWN = ("study", "accession", "patient_id", "date", "modality")
# As many as an archive that is polled is asked for at once; a list that ends here is said to be cut.
_MOST_STUDIES = 1000


@dataclass(frozen=True)
class SavedQuery:
    """Which archive is asked, by its name in the file of servers, and for what."""

    server: str
    query: StudyQuery


@dataclass(frozen=True)
class Fetched:
    """What came.

    Attributes
    ----------
    found
        The examinations of the studies that are here as a whole.
    problems
        What did not come, one sentence each; names no patient.
    """

    found: Found
    problems: tuple[str, ...] = ()


def read_saved_query(path: Path) -> SavedQuery:
    """Read a saved query: a TOML file with ``server`` and a table ``[query]``.

    The table has study, accession, patient_id, date and modality, as the command ``find`` takes them.

    Raises
    ------
    PacsError
        It cannot be read, names no server, asks for nothing, or holds something else.
    """
    import tomllib

    try:
        held = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise PacsError(f"{path} cannot be read as a saved query: {error}.") from error
    server, asked = held.get("server"), held.get("query")
    if other := sorted(held.keys() - {"server", "query"}):
        raise PacsError(f"{path}: {other[0]!r} is nothing that a saved query has; it has server and [query].")
    if not isinstance(server, str) or not server or not isinstance(asked, dict):
        raise PacsError(f'{path} is no saved query: it needs a line server = "NAME", and then a table [query].')
    wrong = [name for name, value in asked.items() if name not in _KNOWN or not isinstance(value, str)]
    if wrong:
        raise PacsError(f"{path}: {wrong[0]!r} is nothing that a query asks for in text; it has {', '.join(_KNOWN)}.")
    try:
        query = StudyQuery(
            study_uid=asked.get("study"),
            accession=asked.get("accession"),
            patient_id=asked.get("patient_id"),
            date=asked.get("date"),
            modality=asked.get("modality"),
        )
    except PacsError as error:
        raise PacsError(f"{path}: {error}") from error
    return SavedQuery(server, query)


def fetch_studies(
    connection: Connection,
    query: StudyQuery,
    spool: Spool,
    *,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> Fetched:
    """Fetch every study that fits; what lies in the spool already is not fetched again.

    A study of which something is missing is not read: a verdict on a part would be taken for one on all. Where a
    modality is asked for, only its series are fetched.

    Raises
    ------
    PacsError
        The archive cannot be asked.
    CancelledError
        When `cancelled` says so; what has come stays.
    """
    progress("Asking which studies there are", 0.0)
    studies = find_studies(connection, query, limit=_MOST_STUDIES)
    problems = []
    if len(studies) >= _MOST_STUDIES:
        problems.append(f"{_MOST_STUDIES} studies are taken at once, and the server has more; narrow the date")
    exams: list[Exam] = []
    others, unreadable = 0, list[Path]()
    for number, study in enumerate(studies):
        stop_if(cancelled)
        step = part_of(progress, number / len(studies), (number + 1) / len(studies))
        folder = spool.study(study.study_uid)
        problem = _fetch(connection, study, folder, query.modality, step, cancelled)
        if problem:
            problems.append(problem)
            continue
        found = find_exams(folder, cancelled=cancelled)
        exams += found.exams
        others += found.others
        unreadable += found.unreadable
    problems += [shortfall.text for shortfall in connection.shortfalls]
    return Fetched(Found(tuple(exams), others, tuple(unreadable)), tuple(dict.fromkeys(problems)))


def _fetch(
    connection: Connection,
    study: StudyMatch,
    folder: Path,
    modality: str | None,
    progress: Progress,
    cancelled: Cancelled,
) -> str:
    """Fetch one study; return why it is not here as a whole, or nothing."""
    try:
        pulled = pull_studies(connection, [study], folder, modality=modality, progress=progress, cancelled=cancelled)
    except PacsError as error:
        return f"study {study.study_uid} could not be fetched: {error}"
    if all(series.complete for series in pulled):
        return ""
    lacking = sum(series.lacking for series in pulled)
    why = f"{lacking} instances did not come" if lacking else "series did not come"
    return f"study {study.study_uid} was not read: {why}; start the batch again to fetch the rest"
