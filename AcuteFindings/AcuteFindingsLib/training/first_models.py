"""Fit, measure and write the first model packages: ``python -m AcuteFindingsLib.training.first_models TASK``."""

from pathlib import Path
from typing import Annotated

import typer

from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.training import first_chest, first_hemorrhage, first_lungs, first_pe, first_radiographs
from AcuteFindingsLib.training.card_parts import image_data_format

# Studies, steps and held-out tests that gave the packages in Resources/Models.
SIZES = {
    "hemorrhage": (300, 550, 80),
    "pe": (240, 700, 60),
    "pneumothorax": (1200, 420, 200),
    "chest": (1200, 220, 150),
    "lungs": (1200, 160, 100),
}

app = typer.Typer(add_completion=False)


@app.command()
def main(
    task: Annotated[str, typer.Argument(help=", ".join(SIZES))],
    out: Annotated[Path, typer.Option(help="Folder that holds the packages.")] = Path("Resources/Models"),
    cache: Annotated[Path, typer.Option(help="Folder for phantom arrays.")] = Path("build/phantoms"),
    data: Annotated[Path | None, typer.Option(help="Folder of real images, for the lungs.")] = None,
    studies: Annotated[int | None, typer.Option(min=1, help="Phantoms to fit to.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of fitting.")] = None,
    tests: Annotated[int | None, typer.Option(min=1, help="Held-out phantoms.")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads; as many processes make phantoms.")] = 2,
    version: str = "0.1.0",
) -> None:
    """Fit one of the first models and write its package."""
    import torch

    if task not in SIZES:
        raise typer.BadParameter(f"TASK {task}: choose one of {', '.join(SIZES)}.")
    torch.set_num_threads(threads)
    asked = {"studies": studies, "steps": steps, "tests": tests}
    sizes = {name: value or default for (name, value), default in zip(asked.items(), SIZES[task], strict=True)}
    sizes["workers"] = threads
    if task == "hemorrhage":
        network, card = first_hemorrhage.train(cache, **sizes)
    elif task == "pe":
        network, card = first_pe.train(cache, **sizes)
    elif task == "pneumothorax":
        network, card = first_radiographs.train_pneumothorax(cache, **sizes)
    elif task == "chest":
        network, card = first_chest.train_chest(cache, **sizes)
    else:
        network, card = first_lungs.train_lungs(cache, **sizes, data=data)
    package = write_package(
        out / card.id,
        state_dict=network.state_dict(),
        card=card,
        version=version,
        changelog={version: "first model"},
        description=f"{card.title}. {card.training_data.summary}. Research use only.",
        authors="AcuteFindings",
        copyright="AcuteFindings contributors",
        network_data_format=image_data_format(card, value_range=(-1, 1) if card.task == "pe" else (0, 1)),
        card_text="",
        licence_text=_licence(card),
        replace=True,
    )
    for figure in card.evaluation:
        interval = f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
        print(f"{figure.metric}: {interval}, n = {figure.count}, {figure.data}")
    print(package.folder)


def _licence(card: Card) -> str:
    root = Path(__file__).resolve().parents[3]
    if card.licence == "Apache-2.0":
        return (root / "LICENSE").read_text(encoding="utf-8")
    return (
        f"{card.licence}\n\nThese weights were fitted to images under {card.licence}; the same terms hold for them.\n"
        "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode\n"
    )


if __name__ == "__main__":
    app()
