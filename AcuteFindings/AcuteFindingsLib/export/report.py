"""One self-contained page that shows a finding and its evidence to a person."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from markupsafe import Markup

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.verdict_words import (
    BEARINGS,
    FORCED,
    computed_words,
    is_forced,
    likeness_words,
    marks,
    verdict_words,
)
from AcuteFindingsLib.detectors.wording import in_sentence, names_of, probability_text
from AcuteFindingsLib.export import report_tables as tables
from AcuteFindingsLib.export.chart import finding_chart
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.pages.page import picture_source, render, write_page
from AcuteFindingsLib.study.study import Study

REPORT = "report.html"

_SEVERITIES = (("refuse", "Does not fit"), ("warn", "Warning"), ("info", "Note"))
_TIMINGS = {
    "read": "Reading the study",
    "preprocess": "Preparing the images",
    "lungs": "Finding the lungs",
    "network": "Network",
    "chest": "Tubes and other findings",
    "heatmap": "Heat map",
    "explain": "Shortcut check and heat map",
    "postprocess": "Verdict and measurements",
    "weigh": "Reasons and likeness",
    "total": "Total",
}


class Picture(Protocol):
    """A picture that was drawn of a finding; `kind` ``"chart"`` stands beside the report's own chart."""

    @property
    def path(self) -> Path:
        """PNG or JPEG."""
        ...

    @property
    def caption(self) -> str:
        """What it shows, in one sentence; also the text for those who cannot see it."""
        ...

    @property
    def kind(self) -> str:
        """What kind of picture it is."""
        ...


def write_report(
    finding: Finding,
    *,
    study: Study,
    package: ModelPackage,
    pictures: Sequence[Picture],
    folder: Path,
    companions: Sequence[ModelPackage] = (),
    made: datetime | None = None,
    chart: Callable[[], Markup | None] | None = None,
) -> Path:
    """Write ``report.html`` below `folder`: pictures inside, no scripts, nothing loaded from elsewhere.

    The page holds no patient data: of the header only technical facts and UIDs, of the file system nothing.

    Parameters
    ----------
    finding
        What is reported.
    study
        The study it was found in.
    package
        The model that gave the verdict.
    pictures
        The most telling first; captions are shown.
    folder
        Where the report is written.
    companions
        Further models that took part.
    made
        When the report was made; now when None.
    chart
        Gives what `report_chart` returned for it; drawn here when None.

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    ExportError
        When a picture cannot be read, or the report cannot be written.
    """
    page = render_report(
        finding, study=study, package=package, pictures=pictures, companions=companions, made=made, chart=chart
    )
    return write_page(page, Path(folder) / REPORT)


def render_report(
    finding: Finding,
    *,
    study: Study,
    package: ModelPackage,
    pictures: Sequence[Picture],
    companions: Sequence[ModelPackage] = (),
    made: datetime | None = None,
    chart: Callable[[], Markup | None] | None = None,
) -> str:
    """Return the page that `write_report` writes."""
    names = names_of(finding.detector)
    pathologies, tubes = tables.label_rows(finding, [package, *companions])
    shown = [_shown(picture) for picture in pictures]
    return render(
        "study.html.jinja",
        made=made,
        filters={"probability": probability_text},
        finding=finding,
        title=names.finding,
        finding_words=in_sentence(names.finding),
        image="radiograph" if study.orientation == "projection" else "slice",
        words=verdict_words(finding),
        forced=FORCED if is_forced(finding) else "",
        marks=marks(finding),
        study_kind=names.study,
        pictures=[picture for picture in shown if picture["kind"] != "chart"],
        charts=[picture for picture in shown if picture["kind"] == "chart"],
        chart=chart() if chart is not None else report_chart(finding, [package, *companions]),
        notices=[(key, name, item) for key, name in _SEVERITIES for item in finding.warnings if item.severity == key],
        reasons=[(*BEARINGS[item.bearing], item) for item in finding.reasons],
        sources=list(dict.fromkeys(item.source for item in finding.reasons if item.source)),
        likeness=likeness_words(finding.likeness) if finding.likeness is not None else "",
        facts=tables.series_facts(study),
        preparation=tables.preparation(finding, study),
        identifiers=tables.identifiers(finding, study),
        runs=tables.run_rows(finding) if len(finding.slices) > 1 else [],
        slices=tables.slice_rows(finding) if len(finding.slices) > 1 else [],
        pathologies=pathologies,
        tubes=tubes,
        shortcuts=tables.shortcut_rows(finding),
        measurements=tables.measurement_rows(finding),
        models=[package, *companions],
        computed=computed_words(finding.model),
        timings=[(_TIMINGS.get(name, name), seconds) for name, seconds in finding.timings.items()],
    )


def report_chart(finding: Finding, models: Sequence[ModelPackage]) -> Markup | None:
    """Return the chart of a finding's slices as the report shows it, None where there are fewer than two.

    It needs no picture, so it may be drawn by another thread while those are.
    """
    return finding_chart(finding, tables.label_meanings(finding, models))


def _shown(picture: Picture) -> dict[str, str]:
    return {"source": picture_source(Path(picture.path)), "caption": picture.caption, "kind": picture.kind}
