"""The Keras networks that can be imported, as graphs whose layers carry the names of our own modules.

InceptionResNetV2 as in `keras.applications` (Keras 2.1 to 3), which the one-channel network of the NIH weights copies
(docs/sources.md 1). timm's InceptionResNetV2 has the same convolutions, paddings, pools, block scales and batch norm
epsilon, so that no layer needs more than its weights transposed.
"""

from collections.abc import Sequence
from typing import Any

from AcuteFindingsLib.models.importing.keras_graph import Layer

_BN = {"epsilon": 1e-3}

Branch = tuple[tuple[int, Any], ...]
# Filters and size of each convolution of each branch.
_BLOCK_35: tuple[Branch, ...] = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))
_BLOCK_17: tuple[Branch, ...] = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))
_BLOCK_8: tuple[Branch, ...] = (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))


class GraphBuilder:
    """Collects layers; each method adds some and returns the name of the last."""

    def __init__(self) -> None:
        self.layers: list[Layer] = [Layer("input", "InputLayer")]

    def add(self, kind: str, *inbound: str, name: str = "", **config: Any) -> str:
        """Add one layer; without a name it has no weights."""
        name = name or f"#{len(self.layers)}"
        self.layers.append(Layer(name, kind, config, inbound))
        return name

    def conv(
        self, source: str, name: str, filters: int, size: int | tuple[int, int], *, strides: int = 1, pad: bool = True
    ) -> str:
        """Add convolution, batch norm without scale, and ReLU: one `ConvNormAct` of timm."""
        size = (size, size) if isinstance(size, int) else size
        padding = "same" if pad else "valid"
        settings = {"filters": filters, "kernel_size": size, "strides": (strides, strides), "padding": padding}
        source = self.add("Conv2D", source, name=f"{name}.conv", **settings, use_bias=False, activation="linear")
        source = self.add("BatchNormalization", source, name=f"{name}.bn", **_BN)
        return self.add("Activation", source, activation="relu")

    def pool(self, kind: str, source: str, strides: int, padding: str) -> str:
        """Add a 3×3 pool."""
        return self.add(kind, source, pool_size=(3, 3), strides=(strides, strides), padding=padding)

    def branch(self, source: str, name: str, *convolutions: tuple[int, Any]) -> str:
        """Add convolutions in a row, named as those of an `nn.Sequential`; one alone has no number."""
        for number, (filters, size) in enumerate(convolutions):
            source = self.conv(source, f"{name}.{number}" if len(convolutions) > 1 else name, filters, size)
        return source

    def block(self, source: str, name: str, channels: int, scale: float, *branches: Branch, relu: bool) -> str:
        """Add an Inception-ResNet block: branches side by side, a 1×1 convolution, and its scaled sum with `source`."""
        ends = [self.branch(source, f"{name}.branch{number}", *parts) for number, parts in enumerate(branches)]
        mixed = self.add("Concatenate", *ends)
        settings = {"filters": channels, "kernel_size": (1, 1), "strides": (1, 1), "padding": "same"}
        up = self.add("Conv2D", mixed, name=f"{name}.conv2d", **settings, use_bias=True, activation="linear")
        out = self.add("Scale", source, up, scale=scale)
        return self.add("Activation", out, activation="relu") if relu else out


def inception_resnet_v2(prefix: str) -> tuple[GraphBuilder, str]:
    """Build the graph of InceptionResNetV2 without its classes.

    Parameters
    ----------
    prefix
        Where timm's InceptionResNetV2 is in our network.

    Returns
    -------
    tuple
        The graph, to go on with, and the name of its last layer.
    """
    g = GraphBuilder()
    x = g.conv("input", f"{prefix}conv2d_1a", 32, 3, strides=2, pad=False)
    x = g.conv(x, f"{prefix}conv2d_2a", 32, 3, pad=False)
    x = g.conv(x, f"{prefix}conv2d_2b", 64, 3)
    x = g.pool("MaxPooling2D", x, 2, "valid")
    x = g.conv(x, f"{prefix}conv2d_3b", 80, 1, pad=False)
    x = g.conv(x, f"{prefix}conv2d_4a", 192, 3, pad=False)
    x = g.pool("MaxPooling2D", x, 2, "valid")

    name = f"{prefix}mixed_5b"
    pooled = g.pool("AveragePooling2D", x, 1, "same")
    x = g.add(
        "Concatenate",
        g.branch(x, f"{name}.branch0", (96, 1)),
        g.branch(x, f"{name}.branch1", (48, 1), (64, 5)),
        g.branch(x, f"{name}.branch2", (64, 1), (96, 3), (96, 3)),
        g.conv(pooled, f"{name}.branch3.1", 64, 1),
    )
    for number in range(10):
        x = g.block(x, f"{prefix}repeat.{number}", 320, 0.17, *_BLOCK_35, relu=True)

    name = f"{prefix}mixed_6a"
    inner = g.conv(g.conv(x, f"{name}.branch1.0", 256, 1), f"{name}.branch1.1", 256, 3)
    x = g.add(
        "Concatenate",
        g.conv(x, f"{name}.branch0", 384, 3, strides=2, pad=False),
        g.conv(inner, f"{name}.branch1.2", 384, 3, strides=2, pad=False),
        g.pool("MaxPooling2D", x, 2, "valid"),
    )
    for number in range(20):
        x = g.block(x, f"{prefix}repeat_1.{number}", 1088, 0.1, *_BLOCK_17, relu=True)

    name = f"{prefix}mixed_7a"
    first, second, third = (g.conv(x, f"{name}.branch{number}.0", 256, 1) for number in range(3))
    third = g.conv(third, f"{name}.branch2.1", 288, 3)
    x = g.add(
        "Concatenate",
        g.conv(first, f"{name}.branch0.1", 384, 3, strides=2, pad=False),
        g.conv(second, f"{name}.branch1.1", 288, 3, strides=2, pad=False),
        g.conv(third, f"{name}.branch2.2", 320, 3, strides=2, pad=False),
        g.pool("MaxPooling2D", x, 2, "valid"),
    )
    for number in range(9):
        x = g.block(x, f"{prefix}repeat_2.{number}", 2080, 0.2, *_BLOCK_8, relu=True)
    x = g.block(x, f"{prefix}block8", 2080, 1.0, *_BLOCK_8, relu=False)
    return g, g.conv(x, f"{prefix}conv2d_7b", 1536, 1)


def slice_network(prefix: str, *, hidden: int, encoding: int) -> tuple[list[Layer], list[str]]:
    """Build the graph of the slice network of docs/sources.md 1: `networks.pe.SliceEncoder` on InceptionResNetV2."""
    g, x = inception_resnet_v2(f"{prefix}backbone.network.")
    x = g.add("GlobalAveragePooling2D", x)
    x = g.add("Dense", x, name=f"{prefix}hidden", units=hidden, activation="relu")
    x = g.add("Dense", x, name=f"{prefix}encoding", units=encoding, activation="linear")
    x = g.add("Dense", x, name=f"{prefix}output", units=1, activation="sigmoid")
    return g.layers, [x]


def sequence_network(prefix: str, *, hidden: int, dense: Sequence[int]) -> tuple[list[Layer], list[str]]:
    """Build the graph of the sequence network (docs/sources.md 1): `networks.pe.SequenceNetwork`, no exam labels."""
    g = GraphBuilder()
    x = g.add("BatchNormalization", "input", name=f"{prefix}norm", **_BN)
    x = g.add("LSTM", x, name=f"{prefix}lstm", units=hidden, activation="tanh", recurrent_activation="sigmoid")
    x = g.add("Dense", x, name=f"{prefix}slices.0", units=dense[0], activation="relu")
    x = g.add("Dense", x, name=f"{prefix}slices.2", units=dense[1], activation="relu")
    slices = g.add("Dense", x, name=f"{prefix}slices.4", units=1, activation="sigmoid")
    stack = g.add("Dense", slices, name=f"{prefix}stack", units=1, activation="sigmoid")
    return g.layers, [slices, stack]
