"""A network of MONAI by its name, with its answer brought to one logit a finding."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.grey_input import grey_input

OUTPUTS = ("mask", "pathologies")


class MonaiNetwork(nn.Module):
    """Any class of `monai.networks.nets` for two-dimensional pictures.

    Parameters
    ----------
    target
        Name of the class.
    arguments
        Its own.
    output
        Name of the answer: ``"mask"`` ``(n, c, y, x)`` or ``"pathologies"`` ``(n, c)``.
    classes
        Which channels of the network's answer are kept, in this order; all when None.
    softmax
        The channels exclude each other: each one kept becomes the logit of "this one, none of the others".
    in_channels, grey_mean, grey_std
        Where given, the network is shown grey pictures in 0..1 and repeats and normalises them itself.

    Raises
    ------
    ModelError
        When MONAI has no such network, or it cannot be built from the arguments.
    """

    softmax: Final[bool]

    def __init__(
        self,
        *,
        target: str = "UNet",
        arguments: Mapping[str, Any] | None = None,
        output: str = "mask",
        classes: list[int] | None = None,
        softmax: bool = False,
        in_channels: int = 1,
        grey_mean: list[float] | None = None,
        grey_std: list[float] | None = None,
    ) -> None:
        super().__init__()
        from monai.networks import nets

        kind = getattr(nets, target, None) if target.isidentifier() and not target.startswith("_") else None
        if not isinstance(kind, type) or not issubclass(kind, nn.Module):
            raise ModelError(f"MONAI has no network {target!r}; see monai.networks.nets.")
        if output not in OUTPUTS:
            raise ModelError(f"There is no output {output!r}; choose {' or '.join(OUTPUTS)}.")
        try:
            self.network: nn.Module = kind(**(arguments or {}))
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"MONAI's {target} cannot be built from {dict(arguments or {})}: {error}.") from error
        self.grey = grey_input(grey_mean, grey_std, in_channels=in_channels)
        self.output = output
        self.classes: list[int] = list(classes or [])
        self.softmax = softmax
        self.feature_map = nn.Identity()
        self.gradcam_layer = "feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits by the name of `output`, for ``(n, c, y, x)``."""
        logits = self.feature_map(self.network(self.grey(images)))
        classes = self.classes if len(self.classes) > 0 else list(range(logits.shape[1]))
        if self.softmax:
            chosen = [logits[:, n : n + 1] - _others(logits, n) for n in classes]
        else:
            chosen = [logits[:, n : n + 1] for n in classes]
        return {self.output: torch.cat(chosen, dim=1)}


def _others(logits: Tensor, number: int) -> Tensor:
    others = torch.cat([logits[:, :number], logits[:, number + 1 :]], dim=1)
    return torch.logsumexp(others, dim=1, keepdim=True)
