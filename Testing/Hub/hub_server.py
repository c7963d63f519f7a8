"""A server on this machine that answers as the Hugging Face hub does, from a folder of repositories."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class HubServer:
    """A running server.

    Attributes
    ----------
    endpoint
        Its address, for ``HF_ENDPOINT`` or `models.public.hub.Hub`.
    folder
        The repositories: ``OWNER/NAME/<files>``; what stands in the front matter of ``README.md`` is the card's data.
    asked
        What it was asked, in order: ``"GET /OWNER/NAME/resolve/main/model.safetensors 0-"``, the range where there is
        one.
    break_after
        Bytes after which every answer with a file breaks off; None for never.
    wrong_byte
        Paths of files, ``OWNER/NAME/file``, of which one byte is sent wrong.
    """

    endpoint: str
    folder: Path
    asked: list[str] = field(default_factory=list)
    break_after: int | None = None
    wrong_byte: set[str] = field(default_factory=set)


@contextmanager
def serve_hub(folder: Path) -> Iterator[HubServer]:
    """Serve the repositories of a folder until the block ends."""
    raise NotImplementedError
    yield
