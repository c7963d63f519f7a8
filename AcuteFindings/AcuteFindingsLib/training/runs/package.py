"""A fitted network as a model package, with a card that holds what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.detectors.registry import find_task, kind_of_task
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, Picture, TrainingData
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.write import stored_tensor, write_package
from AcuteFindingsLib.networks import stored_arguments
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.labels import card_labels
from AcuteFindingsLib.training.runs.module import input_range
from AcuteFindingsLib.training.runs.score import CONSECUTIVE

_LICENSES = {
    "Apache-2.0": "Apache License, Version 2.0\nhttps://www.apache.org/licenses/LICENSE-2.0\n",
}


def make_card(
    recipe: Recipe,
    *,
    points: Sequence[OperatingPoint],
    evaluation: Sequence[Interval],
    trained_on: str,
    count: str,
    phantoms_only: bool,
    pictures: Sequence[Picture] = (),
) -> Card:
    """Return the card of a recipe's model.

    Parameters
    ----------
    trained_on, count
        What the weights were fitted to, in words and numbers; sources that are mixed in and the start are added.
    phantoms_only
        Whether no patient's image is among the data; weights that they started from count too.
    """
    start = find_package(recipe.start).card if recipe.start else None
    phantoms_only = phantoms_only and (start is None or start.training_data.phantoms_only)
    return Card(
        id=recipe.id,
        task=recipe.task,
        title=recipe.title,
        network=Network(name=recipe.network.name, arguments=stored_arguments(recipe.network.arguments)),
        preprocessing=recipe.settings().model_dump(),
        labels=card_labels(recipe),
        operating_points=list(points),
        rule={"minimum_consecutive": CONSECUTIVE} if recipe.last == "scan" else {},
        training_data=TrainingData(
            summary=_summary(recipe, trained_on, start, phantoms_only=phantoms_only),
            phantoms_only=phantoms_only,
            count=count,
            restriction=recipe.card.restriction,
        ),
        evaluation=list(evaluation),
        pictures=list(pictures),
        never_saw=recipe.card.never_saw,
        license=recipe.card.license,
        intended_use=recipe.card.intended_use,
        limitations=" ".join(part for part in (recipe.card.limitations, *_limits(recipe, phantoms_only)) if part),
        sources=[recipe.source],
    )


def _summary(recipe: Recipe, trained_on: str, start: Card | None, *, phantoms_only: bool) -> str:
    mixed = recipe.data.mix.values()
    said = [f"{trained_on} only, no patient" if phantoms_only else trained_on]
    if not phantoms_only and any(one.phantoms for one in mixed):
        said.append("with computer-made phantoms")
    if any(one.drawn for one in mixed):
        said.append("with findings drawn into its images")
    if start is not None:
        said.append(f"started from the weights of {start.id}")
    return "; ".join(said)


def stored_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as a package keeps them."""
    return {name: stored_tensor(value, half=True).to(value.dtype) for name, value in weights.items()}


def write_model(
    network: nn.Module,
    recipe: Recipe,
    card: Card,
    folder: Path,
    *,
    version: str,
    text: str,
    documents: Mapping[str, bytes] | None = None,
) -> ModelPackage:
    """Write the package; one that is there already is replaced.

    Parameters
    ----------
    text
        More for the card, Markdown: the recipe, published figures beside one's own.
    documents
        Further files for the package by name; the card's pictures are among them.
    """
    return write_package(
        folder,
        state_dict=network.state_dict(),
        card=card,
        version=version,
        changelog={version: f"trained with the recipe {recipe.id} by AcuteFindings {__version__}"},
        description=f"{card.title}. {card.training_data.summary}. {RESEARCH_USE_ONLY}",
        authors="whoever ran the recipe",
        copyright="whoever ran the recipe",
        network_data_format=image_data_format(card, value_range=input_range(recipe)),
        card_text=text,
        documents=documents,
        license_text=_LICENSES.get(card.license, card.license),
        replace=True,
    )


def image_data_format(card: Card, *, value_range: Sequence[float]) -> dict[str, Any]:
    """Return MONAI's `network_data_format` of a model that takes single images and gives one probability a label.

    `value_range` is that of what the network is shown.
    """
    size = card.preprocessing["size"]
    modality = find_task(card.task).modality
    channels = int(card.preprocessing.get("channels", 1))
    names = ["image"] * channels
    if card.preprocessing.get("adjacent"):
        reach = channels // 2
        names = [f"slice {beside:+d}" if beside else "slice" for beside in range(-reach, reach + 1)]
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": "hounsfield" if modality == "CT" else "magnitude",
                "modality": modality,
                "num_channels": channels,
                "spatial_shape": [size, size],
                "dtype": "float32",
                "value_range": list(value_range),
                "is_patch_data": False,
                "channel_def": {str(number): name for number, name in enumerate(names)},
            }
        },
        "outputs": {
            "pred": {
                "type": "probabilities",
                "format": "classes",
                "num_channels": len(card.labels),
                "spatial_shape": [],
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": False,
                "channel_def": {str(number): label.name for number, label in enumerate(card.labels)},
            }
        },
    }


def published_table(recipe: Recipe, evaluation: Sequence[Interval]) -> str:
    """Return the publication's figures beside one's own, Markdown; empty where none are stated."""
    if not recipe.published:
        return ""
    own = {figure.metric: figure for figure in evaluation}
    lines = ["| Figure | Published | Here |", "| --- | --- | --- |"]
    for one in recipe.published:
        figure = own.get(one.metric)
        here = f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})" if figure else "not measured"
        name = f"{one.metric} ({one.data})" if one.data else one.metric
        lines.append(f"| {name} | {one.value:.3f} | {here} |")
    return "## Beside the publication\n\nOther data, so the figures cannot be compared directly.\n\n" + "\n".join(lines)


def _limits(recipe: Recipe, phantoms_only: bool) -> list[str]:
    said = []
    if phantoms_only and "Never saw a patient" not in recipe.card.limitations:
        said.append("Never saw a patient: on real images its answers are meaningless.")
    if not phantoms_only:
        said.append("Fitted to and measured on one data set; the figures may differ for images from elsewhere.")
    module = f"the module {kind_of_task(recipe.task).module_title}"
    if recipe.last == "slice":
        said.append(f"Answers for single slices; it gives no verdict for a study, so {module} cannot run it.")
    if recipe.stages.image:
        said.append(f"Gives a probability and no outline, so {module} cannot run it.")
    regions = {
        "lung-crop": "cut to the lungs",
        "lungs-only": "with everything outside the lungs black",
        "lungs-removed": "with the lungs black",
    }
    if recipe.data.region in regions:
        said.append(f"It is shown radiographs {regions[recipe.data.region]}, by the lungs model that goes with it.")
    return said
