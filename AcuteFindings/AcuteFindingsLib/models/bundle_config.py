"""`configs/inference.json`: how MONAI's own tools run a package, with this library's preprocessing and rules.

This library never evaluates that file; it is for those who trust a package and use it from MONAI.
"""

from typing import Any

from AcuteFindingsLib.models.metadata import Card

# What the configuration calls; by name, because the detectors lie above the models.
_PIECES = "AcuteFindingsLib.detectors.bundle"

# MONAI's schema of `metadata.json`; the copy on its own site is the file of the release that MONAI's packages name.
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def inference_config(card: Card, *, weights: str) -> dict[str, Any]:
    """Return a MONAI Bundle inference configuration that gives the detector's probabilities.

    Studies are read from ``dataset_dir``; ``probabilities.json`` and masks are written to ``output_dir``. All numbers
    of the preprocessing come from the package's metadata, so that they are stated once.

    Parameters
    ----------
    card
        Of the package.
    weights
        Path of the weights below the package's folder.
    """
    return {
        "imports": [
            "$import torch",
            "$from pathlib import Path",
            "$from AcuteFindingsLib.models.safe_load import read_state_dict",
            f"$from {_PIECES} import list_studies",
        ],
        "bundle_root": ".",
        "dataset_dir": "./studies",
        "output_dir": "./results",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "package": {"_target_": "AcuteFindingsLib.models.package.read_package", "folder": "@bundle_root"},
        "network_def": {
            "_target_": "AcuteFindingsLib.networks.build_network",
            "name": card.network.name,
            "arguments": card.network.arguments,
        },
        "network": "$@network_def.to(@device).eval()",
        "weights": f"$read_state_dict(Path(@bundle_root) / '{weights}')",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": f"{_PIECES}.ReadStudy", "task": card.task},
                {
                    "_target_": f"{_PIECES}.PrepareStudy",
                    "task": card.task,
                    "preprocessing": "$@package.card.preprocessing",
                    **({"form": card.form} if card.form else {}),
                },
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": f"$list_studies(@dataset_dir, '{card.task}')",
            "transform": "@preprocessing",
        },
        "inferer": {"_target_": f"{_PIECES}.DetectorInferer", "package": "@package", "device": "@device"},
        "evaluator": {
            "_target_": f"{_PIECES}.StudyEvaluator",
            "dataset": "@dataset",
            "network": "@network",
            "inferer": "@inferer",
            "package": "@package",
            "output_dir": "@output_dir",
        },
        "initialize": ["$@package.verify_files()", "$@network.load_state_dict(@weights)"],
        "run": ["$@evaluator.run()"],
    }


def complete_data_format(card: Card, given: dict[str, Any]) -> dict[str, Any]:
    """Fill in what MONAI demands of every tensor in ``network_data_format`` and `given` does not state.

    The fields are those of the "Tensor format specifiers" in MONAI's bundle specification and the required ones of its
    schema (`SCHEMA`): type, format, modality, num_channels, spatial_shape, dtype, value_range, is_patch_data,
    channel_def. An unknown range or shape is ``[]``, as the specification asks. An image of which
    nothing is said is a radiograph.

    Parameters
    ----------
    card
        Says what the labels are called.
    given
        ``inputs`` and ``outputs``; empty ones become one image and one set of probabilities.
    """
    image: dict[str, Any] = {
        "type": "image",
        "format": "magnitude",
        "modality": "CR",
        "num_channels": 1,
        "spatial_shape": [],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {"0": "image"},
    }
    answer = {
        **image,
        "type": "probabilities",
        "format": "classes",
        "modality": "n/a",
        "num_channels": max(1, len(card.labels)),
        "value_range": [0, 1],
        "channel_def": {str(number): label.name for number, label in enumerate(card.labels)},
    }
    inputs, outputs = given.get("inputs") or {"image": {}}, given.get("outputs") or {"pred": {}}
    return {
        **given,
        "inputs": {name: {**image, **stated} for name, stated in inputs.items()},
        "outputs": {name: {**answer, **stated} for name, stated in outputs.items()},
    }
