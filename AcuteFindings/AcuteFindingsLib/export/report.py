"""One self-contained page that shows a finding and its evidence to a person."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import jinja2

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.verdict_words import FORCED, is_forced, marks, verdict_words
from AcuteFindingsLib.detectors.wording import in_sentence, names_of, probability_text
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.export import report_tables as tables
from AcuteFindingsLib.export.chart import slice_chart
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.study.study import Study

REPORT = "report.html"

_HERE = Path(__file__).resolve().parent
_MIME = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
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

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    ExportError
        When a picture cannot be read, or the report cannot be written.
    """
    page = render_report(finding, study=study, package=package, pictures=pictures, companions=companions, made=made)
    target = Path(folder) / REPORT
    try:
        with replace_when_written(target) as partial:
            partial.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{target} could not be written: {error}. Choose another folder or make room.") from error
    return target


def render_report(
    finding: Finding,
    *,
    study: Study,
    package: ModelPackage,
    pictures: Sequence[Picture],
    companions: Sequence[ModelPackage] = (),
    made: datetime | None = None,
) -> str:
    """Return the page that `write_report` writes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["probability"] = probability_text
    names = names_of(finding.detector)
    pathologies, tubes = tables.label_rows(finding, [package, *companions])
    shown = [_shown(picture) for picture in pictures]
    return environment.get_template("report.html.jinja").render(
        css=(_HERE / "report.css").read_text(encoding="utf-8"),
        finding=finding,
        title=names.finding,
        finding_words=in_sentence(names.finding),
        image="radiograph" if study.orientation == "projection" else "slice",
        words=verdict_words(finding),
        forced=FORCED if is_forced(finding) else "",
        marks=marks(finding),
        study_kind=names.study,
        made=(made or datetime.now(UTC))
        .strftime("%Y-%m-%d %H:%M UTC" if made is None else "%Y-%m-%d %H:%M %Z")
        .strip(),
        software=__version__,
        research_use_only=RESEARCH_USE_ONLY,
        pictures=[picture for picture in shown if picture["kind"] != "chart"],
        charts=[picture for picture in shown if picture["kind"] == "chart"],
        chart=slice_chart(finding),
        meanings=tables.label_meanings(finding, [package, *companions]),
        notices=_by_severity(finding),
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
        timings=[(_TIMINGS.get(name, name), seconds) for name, seconds in finding.timings.items()],
    )


def _shown(picture: Picture) -> dict[str, str]:
    path = Path(picture.path)
    mime = _MIME.get(path.suffix.lower())
    if mime is None:
        raise ExportError(f"The picture {path} is no PNG or JPEG and cannot stand in a report.")
    try:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise ExportError(f"The picture {path} could not be read for the report: {error}.") from error
    return {"source": f"data:{mime};base64,{data}", "caption": picture.caption, "kind": picture.kind}


def _by_severity(finding: Finding) -> list[dict[str, Any]]:
    groups = [
        {"severity": key, "name": name, "notices": [item for item in finding.warnings if item.severity == key]}
        for key, name in _SEVERITIES
    ]
    return [group for group in groups if group["notices"]]
