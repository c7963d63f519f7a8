"""A network that is still in memory, seen as a detector sees a package."""

from torch import nn

from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor


class MemoryPredictor(TorchPredictor):
    """The predictor of a network that has not been written to a package yet."""

    def __init__(self, network: nn.Module, card: Card) -> None:
        super().__init__(network, card=card, version="0", sha256="", device="cpu")
