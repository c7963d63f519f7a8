"""What a package of a public model says of itself, from the model's import description."""

from typing import Any

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Card, Graphs, Origin
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.models.task import PART


def card_of(description: ImportDescription, *, origin: Origin | None = None) -> Card:
    """Return the card of the package that a description becomes.

    Parameters
    ----------
    origin
        Where the weights come from, and the proof.

    Raises
    ------
    ModelError
        The description names no network of its own.
    """
    if description.network is None:
        raise ModelError(f"The import description {description.id} names no network, so it has no card of its own.")
    return Card(
        id=description.id,
        task=description.task,
        form=description.form,
        title=description.title,
        network=description.network,
        preprocessing=dict(description.preprocessing),
        labels=list(description.labels),
        operating_points=list(description.operating_points),
        rule=dict(description.rule),
        companions=dict(description.companions),
        training_data=description.training_data,
        evaluation=[],
        published=list(description.published),
        license=description.license.name,
        intended_use=description.intended_use,
        limitations=description.limitations,
        sources=list(description.sources),
        origin=origin,
        graphs=graphs_of(description),
    )


def graphs_of(description: ImportDescription) -> Graphs | None:
    """Return what a card says of the graphs of a description; None where it has none."""
    if description.graphs is None:
        return None
    return Graphs.model_validate(description.graphs.model_dump())


def data_format_of(description: ImportDescription, *, modality: str = "") -> dict[str, Any]:
    """Return MONAI's `network_data_format` of a description, which `bundle_config.complete_data_format` completes.

    Parameters
    ----------
    modality
        ``"CT"`` or ``"CR"`` (`ModelTask.modality`); left out where it is not known or the task is a part.
    """
    if description.image is None:
        raise ModelError(f"The import description {description.id} does not say what images its network takes.")
    image: dict[str, Any] = {
        "num_channels": description.image.channels,
        "spatial_shape": list(description.image.shape),
        "value_range": list(description.image.value_range),
    }
    if modality and description.task != PART:
        image |= {"modality": modality, "format": "hounsfield" if modality == "CT" else "magnitude"}
    return {"inputs": {"image": image}}
