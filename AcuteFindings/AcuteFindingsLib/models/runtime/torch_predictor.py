"""A model package that answers through PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.heat import explain_batch
from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.predictor import Explained
from AcuteFindingsLib.models.runtime.gradcam import explains_itself, explanation_of, named, run_with_maps
from AcuteFindingsLib.models.runtime.occlusion import OCCLUSION, explain_by_covering
from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.study.notice import Notice


def torch_runtime(what: str = "PyTorch") -> str:
    """Return what computes, with PyTorch's version, without what its build is called."""
    return f"{what} {torch.__version__.partition('+')[0]}"


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
    one_pass, explanation
        Whether the network says where it looked, and how that is found.
    """

    runtime = torch_runtime()
    notices: tuple[Notice, ...] = ()

    def __init__(self, network: torch.nn.Module, *, card: Card, version: str, sha256: str, device: str) -> None:
        """Move `network` to `device` and take its gradients off."""
        self.card = card
        self.version = version
        self.sha256 = sha256
        self.device = device
        self.one_pass = explains_itself(network)
        self.explanation = explanation_of(network) if self.one_pass else OCCLUSION
        self.network = network.eval().requires_grad_(False).to(device)
        if device == "cpu" and not any(parameter.ndim > 4 for parameter in network.parameters()):
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
            return _arrays(named(outputs, part or "output"))

    def predict_until(
        self, batch: np.ndarray, *, part: str = "", cancelled: Cancelled | None = None
    ) -> dict[str, np.ndarray]:
        """Do what `predict` does, and ask before each layer whether to stop; see `predictor.Stoppable`."""
        if cancelled is None:
            return self.predict(batch, part=part)
        layers = [module for module in self.network.modules() if not any(module.children())]
        hooks = [layer.register_forward_pre_hook(lambda *_: stop_if(cancelled)) for layer in layers]
        try:
            return self.predict(batch, part=part)
        finally:
            for hook in hooks:
                hook.remove()

    def predict_explained(
        self, batch: np.ndarray, *, outputs: Sequence[str], part: str = "", then: str = ""
    ) -> Explained:
        """Run the network once and say where it looked; see `Predictor.predict_explained` and `gradcam.run_with_maps`.

        A network without a layer for Grad-CAM has its picture covered square after square.

        Raises
        ------
        ModelError
            As `predict`, and when the network has no such output, or its layer for Grad-CAM gives no maps.
        """
        if not self.one_pass:
            return explain_by_covering(self, batch, outputs=outputs, part=part, then=then)
        for name in (part, then):
            self._part(name)
        with self._rnn_gradients():
            given, maps = run_with_maps(
                self.network,
                self._tensor(batch),
                outputs=outputs,
                part=part,
                then=then,
                model=self.card.id,
                run=self._run,
            )
        return Explained(_arrays(given), _arrays(maps))

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        """Return Grad-CAM of one output number for each item; see `models.heat.explain_batch`."""
        return explain_batch(self, batch, output=output, index=index, part=part, then=then)

    def _part(self, part: str) -> Callable[[torch.Tensor], Any]:
        if not part:
            return self.network
        call = None if part.startswith("_") else getattr(self.network, part, None)
        if not callable(call):
            raise ModelError(f"The network {self.card.network.name!r} of model {self.card.id!r} has no part {part!r}.")
        return call

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


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.float().cpu().numpy() for name, value in tensors.items()}
