"""A department's studies as they arrive: from a table of its own, or a made-up department."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.evaluation.table_files import number, open_table
from AcuteFindingsLib.worklist.urgency import UrgencySettings

_MOST = 200_000
_TRUE = {"1", "true", "yes", "positive", "y"}
_FALSE = {"0", "false", "no", "negative", "n"}
_VERDICTS = ("positive", "indeterminate", "negative")


@dataclass(frozen=True)
class Arrivals:
    """Studies in the order in which they arrived.

    Attributes
    ----------
    minutes
        ``(n,)`` float64: when each arrived, after the first midnight.
    reading
        ``(n,)`` float64: minutes that a reader takes for each.
    positive
        ``(n,)`` bool: whether the finding is there.
    urgency
        ``(n,)`` float64: what the model's answer makes of each, 0 to 1.
    assumed
        What was assumed where the table did not say, in sentences.
    """

    minutes: np.ndarray
    reading: np.ndarray
    positive: np.ndarray
    urgency: np.ndarray
    assumed: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many studies there are."""
        return len(self.minutes)

    @property
    def days(self) -> np.ndarray:
        """The day of each study, from 0."""
        return (self.minutes // 1440).astype(int)

    def of_days(self, days: np.ndarray) -> "Arrivals":
        """Return the studies of some days, one day after the other; a day may be taken several times."""
        own = self.days
        order = np.argsort(own, kind="stable")
        bounds = np.searchsorted(own[order], np.arange(own.max() + 2))
        parts = [order[bounds[day] : bounds[day + 1]] for day in days]
        taken = np.concatenate(parts)
        shift = np.repeat([1440.0 * (place - day) for place, day in enumerate(days)], [len(part) for part in parts])
        return Arrivals(
            self.minutes[taken] + shift, self.reading[taken], self.positive[taken], self.urgency[taken], self.assumed
        )


@dataclass(frozen=True)
class Accuracy:
    """How often a model is right, where a table holds no answers of a model."""

    sensitivity: float = 0.9
    specificity: float = 0.9

    def __post_init__(self) -> None:
        """Raise `DataError` where one is no share."""
        for name in ("sensitivity", "specificity"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"--{name} {getattr(self, name)}: give a number from 0 to 1.")


def read_arrivals(
    path: Path | str,
    settings: UrgencySettings,
    *,
    reading_minutes: float | None = None,
    accuracy: Accuracy | None = None,
    seed: int = 0,
) -> Arrivals:
    """Read a table of arrivals.

    Parameters
    ----------
    path
        A CSV, TSV or Excel file with the columns ``arrived`` (date and time as ISO 8601 has them, or minutes),
        ``positive`` (whether the finding is there: 0 or 1), and where they are known ``reading_minutes``, ``verdict``
        and ``probability`` (of the model), ``detector``.
    settings
        What makes an urgency of the model's answers.
    reading_minutes
        How long a study takes to read where no column says.
    accuracy
        Of the model where no column holds its verdicts; 0.9 both when None.
    seed
        Of the verdicts that are drawn then.

    Raises
    ------
    DataError
        A column is missing or a row does not state what it should: names line and column.
    EvaluationError
        The file cannot be read as a table.
    """
    path = Path(path)
    table = open_table(path)
    rows = iter(table.rows())
    header = [name.casefold() for name in next(rows, [])]
    for needed in ("arrived", "positive"):
        if needed not in header:
            raise DataError(f"{path} has no column {needed!r}; it has {', '.join(header) or 'none'}.")
    if "reading_minutes" not in header and reading_minutes is None:
        raise DataError(
            f"{path} has no column 'reading_minutes'; add it, or say with --reading-minutes how long a study takes."
        )
    entries = list(rows)
    if not 2 <= len(entries) <= _MOST:
        raise DataError(f"{path} holds {len(entries)} studies; between 2 and {_MOST:,} are needed.")

    def column(name: str, read: Callable[[str], float], expected: str) -> np.ndarray:
        place = header.index(name)
        values = np.empty(len(entries))
        for line, entry in enumerate(entries):
            text = entry[place] if place < len(entry) else ""
            values[line] = read(text)
            if not np.isfinite(values[line]):
                raise DataError(f"{path}, row {line + 2}, column {name!r}: {text[:40]!r} is no {expected}.")
        return values

    arrived = column("arrived", _minutes, "date and time such as 2026-11-30T07:45, and no number of minutes")
    positive = column("positive", _flag, "0 or 1") > 0
    if "reading_minutes" in header:
        reading = column("reading_minutes", number, "number of minutes")
        if (reading <= 0).any():
            row = int(np.flatnonzero(reading <= 0)[0]) + 2
            raise DataError(f"{path}, row {row}, column 'reading_minutes': reading takes more than 0 minutes.")
        assumed: tuple[str, ...] = ()
    else:
        reading = np.full(len(entries), float(reading_minutes or 0))
        assumed = (f"Every study takes {reading_minutes:g} minutes to read.",)
    order = np.argsort(arrived, kind="stable")
    if "verdict" in header:
        urgency = _answered(path, header, entries, settings)
    else:
        accuracy = accuracy or Accuracy()
        urgency = drawn_urgency(positive, settings, accuracy, np.random.default_rng(seed))
        assumed += (_drawn_words(accuracy),)
    start = 1440 * np.floor(arrived.min() / 1440)
    return Arrivals(arrived[order] - start, reading[order], positive[order], urgency[order], assumed)


def synthetic_arrivals(settings: UrgencySettings, *, days: int = 28, seed: int = 0) -> Arrivals:
    """Return the studies of a made-up department.

    About 135 studies a day, 100 of them between 8 and 18 o'clock; one in ten is positive; reading takes 8 minutes in
    the middle (log-normal, deviation 0.4 of the logarithm), so that the list of one reader grows by day and is empty
    again at night. The model finds 9 of 10 positive studies and calls 1 of 10 of the others positive.
    """
    generator = np.random.default_rng(seed)
    hourly = np.where((np.arange(24) >= 8) & (np.arange(24) < 18), 10.0, 2.5)
    counts = generator.poisson(np.tile(hourly, days))
    minutes = np.sort(np.repeat(60.0 * np.arange(24 * days), counts) + generator.uniform(0, 60, counts.sum()))
    reading = generator.lognormal(np.log(8), 0.4, len(minutes))
    positive = generator.random(len(minutes)) < 0.1
    accuracy = Accuracy()
    urgency = drawn_urgency(positive, settings, accuracy, generator)
    assumed = (
        f"A made-up department of {days} days: about 135 studies a day, 100 of them between 8 and 18 o'clock, "
        "independent of each other; one in ten is positive.",
        "Reading takes 8 minutes in the middle (log-normal, deviation 0.4 of the logarithm).",
        _drawn_words(accuracy),
    )
    return Arrivals(minutes, reading, positive, urgency, assumed)


def drawn_urgency(
    positive: np.ndarray, settings: UrgencySettings, accuracy: Accuracy, generator: np.random.Generator
) -> np.ndarray:
    """Return the urgency of studies whose verdicts are drawn by a model's sensitivity and specificity."""
    right = generator.random(len(positive)) < np.where(positive, accuracy.sensitivity, accuracy.specificity)
    called = np.where(right, positive, ~positive)
    # Probabilities lie evenly on their verdict's side of one half.
    probability = 0.5 * generator.random(len(positive)) + 0.5 * called
    return np.array(
        [
            settings.urgency("positive" if one else "negative", float(share))
            for one, share in zip(called, probability, strict=True)
        ]
    )


def _drawn_words(accuracy: Accuracy) -> str:
    return (
        f"The model's verdicts are drawn: sensitivity {accuracy.sensitivity:g}, specificity {accuracy.specificity:g}, "
        "the same for all studies and independent of each other."
    )


def _answered(path: Path, header: list[str], entries: list[list[str]], settings: UrgencySettings) -> np.ndarray:
    urgency = np.empty(len(entries))
    for line, entry in enumerate(entries):
        row = dict(zip(header, entry, strict=False))
        verdict = row.get("verdict", "").casefold()
        if verdict and verdict not in _VERDICTS:
            raise DataError(
                f"{path}, row {line + 2}, column 'verdict': {verdict[:40]!r} is none of {', '.join(_VERDICTS)}."
            )
        share = number(row["probability"]) if row.get("probability") else None
        if share is not None and not 0 <= share <= 1:
            raise DataError(f"{path}, row {line + 2}, column 'probability': give a number from 0 to 1.")
        urgency[line] = settings.urgency(verdict or None, share, row.get("detector", ""))
    return urgency


def _minutes(text: str) -> float:
    value = number(text)
    if np.isfinite(value):
        return value
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return float("nan")
    # Clock times without a zone are taken as they are: a department has one clock.
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp() / 60


def _flag(text: str) -> float:
    word = text.casefold()
    return 1.0 if word in _TRUE else 0.0 if word in _FALSE else float("nan")
