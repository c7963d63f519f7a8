"""What the cards of all trained models say alike: what labels mean, and what a network takes and gives."""

from collections.abc import Sequence
from typing import Any

from AcuteFindingsLib.models.metadata import Card, Label

_MEANINGS = {
    "pe": ("Pulmonary embolism", "59282003"),
    "pe_present": ("Pulmonary embolism in the exam", ""),
    "left": ("Left-sided embolism", ""),
    "right": ("Right-sided embolism", ""),
    "central": ("Central embolism", ""),
    "rv_lv_ge_1": ("RV/LV ratio of 1 or more", ""),
    "rv_lv_lt_1": ("RV/LV ratio below 1", ""),
    "chronic": ("Chronic embolism", ""),
    "acute_and_chronic": ("Acute and chronic embolism", ""),
    "indeterminate": ("Indeterminate exam", ""),
    "any": ("Any intracranial hemorrhage", "1386000"),
    "epidural": ("Epidural hemorrhage", "428268007"),
    "intraparenchymal": ("Intraparenchymal hemorrhage", "274100004"),
    "intraventricular": ("Intraventricular hemorrhage", "23276006"),
    "subarachnoid": ("Subarachnoid hemorrhage", "21454007"),
    "subdural": ("Subdural hemorrhage", "35486000"),
    "pneumothorax": ("Pneumothorax", "36118008"),
    "effusion": ("Pleural effusion", "60046008"),
    "atelectasis": ("Atelectasis", "46621007"),
    "cardiomegaly": ("Cardiomegaly", "8186001"),
    "consolidation": ("Consolidation", "95436008"),
    "pneumonia": ("Pneumonia", "233604007"),
    "chest_drain": ("Chest drain", "264957007"),
    "tracheostomy": ("Tracheostomy tube", "129121000"),
    "endotracheal": ("Endotracheal tube", "26412008"),
    "nasogastric": ("Nasogastric tube", "17102003"),
    "lungs": ("Lung fields", "39607008"),
}


def command_for(task: str, *, data: bool = False) -> str:
    """Return the command that fits a model anew, as cards name it; `data` where real images are fitted to as well."""
    return f"python -m AcuteFindingsLib.training.first_models {task}{' --data DATA' if data else ''}"


def label_of(name: str) -> Label:
    """Return a label with its meaning and code; a name that is not known means itself."""
    meaning, code = _MEANINGS.get(name, (name.replace("_", " ").capitalize(), ""))
    return Label(name=name, meaning=meaning, code=code)


def image_data_format(card: Card, *, value_range: Sequence[float]) -> dict[str, Any]:
    """Return MONAI's `network_data_format` of a model that takes single images and gives one probability a label.

    `value_range` is that of what the network is shown.
    """
    size = card.preprocessing["size"]
    tomography = card.task in ("pe", "hemorrhage")
    channels = int(card.preprocessing.get("channels", 1))
    names = ["image"] * channels
    if card.preprocessing.get("adjacent"):
        reach = channels // 2
        names = [f"slice {beside:+d}" if beside else "slice" for beside in range(-reach, reach + 1)]
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": "hounsfield" if tomography else "magnitude",
                "modality": "CT" if tomography else "CR",
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
