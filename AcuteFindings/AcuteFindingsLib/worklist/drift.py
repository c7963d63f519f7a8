"""Which week the studies of a department changed, and in what: every span of weeks against a reference."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import takewhile

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.trust.calibration import Calibration
from AcuteFindingsLib.trust.drift import (
    Facts,
    Sample,
    Shift,
    compare,
    corrected,
    facts_of,
    facts_of_finding,
    sample_of,
)
from AcuteFindingsLib.worklist.listing import finding_words
from AcuteFindingsLib.worklist.records import Record, ResultsFolder

REFERENCE = 100
"""Studies of the first weeks that are the reference, where no calibration set is."""

SPAN = 20
"""Studies that a span of weeks holds at least: weeks with fewer are taken together with those that follow."""

RECENT = 100
"""Studies of the latest weeks that are compared together as well: small changes that last show in them first."""

ANSWERS = {"verdict", "model", "likeness", "outcome"}
"""Variables that say what became of a study, of which a calibration keeps none."""


@dataclass(frozen=True)
class Dated:
    """One study of one detector: when it came, what is compared of it, and the SHA-256 of its model's weights."""

    day: date
    facts: Facts
    model: str = ""


_Weeks = tuple[date, date, list[Dated]]


@dataclass(frozen=True)
class Span:
    """One or several weeks, compared with the reference.

    Attributes
    ----------
    first, last
        Monday of the first week and Sunday of the last.
    shifts
        Every variable that was compared; `changed` are those that count.
    """

    first: date
    last: date
    sample: Sample
    shifts: tuple[Shift, ...] = ()

    @property
    def name(self) -> str:
        """Its ISO week or weeks, as ``"2026-W31"`` or ``"2026-W31 to 2026-W33"``."""
        first, last = week_name(self.first), week_name(self.last)
        return first if first == last else f"{first} to {last}"

    @property
    def changed(self) -> tuple[Shift, ...]:
        """What changed, the largest first."""
        return tuple(sorted((one for one in self.shifts if one.changed), key=lambda one: -one.psi))


@dataclass(frozen=True)
class Change:
    """One variable that changed: in which spans, first to last, and whether it still is in the latest."""

    variable: str
    spans: tuple[str, ...]
    lasting: bool
    largest: Shift


@dataclass(frozen=True)
class Drift:
    """What became of the studies of one detector.

    Attributes
    ----------
    finding
        What the detector looks for, in words.
    reference
        In words, what the spans are compared with.
    base
        The reference itself.
    spans
        The weeks that were compared, in order.
    recent
        The latest of them together, at least `RECENT` studies; None where one span holds as many, or all do not.
    said
        Why nothing was compared; empty where something was.
    left_out
        Variables that the reference lacks.
    other_models
        How many studies were left aside, as another model than the calibration's answered.
    """

    detector: str
    finding: str
    reference: str
    base: Sample
    spans: tuple[Span, ...] = ()
    said: str = ""
    left_out: tuple[str, ...] = field(default=())
    other_models: int = 0
    recent: Span | None = None

    @property
    def latest(self) -> tuple[tuple[str, ...], date] | None:
        """What differs in the latest weeks, and the day from which on without a break; None for nothing."""
        changed = list(takewhile(lambda span: span.changed, reversed(self.spans)))
        ends = [span for span in (*changed[:1], self.recent) if span is not None and span.changed]
        if not ends:
            return None
        variables = dict.fromkeys(shift.variable for span in ends for shift in span.changed)
        return tuple(variables), (changed or ends)[-1].first

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every variable that changed, the largest first."""
        found: dict[str, list[tuple[Span, Shift]]] = {}
        for span in self.spans:
            for shift in span.changed:
                found.setdefault(shift.variable, []).append((span, shift))
        together = () if self.recent is None else ((self.recent, shift) for shift in self.recent.changed)
        lasting = {shift.variable for span in self.spans[-1:] for shift in span.changed}
        for span, shift in together:
            found.setdefault(shift.variable, [(span, shift)])
            lasting.add(shift.variable)
        changes = [
            Change(
                name,
                tuple(span.name for span, _ in hits),
                name in lasting,
                max((shift for _, shift in hits), key=lambda shift: shift.psi),
            )
            for name, hits in found.items()
        ]
        return tuple(sorted(changes, key=lambda change: -change.largest.psi))


def studies_of(folder: ResultsFolder, dates: Mapping[str, date] | None = None) -> dict[str, list[Dated]]:
    """Return the studies of a folder of results by detector; those without a day, or whose finding is damaged, not.

    Parameters
    ----------
    dates
        Day by key, study UID or series UID; None for the day on which a study arrived.
    """
    found: dict[str, list[Dated]] = {}
    for record in folder.records():
        day = _arrived(record) if dates is None else _stated(record, dates)
        facts = None if day is None else _facts(folder, record)
        if day is not None and facts is not None:
            found.setdefault(record.detector, []).append(Dated(day, facts, record.model_sha256))
    return found


def drift_of(
    detector: str, studies: Sequence[Dated], *, calibration: Calibration | None = None, weeks: int = 0
) -> Drift:
    """Compare the weeks of a detector's studies with its calibration set, or with the first of them.

    Parameters
    ----------
    calibration
        Of this detector, whose studies are the reference; studies that another model answered are left aside.
    weeks
        How many of the first weeks are the reference; 0 for as many as hold `REFERENCE` studies.
    """
    words, others = finding_words(detector), 0
    if calibration is not None:
        own = [study for study in studies if study.model in ("", calibration.model.sha256)]
        others, studies = len(studies) - len(own), own
    by_week = _by_week(studies)
    if calibration is None:
        chosen = _first_weeks(by_week, weeks)
        first = [study for week in chosen for study in by_week.pop(week)]
        base = sample_of(study.facts for study in first)
        span = week_name(chosen[0]) if len(chosen) == 1 else f"{week_name(chosen[0])} to {week_name(chosen[-1])}"
        reference = f"the first weeks, {span}, {counted(base.count, 'study')}"
    else:
        base = sample_of(facts_of(one.probability, one.features, one.acquisition) for one in calibration.studies)
        reference = f"the calibration set of {calibration.name}"
    held = _spans(by_week)
    spans = [_span([one]) for one in held]
    said = _too_few(base, spans, sum(map(len, by_week.values())), given=calibration is not None or bool(weeks))
    if said:
        return Drift(detector, words, reference, base, said=said, other_models=others)
    tail = _recent(held)
    together = [_span(tail)] if tail else []
    shifts = corrected([compare(base, span.sample) for span in (*spans, *together)])
    spans, together = (
        [replace(span, shifts=tuple(found)) for span, found in zip(part, shifts_of, strict=True)]
        for part, shifts_of in ((spans, shifts[: len(spans)]), (together, shifts[len(spans) :]))
    )
    known = {name for sample in (span.sample for span in spans) for name in (*sample.numbers, *sample.names)}
    # A calibration keeps no answers: what it lacks of those is no news.
    without = known - {*base.numbers, *base.names} - (ANSWERS if calibration is not None else set())
    return Drift(
        detector,
        words,
        reference,
        base,
        tuple(spans),
        left_out=tuple(sorted(without)),
        other_models=others,
        recent=together[0] if together else None,
    )


def week_name(day: date) -> str:
    """Return the ISO week of a day, as ``"2026-W31"``."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def _by_week(studies: Sequence[Dated]) -> dict[date, list[Dated]]:
    """Return studies by the Monday of their week, in order."""
    found: dict[date, list[Dated]] = {}
    for study in sorted(studies, key=lambda one: one.day):
        found.setdefault(study.day - timedelta(days=study.day.weekday()), []).append(study)
    return found


def _first_weeks(by_week: Mapping[date, Sequence[Dated]], weeks: int) -> list[date]:
    if weeks:
        return list(by_week)[:weeks]
    chosen, held = [], 0
    for week, studies in by_week.items():
        chosen.append(week)
        held += len(studies)
        if held >= REFERENCE:
            break
    return chosen


def _spans(by_week: Mapping[date, Sequence[Dated]]) -> list[_Weeks]:
    """Return weeks, those with few studies together with the next ones; a last span may hold few."""
    spans: list[_Weeks] = []
    full = True
    for week, studies in by_week.items():
        end = week + timedelta(days=6)
        if full:
            spans.append((week, end, list(studies)))
        else:
            spans[-1] = (spans[-1][0], end, [*spans[-1][2], *studies])
        full = len(spans[-1][2]) >= SPAN
    return spans


def _recent(held: Sequence[_Weeks]) -> list[_Weeks]:
    """Return the latest of several spans that hold `RECENT` studies together; none where one alone does, or all not."""
    count = 0
    for place in range(len(held) - 1, -1, -1):
        count += len(held[place][2])
        if count >= RECENT:
            return list(held[place:]) if place < len(held) - 1 else []
    return []


def _span(weeks: Sequence[_Weeks]) -> Span:
    return Span(weeks[0][0], weeks[-1][1], sample_of(one.facts for _, _, studies in weeks for one in studies))


def _too_few(base: Sample, spans: Sequence[Span], later: int, *, given: bool) -> str:
    """Return how many studies are needed where nothing can be compared yet."""
    if not given and base.count < REFERENCE:
        return (
            f"{counted(base.count, 'study')} so far: the first {REFERENCE} are the reference, and {SPAN} more are "
            f"needed to compare with it; {REFERENCE + SPAN - base.count} are missing."
        )
    if base.count < SPAN:
        return f"The reference holds {counted(base.count, 'study')}; at least {SPAN} are needed to compare with it."
    if not any(span.sample.count >= SPAN for span in spans):
        return (
            f"{counted(later, 'study')} beside the reference so far; at least {SPAN} are needed to compare with it, "
            f"{SPAN - later} are missing."
        )
    return ""


def _facts(folder: ResultsFolder, record: Record) -> Facts | None:
    """Return what is compared of a study; of one without a finding only that it has none."""
    if record.state != "done":
        return Facts(names={"outcome": record.state})
    try:
        data = json.loads((folder.results(record.key) / "finding.json").read_bytes())
        facts = facts_of_finding(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return replace(facts, names=facts.names | {"outcome": record.state})


def _arrived(record: Record) -> date | None:
    try:
        return datetime.fromisoformat(record.arrived).date()
    except ValueError:
        return None


def _stated(record: Record, dates: Mapping[str, date]) -> date | None:
    return next((dates[name] for name in (record.key, record.study_uid, record.series_uid) if name in dates), None)
