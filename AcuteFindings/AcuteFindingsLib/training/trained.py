"""What a training hands over to be written as a model package."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from AcuteFindingsLib.models.metadata import Card


@dataclass(frozen=True)
class Trained:
    """A fitted network with all that its package says.

    Attributes
    ----------
    text
        More for the model card, Markdown.
    documents
        Further files for the package's `docs/` by name; the card's pictures are among them.
    changelog
        What changed by version, the one to write last.
    """

    network: nn.Module
    card: Card
    text: str = ""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    changelog: Mapping[str, str] = field(default_factory=lambda: {"0.1.0": "first model"})
