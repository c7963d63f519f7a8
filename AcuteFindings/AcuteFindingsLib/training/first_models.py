"""Fit, measure and write the model packages that ship: ``python -m AcuteFindingsLib.training.first_models TASK``."""

from pathlib import Path
from typing import Annotated

import typer
from torch import nn

from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.training import (
    first_chest,
    first_chest64,
    first_lungs,
    first_radiographs,
)
from AcuteFindingsLib.training.card_parts import image_data_format
from AcuteFindingsLib.training.trained import Trained

# Studies, steps and held-out tests that gave the packages in Resources/Models.
SIZES = {
    "pneumothorax": (1200, 420, 200),
    "chest": (1200, 220, 150),
    "chest-64": (1, 130, 1),
    "lungs": (300, 500, 100),
}

app = typer.Typer(add_completion=False)


@app.command()
def main(
    task: Annotated[str, typer.Argument(help=", ".join(SIZES))],
    out: Annotated[Path, typer.Option(help="Folder that holds the packages.")] = Path("Resources/Models"),
    cache: Annotated[Path, typer.Option(help="Folder for phantom arrays.")] = Path("build/phantoms"),
    data: Annotated[Path | None, typer.Option(help="Folder of real images, for all but chest.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="pneumothorax: a package fitted to phantoms, to go on from.")
    ] = None,
    studies: Annotated[int | None, typer.Option(min=1, help="Phantoms to fit to.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of fitting.")] = None,
    real_steps: Annotated[
        int | None, typer.Option(min=1, help="pneumothorax: steps of fitting to real images.")
    ] = None,
    tests: Annotated[int | None, typer.Option(min=1, help="Held-out phantoms.")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads; as many processes make phantoms.")] = 2,
    version: Annotated[str | None, typer.Option(help="Of the package; else that of the last change.")] = None,
    sheets: Annotated[
        Path | None, typer.Option(help="Folder for sheets of real images, which stay out of the package.")
    ] = Path("build/sheets"),
) -> None:
    """Fit one of the models that ship and write its package."""
    import torch

    if task not in SIZES:
        raise typer.BadParameter(f"TASK {task}: choose one of {', '.join(SIZES)}.")
    torch.set_num_threads(threads)
    asked = {"studies": studies, "steps": steps, "tests": tests}
    sizes = {name: value or default for (name, value), default in zip(asked.items(), SIZES[task], strict=True)}
    sizes["workers"] = threads
    answer: Trained | tuple[nn.Module, Card]
    if task == "pneumothorax":
        answer = first_radiographs.train_pneumothorax(cache, **sizes, data=data, start=start, real_steps=real_steps)
    elif task == "chest":
        answer = first_chest.train_chest(cache, **sizes)
    elif task == "chest-64":
        if data is None:
            raise typer.BadParameter("TASK chest-64 is fitted to real radiographs: name their folder with --data.")
        answer = first_chest64.train_chest64(cache, steps=sizes["steps"], data=data)
    else:
        answer = first_lungs.train_lungs(cache, **sizes, data=data, sheets=sheets if data else None)
    trained = answer if isinstance(answer, Trained) else Trained(*answer)
    card = trained.card
    last = list(trained.changelog)[-1]
    package = write_package(
        out / card.id,
        state_dict=trained.network.state_dict(),
        card=card,
        version=version or last,
        changelog={**trained.changelog, version: trained.changelog[last]} if version else dict(trained.changelog),
        description=f"{card.title}. {card.training_data.summary}. Research use only.",
        authors="AcuteFindings",
        copyright="AcuteFindings contributors",
        network_data_format=image_data_format(card, value_range=(0, 1)),
        card_text=trained.text,
        documents=trained.documents,
        license_text=_license(card),
        replace=True,
    )
    for figure in card.evaluation:
        interval = f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
        print(f"{figure.metric}: {interval}, n = {figure.count}, {figure.data}")
    print(package.folder)


def _license(card: Card) -> str:
    root = Path(__file__).resolve().parents[3]
    if card.license.startswith("Apache-2.0"):
        text = (root / "LICENSE").read_text(encoding="utf-8")
        restriction = card.training_data.restriction
        return f"{restriction}\n\nAs far as that leaves it to us:\n\n{text}" if restriction else text
    return (
        f"{card.license}\n\nThese weights were fitted to images under {card.license}; the same terms hold for them.\n"
        "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode\n"
    )


if __name__ == "__main__":
    app()
