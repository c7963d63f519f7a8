"""`acutefindings providers`: public models that come with a package of their own."""

from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from AcuteFindingsLib.cli.common import AsJson, help_without_command, out_console, print_json, progress_bar
from AcuteFindingsLib.cli.tables import print_facts, print_rows

if TYPE_CHECKING:
    from AcuteFindingsLib.errors import TorchMissingError
    from AcuteFindingsLib.providers.terms import Terms

providers_app = typer.Typer(help="Public models used through their own packages: list, read the terms, agree, install.")
providers_app.callback(invoke_without_command=True)(help_without_command)

_Id = Annotated[
    str, typer.Argument(metavar="ID", help="torchxrayvision, totalsegmentator, blast-ct, or a network that was added.")
]
_Accept = Annotated[bool, typer.Option("--accept-license", help="Agree to the terms without being asked.")]


@providers_app.command("list")
def providers_list(as_json: AsJson = False) -> None:
    """List the providers: what each is for, whether its terms are agreed to and its package is installed."""
    from AcuteFindingsLib.providers.consent import has_consent
    from AcuteFindingsLib.providers.install import is_installed
    from AcuteFindingsLib.providers.registry import list_terms

    found = [(one, has_consent(one), is_installed(one)) for one in list_terms()]
    if as_json:
        print_json(
            [{**_facts(one), "agreed": consented, "installed": installed} for one, consented, installed in found]
        )
        return
    rows = [
        (one.id, ", ".join(one.tasks), "yes" if consented else "no", "yes" if installed else "no", one.title)
        for one, consented, installed in found
    ]
    print_rows(("id", "for", "agreed", "installed", "gives"), rows)
    if found:
        one = found[-1][0]
        out_console.print(f"Use one as a model: acutefindings run STUDY --detector {one.tasks[0]} --model {one.id}")


@providers_app.command("show")
def providers_show(provider: _Id, as_json: AsJson = False) -> None:
    """Show what a provider gives, its license and what to cite."""
    from AcuteFindingsLib.providers.registry import find_terms

    found = find_terms(provider)
    if as_json:
        print_json(_facts(found))
    else:
        _print_terms(found)


@providers_app.command("consent")
def providers_consent(
    provider: _Id,
    accept_license: _Accept = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Withdraw an earlier consent.")] = False,
) -> None:
    """Show the terms and agree to them; a provider is not used before."""
    from AcuteFindingsLib.providers.consent import withdraw_consent
    from AcuteFindingsLib.providers.registry import find_terms

    wanted = find_terms(provider)
    if withdraw:
        withdraw_consent(wanted)
        out_console.print(f"{wanted.id}: the consent is withdrawn; it is not used until you agree again.")
    elif agreed(wanted, accept_license):
        out_console.print(f"{wanted.id}: agreed.")


@providers_app.command("install")
def providers_install(provider: _Id, accept_license: _Accept = False) -> None:
    """Install a provider's package, once its terms are agreed to; weights are fetched at the first use."""
    from AcuteFindingsLib.providers.install import install
    from AcuteFindingsLib.providers.registry import find_terms

    wanted = find_terms(provider)
    if not agreed(wanted, accept_license):
        return
    if lacking := _lacks_torch(wanted):
        # pip would bring one along, with gigabytes that nobody was told of.
        raise lacking
    with progress_bar() as progress:
        python = install(wanted, progress=progress)
    out_console.print(f"{wanted.package} is installed for {python}.")


def agreed(provider: "Terms", accept: bool) -> bool:
    """Return whether the terms are agreed to, asking where they are not yet."""
    from AcuteFindingsLib.providers.consent import give_consent, has_consent

    if has_consent(provider):
        return True
    _print_terms(provider)
    if not accept and not typer.confirm("Do you agree to these terms?", default=False):
        out_console.print("Nothing was changed.")
        return False
    give_consent(provider)
    return True


def _facts(terms: "Terms") -> dict[str, Any]:
    return {**asdict(terms), "file": str(terms.file)}


def _print_terms(terms: "Terms") -> None:
    print_facts(("", line) for line in terms.text.splitlines())
    if lacking := _lacks_torch(terms):
        out_console.print(str(lacking))


def _lacks_torch(terms: "Terms") -> "TorchMissingError | None":
    """Return what to do first where a provider computes with PyTorch and there is none here."""
    from AcuteFindingsLib.packages import torch_missing

    return torch_missing(what=terms.package) if terms.needs_torch and find_spec("torch") is None else None
