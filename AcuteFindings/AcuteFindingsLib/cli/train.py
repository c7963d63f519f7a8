"""`acutefindings train` and `acutefindings recipes`: rerun a published experiment, see what there is."""

import logging
import shlex
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from AcuteFindingsLib.cli.common import (
    AsJson,
    Threads,
    help_without_command,
    one_of,
    out_console,
    print_json,
    progress_bar,
)
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.errors import StudyError

recipes_app = typer.Typer(help="List and show the recipes of published experiments.")
recipes_app.callback(invoke_without_command=True)(help_without_command)

Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe; may be repeated.")
]
Folders = Annotated[
    list[Path] | None, typer.Option("--recipes-folder", help="A folder with your own recipes; may be repeated.")
]


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a YAML file.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the data set; default: phantoms.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Kind of the data set, as for explore; recognized by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; default: training/RECIPE.")] = None,
    changes: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    corrections: Annotated[
        Path | None, typer.Option("--corrections", help="Folder of corrections saved in Slicer, to train on too.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    devices: Annotated[str, typer.Option("--devices", help="How many devices, for Lightning.")] = "1",
    threads: Threads = None,  # noqa: ARG001
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="How many machines, for Lightning.")] = 1,
    strategy: Annotated[str, typer.Option("--strategy", help="Lightning's strategy: auto, ddp, fsdp ...")] = "auto",
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that prepare data ahead.")] = 0,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for phantoms and prepared arrays; default: in your cache.")
    ] = None,
    recipes_folder: Folders = None,
) -> None:
    """Train a published experiment on your copy of its data and write a model package."""
    card = device.removeprefix("cuda:")
    if not (device.startswith("cuda:") and card.isdecimal()):
        one_of("--device", device, ("auto", "cpu", "cuda", "cuda:N"))
    elif devices != "1":
        raise StudyError(f"--device {device} is one card; leave --devices out, or choose --device cuda.")

    from AcuteFindingsLib.training.recipes.read import read_recipe

    checked = read_recipe(recipe, overrides=tuple(changes or ()), folders=tuple(recipes_folder or ()))

    # Of all that is missing this is named first: its extra brings the rest.
    if find_spec("lightning") is None:
        raise ModuleNotFoundError("No module named 'lightning'", name="lightning")

    from AcuteFindingsLib.training.data import KINDS
    from AcuteFindingsLib.training.runs.experiment import MODEL, RunRequest, run_recipe
    from AcuteFindingsLib.training.runs.fit_stage import Hardware

    if kind is not None:
        one_of("--kind", kind, KINDS)
        if data is None:
            raise StudyError("--kind says what the folder of --data holds; name it, too.")
    target = out or Path("training") / checked.id
    # Without the folders of this machine: a card is read elsewhere.
    named = [("--data", data.name)] if data else []
    named += [("--kind", kind)] if kind else []
    named += [("--corrections", corrections.name)] if corrections else []
    options = [*named, *(("--set", change) for change in changes or ())]
    command = shlex.join(
        ["acutefindings", "train", Path(recipe).name, *(part for option in options for part in option)]
    )
    request = RunRequest(
        recipe=checked,
        out=target,
        cache=cache or default_cache(),
        data=data,
        kind=kind,
        corrections=corrections,
        resume=resume,
        hardware=Hardware(
            accelerator="gpu" if device.startswith("cuda") else device,
            devices=(int(card),) if card.isdecimal() else int(devices) if devices.isdigit() else devices,
            nodes=nodes,
            strategy=strategy,
            workers=workers,
            tell=out_console.print,
        ),
        command=command,
    )
    _quiet_lightning()
    try:
        with progress_bar() as progress:
            summary = run_recipe(request, progress=progress)
    except (KeyboardInterrupt, SystemExit):
        # Lightning leaves by SystemExit when it is interrupted.
        out_console.print("Stopped. The same command with --resume continues after the last complete epoch.")
        raise KeyboardInterrupt from None
    if not summary.folds:
        return
    rows = [
        (
            row.metric,
            f"{row.mean:.3f}",
            f"± {row.spread:.3f}" if len(row.values) > 1 else "",
            "" if row.published is None else f"{row.published:.3f}",
        )
        for row in summary.rows
    ]
    title = f"{checked.id}: {counted(len(summary.folds), 'run')}"
    print_rows(("figure", "mean", "spread", "published"), rows, title=title)
    out_console.print(f"  summary   {target / 'summary.html'}")
    out_console.print(f"  model     {target / MODEL}")


@recipes_app.command("list")
def recipes_list(recipes_folder: Folders = None, as_json: AsJson = False) -> None:
    """List the recipes."""
    from AcuteFindingsLib.training.recipes.read import list_recipes, read_recipe

    found = [(one.name, read_recipe(one.path).title) for one in list_recipes(tuple(recipes_folder or ()))]
    if as_json:
        print_json([{"id": name, "title": title} for name, title in found])
    else:
        print_rows(("recipe", ""), found)


@recipes_app.command("show")
def recipes_show(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a YAML file.")],
    changes: Set = None,
    recipes_folder: Folders = None,
    as_json: AsJson = False,
) -> None:
    """Show a recipe complete, with what it extends and every default written out."""
    from AcuteFindingsLib.training.recipes.read import read_recipe, recipe_yaml

    found = read_recipe(recipe, overrides=tuple(changes or ()), folders=tuple(recipes_folder or ()))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        out_console.print(recipe_yaml(found), end="")


def _quiet_lightning() -> None:
    """Keep Lightning's remarks on hardware and advertisements off the screen; its errors still come."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning\..*")


def default_cache() -> Path:
    """Return where prepared data are kept for this user."""
    from AcuteFindingsLib.places import models_cache

    return models_cache() / "training"
