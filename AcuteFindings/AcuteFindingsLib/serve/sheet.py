"""A finding in the words in which reports show it, for pages that draw it themselves."""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import BaseModel

from AcuteFindingsLib import __version__
from AcuteFindingsLib.detectors.finding import Bearing, Finding
from AcuteFindingsLib.detectors.verdict_words import (
    BEARINGS,
    FORCED,
    computed_words,
    is_forced,
    likeness_words,
    marks,
    verdict_words,
)
from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.export import report_tables as tables
from AcuteFindingsLib.models.package import ModelPackage


class RunBody(BaseModel):
    """A run of positive slices: in words, the index of its first and last slice, and how far it reaches."""

    slices: str
    first: int
    last: int
    extent_mm: float
    highest: float


class LabelBody(BaseModel):
    """A label of a single image; `threshold` is None where the model states no operating point."""

    label: str
    meaning: str
    probability: float
    threshold: float | None
    answer: str


class MeasuredBody(BaseModel):
    """A measurement as text."""

    name: str
    value: str
    unit: str
    code: str


class ShortcutBody(BaseModel):
    """The probability when the network was shown a part of the picture."""

    shown: str
    probability: float


class SheetBody(BaseModel):
    """What a page shows of a finding, in words.

    Attributes
    ----------
    title, study
        What is looked for and in what, as at the beginning of a sentence.
    words, forced, marks
        The verdict with all that has to stand beside it, and its parts.
    bearings
        Sign and word of what a reason is to the finding, by `Reason.bearing`.
    likeness
        What is known of the study's likeness to the model's own images; empty where nothing is.
    labels
        Labels of the slices in words.
    pathologies, tubes
        Of a single image.
    """

    title: str
    study: str
    software: str
    words: str
    forced: str
    marks: list[str]
    bearings: dict[Bearing, tuple[str, str]]
    likeness: str
    computed: str
    phantoms_only: bool
    labels: dict[str, str]
    runs: list[RunBody]
    measurements: list[MeasuredBody]
    pathologies: list[LabelBody]
    tubes: list[LabelBody]
    shortcuts: list[ShortcutBody]


def sheet_of(finding: Finding, packages: Sequence[ModelPackage]) -> SheetBody:
    """Return what a page shows of a finding, in the words of panel and report.

    Parameters
    ----------
    finding
        Masks and heat map are not needed.
    packages
        The models that took part, as far as they are here: they know what labels mean.
    """
    names = names_of(finding.detector)
    pathologies, tubes = tables.label_rows(finding, packages)
    many = len(finding.slices) > 1
    runs = zip(finding.positive_runs, tables.run_rows(finding), strict=True) if many else ()
    return SheetBody(
        title=names.finding,
        study=names.study,
        software=__version__,
        words=verdict_words(finding),
        forced=FORCED if is_forced(finding) else "",
        marks=list(marks(finding)),
        bearings=BEARINGS,
        likeness=likeness_words(finding.likeness) if finding.likeness is not None else "",
        computed=computed_words(finding.model),
        phantoms_only=any(one.card.training_data.phantoms_only for one in packages if one.id == finding.model.id),
        labels=tables.label_meanings(finding, packages),
        runs=[
            RunBody(slices=row.slices, first=first, last=last, extent_mm=row.extent_mm, highest=row.highest)
            for (first, last), row in runs
        ],
        measurements=[MeasuredBody(**asdict(row)) for row in tables.measurement_rows(finding)],
        pathologies=[LabelBody(**asdict(row), answer=row.answer) for row in pathologies],
        tubes=[LabelBody(**asdict(row), answer=row.answer) for row in tubes],
        shortcuts=[ShortcutBody(shown=shown, probability=value) for shown, value in tables.shortcut_rows(finding)],
    )
