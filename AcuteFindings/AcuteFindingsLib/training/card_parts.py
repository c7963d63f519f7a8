"""What the cards of all trained models say alike: what labels mean, and what a network takes and gives."""

from collections.abc import Sequence
from typing import Any

from AcuteFindingsLib.detectors.registry import find_task, model_tasks
from AcuteFindingsLib.models.metadata import Card, Label
from AcuteFindingsLib.models.task import KnownLabel


def label_of(name: str) -> Label:
    """Return a label with its meaning and code, as a task of some detector knows it; else the name means itself."""
    known = (one for task in model_tasks().values() for one in task.labels if one.name == name)
    label = next(known, KnownLabel(name, name.replace("_", " ").capitalize()))
    return Label(name=name, meaning=label.meaning, code=label.code)


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
