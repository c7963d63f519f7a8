"""One row of the list, as panel, command and page show it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from AcuteFindingsLib.worklist.urgency import UrgencySettings
from AcuteFindingsLib.worklist.words import State


@dataclass(frozen=True)
class WorklistItem:
    """One study with one detector.

    Attributes
    ----------
    key
        Name of its folder of results.
    detector
        Empty while it waits and nobody knows yet which detector it fits.
    state
        As records have it; also waiting and reading.
    arrived, finished
        ISO 8601, UTC; empty where that has not happened.
    urgency
        By what was found, 0 to 1.
    said
        The sentence of a refusal or failure.
    answer, reader, note, answered
        What a reader said last, who, and when; empty without an answer.
    """

    key: str
    detector: str
    state: State
    study_uid: str = ""
    series_uid: str = ""
    arrived: str = ""
    finished: str = ""
    verdict: str | None = None
    probability: float | None = None
    urgency: float = 0.0
    model: str = ""
    said: str = ""
    answer: str = ""
    reader: str = ""
    note: str = ""
    answered: str = ""


def minutes_between(earlier: str, later: str) -> float:
    """Return the minutes between two times as records have them; NaN where one is missing."""
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() / 60
    except (ValueError, TypeError):
        return float("nan")


def by_urgency(
    items: Iterable[WorklistItem], settings: UrgencySettings, *, at: datetime | None = None
) -> list[WorklistItem]:
    """Return rows in the order in which they are to be looked at.

    First what a reader has not answered: by urgency and the time waited since its arrival (`UrgencySettings.standing`).
    What is answered comes after it, the newest first. Of equals the one that came first is first.
    """
    when = (at or datetime.now(UTC)).isoformat()

    def place(item: WorklistItem) -> tuple[bool, float, str]:
        if item.answer:
            return (True, -minutes_between("1970-01-01T00:00:00+00:00", item.answered), item.key)
        waited = minutes_between(item.arrived, when)
        return (
            False,
            -float(settings.standing(item.urgency, max(waited, 0.0) if waited == waited else 0.0)),
            item.arrived,
        )

    return sorted(items, key=place)
