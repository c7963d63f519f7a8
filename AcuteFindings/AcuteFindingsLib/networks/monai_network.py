"""A network of MONAI by its name, with its answer brought to one logit a finding."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.jit import Final

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.arguments import bounded_memory, check_arguments
from AcuteFindingsLib.networks.gray_input import gray_input
from AcuteFindingsLib.networks.layers import chosen_logits
from AcuteFindingsLib.networks.monai_names import ARGUMENTS, TARGETS

OUTPUTS = ("mask", "pathologies")


def build_monai(target: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build one of `TARGETS` from `ARGUMENTS`, with fresh weights; nothing is fetched.

    Raises
    ------
    ModelError
        When the network or an argument is none of these, or it cannot be built.
    """
    from monai.networks import nets

    if target not in TARGETS:
        raise ModelError(
            f"MONAI's network {ascii(target)[:80]} is not among those taken: {', '.join(sorted(TARGETS))}."
        )
    strange = [key for key in arguments if key not in ARGUMENTS]
    if strange:
        raise ModelError(f"MONAI's {target} is not built with {ascii(strange[0])[:80]} here; leave it out.")
    check_arguments(arguments, network=target)
    kind = getattr(nets, target)
    given = dict(arguments)
    # Some start from downloaded weights unless they are told not to.
    if "pretrained" in inspect.signature(kind).parameters:
        given["pretrained"] = False
    try:
        with bounded_memory(target):
            return kind(**given)
    except ModelError:
        raise
    # Arguments out of a file may fail in any way inside.
    except Exception as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"MONAI's {target} cannot be built from {dict(arguments)}: {told}.") from error


class MonaiNetwork(nn.Module):
    """One of `TARGETS` of `monai.networks.nets` for two-dimensional pictures.

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
        Where given, the network is shown gray pictures in 0..1 and repeats and normalizes them itself.

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
        if output not in OUTPUTS:
            raise ModelError(f"There is no output {output!r}; choose {' or '.join(OUTPUTS)}.")
        self.network: nn.Module = build_monai(target, arguments or {})
        self.gray = gray_input(grey_mean, grey_std, in_channels=in_channels)
        self.output = output
        self.classes: list[int] = list(classes or [])
        self.softmax = softmax
        self.feature_map = nn.Identity()
        self.gradcam_layer = "feature_map"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits by the name of `output`, for ``(n, c, y, x)``."""
        logits = self.feature_map(self.network(self.gray(images)))
        classes = self.classes if len(self.classes) > 0 else list(range(logits.shape[1]))
        return {self.output: chosen_logits(logits, classes, exclusive=self.softmax)}
