"""Classifiers of timm, whichever: a state dict, a checkpoint around one, or a folder as timm's hub models have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import parse_json, read_text
from AcuteFindingsLib.models.importing.converted import (
    Answers,
    Converted,
    Options,
    Probe,
    labels_of,
    names_findings,
    normalization,
    normalized,
    points_of,
    random_pictures,
    task_of,
)
from AcuteFindingsLib.models.importing.heads import choose_outputs
from AcuteFindingsLib.models.importing.sequence_heads import has_series
from AcuteFindingsLib.models.importing.state_files import fill_counters, split_state
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.networks.arguments import bounded_memory
from AcuteFindingsLib.networks.backbones import create_backbone
from AcuteFindingsLib.networks.timm_classifier import layout_of

IMPORTER = "timm"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SOURCE = "Wightman R., PyTorch Image Models, 2019, doi:10.5281/zenodo.4414861"


@dataclass(frozen=True)
class TimmFile:
    """A file read as a classifier of timm.

    Attributes
    ----------
    name, arguments
        For `timm.create_model`.
    state
        Its weights by timm's names, the last layer included.
    channels, outputs
        How many it takes and gives.
    size
        Pixels per side that it is shown.
    mean, std
        Of pictures in 0..1, as timm's own weights of this network were trained.
    names
        Of the outputs, where the file says them.
    remarks
        What was assumed.
    rest
        What lies beside the network in the file.
    """

    name: str
    arguments: dict[str, Any]
    state: dict[str, torch.Tensor]
    channels: int
    outputs: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    names: tuple[str, ...]
    remarks: tuple[str, ...]
    rest: dict[str, torch.Tensor]

    def build(self) -> torch.nn.Module:
        """Return timm's own network with these weights."""
        network = _create(self.name, self.channels, self.outputs, self.arguments)
        try:
            network.load_state_dict(self.state)
        except RuntimeError as error:
            told = " ".join(str(error).split())[:300]
            raise ModelError(f"The weights do not fit timm's {self.name}: {told}.") from error
        return network.eval()


def convert_timm(path: Path, options: Options) -> Converted:
    """Read a classifier of timm for radiographs.

    Parameters
    ----------
    path
        A file of weights, then `options` must name the network; or a folder with ``config.json``.
    options
        `task` is one whose models name a radiograph's findings.

    Raises
    ------
    ModelError
        When the file is damaged, wants to run code, is another network, or has outputs that nobody named.
    """
    task = task_of(options, IMPORTER, names_findings, file=path.name)
    file = read_timm(path, options)
    outputs = choose_outputs(path, file.outputs, options, task=task, known=file.names)
    mean, std = normalization(file.channels, options, mean=file.mean, std=file.std)
    source = file.build()
    sample = torch.zeros(1, file.channels, file.size, file.size)
    arguments: dict[str, Any] = {
        "backbone": file.name,
        "arguments": file.arguments,
        "in_channels": file.channels,
        "outputs": file.outputs,
        "classes": list(outputs.classes),
        "softmax": outputs.exclusive,
        "layout": layout_of(source, sample),
    }
    preprocessing: dict[str, Any] = {"size": file.size, "flip": False, "equalise": False}
    if file.channels == 1:
        preprocessing |= {"mean": mean[0], "std": std[0]}
    else:
        arguments |= {"grey_mean": list(mean), "grey_std": list(std)}
    gray = random_pictures(1, file.size, low=0, high=1)

    def ask(pictures: np.ndarray) -> Answers:
        with torch.inference_mode():
            logits = source(torch.from_numpy(normalized(pictures, mean, std))).numpy()
        return {"pathologies": outputs.answers(logits)}

    labels = labels_of(task, outputs.names)
    assumed = f"Pictures are normalized as those of timm's own {file.name} unless --mean and --std say otherwise."
    return Converted(
        task=task.id,
        title=f"{file.name} with {len(labels)} finding{'s' if len(labels) > 1 else ''}, imported (timm)",
        network=Network(name="timm_classifier", arguments=arguments),
        state={f"network.{name}": value for name, value in file.state.items()},
        form=f"state dict of timm's {file.name}",
        framework="timm",
        probes=(
            Probe(
                normalized(gray, mean, std) if file.channels == 1 else gray,
                ask,
                probabilities=frozenset(["pathologies"] if outputs.exclusive else []),
                pictures=gray,
            ),
        ),
        preprocessing=preprocessing,
        labels=labels,
        points=points_of(task, labels),
        image=(
            1,
            file.size,
            *((-mean[0] / std[0], (1 - mean[0]) / std[0]) if file.channels == 1 else (0.0, 1.0)),
        ),
        remarks=(*file.remarks, *([] if options.mean else [assumed]), outputs.remark(file.outputs)),
        sources=(SOURCE,),
    )


def read_timm(path: Path, options: Options, *, size: int = 224, bare: bool = False) -> TimmFile:
    """Read a file or folder as a classifier of timm.

    Parameters
    ----------
    size
        Pixels per side where nobody says it.
    bare
        Take a network without a last layer where another file, or a GRU or LSTM beside it, answers.

    Raises
    ------
    ModelError
        As `convert_timm`.
    """
    weights, config = _files(path)
    name = options.network or str(config.get("architecture") or "")
    if not name:
        raise ModelError(f"{path.name} does not say which network of timm it is; name it with --network, as in timm.")
    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    stated = known.to_dict() if known is not None else {}
    stated |= {key: value for key, value in dict(config.get("pretrained_cfg") or {}).items() if key in _STATED}
    size = options.size or (size if bare else int(stated.get("input_size", (3, size, size))[-1]))
    arguments: dict[str, Any] = {"img_size": size} if stated.get("fixed_input_size") else {}
    if config.get("global_pool"):
        arguments["global_pool"] = str(config["global_pool"])
    # The names are those of any number of channels and outputs.
    template = _create(name, 3, 2, arguments)
    first, last = (_one(stated.get(key)) for key in ("first_conv", "classifier"))
    names = list(template.state_dict())
    anchor = f"{first}.weight" if f"{first}.weight" in names else names[0]
    state, rest = split_state(weights, anchor=anchor)
    state = fill_counters(state)
    remarks = []
    answered = bare and ("sequence" in options.also or has_series(rest))
    if f"{last}.weight" not in state and not answered:
        state |= _classifier(path, rest, last, template)
        remarks.append(f"The only layer beside the network was taken as its classifier ({last}).")
    template_state = template.state_dict()
    if dropped := [name for name in state if name not in template_state]:
        raise ModelError(f"{path.name} does not fit timm's {name}: {dropped[0]} is not in the network.")
    return TimmFile(
        name=name,
        arguments=arguments,
        state=state,
        channels=int(state[anchor].shape[1]) if state[anchor].ndim == 4 else 3,
        outputs=len(state.get(f"{last}.weight", ())),
        size=size,
        mean=tuple(stated.get("mean", ())),
        std=tuple(stated.get("std", ())),
        names=tuple(str(one).strip().lower().replace(" ", "_") for one in config.get("label_names") or ()),
        remarks=tuple(remarks),
        rest=rest,
    )


_STATED = frozenset(["input_size", "fixed_input_size", "mean", "std"])


def _files(path: Path) -> tuple[Path, Mapping[str, Any]]:
    if not path.is_dir():
        return path, {}
    weights = next((path / name for name in _WEIGHTS if (path / name).is_file()), None)
    if weights is None or not (path / "config.json").is_file():
        raise ModelError(f"{path} is not a folder of timm's: config.json or {_WEIGHTS[0]} is missing.")
    config = parse_json(read_text(path / "config.json"), source="config.json")
    return weights, config if isinstance(config, dict) else {}


def _create(name: str, channels: int, outputs: int, arguments: Mapping[str, Any]) -> Any:
    with bounded_memory(name):
        return create_backbone(name, in_channels=channels, pretrained=False, num_classes=outputs, **arguments)


def _one(name: Any) -> str:
    """Return a layer's name as timm states it; of several the first."""
    return str(name[0] if isinstance(name, list | tuple) and name else name or "")


def _classifier(
    path: Path, rest: Mapping[str, torch.Tensor], last: str, template: torch.nn.Module
) -> dict[str, torch.Tensor]:
    """Return the one linear layer beside a network without a last layer of its own, by timm's name for it."""
    wide = int(getattr(template, "head_hidden_size", 0) or getattr(template, "num_features", 0))
    found = [
        name.removesuffix(".weight")
        for name, value in rest.items()
        if name.endswith(".weight") and value.ndim == 2 and value.shape[1] == wide
    ]
    if len(found) != 1:
        told = f"{len(found)} layers of {wide} numbers lie beside it" if found else "there is none beside it either"
        raise ModelError(
            f"{path.name} has no {last}.weight, the last layer of timm's network, and {told}; save the "
            "classifier as one."
        )
    pair = {part: rest.get(f"{found[0]}.{part}") for part in ("weight", "bias")}
    return {f"{last}.{part}": value for part, value in pair.items() if value is not None}
