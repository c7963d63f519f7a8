"""`acutefindings worklist`: the list of studies to be read."""

from pathlib import Path
from typing import Annotated

import typer

from AcuteFindingsLib.cli.common import AsJson, help_without_command, out_console, print_json, progress_bar
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.counting import counted

worklist_app = typer.Typer(
    help="The list of studies to be read.", invoke_without_command=True, callback=help_without_command
)


@worklist_app.command("replay")
def worklist_replay(
    arrivals: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ARRIVALS]",
            help="Table of a department's studies: arrived, positive, and where known reading_minutes, verdict, "
            "probability, detector. Without one a made-up department is read.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for replay.html and replay.json.")] = Path("replay-output"),
    urgency: Annotated[
        Path | None, typer.Option("--urgency", metavar="FILE.toml", help="The department's settings of urgency.")
    ] = None,
    limit: Annotated[
        float | None, typer.Option("--limit", help="Minutes after which a study goes first; default: 480.")
    ] = None,
    readers: Annotated[int, typer.Option("--readers", min=1, help="How many read at the same time.")] = 1,
    reading_minutes: Annotated[
        float | None, typer.Option("--reading-minutes", help="How long a study takes, where no column says.")
    ] = None,
    answer_minutes: Annotated[
        float, typer.Option("--answer-minutes", min=0, help="From arrival to the model's answer.")
    ] = 2.0,
    sensitivity: Annotated[
        float, typer.Option("--sensitivity", help="Of the model, where no column holds its verdicts.")
    ] = 0.9,
    specificity: Annotated[float, typer.Option("--specificity", help="As --sensitivity.")] = 0.9,
    draws: Annotated[int, typer.Option("--draws", min=2, help="Departments drawn for the intervals.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Read a department's studies again under four orders, and compare how long they wait."""
    from AcuteFindingsLib.errors import DataError
    from AcuteFindingsLib.worklist.arrivals import Accuracy, read_arrivals, synthetic_arrivals
    from AcuteFindingsLib.worklist.replay import ORDERS, replay
    from AcuteFindingsLib.worklist.replay_page import replay_numbers, write_replay
    from AcuteFindingsLib.worklist.urgency import UrgencySettings, read_urgency

    if limit is not None and not 0 < limit < float("inf"):
        raise DataError(f"--limit {limit:g}: give minutes above 0.")
    if reading_minutes is not None and not 0 < reading_minutes < float("inf"):
        raise DataError(f"--reading-minutes {reading_minutes:g}: give minutes above 0.")
    settings = UrgencySettings() if urgency is None else read_urgency(urgency)
    if limit is not None:
        settings = settings.model_copy(update={"limit_minutes": limit})
    if arrivals is None:
        studies = synthetic_arrivals(settings, seed=seed)
    else:
        studies = read_arrivals(
            arrivals,
            settings,
            reading_minutes=reading_minutes,
            accuracy=Accuracy(sensitivity, specificity),
            seed=seed,
        )
    with progress_bar() as progress:
        done = replay(
            studies,
            settings,
            readers=readers,
            answer_minutes=answer_minutes,
            draws=draws,
            seed=seed,
            progress=progress,
        )
    page, numbers = write_replay(done, out, answer_minutes=answer_minutes)
    if as_json:
        print_json(replay_numbers(done, answer_minutes=answer_minutes))
        return
    rows = [
        (
            name,
            *(
                f"{one.value:.0f} ({one.low:.0f}–{one.high:.0f})"
                for waits in (done.positive[name], done.others[name])
                for one in (waits.mean, waits.longest)
            ),
            f"{100 * done.past_limit[name]:.1f} %",
        )
        for name in ORDERS
    ]
    print_rows(
        (
            "order",
            "positive, mean",
            "positive, longest",
            "others, mean",
            "others, longest",
            f"beyond {settings.limit_minutes:g} min",
        ),
        rows,
        title=f"Minutes until {counted(len(studies), 'study')} are opened, with 95 % intervals",
    )
    for text in studies.assumed:
        out_console.print(f"Assumed: {text}")
    out_console.print(f"  report   {page}")
    out_console.print(f"  numbers  {numbers}")
