"""A whole classifier of timm, its own head and pooling included, with its answers brought to one logit a finding."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.backbones import create_backbone
from AcuteFindingsLib.networks.gray_input import gray_input
from AcuteFindingsLib.networks.layers import chosen_logits

LAYOUTS = ("maps", "last", "none")
"""How a network has its features before it pools them: ``(n, c, y, x)``, ``(n, y, x, c)``, or as no map."""

_ARGUMENTS = frozenset(["img_size", "global_pool"])


class TimmFeatures(nn.Module):
    """A network of timm, cut where it has its features and has not pooled them.

    Parameters
    ----------
    backbone, arguments, in_channels, layout
        As of `TimmClassifier`.
    outputs
        Numbers of its last layer; none where 0.

    Raises
    ------
    ModelError
        When timm has no such network, or an argument makes no sense.
    """

    def __init__(
        self, backbone: str, *, arguments: Mapping[str, Any] | None, in_channels: int, outputs: int, layout: str
    ) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise ModelError(f"There is no layout {layout!r}; choose {', '.join(LAYOUTS)}.")
        options = dict(arguments or {})
        if strange := [name for name in options if name not in _ARGUMENTS]:
            raise ModelError(f"A timm network is not built with {strange[0]!r} here; leave it out.")
        self.network: Any = create_backbone(
            backbone, in_channels=in_channels, pretrained=False, num_classes=outputs, **options
        )
        self.layout = layout
        self.feature_map = nn.Identity()
        self.gradcam_layer = "" if layout == "none" else "feature_map"

    def features(self, images: Tensor) -> Tensor:
        """Return what the network has before it pools, as it has it; its maps pass through `feature_map`."""
        features = self.network.forward_features(images)
        if self.layout == "last":
            return self.feature_map(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return features if self.layout == "none" else self.feature_map(features)


class TimmClassifier(TimmFeatures):
    """A picture → one logit a finding, by any classifier of timm as timm builds it.

    Parameters
    ----------
    backbone
        Any name of `timm.list_models()`.
    arguments
        For timm: ``img_size`` where the network is made for one size, ``global_pool``.
    in_channels
        Channels of the pictures.
    outputs
        Numbers that the network gives.
    classes
        Which of them are the answer, in this order; all when None.
    softmax
        The numbers exclude each other: each one that is kept becomes the logit of "this one, none of the others".
    layout
        One of `LAYOUTS`: where there are maps, Grad-CAM weighs them.
    grey_mean, grey_std
        Where given, the network is shown gray pictures in 0..1 and repeats and normalizes them itself.

    Raises
    ------
    ModelError
        When timm has no such network, or an argument makes no sense.
    """

    def __init__(
        self,
        *,
        backbone: str = "densenet121",
        arguments: Mapping[str, Any] | None = None,
        in_channels: int = 1,
        outputs: int = 1,
        classes: Sequence[int] | None = None,
        softmax: bool = False,
        layout: str = "maps",
        grey_mean: Sequence[float] | None = None,
        grey_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(backbone, arguments=arguments, in_channels=in_channels, outputs=outputs, layout=layout)
        self.classes = list(range(outputs) if classes is None else classes)
        if not self.classes or not set(self.classes) <= set(range(outputs)) or (softmax and outputs < 2):
            raise ModelError(f"classes={self.classes} of {outputs} numbers make no answer.")
        self.gray = gray_input(grey_mean, grey_std, in_channels=in_channels)
        self.softmax = softmax

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"pathologies": (n, classes)}`` for ``(n, c, y, x)``."""
        logits = self.network.forward_head(self.features(self.gray(images)))
        return {"pathologies": chosen_logits(logits, self.classes, exclusive=self.softmax)}


def layout_of(network: nn.Module, images: Tensor) -> str:
    """Return which of `LAYOUTS` a timm network has, from what it makes of some images."""
    with torch.inference_mode():
        features = network.eval().forward_features(images)  # type: ignore[operator]
    if features.ndim != 4:
        return "none"
    wide = {int(getattr(network, "num_features", 0)), int(getattr(network, "head_hidden_size", 0) or 0)}
    # Where both fit, timm's own word for it decides.
    last = getattr(network, "output_fmt", "") == "NHWC" or (features.shape[1] not in wide and features.shape[3] in wide)
    return "last" if last else "maps"
