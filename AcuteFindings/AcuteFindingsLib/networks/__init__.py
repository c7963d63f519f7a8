"""The architectures of the five sources, each a plain `torch.nn.Module`, built by name; packages may bring others.

Every network takes plain keyword arguments that serialize to JSON, maps float32 images ``(n, c, y, x)`` to a dict of
named logits, and names in `gradcam_layer` the submodule whose output Grad-CAM weighs, or says itself where it looked
(`models.runtime.gradcam.maps_of_its_own`). One that detectors call by parts
names these in `graph_parts` (`models.graphs.export.network_parts`), so that each is written as a graph. Importing this
package does not import torch; `build_network` does.
"""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.errors import AcuteFindingsError, ModelError
from AcuteFindingsLib.networks.arguments import bounded_memory, check_arguments, without_pretrained

if TYPE_CHECKING:
    from torch import nn

GROUP = "acutefindings.networks"
"""Entry points of other packages that bring an architecture: name and ``module:class``."""

# As entry points have it. Model packages name their architecture so: a name stays for good.
_BUILT_IN = """
chest_classifier = AcuteFindingsLib.networks.chest:ChestClassifier
densenet40 = AcuteFindingsLib.networks.densenet40:DenseNet40
image_features = AcuteFindingsLib.networks.backbones:ImageFeatures
lung_unet = AcuteFindingsLib.networks.chest:LungUNet
monai = AcuteFindingsLib.networks.monai_network:MonaiNetwork
pe = AcuteFindingsLib.networks.pe:PEModel
pe_sequence = AcuteFindingsLib.networks.pe:SequenceNetwork
pe_slice_cnn = AcuteFindingsLib.networks.pe_slice_cnn:PESliceCNN
pe_slice_encoder = AcuteFindingsLib.networks.pe:SliceEncoder
pneumothorax_classifier = AcuteFindingsLib.networks.pneumothorax:PneumothoraxClassifier
pneumothorax_segmenter = AcuteFindingsLib.networks.pneumothorax:PneumothoraxSegmenter
radiograph_unet = AcuteFindingsLib.networks.radiograph_unet:RadiographUNet
radnet = AcuteFindingsLib.networks.radnet:RADnet
residual_unet = AcuteFindingsLib.networks.residual_unet:ResidualUNet
slab_reader = AcuteFindingsLib.networks.slab_reader:SlabReader
slab_sequence = AcuteFindingsLib.networks.slab_sequence:SlabSequence
timm_classifier = AcuteFindingsLib.networks.timm_classifier:TimmClassifier
"""


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    """Return the reference of every architecture by its name; those of this library cannot be replaced by another."""
    brought = {point.name: point.value for point in entry_points(group=GROUP)}
    lines = (line.split(" = ") for line in _BUILT_IN.strip().splitlines())
    return brought | {name: reference for name, reference in lines}


def list_networks() -> list[str]:
    """Return the names that `build_network` knows, sorted."""
    return sorted(_known())


def build_network(name: str, arguments: Mapping[str, Any] | None = None) -> "nn.Module":
    """Build a network with fresh weights.

    Parameters
    ----------
    name
        One of `list_networks`.
    arguments
        Keyword arguments of the network's class; what is left out takes the published value.

    Raises
    ------
    ModelError
        When the name or an argument is not known, or a value cannot be built.
    """
    if name not in _known():
        raise ModelError(f"There is no network {name!r}{_guess(name, _known())}; choose {', '.join(list_networks())}.")
    module, _, class_name = _known()[name].partition(":")
    network = getattr(import_module(module), class_name)
    given = dict(arguments or {})
    known = [parameter for parameter in inspect.signature(network).parameters if parameter != "self"]
    for argument in given:
        if argument not in known:
            raise ModelError(
                f"The network {name!r} takes no argument {argument!r}{_guess(argument, known)}; "
                f"choose {', '.join(known)}."
            )
    check_arguments(given, network=name)
    try:
        with bounded_memory(name):
            return network(**given)
    except AcuteFindingsError:
        raise
    # Arguments out of a file may fail in any way inside timm, MONAI and torch.
    except Exception as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"The network {name!r} cannot be built from the arguments {given}: {told}.") from error


def build_stored_network(name: str, arguments: Mapping[str, Any] | None = None) -> "nn.Module":
    """Build the network of a file that has all its weights: nothing is fetched from anywhere.

    Raises
    ------
    ModelError
        As `build_network`, and when the arguments ask for pretrained weights.
    """
    return build_network(name, without_pretrained(arguments or {}, network=name))


def stored_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments a model package should hold: without `pretrained`, at any depth.

    A package brings all its weights, so whoever loads it must not need the ImageNet weights first.
    """
    return {
        key: stored_arguments(value) if isinstance(value, Mapping) else value
        for key, value in arguments.items()
        if key != "pretrained"
    }


def _guess(name: str, choices: Any) -> str:
    close = get_close_matches(name, list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
