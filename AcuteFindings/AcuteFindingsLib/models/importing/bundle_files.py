"""What the configuration of a MONAI bundle says, read as data: its expressions (``$...``) are never evaluated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import parse_json, read_text, require_bounded

CONFIGS = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml", "configs/train.json")
WEIGHTS = ("models/model.safetensors", "models/model.pt")

_NETS = "monai.networks.nets."
_DEEPEST = 8


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings of a JSON or YAML file of a bundle; raises `ModelError` where it cannot be read."""
    text = read_text(path)
    try:
        if path.suffix == ".json":
            data = parse_json(text, source=path.name)
        else:
            import yaml

            # Ten lines of references to references unfold to more than any memory holds.
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
                raise ModelError(f"{path.name} of the bundle repeats parts by YAML's aliases; write them out.")
            data = require_bounded(yaml.safe_load(text), source=path.name)
    except ImportError as error:
        raise ModelError(f"{path.name} is YAML, and reading it needs the package pyyaml.") from error
    except (ValueError, RecursionError, yaml_error()) as error:
        told = " ".join(str(error).split())[:300]
        raise ModelError(f"{path.name} of the bundle cannot be read: {told}.") from error
    if not isinstance(data, dict):
        raise ModelError(f"{path.name} of the bundle holds no settings by name.")
    return data


def yaml_error() -> type[Exception]:
    """Return the class of YAML's errors; of no error where YAML is not installed."""
    try:
        from yaml import YAMLError
    except ImportError:
        return ImportError
    return YAMLError


def find_config(name: str, folder: Path) -> dict[str, Any]:
    """Return the first configuration of a bundle that is there; raises `ModelError` where none is.

    Parameters
    ----------
    name
        What the bundle is called in errors.
    folder
        The bundle.
    """
    file = next((folder / path for path in CONFIGS if (folder / path).is_file()), None)
    if file is None:
        raise ModelError(f"{name} is not a MONAI bundle that names its network (network_def in {CONFIGS[0]}).")
    return read_config(file)


def network_of(name: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of the class in `monai.networks.nets` and the arguments that a configuration states.

    Raises
    ------
    ModelError
        It names no network, custom code, or an argument that is no plain value.
    """
    definition = next(
        (config[key] for key in ("network_def", "network", "net") if isinstance(config.get(key), dict)), None
    )
    if definition is None:
        raise ModelError(f"{name} is not a MONAI bundle that names its network (network_def in {CONFIGS[0]}).")
    target = str(definition.get("_target_", "")).removeprefix(_NETS)
    if not target.isidentifier():
        raise ModelError(f"{name} was refused: its network is {target!r}, custom code and not one of MONAI's.")
    return target, {
        key: literal(name, f"network's {key}", value, config)
        for key, value in definition.items()
        if not key.startswith("_")
    }


def literal(name: str, what: str, value: Any, config: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a setting whose references (``@name``) are followed.

    Parameters
    ----------
    name, what
        The bundle and its setting, for errors.
    value
        As the configuration has it.
    config
        Where references lead.

    Raises
    ------
    ModelError
        It is an expression or an object.
    """
    if isinstance(value, str) and value.startswith(("@", "%")) and depth < _DEEPEST and value[1:] in config:
        return literal(name, what, config[value[1:]], config, depth + 1)
    if isinstance(value, str) and value.startswith(("$", "@", "%")):
        raise ModelError(
            f"{name} was refused: the {what} is the expression {value!r}, which would run code; write its value into "
            "the configuration."
        )
    if isinstance(value, dict):
        if "_target_" in value:
            raise ModelError(f"{name} was refused: the {what} is an object that code would build.")
        return {key: literal(name, what, part, config, depth) for key, part in value.items()}
    if isinstance(value, list):
        return [literal(name, what, part, config, depth) for part in value]
    return value
