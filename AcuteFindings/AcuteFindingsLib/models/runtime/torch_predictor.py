"""A model package that answers through PyTorch."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Card


class TorchPredictor:
    """The `Predictor` of a verified package.

    Attributes
    ----------
    card, version, sha256
        Of the package; `sha256` is that of its weights file.
    device
        ``"cpu"`` or ``"cuda"`` (``"cuda:1"``, ...): where the network is.
    network
        The network itself, in evaluation mode, without gradients.
    """

    explanation = "Grad-CAM"

    def __init__(self, network: torch.nn.Module, *, card: Card, version: str, sha256: str, device: str) -> None:
        """Move `network` to `device` and take its gradients off."""
        self.card = card
        self.version = version
        self.sha256 = sha256
        self.device = device
        self.network = network.eval().requires_grad_(False).to(device)
        if device == "cpu":
            # Measured on two cores, float32, 224² to 299²: DenseNet121 15 % faster, EfficientNet-Lite0 24 %,
            # ResNet18 11 %, InceptionResNetV2 14 %, U-Net on ResNet34 16 %.
            self.network.to(memory_format=torch.channels_last)

    def predict(self, batch: np.ndarray, *, part: str = "") -> dict[str, np.ndarray]:
        """Run the network, or one of its named parts, on one batch without gradients.

        The batch goes through in one piece: how large it may be is the caller's business.

        Parameters
        ----------
        batch
            ``(n, c, y, x)`` for slice and image networks, else as the part's docstring says; used as float32.
        part
            Name of a method of the network; ``""`` is `forward`.

        Returns
        -------
        dict
            float32 arrays by the network's own output names. Where a part gives one unnamed tensor, its name is `part`
            (``"output"`` for `forward`).

        Raises
        ------
        ModelError
            When the network has no such part, cannot take a batch of this shape, or the memory does not suffice.
        """
        call = self._part(part)
        with torch.inference_mode():
            outputs = self._run(call, self._tensor(batch))
            return {name: value.float().cpu().numpy() for name, value in _named(outputs, part or "output").items()}

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        """Return Grad-CAM of one output number for each item: where the network looked.

        The map is ReLU(sum over channels of mean gradient times activation) at the network's `gradcam_layer` (Selvaraju
        2017), stretched to the batch's size, divided by the item's own maximum and multiplied by the item's
        probability (the sigmoid of the output). So maps of different slices can be compared: a slice that the network
        finds negative stays dark, and 1 is reached only where it is certain.

        Gradients are taken from `gradcam_layer` upwards only, and the hook is gone afterwards; MONAI's GradCAM goes
        back to the input and leaves its hooks, with the activations they hold, on the network.

        Parameters
        ----------
        batch
            ``(n, c, y, x)`` float32.
        output
            Name of the output to explain, as `predict` names it.
        index
            Which of that output's numbers (its second axis). Of an output with more axes, a mask, the mean logit is
            explained, and the largest gives the probability.
        part
            As for `predict`.
        then
            A part that reads what `part` gives under its own name, each item as a sequence of its own, and gives the
            output to explain.

        Returns
        -------
        numpy.ndarray
            ``(n, y, x)`` float32 in 0..1.

        Raises
        ------
        ModelError
            When the network has no such part or output, names no layer for Grad-CAM, or that layer gives no maps.
        """
        call = self._part(part)
        chained = self._part(then) if then else None
        layer = self._gradcam_layer()
        inputs = self._tensor(batch)
        kept: list[torch.Tensor] = []

        def keep(_module: torch.nn.Module, _inputs: Any, activation: torch.Tensor) -> torch.Tensor:
            kept.append(activation.detach().requires_grad_(True))
            # The copy, not the kept leaf, goes on: what follows may change it in place.
            return kept[-1].clone()

        handle = layer.register_forward_hook(keep)
        try:
            with torch.enable_grad(), self._rnn_gradients():
                outputs = _named(self._run(call, inputs), part or "output")
                if chained is not None:
                    sequences = _named(self._run(chained, outputs[part][:, None]), then)
                    outputs = {name: value[:, 0] for name, value in sequences.items()}
                if output not in outputs or not 0 <= index < outputs[output].shape[1]:
                    given = ", ".join(f"{name} {tuple(value.shape[1:])}" for name, value in outputs.items())
                    raise ModelError(
                        f"The model {self.card.id!r} has no output {output!r} number {index}; it gives {given}."
                    )
                if not kept or not outputs[output].requires_grad:
                    raise ModelError(
                        f"The output {output!r} of model {self.card.id!r} cannot be explained: it does not come "
                        "through the network's gradcam_layer."
                    )
                if kept[-1].ndim != 4:
                    raise ModelError(
                        f"The gradcam_layer of model {self.card.id!r} gives numbers, not maps; Grad-CAM has nothing to "
                        "show for this network."
                    )
                logits = outputs[output][:, index].reshape(len(inputs), -1)
                (gradient,) = torch.autograd.grad(logits.mean(1).sum(), kept[-1])
        finally:
            handle.remove()
        with torch.inference_mode():
            maps = (gradient.mean((2, 3), keepdim=True) * kept[-1]).sum(1, keepdim=True).relu()
            maps = torch.nn.functional.interpolate(maps, inputs.shape[-2:], mode="bilinear", align_corners=False)
            peak = maps.amax((1, 2, 3), keepdim=True)
            maps = torch.where(peak > 0, maps / peak.clamp_min(torch.finfo(maps.dtype).tiny), 0.0)
            maps *= logits.detach().amax(1).sigmoid().reshape(-1, 1, 1, 1)
            return maps[:, 0].float().clamp(0.0, 1.0).cpu().numpy()

    def _part(self, part: str) -> Callable[[torch.Tensor], Any]:
        if not part:
            return self.network
        call = None if part.startswith("_") else getattr(self.network, part, None)
        if not callable(call):
            raise ModelError(f"The network {self.card.network.name!r} of model {self.card.id!r} has no part {part!r}.")
        return call

    def _gradcam_layer(self) -> torch.nn.Module:
        name = getattr(self.network, "gradcam_layer", None)
        if isinstance(name, torch.nn.Module):
            return name
        if not isinstance(name, str) or not name:
            raise ModelError(
                f"The network {self.card.network.name!r} of model {self.card.id!r} names no layer for a heat map "
                "(gradcam_layer)."
            )
        return self.network.get_submodule(name)

    def _tensor(self, batch: np.ndarray) -> torch.Tensor:
        array = np.ascontiguousarray(batch, dtype=np.float32)
        # torch warns of arrays it must not write to (memory maps); a batch is small enough to copy.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy()).to(self.device)
        return tensor.to(memory_format=torch.channels_last) if self.device == "cpu" and tensor.ndim == 4 else tensor

    def _run(self, call: Callable[[torch.Tensor], Any], inputs: torch.Tensor) -> Any:
        try:
            return call(inputs)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"The model {self.card.id!r} needs more memory than the graphics card has left for "
                f"{len(inputs)} images at once; close other programs that use it, or choose the device cpu."
            ) from error
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ModelError(
                f"The model {self.card.id!r} could not process a batch of shape {tuple(inputs.shape)}: {error}."
            ) from error

    def _rnn_gradients(self) -> Any:
        # cuDNN's recurrent layers give gradients in training mode only; without cuDNN they do in evaluation mode too.
        recurrent = any(isinstance(module, torch.nn.RNNBase) for module in self.network.modules())
        return torch.backends.cudnn.flags(enabled=False) if recurrent and self.device != "cpu" else nullcontext()


def _named(outputs: Any, name: str) -> Mapping[str, torch.Tensor]:
    return outputs if isinstance(outputs, Mapping) else {name: outputs}
