"""`acutefindings drift`: whether a department's studies still look like those before."""

from pathlib import Path
from typing import Annotated

import typer

from AcuteFindingsLib.cli.common import AsJson, out_console, plain, print_json
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.cli.worklist import Results


def drift(
    results: Results,
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
    from AcuteFindingsLib.worklist.drift import drift_of, read_dates, studies_of
    from AcuteFindingsLib.worklist.drift_page import change_words, drift_numbers, write_drift
    from AcuteFindingsLib.worklist.records import ResultsFolder

    if not (results / "records").is_dir():
        raise WorklistError(f"{results} holds no results of a batch; give the folder named with --out there.")
    found = studies_of(ResultsFolder(results), None if dates is None else read_dates(dates))
    if detector is not None:
        found = {name: studies for name, studies in found.items() if name == detector}
    if not found:
        whose = f" of {detector}" if detector else ""
        raise WorklistError(f"{results} holds no study{whose} with a day; `batch` and `watch` put them there.")
    drifts = [drift_of(name, studies, weeks=weeks) for name, studies in sorted(found.items())]
    page, numbers = write_drift(drifts, out or results)
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
        if one.left_out:
            out_console.print(f"  Not compared, as the reference lacks it: {plain(', '.join(one.left_out))}.")
    out_console.print(f"  report   {page}")
    out_console.print(f"  numbers  {numbers}")
