"""`acutefindings worklist`: the list of studies to be read."""

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib.cli.common import (
    AsJson,
    help_without_command,
    listed,
    one_of,
    out_console,
    plain,
    print_json,
    progress_bar,
)
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.worklist.words import ANSWERS, STATES

if TYPE_CHECKING:
    from AcuteFindingsLib.worklist.store import Store

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


Results = Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder of results of a batch.")]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="ACUTEFINDINGS_WORKLIST",
        help="Address of the list's database as SQLAlchemy has it; default: a file in RESULTS.",
    ),
]
Urgency = Annotated[
    Path | None, typer.Option("--urgency", metavar="FILE.toml", help="The department's settings of urgency.")
]


def open_store(results: Path, database: str | None, urgency: Path | None) -> "Store":
    """Open the list of a folder of results; raises `WorklistError` where there is no such folder."""
    from AcuteFindingsLib.errors import WorklistError
    from AcuteFindingsLib.worklist.store import Store
    from AcuteFindingsLib.worklist.urgency import read_urgency

    if not (results / "records").is_dir():
        raise WorklistError(f"{results} holds no results of a batch; give the folder named with --out there.")
    return Store(results, url=database, settings=None if urgency is None else read_urgency(urgency))


@worklist_app.command("list")
def worklist_list(
    results: Results,
    state: Annotated[str | None, typer.Option("--state", help=f"{listed(STATES)}.")] = None,
    detector: Annotated[str | None, typer.Option("--detector", help="Only this detector's.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many rows.")] = 50,
    database: Database = None,
    urgency: Urgency = None,
    show_patient: Annotated[
        bool, typer.Option("--show-patient", help="Also name and number of the patient, where a batch kept them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the list, the most urgent study first."""
    from AcuteFindingsLib.worklist.item import by_urgency
    from AcuteFindingsLib.worklist.patients import UNKNOWN, Patients

    if state is not None:
        one_of("--state", state, STATES)
    store = open_store(results, database, urgency)
    items = by_urgency(store.items(state=state, detector=detector), store.settings)
    people = Patients(results).all() if show_patient else {}
    if as_json:
        shown = [asdict(item) for item in items]
        if show_patient:
            shown = [row | {"patient": asdict(people.get(row["key"], UNKNOWN))} for row in shown]
        print_json(shown)
        return
    if not items:
        out_console.print("The list is empty. A batch fills it; `worklist rebuild` makes it anew from its results.")
        return
    rows = [
        (
            item.key,
            item.detector or "–",
            item.verdict or item.state,
            "–" if item.probability is None else f"{item.probability:.2f}",
            f"{item.urgency:.2f}",
            item.arrived[:16].replace("T", " "),
            *((people.get(item.key, UNKNOWN).name, people.get(item.key, UNKNOWN).number) if show_patient else ()),
            item.answer,
            item.said,
        )
        for item in items[:most]
    ]
    names = ("patient", "number") if show_patient else ()
    print_rows(
        ("study", "detector", "result", "probability", "urgency", "arrived", *names, "reader", "why"),
        rows,
        title=f"{counted(len(items), 'study')}, the most urgent first",
    )
    if len(items) > most:
        out_console.print(f"and {len(items) - most} more (--most)")


@worklist_app.command("answer")
def worklist_answer(
    results: Results,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Key of the study, as `worklist list` shows it.")],
    answer: Annotated[str, typer.Argument(metavar="ANSWER", help=f"{listed(ANSWERS)}: do you agree with the verdict?")],
    reader: Annotated[str, typer.Option("--reader", help="Who says so; default: the account's name.")] = "",
    note: Annotated[str, typer.Option("--note", help="Anything to add.")] = "",
    database: Database = None,
) -> None:
    """Say whether you agree with a verdict; the last answer counts."""
    store = open_store(results, database, None)
    store.answer(study, answer, reader=reader or getpass.getuser(), note=note)
    out_console.print(f"{plain(study)}: {answer}")


@worklist_app.command("rebuild")
def worklist_rebuild(results: Results, database: Database = None, urgency: Urgency = None) -> None:
    """Make the list anew from the folder of results, and write its table and page; answers stay."""
    from AcuteFindingsLib.worklist.listing import write_listing

    store = open_store(results, database, urgency)
    count = store.rebuild()
    table, page = write_listing(store.items(), results, store.settings)
    out_console.print(f"{counted(count, 'study')} on the list")
    out_console.print(f"  table  {table}")
    out_console.print(f"  page   {page}")


@worklist_app.command("report")
def worklist_report(
    results: Results,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the page and its numbers; default: RESULTS.")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Report turnaround, counts, agreement with readers over time, the PPV of their answers, and drift."""
    from AcuteFindingsLib.worklist.drift import drift_of, studies_of
    from AcuteFindingsLib.worklist.monitor import monitor
    from AcuteFindingsLib.worklist.report_page import drift_text, monitor_numbers, share_text, write_report_page

    store = open_store(results, database, None)
    figures = monitor(store.items())
    drifts = {name: drift_of(name, studies) for name, studies in studies_of(store.folder).items()}
    page, numbers = write_report_page(figures, out or results, drifts)
    if as_json:
        print_json([monitor_numbers(one, drifts.get(one.detector)) for one in figures])
        return
    rows = [
        (
            one.detector,
            ", ".join(f"{count} {word}" for word, count in one.counts.items()),
            "–" if one.turnaround is None else f"{one.turnaround[1]:.1f}",
            share_text(one.agreement[0].agreed),
            share_text(one.ppv),
            drift_text(drifts.get(one.detector)),
        )
        for one in figures
    ]
    print_rows(("detector", "studies", "median minutes", "readers agree", "PPV", "drift"), rows)
    out_console.print(f"  report   {page}")
    out_console.print(f"  numbers  {numbers}")
