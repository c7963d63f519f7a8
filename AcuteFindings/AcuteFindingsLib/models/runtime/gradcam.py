"""Where a network looked, in the pass that answers: plain torch, run by `TorchPredictor` and traced into graphs.

By Grad-CAM, or by maps that a network draws itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.heat import GRADCAM, outputs_there


def maps_of_its_own(network: nn.Module, part: str) -> Any:
    """Return the method by which a part says itself where it looked: `PART_explained`; None where there is none.

    It takes what the part takes and returns what the part returns, and by the name of an output ``(n, numbers, y, x)``
    in 0..1: probabilities, not to be scaled. Such a network has no `gradcam_layer`, and names the way in `explanation`.
    """
    return getattr(network, f"{part or 'forward'}_explained", None)


def explains_itself(network: nn.Module) -> bool:
    """Whether a network says where it looked; one without maps says that it does not: its `gradcam_layer` is empty."""
    return getattr(network, "gradcam_layer", None) != ""


def explanation_of(network: nn.Module) -> str:
    """Return what a network's maps are called."""
    return str(getattr(network, "explanation", "") or GRADCAM)


def run_with_maps(
    network: nn.Module,
    images: Tensor,
    *,
    outputs: Sequence[str],
    part: str = "",
    then: str = "",
    model: str = "",
    run: Callable[[Callable[[Tensor], Any], Tensor], Any] = lambda call, batch: call(batch),
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run a part of a network once and say where it looked for each number of some outputs.

    A network's own maps (`maps_of_its_own`) are taken as they are. Else a map is ReLU(sum over channels of mean
    gradient times activation) at the network's `gradcam_layer` (Selvaraju 2017). Gradients are taken from that layer
    upwards only, and the hook is gone afterwards; MONAI's GradCAM goes back to the input and leaves its hooks, with the
    activations they hold, on the network.

    Parameters
    ----------
    network
        In evaluation mode; its weights want no gradients.
    images
        ``(n, c, y, x)``.
    outputs, part, then
        As for `Predictor.predict_explained`.
    model
        What messages call it.
    run
        Calls a part; what it raises is raised here too.

    Returns
    -------
    tuple
        The part's outputs, and ``(n, numbers, y, x)`` of each of `outputs` at the layer's size; without gradients.

    Raises
    ------
    ModelError
        When the network has none of the outputs, names no layer for Grad-CAM, or that layer gives no maps.
    """
    own = maps_of_its_own(network, part)
    if own is not None:
        with torch.no_grad():
            given, drawn = run(own, images)
        explained = outputs_there(model, {name: tuple(value.shape) for name, value in drawn.items()}, outputs)
        return given, {name: drawn[name] for name in explained}
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, activation: Tensor) -> Tensor:
        kept.append(activation.detach().requires_grad_(True))
        # The copy, not the kept leaf, goes on: what follows may change it in place.
        return kept[-1].clone()

    layer = _gradcam_layer(network, model)
    with torch.enable_grad():
        handle = layer.register_forward_hook(keep)
        try:
            given = named(run(getattr(network, part) if part else network, images), part or "output")
        finally:
            handle.remove()
        last = given
        if then:
            sequences = named(run(getattr(network, then), given[part][:, None]), then)
            last = {name: value[:, 0] for name, value in sequences.items()}
        explained = outputs_there(model, {name: tuple(value.shape) for name, value in last.items()}, outputs)
        maps = {output: _maps(last[output], kept, output, model) for output in explained}
    return {name: value.detach() for name, value in given.items()}, maps


def named(outputs: Any, name: str) -> Mapping[str, Tensor]:
    """Return a part's outputs by name; one without gets `name`."""
    return outputs if isinstance(outputs, Mapping) else {name: outputs}


def _maps(logits: Tensor, kept: list[Tensor], output: str, model: str) -> Tensor:
    if not kept or not logits.requires_grad:
        raise ModelError(
            f"The output {output!r} of model {model!r} cannot be explained: it does not come through the network's "
            "gradcam_layer."
        )
    if kept[-1].ndim != 4:
        raise ModelError(
            f"The gradcam_layer of model {model!r} gives numbers, not maps; Grad-CAM has nothing to show for this "
            "network."
        )
    maps = []
    for number in range(logits.shape[1]):
        one = logits[:, number].flatten(1).mean(1) if logits.ndim > 2 else logits[:, number]
        (gradient,) = torch.autograd.grad(one.sum(), kept[-1], retain_graph=True)
        maps.append((gradient.mean((2, 3), keepdim=True) * kept[-1].detach()).sum(1).relu())
    return torch.stack(maps, 1)


def _gradcam_layer(network: nn.Module, model: str) -> nn.Module:
    name = getattr(network, "gradcam_layer", None)
    if isinstance(name, nn.Module):
        return name
    if not isinstance(name, str) or not name:
        raise ModelError(
            f"The network {type(network).__name__} of model {model!r} names no layer for a heat map (gradcam_layer)."
        )
    return network.get_submodule(name)
