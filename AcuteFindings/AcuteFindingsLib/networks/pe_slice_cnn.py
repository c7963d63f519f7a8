"""The slice classifier of docs/sources.md 2: unpadded 3×3 convolutions, and the models it was compared with."""

from typing import Any

import torch
from torch import Tensor, nn

from AcuteFindingsLib.errors import ModelError


class PESliceCNN(nn.Module):
    """Unpadded 3×3 convolutions, each with ReLU and 2×2 max pool; dense layers with ReLU; Dense 1 (docs/sources.md 2).

    Parameters
    ----------
    filters
        Of each convolution; published: 512, 256, 128.
    dense
        Units of each dense layer; published: 256.
    in_channels, size
        Channels and side in pixels of the square pictures; published: 3 and 256.

    Raises
    ------
    ModelError
        When the pictures are too small for so many convolutions.
    """

    def __init__(
        self,
        *,
        filters: tuple[int, ...] | list[int] = (512, 256, 128),
        dense: tuple[int, ...] | list[int] = (256,),
        in_channels: int = 3,
        size: int = 256,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = in_channels, size
        for count in filters:
            layers += [nn.Conv2d(channels, count, 3), nn.ReLU(), nn.MaxPool2d(2)]
            channels, side = count, (side - 2) // 2
        if side < 1:
            raise ModelError(f"Pictures of {size} pixels are too small for {len(filters)} convolutions with pooling.")
        # Grad-CAM wants the last convolution's map before its pooling.
        self.convolutions = nn.Sequential(*layers[:-1])
        self.feature_map = nn.Identity()
        self.pool = layers[-1] if layers else nn.Identity()
        heads: list[nn.Module] = []
        features = channels * side * side
        for count in dense:
            heads += [nn.Linear(features, count), nn.ReLU()]
            features = count
        self.dense = nn.Sequential(*heads, nn.Linear(features, 1))
        self.gradcam_layer = "feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"slice": (n, 1)}`` for ``(n, c, size, size)``, scaled to 0..1."""
        maps = self.pool(self.feature_map(self.convolutions(images)))
        return {"slice": self.dense(torch.flatten(maps, 1))}


def _cnn(*, filters: list[int], dense: int, optimizer: str, epochs: int, images: int) -> dict[str, Any]:
    return {
        "network": "pe_slice_cnn",
        "arguments": {"filters": filters, "dense": [dense], "in_channels": 3, "size": 256},
        "optimizer": optimizer,
        "epochs": epochs,
        "batch": 50,
        "images": images,
    }


def _transfer(backbone: str) -> dict[str, Any]:
    return {
        "network": "pe_slice_encoder",
        "arguments": {"backbone": backbone, "in_channels": 3, "pretrained": True},
        "optimizer": "adam",
    }


# The models compared in docs/sources.md 2, in the order of its public notebook. "images" is the number trained on where
# the source states it (0: not stated). Of the three transfer models only the two backbones are described; how their
# heads looked is not, so the head of the slice encoder stands in.
PE_SLICE_CNN_VARIANTS: dict[str, dict[str, Any]] = {
    "vanilla": _cnn(filters=[256, 256], dense=128, optimizer="sgd", epochs=5, images=0),
    "adam": _cnn(filters=[256, 256], dense=128, optimizer="adam", epochs=5, images=0),
    "three-layers-widening": _cnn(filters=[256, 512, 1024], dense=128, optimizer="adam", epochs=5, images=0),
    "two-layers-512": _cnn(filters=[512, 512], dense=128, optimizer="adam", epochs=5, images=0),
    "increasing-neurons": _cnn(filters=[512, 512], dense=256, optimizer="adam", epochs=5, images=0),
    "decreasing-neurons": _cnn(filters=[512, 512], dense=64, optimizer="adam", epochs=5, images=0),
    "halving": _cnn(filters=[512, 256, 128], dense=256, optimizer="adam", epochs=5, images=0),
    "halving-more-images": _cnn(filters=[512, 256, 128], dense=256, optimizer="adam", epochs=5, images=4200),
    "halving-15-epochs": _cnn(filters=[512, 256, 128], dense=256, optimizer="adam", epochs=15, images=4200),
    "final": _cnn(filters=[512, 256, 128], dense=256, optimizer="adam", epochs=10, images=4200),
    "inception": _transfer("inception_v3"),
    "resnet50": _transfer("resnet50"),
}
