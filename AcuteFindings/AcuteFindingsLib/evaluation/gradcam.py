"""Grad-CAM by MONAI for every network of this project that reads images.

Panels and studies use `TorchPredictor.explain`, which needs no copy of the network; here MONAI's own does the work,
and a test holds the two against each other.
"""

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from monai.visualize import GradCAM

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.networks.radnet import RADnet

_OUTPUTS = ("slice", "image", "classes", "stack", "pathologies", "tubes", "mask")


class LabelLogits(torch.nn.Module):
    """A network as MONAI's Grad-CAM wants it: images ``(n, c, y, x)`` to one logit a label ``(n, labels)``.

    Slices that a network reads in sequence are read each on its own. Of a mask the mean logit stands for its label.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the labels' logits, in the order of the model card."""
        # The weights take no gradients, so that the way from the images has to.
        outputs = self._outputs(images.detach().requires_grad_(True))
        found = [outputs[name].flatten(1) for name in _OUTPUTS[:-1] if name in outputs]
        if not found and "mask" in outputs:
            found = [outputs["mask"].flatten(2).mean(2)]
        if not found:
            raise EvaluationError(
                f"The network gives {', '.join(outputs)}; none of it is a label that Grad-CAM could explain."
            )
        return torch.cat(found, dim=1)

    def _outputs(self, images: torch.Tensor) -> Mapping[str, torch.Tensor]:
        network: Any = self.network
        if hasattr(network, "encode"):
            return network.encode(images)
        if isinstance(network, RADnet):
            features = network.features(images)["features"]
            return {"slice": network.head(features[:, None])["slice"][:, 0]}
        return network(images)


def gradcam_maps(network: torch.nn.Module, images: np.ndarray, *, index: int = 0) -> np.ndarray:
    """Return Grad-CAM of one label for each image, as MONAI gives it: ``(n, y, x)`` float32, at least 0.

    The network itself is left as it is: hooks and gradients go to a copy.

    Parameters
    ----------
    network
        Any of `AcuteFindingsLib.networks` that reads images.
    images
        ``(n, c, y, x)`` float32, prepared as the network wants them.
    index
        Which of `LabelLogits`.

    Raises
    ------
    EvaluationError
        When the network reads no images, names no `gradcam_layer`, or that layer gives no maps.
    """
    layer = getattr(network, "gradcam_layer", None)
    if not isinstance(layer, str):
        raise EvaluationError("The network names no layer for Grad-CAM (gradcam_layer); it may not read images.")
    device = next(network.parameters()).device
    view = LabelLogits(copy.deepcopy(network)).eval()
    view.to(memory_format=torch.contiguous_format)
    cam = GradCAM(nn_module=view, target_layers=f"network.{layer}")
    maps = []
    # cuDNN's recurrent layers give no gradients in evaluation mode.
    with torch.enable_grad(), nullcontext() if device.type == "cpu" else torch.backends.cudnn.flags(enabled=False):
        for image in np.asarray(images, np.float32):
            tensor = torch.from_numpy(np.ascontiguousarray(image[None])).to(device)
            found = cam.compute_map(tensor, class_idx=index)
            if found.ndim != 4:
                raise EvaluationError(
                    f"The layer {layer!r} gives numbers, not maps; Grad-CAM has nothing to show for this network."
                )
            maps.append(cam.upsampler(tensor.shape[2:])(found)[0, 0].detach().float().cpu().numpy())
    return np.stack(maps)


def evidence(maps: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Scale each map ``(n, y, x)`` to its own maximum times its probability ``(n,)``: 0..1, dark where negative."""
    peak = maps.max((1, 2), keepdims=True)
    scaled = np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0)
    return scaled * np.asarray(probabilities, np.float32).reshape(-1, 1, 1)
