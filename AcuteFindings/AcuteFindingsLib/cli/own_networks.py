"""`acutefindings providers add` and `remove`: three-dimensional networks that a user has."""

from pathlib import Path
from typing import Annotated

import typer

from AcuteFindingsLib.cli.common import out_console, progress_bar
from AcuteFindingsLib.errors import ProviderError


def providers_add(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the network lies; it is used there.")],
    form: Annotated[
        str, typer.Option("--as", help="nnunet (the folder with plans.json) or monai-bundle-3d (an unpacked bundle).")
    ],
    task: Annotated[str, typer.Option("--task", help="pe or hemorrhage: what its mask shows.")],
    name: Annotated[str, typer.Option("--id", help="Name to choose it by: small letters, digits, dots and dashes.")],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Class that is the finding, by name or number; more than once for several."),
    ] = None,
    minimum_mm3: Annotated[
        float | None,
        typer.Option("--minimum-mm3", min=0, help="Smallest connected volume that makes a study positive."),
    ] = None,
    minimum_peak: Annotated[
        float | None,
        typer.Option("--minimum-peak", min=0, max=1, help="Smallest probability that its highest voxel must reach."),
    ] = None,
    orientation: Annotated[
        str,
        typer.Option("--orientation", help="Where columns, rows and slices ran in training: LPS (DICOM), LAS, RAS."),
    ] = "LPS",
    mirroring: Annotated[
        bool, typer.Option("--mirroring", help="nnU-Net: read mirrored images too; four to eight times slower.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Bundle: softmax if its classes exclude each other, sigmoid if they do not."),
    ] = None,
    roi: Annotated[
        str | None, typer.Option("--roi", metavar="X,Y,Z", help="Bundle: voxels that the network is shown at once.")
    ] = None,
    title: Annotated[str, typer.Option("--title", help="What it is called in lists.")] = "",
    license: Annotated[str | None, typer.Option("--license", help="License of the weights.")] = None,
    trained_on: Annotated[str | None, typer.Option("--trained-on", help="What the weights were fitted to.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Address or paper of the network.")] = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Agree to the terms without being asked.")
    ] = False,
) -> None:
    """Add a 3-D network of your own, an nnU-Net folder or a MONAI bundle, as a model for PE or hemorrhage."""
    from AcuteFindingsLib.cli.providers import agreed
    from AcuteFindingsLib.providers.install import how_to_install, is_installed, python_of
    from AcuteFindingsLib.providers.own_networks.add import Said, add_own_network
    from AcuteFindingsLib.providers.own_networks.detector import check_own_network
    from AcuteFindingsLib.providers.own_networks.provider import remove_own_network
    from AcuteFindingsLib.providers.own_networks.record import read_record

    if head not in (None, "softmax", "sigmoid"):
        raise ProviderError(f"--head {head}: choose softmax or sigmoid.")
    given = {"title": title, "license": license, "trained_on": trained_on, "source": source}
    numbers = {"minimum_mm3": minimum_mm3, "minimum_peak": minimum_peak}
    terms = add_own_network(
        folder,
        form=form,
        name=name,
        task=task,
        said=Said(**{key: text for key, text in given.items() if text}),
        labels=label or (),
        rule={key: number for key, number in numbers.items() if number is not None},
        orientation=orientation.upper(),
        mirroring=mirroring,
        head=head,
        roi=_roi(roi),
    )
    try:
        if not agreed(terms, accept_license):
            remove_own_network(terms.id)
            return
        if is_installed(terms):
            with progress_bar() as progress:
                check_own_network(read_record(terms.file.parent), python=python_of(terms), progress=progress)
    except BaseException:
        # What cannot run is not kept.
        remove_own_network(terms.id)
        raise
    out_console.print(f"{terms.id} is added; the folder has to stay where it is.")
    if not is_installed(terms):
        out_console.print(f"{terms.package} is not installed yet: {how_to_install(terms)}.")
    out_console.print(f"Use it as a model: acutefindings run STUDY --detector {task} --model {terms.id}")


def providers_remove(
    provider: Annotated[str, typer.Argument(metavar="ID", help="Name of a network that was added.")],
) -> None:
    """Forget a network that was added; its folder and weights stay as they are."""
    from AcuteFindingsLib.providers.consent import withdraw_consent
    from AcuteFindingsLib.providers.own_networks.provider import remove_own_network
    from AcuteFindingsLib.providers.registry import find_terms

    terms = find_terms(provider)
    remove_own_network(provider)
    withdraw_consent(terms)
    out_console.print(f"{provider}: removed; its folder and weights are left as they are.")


def _roi(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        sides = tuple(int(side) for side in text.split(","))
    except ValueError as error:
        raise ProviderError(f"--roi {text}: write three whole numbers, such as 96,96,96.") from error
    if len(sides) != 3:
        raise ProviderError(f"--roi {text}: write three whole numbers, such as 96,96,96.")
    return sides
