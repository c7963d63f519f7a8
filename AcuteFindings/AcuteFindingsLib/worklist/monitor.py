"""What the list says of the department and of the models: turnaround, counts, agreement with readers, PPV."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from AcuteFindingsLib.evaluation.operating_points import proportion
from AcuteFindingsLib.evaluation.schema import Figure
from AcuteFindingsLib.worklist.item import WorklistItem, minutes_between
from AcuteFindingsLib.worklist.listing import counts, finding_words


@dataclass(frozen=True)
class Agreement:
    """How often readers agree with verdicts, in one span of time; answers "unsure" count as neither."""

    span: str
    agreed: Figure
    unsure: int


@dataclass(frozen=True)
class Monitored:
    """Figures of one detector.

    Attributes
    ----------
    finding
        What it looks for, in words.
    counts
        Studies by verdict and state.
    turnaround
        Minutes from arrival to result: how many, median, 90th percentile, longest; None without a result.
    agreement
        Of all answers, then month by month.
    ppv
        Share of the positive verdicts with an answer that readers agree with.
    missed
        Share of the negative verdicts with an answer that readers disagree with.
    """

    detector: str
    finding: str
    counts: dict[str, int]
    turnaround: tuple[int, float, float, float] | None
    agreement: tuple[Agreement, ...]
    ppv: Figure
    missed: Figure


def monitor(items: Sequence[WorklistItem]) -> list[Monitored]:
    """Return the figures of each detector, in the order of their names.

    Shares have Wilson's 95 % interval, which takes studies for independent. Readers see the verdict before they answer,
    and answer what they choose to: these are figures of agreement, not of accuracy (`evaluate` measures that).
    """
    names = sorted({item.detector for item in items if item.detector})
    return [_of(name, [item for item in items if item.detector == name]) for name in names]


def _of(detector: str, items: list[WorklistItem]) -> Monitored:
    minutes = np.array([minutes_between(item.arrived, item.finished) for item in items if item.state == "done"])
    minutes = minutes[np.isfinite(minutes)]
    answered = [item for item in items if item.answer and item.state == "done"]
    positive = [item for item in answered if item.verdict == "positive"]
    negative = [item for item in answered if item.verdict == "negative"]
    months = sorted({item.answered[:7] for item in answered})
    return Monitored(
        detector,
        finding_words(detector),
        counts(items),
        _turnaround(minutes),
        (
            _agreement("all", answered),
            *(_agreement(month, [one for one in answered if one.answered.startswith(month)]) for month in months),
        ),
        _share(positive, "agree"),
        _share(negative, "disagree"),
    )


def _turnaround(minutes: np.ndarray) -> tuple[int, float, float, float] | None:
    if not len(minutes):
        return None
    median, most, longest = (float(value) for value in np.percentile(minutes, (50, 90, 100)))
    return len(minutes), median, most, longest


def _agreement(span: str, answered: Sequence[WorklistItem]) -> Agreement:
    return Agreement(span, _share(answered, "agree"), sum(item.answer == "unsure" for item in answered))


def _share(answered: Sequence[WorklistItem], answer: str) -> Figure:
    sure = [item for item in answered if item.answer != "unsure"]
    return proportion(sum(item.answer == answer for item in sure), len(sure))


def month_name(span: str) -> str:
    """Return a month as people write it."""
    try:
        return datetime.strptime(span, "%Y-%m").strftime("%B %Y")
    except ValueError:
        return span
