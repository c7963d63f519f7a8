"""`acutefindings models recommended` and `models import hf:...`: models that others trained and published."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from AcuteFindingsLib.cli.common import AsJson, out_console, print_json, progress_bar
from AcuteFindingsLib.cli.default_model import make_default, print_default
from AcuteFindingsLib.cli.tables import print_facts, print_rows
from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.task import PART

if TYPE_CHECKING:
    from AcuteFindingsLib.models.package import ModelPackage
    from AcuteFindingsLib.models.public.description import ImportDescription

RECOMMENDED = "recommended"
"""What stands in the place of an address for the model to take for a detector."""


def is_public(text: str, description: Path | None) -> bool:
    """Whether what is to be imported is a public model and not a file."""
    return description is not None or text == RECOMMENDED or text.startswith(("hf:", "https:"))


def models_recommended(
    everything: Annotated[bool, typer.Option("--all", help="All public models that are described.")] = False,
    show: Annotated[str | None, typer.Option("--show", metavar="ID", help="What is known of one, and its license.")] = (
        None
    ),
    as_json: AsJson = False,
) -> None:
    """List public models that were trained on patients, with license, size and what they need."""
    from AcuteFindingsLib.models.find import list_packages
    from AcuteFindingsLib.models.public.recommended import find_description, shipped_descriptions

    described = [find_description(show)] if show else shipped_descriptions()
    listed = described if show or everything else [one for one in described if one.recommended]
    installed = {package.id for package in list_packages()}
    if as_json:
        print_json([_values(one, installed) for one in listed])
    elif show:
        _print_one(listed[0], installed)
    else:
        columns = ("id", "task", "size", "license", "imports today")
        rows = [(one.id, one.task, _size(one), _license(one), _today(one, installed)) for one in listed]
        print_rows(columns, rows)
        if not listed:
            out_console.print("No public model is described.")
        elif not everything:
            out_console.print("Import one: acutefindings models import recommended --detector DETECTOR")


def print_that_there_are() -> None:
    """Say that there are public models trained on patients, which the bundled ones are not."""
    from AcuteFindingsLib.models.public.recommended import shipped_descriptions

    tasks = {kind.id for kind in kinds()}
    listed = [one for one in shipped_descriptions() if one.recommended and one.task in tasks and not one.needs]
    if not listed:
        return
    out_console.print("The bundled models are demonstrations. Public models that were trained on patients:")
    print_facts((one.task, f"{one.title} ({_size(one)}, {_license(one)})") for one in listed)
    out_console.print("Import one: acutefindings models import recommended --detector DETECTOR")


def import_public_model(
    address: str,
    *,
    detector: str | None,
    description: Path | None,
    accept_license: bool,
    default: bool | None,
    out: Path | None,
    compare: bool,
    replace: bool,
) -> None:
    """Import a public model, ask for its license where that has to be agreed to, and whether it becomes the default."""
    from AcuteFindingsLib.models.card_text import differences
    from AcuteFindingsLib.models.find import list_packages
    from AcuteFindingsLib.models.public.consent import license_text, needs_consent
    from AcuteFindingsLib.models.public.import_public import import_public
    from AcuteFindingsLib.models.public.recommended import find_description, read_description, recommended

    if address == RECOMMENDED:
        if detector is None:
            raise ModelError("Say which detector the model is for: models import recommended --detector hemorrhage.")
        chosen = recommended(detector)
        address = chosen.id
    elif description is not None:
        chosen = read_description(description)
        # A description is named in the place of an address where that is all there is to say.
        address = chosen.address if Path(address) == description else address
    else:
        chosen = find_description(address.partition("@")[0])
    agreed = accept_license
    if not chosen.needs and needs_consent(chosen) and not agreed and sys.stdin.isatty():
        print_facts(("", line) for line in license_text(chosen).splitlines())
        agreed = typer.confirm("Do you agree to this license?", default=False)
        if not agreed:
            out_console.print("Nothing was changed.")
            return
    with progress_bar() as progress:
        package = import_public(
            address,
            description=description,
            agreed=agreed,
            out=out,
            compare=compare,
            replace=replace,
            progress=progress,
        )
    origin = package.card.origin
    out_console.print(f"{package.id}: written to {package.folder}")
    if origin is not None:
        out_console.print(f"From {origin.file}, revision {origin.revision}; license: {package.card.license}")
        if origin.largest_difference is not None:
            out_console.print(f"Compared with {origin.compared_with}: {differences(origin)}")
        if origin.remark:
            out_console.print(origin.remark)
    _choose_default(package, default)
    for one in beside(package.card.task, {package.id for package in list_packages()}):
        out_console.print(f"Goes with it, for {one.task}: {one.title}; acutefindings models import {one.id}")


def beside(task: str, installed: set[str]) -> list["ImportDescription"]:
    """Return the recommended public models of what a detector reads beside its own model, but for those installed."""
    from AcuteFindingsLib.models.public.recommended import shipped_descriptions

    companions = {one.id for kind in kinds() if kind.task.id == task for one in kind.companions}
    return [
        one
        for one in shipped_descriptions()
        if one.recommended and one.task in companions and not one.needs and one.id not in installed
    ]


def _choose_default(package: "ModelPackage", wanted: bool | None) -> None:
    """Make a model the default where the user says so; asks, and never does it silently."""
    from AcuteFindingsLib.models.default_model import Choice
    from AcuteFindingsLib.models.find import default_choice
    from AcuteFindingsLib.models.package import ModelPackage

    if package.card.task == PART:
        return
    now: Choice[ModelPackage] | None = None
    try:
        now = default_choice(package.card.task)
    except ModelError:
        # None is installed: nothing is replaced.
        now = None
    if wanted is None and sys.stdin.isatty():
        phantoms = now is None or now.model.card.training_data.phantoms_only
        so_far = "none" if now is None else f"{now.model.id}, trained on: {now.model.card.training_data.summary}"
        out_console.print(f"The default for {package.card.task} so far: {so_far}")
        wanted = typer.confirm(f"Use {package.id} if no model is named?", default=phantoms)
    if wanted:
        make_default(package)
    else:
        print_default(package)


def _print_one(one: "ImportDescription", installed: set[str]) -> None:
    from AcuteFindingsLib.models.evidence import figures
    from AcuteFindingsLib.models.public.consent import license_text

    out_console.print(f"{one.id}: {one.title}", style="bold")
    told = figures({"published": [figure.model_dump(mode="json") for figure in one.published]})
    print_facts(
        [
            ("", one.told),
            ("for", one.task),
            ("address", one.address),
            ("size", _size(one)),
            ("imports today", _today(one, installed)),
            ("trained on", one.training_data.summary),
            *(("figure", figure) for figure in told),
            ("limits", one.limitations),
        ]
    )
    if one.needs:
        out_console.print(f"Cannot be imported today: it needs {one.needs.removeprefix('needs ')}")
    print_facts(("", line) for line in license_text(one).splitlines())


def print_described() -> None:
    """Print all public models that are described, as a part of the catalogue."""
    from AcuteFindingsLib.models.find import list_packages
    from AcuteFindingsLib.models.public.recommended import shipped_descriptions

    installed = {package.id for package in list_packages()}
    for one in shipped_descriptions():
        out_console.print(f"{one.id}  for {one.task}  {_size(one)}", style="bold")
        how = _today(one, installed)
        if how.startswith("yes"):
            how = f"acutefindings models import {one.address}"
        print_facts([("", one.title), ("license", _license(one)), ("how", how)])


def _values(one: "ImportDescription", installed: set[str]) -> dict[str, Any]:
    return {
        "id": one.id,
        "task": one.task,
        "title": one.title,
        "address": one.address,
        "megabytes": one.megabytes,
        "license": one.license.name,
        "commercial": one.license.commercial,
        "recommended": one.recommended,
        "needs": one.needs,
        "torch": one.torch,
        "installed": one.id in installed,
        "trained_on": one.training_data.summary,
        "published": [figure.model_dump(mode="json") for figure in one.published],
    }


def _today(one: "ImportDescription", installed: set[str]) -> str:
    if one.id in installed:
        return "installed"
    if one.needs:
        first, _, more = one.needs.removeprefix("needs ").partition(". ")
        return f"needs {first.rstrip('.')}" + (f" (models recommended --show {one.id})" if more else "")
    return "yes, with PyTorch" if one.torch else "yes"


def _size(one: "ImportDescription") -> str:
    return f"{one.megabytes:.0f} MB" if one.megabytes else "size unknown"


def _license(one: "ImportDescription") -> str:
    return one.license.name if one.license.commercial else f"{one.license.name} (not commercial)"
