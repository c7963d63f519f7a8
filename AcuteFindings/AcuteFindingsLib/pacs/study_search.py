"""Searching for studies of servers that hold answers back without a word: the same question once more, in parts."""

import datetime
import re
from collections.abc import Iterable
from dataclasses import replace

from AcuteFindingsLib.pacs.connection import Connection, Shortfall, newest_first
from AcuteFindingsLib.pacs.matches import StudyMatch, StudyQuery

SMALLEST_CAP = 10
"""Answers below which no server is taken to have held any back."""

_MOST_QUESTIONS = 100


def find_studies(
    connection: Connection, query: StudyQuery, *, show_patient: bool = False, limit: int = 200
) -> list[StudyMatch]:
    """Return the studies that fit, newest first, also those that a server leaves out of a long list.

    Some servers cut what they found before they count an offset, so that no page shows the rest (Orthanc with
    LimitFindResults is one), and nothing counts studies as it counts series. So a list that the server says is cut, or
    of `SMALLEST_CAP` or more, is asked for once more in parts by date; a part that is cut or brings something new is
    divided further.

    Parameters
    ----------
    connection
        The archive; a day that is cut cannot be divided and is noted in its `shortfalls`.
    query, show_patient, limit
        As for `Connection.find_studies`.
    """
    found: dict[str, StudyMatch] = {}

    def ask(date: str | None) -> tuple[bool, list[Shortfall]]:
        """Take in what is new; returns whether anything is, and why the list is cut."""
        before = len(connection.shortfalls)
        answers = connection.find_studies(replace(query, date=date), show_patient=show_patient, limit=limit)
        new = {study.study_uid: study for study in answers if study.study_uid not in found}
        found.update(new)
        cut = connection.shortfalls[before:]
        del connection.shortfalls[before:]
        return bool(new), cut

    _, cut = ask(query.date)
    undivided = [(_ends(query.date), cut)]
    if query.study_uid or not (cut or len(found) >= SMALLEST_CAP):
        connection.shortfalls += cut
        undivided = []
    questions = 1
    while undivided and len(found) < limit:
        whole, cut = undivided.pop()
        if questions >= _MOST_QUESTIONS:
            connection.shortfalls.append(
                Shortfall("study", "the server lists studies in parts too small; narrow --date")
            )
            break
        parts = _parts(*whole, found.values())
        if not parts:
            connection.shortfalls += cut
        for first, last in parts:
            questions += 1
            new, cut = ask(first if first == last else f"{first}-{last}")
            if first == last and (new or cut):
                text = f"the server lists only a part of the studies of {first}; narrow the query"
                connection.shortfalls.append(Shortfall("study", text))
            elif new or cut:
                undivided.append(((first, last), cut))
    return newest_first(list(found.values()))[:limit]


def _ends(date: str | None) -> tuple[str, str]:
    """Return the first and the last day of a query, empty where it is open."""
    first, dash, last = (date or "-").partition("-")
    return (first, last) if dash else (first, first)


def _parts(first: str, last: str, known: Iterable[StudyMatch]) -> list[tuple[str, str]]:
    """Divide a range of days at the middle one of the studies that are known in it."""
    days = sorted(
        study.date
        for study in known
        if re.fullmatch(r"\d{8}", study.date) and first <= study.date and (not last or study.date <= last)
    )
    if not days or first == last != "":
        return []
    middle = days[len(days) // 2]
    try:
        day = datetime.datetime.strptime(middle, "%Y%m%d").date()
    except ValueError:
        return []
    before, after = (f"{day + datetime.timedelta(days=by):%Y%m%d}" for by in (-1, 1))
    parts = []
    if not first or first <= before:
        parts.append((first, before))
    parts.append((middle, middle))
    if not last or after <= last:
        parts.append((after, last))
    return parts
