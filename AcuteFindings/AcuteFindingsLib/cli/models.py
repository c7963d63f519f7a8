"""`acutefindings models`: list, show, verify, download, install and pass on model packages."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib.cli.common import (
    AsJson,
    ModelFolders,
    help_without_command,
    listed,
    out_console,
    print_json,
    progress_bar,
)
from AcuteFindingsLib.cli.default_model import make_default, print_default
from AcuteFindingsLib.cli.public_models import print_described
from AcuteFindingsLib.cli.tables import print_facts, print_rows
from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.registry import model_tasks
from AcuteFindingsLib.errors import ModelError

if TYPE_CHECKING:
    from AcuteFindingsLib.models.download.catalogue import Catalogue, CatalogueEntry
    from AcuteFindingsLib.models.find import DamagedPackage
    from AcuteFindingsLib.models.package import ModelPackage

models_app = typer.Typer(help="List, show, verify, download and install model packages.")
models_app.callback(invoke_without_command=True)(help_without_command)

CatalogueAddress = Annotated[
    str | None,
    typer.Option("--catalogue", help="Your own catalogue: a file, its folder, or its http(s) address."),
]

_COLUMNS = ("id", "task", "version", "size")
_DETAILS = ("title", "task", "size", "license", "trained_on", "folder", "error")
_NO_MODELS = "No model package was found; name a folder that holds some with --models-folder."


@models_app.command("list")
def models_list(
    models_folder: ModelFolders = None,
    long: Annotated[bool, typer.Option("--long", help="Also license, training data, and where each lies.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the model packages that are found, and which one of each task is used if none is named."""
    from AcuteFindingsLib.models.find import list_packages, why_default

    packages = sorted(list_packages(folders=tuple(models_folder or ())), key=_by_evidence)
    if as_json:
        reasons = why_default(packages)
        print_json([{**package.summary(), "default": reasons.get(package.id)} for package in packages])
        return
    shown = [_shown(package) for package in packages]
    if not packages:
        out_console.print(_NO_MODELS)
    elif long:
        for facts in shown:
            out_console.print(f"{facts['id']} {facts['version']}".rstrip(), style="bold")
            print_facts([*((key.replace("_", " "), facts[key]) for key in _DETAILS), *_figures(packages, facts["id"])])
    else:
        print_rows(_COLUMNS, [[facts[key] for key in _COLUMNS] for facts in shown])
        for facts in shown:
            if facts["error"]:
                out_console.print(f"{facts['id']}: {facts['error']}")
    _print_defaults(packages)


def _by_evidence(package: "ModelPackage | DamagedPackage") -> tuple[str, int]:
    """Sort by task, and in it models with more evidence first: those that saw patients before those of phantoms."""
    from AcuteFindingsLib.models.evidence import evidence_rank
    from AcuteFindingsLib.models.find import DamagedPackage

    if isinstance(package, DamagedPackage):
        # Behind all tasks.
        return "~", 0
    return package.card.task, evidence_rank(package.card.model_dump(mode="json"))


def _figures(packages: "list[ModelPackage | DamagedPackage]", model: str) -> list[tuple[str, str]]:
    """Return the figures of one of the models, each with its origin."""
    from AcuteFindingsLib.models.evidence import figures
    from AcuteFindingsLib.models.find import DamagedPackage

    cards = [one.card for one in packages if not isinstance(one, DamagedPackage) and one.id == model]
    return [("figure", told) for card in cards for told in figures(card.model_dump(mode="json"))]


def _shown(package: "ModelPackage | DamagedPackage") -> dict[str, str]:
    facts = {"task": "damaged", "size": "", **package.summary()}
    size = facts["size"]
    facts["size"] = f"{size / 1e6:.1f} MB" if isinstance(size, int) else "missing" if size is None else ""
    return {key: facts.get(key, "") for key in ("id", "version", "error", *_DETAILS)}


@models_app.command("show")
def models_show(
    model: Annotated[str, typer.Argument(metavar="ID|FOLDER")],
    models_folder: ModelFolders = None,
    as_json: AsJson = False,
) -> None:
    """Show the model card of a package."""
    from AcuteFindingsLib.models.find import find_package

    package = find_package(model, folders=tuple(models_folder or ()))
    if as_json:
        print_json({**package.summary(), "sha256": package.sha256, "card": package.card.model_dump(mode="json")})
        return
    _print_card(package.read_card_text())


def _print_card(text: str) -> None:
    """Print a model card, its tables as all tables."""
    from rich.markdown import Markdown

    # A terminal shows no pictures: their captions stand below them in the card already.
    text = re.sub(r"^!\[.*\]\((\S+)\)$", r"Picture `docs/\1`:", text, flags=re.MULTILINE)
    for part in re.split(r"((?:^\|.*\n?)+)", text, flags=re.MULTILINE):
        lines = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in part.strip().splitlines()]
        if part.startswith("|") and len(lines) > 2:
            header, _, *rows = ([cell.strip().replace("\\|", "|").replace("`", "") for cell in line] for line in lines)
            print_rows(header, [(*row, *[""] * len(header))[: len(header)] for row in rows])
        elif part.strip():
            out_console.print(Markdown(part), soft_wrap=False)


@models_app.command("verify")
def models_verify(
    model: Annotated[str | None, typer.Argument(metavar="[ID|FOLDER]")] = None, models_folder: ModelFolders = None
) -> None:
    """Check every file's checksum and every tensor's name and shape; without an id, for all packages."""
    from AcuteFindingsLib.models.find import DamagedPackage, find_package, list_packages
    from AcuteFindingsLib.models.verify import verify_package

    folders = tuple(models_folder or ())
    packages = [find_package(model, folders=folders)] if model else list_packages(folders=folders)
    if not packages:
        out_console.print(_NO_MODELS)
    for package in packages:
        if isinstance(package, DamagedPackage):
            raise ModelError(package.error)
        verify_package(package)
        out_console.print(f"{package.id}: files, tensor names and shapes are as stated")


@models_app.command("export")
def models_export(
    model: Annotated[str, typer.Argument(metavar="ID|FOLDER")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the ONNX files.")],
    models_folder: ModelFolders = None,
) -> None:
    """Write a model's network with its weights as ONNX files, one for each part, for other programs."""
    from AcuteFindingsLib.models.find import find_package
    from AcuteFindingsLib.models.graphs.whole import write_whole

    for file in write_whole(find_package(model, folders=tuple(models_folder or ())), out):
        out_console.print(str(file), soft_wrap=True)


@models_app.command("catalogue")
def models_catalogue(
    catalogue: CatalogueAddress = None,
    as_json: AsJson = False,
) -> None:
    """Check a catalogue against its schema and list what it offers."""
    from AcuteFindingsLib.models.download.catalogue import catalogue_text, load_catalogue

    loaded = load_catalogue(catalogue)
    if as_json:
        print(catalogue_text(loaded), end="")
        return
    _print_catalogue(loaded)
    if catalogue is None:
        print_described()


@models_app.command("download")
def models_download(
    model: Annotated[str | None, typer.Argument(metavar="[ID]", help="A model of the catalogue.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model that can be downloaded.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Only list what the catalogue offers.")] = False,
    catalogue: CatalogueAddress = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the licenses without being asked.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: print JSON.")] = False,
) -> None:
    """Download models; an interrupted download continues where it stopped."""
    from AcuteFindingsLib.models.download.catalogue import load_catalogue
    from AcuteFindingsLib.models.download.install import download_model

    if listing + everything + (model is not None) > 1:
        raise ModelError("Name one model, or --all, or --list; not several of them.")
    if listing or not (everything or model):
        models_catalogue(catalogue, as_json)
        return
    loaded = load_catalogue(catalogue)
    wanted = [loaded.entry(model)] if model else [e for e in loaded.models if e.source.kind == "archive"]
    if not wanted:
        out_console.print("The catalogue lists no model that is downloaded from it.")
    for entry in wanted:
        if not _agreed(entry, yes=yes):
            out_console.print(f"{entry.id}: not downloaded")
            continue
        with progress_bar() as progress:
            package = download_model(entry, progress=progress)
        out_console.print(f"{package.id} {package.version} is installed in {package.folder}")


@models_app.command("install")
def models_install(
    path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="A zip file or a folder.")],
    default: Annotated[bool, typer.Option("--default", help="Use it if no model is named.")] = False,
) -> None:
    """Install a model package from a file or folder; --default makes it the default model."""
    from AcuteFindingsLib.models.download.install import install_package

    if not path.exists():
        raise ModelError(f"{path} does not exist.")
    with progress_bar() as progress:
        package = install_package(path, progress=progress)
    out_console.print(f"{package.id} {package.version} is installed in {package.folder}")
    if default:
        make_default(package)
    else:
        print_default(package)


@models_app.command("default")
def models_default(
    model: Annotated[str | None, typer.Argument(metavar="[ID]", help="The model to use if none is named.")] = None,
    task: Annotated[str | None, typer.Option("--task", help=f"With --reset: {listed(model_tasks())}.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Remove the choice for --task.")] = False,
    as_json: AsJson = False,
) -> None:
    """Choose the model that is used for its task if none is named; without an id, list the ones that are."""
    from AcuteFindingsLib.models.default_model import set_default
    from AcuteFindingsLib.models.find import find_id, list_packages, why_default

    if reset:
        if task is None or model is not None:
            raise ModelError("Name the task whose choice is removed, and no model: --reset --task chest.")
        set_default(task, None)
    if model is not None:
        make_default(find_id(model))
        return
    packages = list_packages()
    if as_json:
        reasons = why_default(packages)
        print_json(
            [{**package.summary(), "default": reasons[package.id]} for package in packages if package.id in reasons]
        )
        return
    _print_defaults(packages)


def _print_defaults(packages: "list[ModelPackage | DamagedPackage]") -> None:
    """Say which model of each task is used if none is named, and why."""
    from AcuteFindingsLib.models.find import why_default

    reasons = why_default(packages)
    if reasons:
        out_console.print("Used if no model is named:")
    for package in packages:
        if package.id in reasons:
            facts = package.summary()
            out_console.print(f"  {facts['task']}: {facts['id']} {facts['version']} ({reasons[facts['id']]})")


@models_app.command("mirror")
def models_mirror(
    out: Annotated[Path, typer.Option("--out", help="Folder for the archives and their catalogue.")],
    model: Annotated[
        list[str] | None, typer.Argument(metavar="[ID|FOLDER]...", help="Which models; default: all installed ones.")
    ] = None,
    models_folder: ModelFolders = None,
) -> None:
    """Write packages as zip files with a catalogue, for a server in your hospital or for a disk."""
    from AcuteFindingsLib.models.download.mirror import write_mirror
    from AcuteFindingsLib.models.find import find_package, list_packages
    from AcuteFindingsLib.models.package import ModelPackage

    folders = tuple(models_folder or ())
    found = [find_package(name, folders=folders) for name in model or ()] or [
        package for package in list_packages(folders=folders) if isinstance(package, ModelPackage)
    ]
    if not found:
        raise ModelError(_NO_MODELS)
    path = write_mirror(found, out)
    out_console.print(f"{counted(len(found), 'model')} for `acutefindings models download --catalogue {path}`")


def _agreed(entry: "CatalogueEntry", *, yes: bool) -> bool:
    """Show license and citations; ask, unless the user has agreed beforehand."""
    if entry.source.kind != "archive":
        # Nothing to agree to here: the download says how this one is had.
        return True
    out_console.print(f"{entry.id} {entry.version}: {entry.title} ({entry.size_text})")
    print_facts([("license", entry.license), *(("cite", citation) for citation in entry.citations)])
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ModelError(f"Nobody can be asked to agree to the license of {entry.id}; add --yes if you do.")
    return typer.confirm("Download it under this license?")


def _print_catalogue(catalogue: "Catalogue") -> None:
    from AcuteFindingsLib.models.find import list_packages

    installed = {package.id for package in list_packages()}
    for entry in catalogue.models:
        how = {
            "shipped": "came with the extension",
            "archive": "installed" if entry.id in installed else f"acutefindings models download {entry.id}",
            "provider": f"with the package of its authors: acutefindings providers show {entry.id}",
        }[entry.source.kind]
        facts = [f"{entry.id} {entry.version}".rstrip(), f"for {', '.join(entry.tasks)}", entry.size_text]
        out_console.print("  ".join(fact for fact in facts if fact), style="bold")
        print_facts([("", entry.title), ("license", entry.license), ("how", how)])
    if not catalogue.models:
        out_console.print("The catalogue lists no model.")
