"""Files of a repository on the Hugging Face hub: in its library's cache, whole and with the checksum that it states."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hub:
    """Where models are downloaded from and kept.

    Attributes
    ----------
    endpoint
        Address of the hub; as the environment says (``HF_ENDPOINT``) when None.
    cache
        Folder of its files; as the environment says (``HF_HUB_CACHE``, ``HF_HOME``) when None.
    offline
        Take what the cache holds and ask nobody; as the environment says (``HF_HUB_OFFLINE``) when None.
    """

    endpoint: str | None = None
    cache: Path | None = None
    offline: bool | None = None
