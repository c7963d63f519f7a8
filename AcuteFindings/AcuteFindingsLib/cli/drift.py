"""`acutefindings drift`: whether a department's studies still look like those before."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib.cli.common import AsJson, out_console, plain, print_json
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.cli.worklist import Results
from AcuteFindingsLib.counting import counted

if TYPE_CHECKING:
    from AcuteFindingsLib.trust.calibration import Calibration
    from AcuteFindingsLib.worklist.drift import Dated, Drift


def drift(
    results: Results,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="FILE|none",
            help="Calibration whose studies are the reference; default: the installed one. none: the first weeks.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for drift.html and drift.json; default: RESULTS.")
    ] = None,
    detector: Annotated[str | None, typer.Option("--detector", help="Only this detector's.")] = None,
    weeks: Annotated[
        int, typer.Option("--weeks", min=0, help="First weeks that are the reference; default: those of 100 studies.")
    ] = 0,
    dates: Annotated[
        Path | None,
        typer.Option("--dates", metavar="CSV", help="Days of the studies (columns study, date), if not of arrival."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which week studies changed, and in what: scanner, protocol, image, probabilities."""
    from AcuteFindingsLib.errors import WorklistError
    from AcuteFindingsLib.worklist.drift import drift_of, studies_of
    from AcuteFindingsLib.worklist.drift_page import change_words, drift_numbers, write_drift
    from AcuteFindingsLib.worklist.records import ResultsFolder
    from AcuteFindingsLib.worklist.study_dates import read_dates

    if not (results / "records").is_dir():
        raise WorklistError(f"{results} holds no results of a batch; give the folder named with --out there.")
    found = studies_of(ResultsFolder(results), None if dates is None else read_dates(dates))
    if detector is not None:
        found = {name: studies for name, studies in found.items() if name == detector}
    if not found:
        whose = f" of {detector}" if detector else ""
        raise WorklistError(f"{results} holds no study{whose} with a day; `batch` and `watch` put them there.")
    given = {name: _calibration(calibration, name, studies, weeks) for name, studies in found.items()}
    drifts = [drift_of(name, studies, calibration=given[name], weeks=weeks) for name, studies in sorted(found.items())]
    page, numbers = write_drift(drifts, out or results)
    for one in drifts:
        _note(one, given[one.detector])
    if as_json:
        print_json([drift_numbers(one) for one in drifts])
        return
    for one in drifts:
        out_console.print(f"{one.finding}, compared with {one.reference}:")
        if one.said:
            out_console.print(f"  {one.said}")
        elif not one.changes:
            out_console.print(f"  No variable changed in {len(one.spans)} spans of weeks.")
        else:
            rows = [(plain(change.variable), plain(change_words(change))) for change in one.changes]
            print_rows(("what changed", "when, and from what to what"), rows)
        if one.other_models:
            out_console.print(f"  {counted(one.other_models, 'study')} left aside: answered by another model.")
        if given[one.detector] is not None and one.latest is not None:
            out_console.print("  Verdicts by this calibration carry a warning from now on; calibrate again.")
        if one.left_out:
            out_console.print(f"  Not compared, as the reference lacks it: {plain(', '.join(one.left_out))}.")
    out_console.print(f"  report   {page}")
    out_console.print(f"  numbers  {numbers}")


def _calibration(asked: str | None, detector: str, studies: "Sequence[Dated]", weeks: int) -> "Calibration | None":
    """Return the calibration whose studies are the reference: the one named, else the installed one of these studies.

    Raises
    ------
    CalibrationError
        The file is damaged, or calibrates another detector.
    """
    from AcuteFindingsLib.errors import CalibrationError
    from AcuteFindingsLib.trust.site_files import NO_CALIBRATION, installed_calibrations, read_calibration

    if asked == NO_CALIBRATION or (weeks and asked is None):
        return None
    if asked is not None:
        named = read_calibration(Path(asked))
        if named.detector != detector:
            raise CalibrationError(
                f"{asked} calibrates {named.detector}; name its studies with --detector {named.detector}."
            )
        return named
    # The model that answered last is the one in use.
    latest = max((study for study in studies if study.model), key=lambda study: study.day, default=None)
    found = installed_calibrations(detector)
    return next((one for one in found if latest is not None and one.model.sha256 == latest.model), None)


def _note(found: "Drift", calibration: "Calibration | None") -> None:
    """Keep beside a calibration whether the latest studies still look like its own."""
    from AcuteFindingsLib.trust.site_files import forget_change, note_change

    if calibration is None or found.said:
        return
    if found.latest is None:
        forget_change(calibration)
        return
    variables, since = found.latest
    note_change(calibration, ", ".join(variables), since=since)
