"""What an order does to how long studies wait: a department's arrivals, read again under four orders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from types import MappingProxyType

import numpy as np

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.worklist.arrivals import Arrivals
from AcuteFindingsLib.worklist.urgency import UrgencySettings

ORDERS: Mapping[str, str] = MappingProxyType(
    {
        "first-come": "The study that arrived first is read first.",
        "flag-only": "Positive studies are marked, and read in the order in which they arrived.",
        "reorder": "The most urgent study is read first, however long others wait.",
        "reorder-with-limit": "The most urgent first; studies rise while they wait, and go first past the limit.",
    }
)
"""What is compared, by name."""

DRAWS = 200
"""Departments that are drawn for the intervals."""

# From minutes waited and urgency to what the list is ordered by.
_Rank = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wait:
    """A figure in minutes with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Waits:
    """How long studies wait from their arrival until they are opened."""

    mean: Wait
    longest: Wait
    count: int


@dataclass(frozen=True)
class Replay:
    """Waiting by order, of positive studies and of the others.

    Attributes
    ----------
    positive, others
        By the names of `ORDERS`.
    past_limit
        Share of all studies that waited for longer than the limit, by order.
    waits
        ``(n,)`` minutes of each study, by order.
    busy
        Share of the readers' time in which they read.
    draws
        How many departments the intervals rest on.
    """

    arrivals: Arrivals
    settings: UrgencySettings
    readers: int
    positive: dict[str, Waits]
    others: dict[str, Waits]
    past_limit: dict[str, float]
    waits: dict[str, np.ndarray]
    busy: float
    draws: int


def replay(
    arrivals: Arrivals,
    settings: UrgencySettings,
    *,
    readers: int = 1,
    answer_minutes: float = 2.0,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> Replay:
    """Read a department's studies again under each of `ORDERS`.

    Parameters
    ----------
    arrivals
        At least one positive study and one other.
    settings
        The limit, and how studies rise.
    readers
        Who read at the same time, around the clock; whoever is free takes the first of the list.
    answer_minutes
        From arrival to the model's answer; until then a study has no urgency.
    draws
        The days are drawn anew so often, whole days with replacement, and read again, for the 95 % intervals.
    seed
        Of these.

    Raises
    ------
    DataError
        There are no positive studies or no others, or more arrives than the readers can ever read.
    CancelledError
        When `cancelled` says so.
    """
    if readers < 1 or draws < 2:
        raise DataError(f"{readers} readers and {draws} draws: give at least 1 reader and 2 draws.")
    if arrivals.positive.all() or not arrivals.positive.any():
        raise DataError("The arrivals hold no positive study or no other; both are needed to compare their waiting.")
    span = max(float(np.ptp(arrivals.minutes)), 1.0)
    busy = float(arrivals.reading.sum() / (readers * span))
    if busy >= 1:
        raise DataError(
            f"Reading these studies takes {busy:.2f} times as long as the time in which they arrive: the list grows "
            f"without end whatever the order. Give more readers than {readers} (--readers)."
        )
    waits = {name: wait_of(arrivals, settings, name, readers, answer_minutes) for name in ORDERS}
    generator = np.random.default_rng(seed)
    days = np.unique(arrivals.days)
    drawn: dict[str, list[tuple[float, ...]]] = {name: [] for name in ORDERS}
    for number in range(draws):
        stop_if(cancelled)
        progress(f"Reading drawn department {number + 1} of {draws}", number / draws)
        again = arrivals.of_days(generator.choice(days, len(days)))
        if again.positive.all() or not again.positive.any():
            continue
        for name in ORDERS:
            one = wait_of(again, settings, name, readers, answer_minutes)
            drawn[name].append(_figures(one, again.positive))
    figures = {name: _figures(one, arrivals.positive) for name, one in waits.items()}
    ranges = {name: np.percentile(np.array(rows), (2.5, 97.5), axis=0) for name, rows in drawn.items()}

    def of(name: str, first: int, count: int) -> Waits:
        mean, longest = (
            Wait(figures[name][place], float(ranges[name][0, place]), float(ranges[name][1, place]))
            for place in (first, first + 1)
        )
        return Waits(mean, longest, count)

    count = int(arrivals.positive.sum())
    progress("Done", 1.0)
    return Replay(
        arrivals,
        settings,
        readers,
        positive={name: of(name, 0, count) for name in ORDERS},
        others={name: of(name, 2, len(arrivals) - count) for name in ORDERS},
        past_limit={name: float((one > settings.limit_minutes).mean()) for name, one in waits.items()},
        waits=waits,
        busy=busy,
        draws=len(drawn["reorder"]),
    )


def wait_of(
    arrivals: Arrivals, settings: UrgencySettings, order: str, readers: int, answer_minutes: float = 0.0
) -> np.ndarray:
    """Return the minutes from arrival until each study is opened under one of `ORDERS`."""

    def by_urgency(waited: np.ndarray, urgency: np.ndarray) -> np.ndarray:
        return np.where(waited >= answer_minutes, urgency, 0.0)

    def with_limit(waited: np.ndarray, urgency: np.ndarray) -> np.ndarray:
        return settings.standing(by_urgency(waited, urgency), waited)

    rank: _Rank | None = {"reorder": by_urgency, "reorder-with-limit": with_limit}.get(order)
    minutes, reading, urgency = arrivals.minutes, arrivals.reading, arrivals.urgency
    free = [0.0] * readers
    heapify(free)
    opened = np.empty(len(arrivals))
    waiting: list[int] = []
    arrived = 0
    for _ in range(len(arrivals)):
        now = heappop(free)
        if not waiting and arrived < len(arrivals):
            now = max(now, minutes[arrived])
        while arrived < len(arrivals) and minutes[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        place = 0
        if rank is not None and len(waiting) > 1:
            listed = np.array(waiting)
            # Of equals, as of studies without a verdict, argmax takes the first, who came first.
            place = int(np.argmax(rank(now - minutes[listed], urgency[listed])))
        study = waiting.pop(place)
        opened[study] = now
        heappush(free, now + reading[study])
    return opened - minutes


def _figures(waits: np.ndarray, positive: np.ndarray) -> tuple[float, float, float, float]:
    found, others = waits[positive], waits[~positive]
    return float(found.mean()), float(found.max()), float(others.mean()), float(others.max())
