"""Checkpoints of segmentation-models-pytorch as models that draw a mask on a picture."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import (
    Answers,
    Converted,
    Head,
    Options,
    Probe,
    draws_mask,
    labels_of,
    normalization,
    normalized,
    points_of,
    random_pictures,
    softmax,
    task_of,
)
from AcuteFindingsLib.models.importing.state_files import fill_counters, read_state
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.networks.gray_input import IMAGENET_MEAN, IMAGENET_STD
from AcuteFindingsLib.networks.pneumothorax import ARCHITECTURES, encoder_name

_SIZE = 512
_ANCHOR = "segmentation_head.0.weight"
# What `config.json` says of the network beside its decoder's options, which are taken as they are.
_OTHER = frozenset(["encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"])
# Renamed in 0.5.
_OLD_NAMES = {"decoder_use_batchnorm": "decoder_use_norm"}
_HEADS: dict[Any, Head | None] = {"sigmoid": "sigmoid", "softmax": "softmax", "softmax2d": "softmax"}
_SOURCE = "Iakubovskii P., Segmentation Models PyTorch, 2019"


def convert_segmentation_model(path: Path, options: Options) -> Converted:
    """Read a checkpoint, or a folder that `save_pretrained` wrote.

    Parameters
    ----------
    path
        A file of weights (then `options` must name encoder and decoder), or a folder with ``config.json``.
    options
        `task` is one whose models draw a mask; `channel` says which of several classes is meant.

    Raises
    ------
    ModelError
        When the file is damaged, wants to run code, is another network, or it is not said which.
    """
    weights, config = _files(path)
    task = task_of(options, "segmentation-model", draws_mask, file=path.name)
    state = fill_counters(read_state(weights, anchor=_ANCHOR))
    dropped = [name for name in state if name.startswith("classification_head.")]
    state = {name: value for name, value in state.items() if name not in dropped}
    decoder, encoder = _architecture(path, config, options)
    built = _options(path, decoder, config)
    head = options.head or _head(path, config)
    channels = _first_channels(path, state)
    whole = dict(state)
    classes = len(state[_ANCHOR])
    chosen = _chosen_class(path, state, options.channel)
    # Masks of several classes are trained with softmax as a rule: each pixel belongs to one of them.
    exclusive = classes > 1 and head != "sigmoid"
    if classes == 1 and head == "softmax":
        raise ModelError(f"{path.name} draws one class, and a softmax of one class is always 1; leave --head out.")
    if not exclusive:
        state = _one_class(state, chosen)
    plain = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD} if channels == len(IMAGENET_MEAN) else {}
    mean, std = normalization(channels, options, **plain)
    arguments: dict[str, Any] = {"architecture": decoder, "encoder": encoder, "in_channels": channels}
    if built:
        arguments["options"] = built
    if exclusive:
        arguments |= {"classes": classes, "channel": chosen}
    preprocessing: dict[str, Any] = {"size": options.size or _SIZE, "flip": False, "equalise": False}
    if channels == 1:
        preprocessing |= {"mean": mean[0], "std": std[0]}
    else:
        arguments |= {"grey_mean": list(mean), "grey_std": list(std)}
    size = preprocessing["size"]
    gray = random_pictures(1, size, low=0, high=1)

    def ask(pictures: np.ndarray) -> Answers:
        import segmentation_models_pytorch as smp

        network = smp.create_model(
            decoder, encoder_name(encoder), encoder_weights=None, in_channels=channels, classes=classes, **built
        )
        network.load_state_dict(whole)
        with torch.inference_mode():
            logits = network.eval()(torch.from_numpy(normalized(pictures, mean, std))).numpy()
        return {"mask": (softmax(logits) if exclusive else logits)[:, chosen : chosen + 1]}

    remarks = []
    if classes > 1:
        kind = "exclude each other (softmax)" if exclusive else "are independent (sigmoid)"
        remarks.append(f"Class {chosen} of {classes} is the answer; the classes {kind}.")
    if plain and not options.mean:
        remarks.append("How pictures were normalized is not in the file; ImageNet's numbers were taken.")
    if dropped:
        remarks.append(
            f"The classification head ({len(dropped)} tensors) was left out: what it answers is not in the file."
        )
    labels = labels_of(task, (task.main_label,))
    return Converted(
        task=task.id,
        title=f"{decoder} on {encoder}, imported from segmentation-models-pytorch",
        network=Network(name="pneumothorax_segmenter", arguments=arguments),
        state={f"parts.{name}": value for name, value in state.items()},
        form=f"segmentation-models-pytorch checkpoint, {decoder} on {encoder}",
        framework="segmentation-models-pytorch",
        probes=(
            Probe(
                gray if channels > 1 else normalized(gray, mean, std),
                ask,
                probabilities=frozenset(["mask"]) if exclusive else frozenset(),
                pictures=gray,
            ),
        ),
        preprocessing=preprocessing,
        labels=labels,
        points=points_of(task, labels),
        image=(1, size, 0.0, 1.0),
        remarks=tuple(remarks),
        sources=(_SOURCE,),
    )


def _files(path: Path) -> tuple[Path, dict[str, Any]]:
    if not path.is_dir():
        return path, {}
    names = ("model.safetensors", "pytorch_model.bin")
    weights = next((path / name for name in names if (path / name).is_file()), None)
    if weights is None or not (path / "config.json").is_file():
        raise ModelError(
            f"{path} is not a folder of segmentation-models-pytorch: config.json or {names[0]} is missing."
        )
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path / 'config.json'} is not valid JSON: {error}.") from error
    return weights, config if isinstance(config, dict) else {}


def _architecture(path: Path, config: dict[str, Any], options: Options) -> tuple[str, str]:
    decoder = (options.decoder or str(config.get("_model_class", ""))).lower().replace("_", "").replace("+", "plus")
    encoder = options.encoder or config.get("encoder_name")
    if decoder not in ARCHITECTURES or not encoder:
        raise ModelError(
            f"{path.name} does not say which network it is; name its decoder ({', '.join(ARCHITECTURES)}) with "
            "--decoder and its encoder, such as resnet34 or a network of timm, with --encoder."
        )
    return decoder, str(encoder)


def _options(path: Path, decoder: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return what `config.json` says of the decoder where it is not the default of that class."""
    import segmentation_models_pytorch as smp

    known = inspect.signature(smp.MODEL_ARCHITECTURES_MAPPING[decoder]).parameters
    options = {}
    for key, value in config.items():
        name = _OLD_NAMES.get(key, key)
        if key in _OTHER or key.startswith("_"):
            continue
        if name not in known:
            # Of other classes, and of programs around them.
            if name.startswith(("decoder_", "psp_", "encoder_")):
                raise ModelError(f"{path.name} was built with {key} {value!r}, which no network here has.")
            continue
        default = known[name].default
        if value != (list(default) if isinstance(default, tuple) else default):
            options[name] = value
    return options


def _head(path: Path, config: dict[str, Any]) -> Head | None:
    """Return how the classes are read by the activation that follows the network; it has no weights."""
    activation = config.get("activation")
    if activation in (None, "identity"):
        return None
    if activation not in _HEADS:
        raise ModelError(f"{path.name} was built with activation {activation!r}, which no network here has.")
    return _HEADS[activation]


def _first_channels(path: Path, state: dict[str, torch.Tensor]) -> int:
    kernels = [value for name, value in state.items() if name.startswith("encoder.") and value.ndim == 4]
    if not kernels:
        raise ModelError(f"{path.name} holds no encoder, so it is not a checkpoint of segmentation-models-pytorch.")
    return kernels[0].shape[1]


def _chosen_class(path: Path, state: dict[str, torch.Tensor], channel: int | None) -> int:
    count = len(state[_ANCHOR])
    if channel is None and count > 1:
        raise ModelError(f"{path.name} draws {count} classes; say which one is meant with --channel 0 to {count - 1}.")
    chosen = channel or 0
    if not 0 <= chosen < count:
        raise ModelError(f"{path.name} draws {count} classes; there is none of number {chosen}.")
    return chosen


def _one_class(state: dict[str, torch.Tensor], chosen: int) -> dict[str, torch.Tensor]:
    bias = _ANCHOR.replace("weight", "bias")
    part = slice(chosen, chosen + 1)
    return {**state, _ANCHOR: state[_ANCHOR][part], bias: state[bias][part]}
