"""Any timm model by name as the part of a network that turns images into feature maps."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import timm
from torch import Tensor, nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.pretrained import OFFLINE_BACKBONES, load_imagenet, with_download


def create_backbone(name: str, *, in_channels: int, pretrained: bool, **options: Any) -> nn.Module:
    """Make a timm model.

    Parameters
    ----------
    name
        Any name of `timm.list_models()`.
    in_channels
        Channels of the images.
    pretrained
        Start from ImageNet weights: from the installed package for EfficientNet-Lite0, downloaded by timm for others.
    options
        For `timm.create_model`.

    Raises
    ------
    ModelError
        When timm knows no such model, it does not take the options, or its weights cannot be had.
    """
    if not timm.is_model(name):
        close = get_close_matches(name, timm.list_models(), n=3)
        advice = f"did you mean {' or '.join(close)}?" if close else "timm.list_models() names all."
        raise ModelError(f"timm has no model {name!r}; {advice}")
    options = {"in_chans": in_channels, **options}
    if pretrained and name not in OFFLINE_BACKBONES:
        return with_download(name, lambda: timm.create_model(name, pretrained=True, **options))
    try:
        backbone = timm.create_model(name, **options)
    except (TypeError, RuntimeError) as error:
        raise ModelError(f"The timm model {name!r} cannot serve here: {error}.") from error
    if pretrained:
        load_imagenet(backbone, name)
    return backbone


class Freezable(nn.Module):
    """A module whose first layers can be held fixed while the rest is trained.

    Frozen batch norms also keep their statistics, as in Keras; they stay in evaluation mode when the module is put
    into training mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[str, ...] = ()

    def freeze_first(self, share: float) -> int:
        """Freeze the first `share` (0..1) of the layers that have weights, and free all others.

        Returns
        -------
        int
            How many layers are frozen.

        Raises
        ------
        ModelError
            When `share` is not within 0..1.
        """
        if not 0.0 <= share <= 1.0:
            raise ModelError(f"The share of layers to freeze is {share}; it must lie between 0 and 1.")
        layers = list(self._layers())
        count = round(share * len(layers))
        self._frozen = tuple(name for name, _ in layers[:count])
        for number, (_, layer) in enumerate(layers):
            layer.requires_grad_(number >= count)
        self.train(self.training)
        return count

    def train(self, mode: bool = True) -> "Freezable":
        """Set training or evaluation mode; frozen layers stay in evaluation mode."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).train(False)
        return self

    def _layers(self) -> Iterator[tuple[str, nn.Module]]:
        for name, layer in self.named_modules():
            if any(True for _ in layer.parameters(recurse=False)):
                yield name, layer


class PooledBackbone(nn.Module):
    """A convolutional timm model without its head, then the mean over the feature map.

    Attributes
    ----------
    features
        Numbers a picture.
    feature_map
        Passes the last feature map ``(n, features, y', x')`` on unchanged: the place for Grad-CAM in every backbone.
    """

    def __init__(self, name: str, *, in_channels: int, pretrained: bool, drop_path: float = 0.0) -> None:
        super().__init__()
        options = {"drop_path_rate": drop_path} if drop_path else {}
        network: Any = create_backbone(
            name, in_channels=in_channels, pretrained=pretrained, num_classes=0, global_pool="", **options
        )
        if hasattr(network, "patch_embed"):
            raise ModelError(f"The timm model {name!r} gives tokens, not feature maps; choose a convolutional one.")
        self.network: nn.Module = network
        self.features = int(getattr(network, "head_hidden_size", None) or network.num_features)
        self.feature_map = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(n, features)`` for ``(n, c, y, x)``."""
        return self.maps(images).mean(dim=(2, 3))

    def maps(self, images: Tensor) -> Tensor:
        """Return the last feature map ``(n, features, y', x')``."""
        return self.feature_map(self.network(images))


class ImageFeatures(nn.Module):
    """A backbone by itself: pictures → the features that a network's own layers would read.

    It is what is left of a network whose classes are of no use here, to start a training from.

    Parameters
    ----------
    backbone
        Any convolutional timm model.
    in_channels
        Channels of the pictures.
    pretrained
        Start from ImageNet weights.
    """

    def __init__(
        self, *, backbone: str = "inception_resnet_v2", in_channels: int = 1, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.backbone = PooledBackbone(backbone, in_channels=in_channels, pretrained=pretrained)
        self.gradcam_layer = "backbone.feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"features": (n, f)}`` for ``(n, c, y, x)``."""
        return {"features": self.backbone(images)}


class PyramidBackbone(Freezable):
    """A timm model that gives its feature maps from fine to coarse.

    Attributes
    ----------
    channels, reductions
        Of each map: how many channels, and how many pixels of the picture one of its pixels spans.
    """

    def __init__(self, name: str, *, in_channels: int, pretrained: bool) -> None:
        super().__init__()
        network: Any = create_backbone(name, in_channels=in_channels, pretrained=pretrained, features_only=True)
        self.network: nn.Module = network
        self.channels: list[int] = list(network.feature_info.channels())
        self.reductions: list[int] = list(network.feature_info.reduction())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps ``(n, channels[i], ~y / reductions[i], ~x / reductions[i])``."""
        return self.network(images)
