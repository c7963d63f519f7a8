"""A row of the list as the panel holds it, and what it shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any

from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.wording import names_of, probability_text


@dataclass(frozen=True)
class Row:
    """One study with one detector; as `worklist.item.WorklistItem`, which needs packages that may not be there yet."""

    key: str
    detector: str = ""
    state: str = "waiting"
    arrived: str = ""
    verdict: str | None = None
    probability: float | None = None
    urgency: float = 0.0
    said: str = ""
    answer: str = ""
    answered: str = ""


_NAMES = tuple(field.name for field in fields(Row))


def row_of(data: Mapping[str, Any]) -> Row:
    """Return the row that the worker's answer describes."""
    return Row(**{name: data[name] for name in _NAMES if name in data})


def with_waiting(listed: Sequence[Row], waiting: Sequence[Row]) -> list[Row]:
    """Return all rows: what waits to be read stands before what a reader has answered."""
    place = next((number for number, row in enumerate(listed) if row.answer), len(listed))
    return [*listed[:place], *waiting, *listed[place:]]


def headers() -> list[str]:
    """Return the titles of the columns, in the order of `texts`."""
    return [_("Urgency"), _("Verdict"), _("Detector"), _("Age"), _("State"), _("Answer")]


def texts(row: Row, now: datetime) -> tuple[str, ...]:
    """Return what the columns show."""
    return (
        f"{row.urgency:.2f}" if row.verdict else "",
        _verdict(row),
        _short(row.detector),
        age_text(_minutes(row, now)),
        _words().get(row.state, row.state),
        _words().get(row.answer, row.answer),
    )


def sort_keys(now: datetime) -> tuple[Callable[[Row], Any], ...]:
    """Return by what each column is sorted; the first click shows the most urgent, most probable, oldest first."""
    verdicts = ("positive", "indeterminate", "negative", None)
    states = ("reading", "waiting", "failed", "refused", "done")
    return (
        lambda row: -row.urgency,
        lambda row: (verdicts.index(row.verdict) if row.verdict in verdicts else 3, -(row.probability or 0.0)),
        lambda row: row.detector,
        lambda row: -_minutes(row, now),
        lambda row: states.index(row.state) if row.state in states else 5,
        lambda row: (not row.answer, row.answer),
    )


def matching(rows: Iterable[Row], words: str, now: datetime) -> list[Row]:
    """Return the rows that show every word of a text, in capitals or not."""
    wanted = words.casefold().split()
    if not wanted:
        return list(rows)
    found = []
    for row in rows:
        shown = " ".join((*texts(row, now), row.said)).casefold()
        if all(word in shown for word in wanted):
            found.append(row)
    return found


def age_text(minutes: float) -> str:
    """Return how long ago a study arrived, as a person says it; nothing where that is not known."""
    if minutes < 0:
        return ""
    of_minutes, of_hours, of_days = _ages()
    if minutes < 60:
        return of_minutes.format(count=int(minutes))
    if minutes < 48 * 60:
        return of_hours.format(count=int(minutes // 60))
    return of_days.format(count=int(minutes // 1440))


def utc_now() -> datetime:
    """Return the time as rows are compared with."""
    return datetime.now(UTC)


def _minutes(row: Row, now: datetime) -> float:
    try:
        return max(0.0, (now - datetime.fromisoformat(row.arrived)).total_seconds() / 60)
    except (ValueError, TypeError):
        return -1.0


@cache
def _short(detector: str) -> str:
    return names_of(detector).short if detector else ""


def _verdict(row: Row) -> str:
    if row.verdict is None:
        return ""
    word = _words().get(row.verdict, row.verdict)
    return word if row.probability is None else f"{word} {probability_text(row.probability)}"


# Looking a translation up takes longer than all else of a row, and a filter looks at thousands.
@cache
def _ages() -> tuple[str, str, str]:
    return _("{count} min"), _("{count} h"), _("{count} days")


@cache
def _words() -> dict[str, str]:
    return {
        "positive": _("▲ positive"),
        "negative": _("negative"),
        "indeterminate": _("indeterminate"),
        "waiting": _("waiting"),
        "reading": _("reading"),
        "done": _("done"),
        "refused": _("refused"),
        "failed": _("failed"),
        "agree": _("agree"),
        "disagree": _("disagree"),
        "unsure": _("unsure"),
    }
