"""Where `configs/inference.json` of every model package says that the reader of its weights is."""

from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict

__all__ = ["read_state_dict"]
