"""`acutefindings models`: list, show and verify model packages."""

from typing import Annotated

import typer
from rich.table import Column, Table

from AcuteFindingsLib.cli.common import ModelFolders, help_without_command, out_console

models_app = typer.Typer(help="List, show and verify model packages.")
models_app.callback(invoke_without_command=True)(help_without_command)

_NO_MODELS = "No model package was found; name a folder that holds some with --models-folder."


@models_app.command("list")
def models_list(models_folder: ModelFolders = None) -> None:
    """List the model packages that are found, in the order in which they are looked for."""
    from AcuteFindingsLib.models.find import list_packages

    table = Table(Column("id", no_wrap=True), "task", "version", "size", "licence", "trained on", "where")
    for entry in list_packages(folders=tuple(models_folder or ())):
        table.add_row(*entry.row())
    out_console.print(table if table.row_count else _NO_MODELS)


@models_app.command("show")
def models_show(model: Annotated[str, typer.Argument(metavar="ID|FOLDER")], models_folder: ModelFolders = None) -> None:
    """Show the model card of a package."""
    from rich.markdown import Markdown

    from AcuteFindingsLib.models.find import find_package

    out_console.print(Markdown(find_package(model, folders=tuple(models_folder or ())).read_card_text()))


@models_app.command("verify")
def models_verify(
    model: Annotated[str | None, typer.Argument(metavar="[ID|FOLDER]")] = None, models_folder: ModelFolders = None
) -> None:
    """Check every file's checksum and every tensor's name and shape; without an id, of all packages."""
    from AcuteFindingsLib.models.find import find_package, list_packages

    folders = tuple(models_folder or ())
    packages = [find_package(model, folders=folders)] if model else list_packages(folders=folders)
    if not packages:
        out_console.print(_NO_MODELS)
    for package in packages:
        package.verify()
        out_console.print(f"{package.id}: files, tensor names and shapes are as stated")
