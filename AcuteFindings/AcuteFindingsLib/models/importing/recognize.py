"""What a file most likely is, so that nobody has to say what can be seen."""

import re
import unicodedata
from pathlib import Path

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import parse_json, read_text
from AcuteFindingsLib.models.find import shipped_versions
from AcuteFindingsLib.models.importing.keras_file import is_keras, read_keras_file
from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict
from AcuteFindingsLib.names import LONGEST, model_id

ENDINGS = (".h5", ".hdf5", ".keras", ".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".tar", ".ts", ".onnx", ".zip")
"""Endings of files that `recognize` looks into."""


def recognize(path: Path) -> str:
    """Return the general architecture, as `import_model` names it, that a file's ending and content show.

    Raises
    ------
    ModelError
        When the file is missing, damaged, would run code, or is none that can be imported.
    """
    if not path.exists():
        raise ModelError(f"There is no file {path}; correct the path.")
    ending = path.suffix.lower()
    if path.is_dir() and (path / "plans.json").is_file():
        raise ModelError(
            f"{path.name} is a trained nnU-Net, a network for volumes; name its folder to `acutefindings providers add "
            "FOLDER --as nnunet`."
        )
    if path.is_dir():
        return _of_folder(path)
    if ending in (".onnx", ".ts"):
        return {".onnx": "onnx", ".ts": "torchscript"}[ending]
    if ending == ".zip":
        return "monai-bundle"
    if is_keras(path):
        read_keras_file(path)
        return "inception-resnet-v2"
    if ending not in ENDINGS:
        raise ModelError(f"{path.name} is not a file that can be imported; these are: {', '.join(ENDINGS)}.")
    names = read_state_dict(path)
    if any(name.endswith("features.conv0.weight") for name in names):
        return "densenet121"
    if any(name.endswith("segmentation_head.0.weight") for name in names):
        return "segmentation-model"
    raise ModelError(
        f"{path.name} holds weights of a network that does not show in them; a classifier of timm is imported with "
        "acutefindings models import --as timm --network NAME, and others as TorchScript or ONNX."
    )


def _of_folder(path: Path) -> str:
    if not (path / "config.json").is_file():
        return "monai-bundle"
    config = parse_json(read_text(path / "config.json"), source="config.json")
    return "timm" if isinstance(config, dict) and "architecture" in config else "segmentation-model"


def free_id(path: Path, folder: Path) -> str:
    """Return an id for the package, made of the file's name, that no other package in `folder` or what ships has."""
    plain = plain_id(path.name.split(".")[0])
    taken = shipped_versions()
    number = 1
    while (name := plain if number == 1 else f"{plain}-{number}") in taken or (folder / name).exists():
        number += 1
    return name


def plain_id(name: str) -> str:
    """Return a model's id made of a file's name."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"\.{2,}", ".", re.sub(r"[^a-z0-9.-]+", "-", ascii_name))[: LONGEST - 16].strip("-.")
    try:
        return model_id(plain)
    except ValueError:
        return f"imported-{plain}".strip("-.")
