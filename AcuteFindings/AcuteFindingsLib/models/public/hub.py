"""The Hugging Face hub as its library is set up here, and what that library's cache holds."""

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from AcuteFindingsLib.errors import DownloadError
from AcuteFindingsLib.models.download.fetch import PATIENCE, Patience
from AcuteFindingsLib.models.download.fetch_words import Words, host_of

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")

HUB_WORDS = Words(
    source="the hub",
    login="log in with `hf auth login`, or set the environment variable HF_TOKEN",
    by_hand="On another computer `hf download OWNER/NAME` fetches the repository; copy its cache folder (HF_HOME) here "
    "and set HF_HUB_OFFLINE=1",
)


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
    patience
        How long it may take.
    """

    endpoint: str | None = None
    cache: Path | None = None
    offline: bool | None = None
    patience: Patience = PATIENCE


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes
    ----------
    path
        In the repository.
    size
        In bytes; 0 where it is not stated.
    blob
        Under what the hub keeps it: its SHA-256, of small files what Git calls them; empty where it is not stated.
    cached
        Where it is on this computer; None where it is not.
    """

    path: str
    size: int = 0
    blob: str = ""
    cached: Path | None = None


@dataclass(frozen=True)
class Found:
    """What a repository holds of the files that were asked for.

    Attributes
    ----------
    name
        ``OWNER/NAME``.
    revision, commit
        As asked for, and the commit that it is.
    license
        As the hub states it; empty where it does not, or nobody was asked.
    files
        By the key of the question.
    offline
        Whether nobody was asked: all is in the cache.
    """

    name: str
    revision: str
    commit: str
    license: str = ""
    files: Mapping[str, HubFile] = field(default_factory=dict)
    offline: bool = False

    @property
    def missing_bytes(self) -> int:
        """Bytes that have to be downloaded."""
        return sum(file.size for file in self.files.values() if file.cached is None)


def is_offline(hub: Hub) -> bool:
    """Whether nobody is to be asked."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE if hub.offline is None else hub.offline


def cache_folder(hub: Hub) -> Path:
    """Return the folder of the cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) if hub.cache is None else hub.cache


def repository_folder(name: str, hub: Hub) -> Path:
    """Return the folder of a repository in the cache: https://huggingface.co/docs/huggingface_hub/guides/manage-cache."""
    return cache_folder(hub) / f"models--{name.replace('/', '--')}"


def hub_endpoint(hub: Hub) -> str:
    """Return the address of the hub."""
    from huggingface_hub import constants

    return hub.endpoint or constants.ENDPOINT


def hub_host(hub: Hub) -> str:
    """Return host and port of the hub, for messages."""
    return host_of(hub_endpoint(hub))


def require_room(found: Found, out: Path, hub: Hub | None = None) -> None:
    """Raise `DownloadError` where the cache's disk has no room for the download, or that of `out` for the package."""
    total = sum(file.size for file in found.files.values())
    for place, needed, remedy in (
        (cache_folder(hub or Hub()), found.missing_bytes, "name another folder in HF_HOME"),
        (out, found.missing_bytes + total, "name another folder with --out"),
    ):
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if free < needed:
            raise DownloadError(
                f"{place} has {free / 1e6:.0f} MB left on its disk and the model needs {needed / 1e6:.0f} MB; make "
                f"room, or {remedy}."
            )


def cached_file(name: str, path: str, revision: str, hub: Hub) -> Path | None:
    """Return where the cache holds a file of a repository; None where it does not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, path, cache_dir=cache_folder(hub), revision=revision)
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def is_file_of(path: Path, blob: str) -> bool:
    """Whether a file has the checksum under which the hub keeps it; one of none is not known to have another."""
    if not blob:
        return True
    plain = SHA256.fullmatch(blob) is not None
    digest = hashlib.sha256() if plain else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while part := stream.read(1 << 22):
            digest.update(part)
    return digest.hexdigest() == blob
