"""Files of the hub into its library's cache: resumed where they broke off, with the checksum that was stated.

The bytes come by `download.fetch`, for that library does not resume what was stopped, and go to where it keeps them
(``blobs`` of its cache, by checksum), so that either finds what the other downloaded.
"""

from collections.abc import Callable
from pathlib import Path

from AcuteFindingsLib import __version__
from AcuteFindingsLib.errors import DownloadError
from AcuteFindingsLib.models.download.fetch import fetch_file
from AcuteFindingsLib.models.public.hub import (
    HUB_WORDS,
    Found,
    Hub,
    HubFile,
    cache_folder,
    hub_endpoint,
    hub_host,
    is_file_of,
    repository_folder,
)
from AcuteFindingsLib.progress import Cancelled


def fetch(found: Found, key: str, *, hub: Hub | None = None, told: Callable[[int], None], cancelled: Cancelled) -> Path:
    """Return a file of what was found, downloaded where it is not in the cache, with the checksum that was stated.

    Parameters
    ----------
    told
        Called with the number of its bytes that there are.

    Raises
    ------
    DownloadError
        It could not be downloaded, or is not the file that the hub states; nothing of a wrong file is kept.
    CancelledError
        `cancelled` answered True; what has arrived is kept for the next time.
    """
    hub, file = hub or Hub(), found.files[key]
    if file.cached is not None:
        if is_file_of(file.cached, file.blob):
            told(file.size)
            return file.cached
        if found.offline:
            raise DownloadError(
                f"{file.cached} was changed: its checksum is not the one that the hub stated. Delete the file and "
                "import again with a network."
            )
        file.cached.resolve().unlink(missing_ok=True)
        file.cached.unlink(missing_ok=True)
    from filelock import FileLock, Timeout

    folder = repository_folder(found.name, hub)
    target = folder / "blobs" / file.blob
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Not the lock of that library, which it takes itself below.
        lock = folder.parent / ".locks" / folder.name / f"{file.blob}.acutefindings.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            if not (target.is_file() and is_file_of(target, file.blob)):
                _download(found, file, target, hub=hub, told=told, cancelled=cancelled)
            return _in_snapshot(found, file, target, hub)
    except Timeout as error:
        raise DownloadError(f"{file.path} is being downloaded by another program; wait for it.") from error
    except OSError as error:
        raise DownloadError(f"The download could not be written to {folder}: {error.strerror or error}.") from error


def _download(
    found: Found, file: HubFile, target: Path, *, hub: Hub, told: Callable[[int], None], cancelled: Cancelled
) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(found.name, file.path, revision=found.commit, endpoint=hub_endpoint(hub))
    headers = build_hf_headers(library_name="acutefindings", library_version=__version__)
    # The name that earlier versions of that library resumed, and that its commands remove as unfinished.
    partial = target.with_name(f"{file.blob}.incomplete")
    for resumed in (partial.exists(), False):
        fetch_file(
            url,
            partial,
            size=file.size,
            progress=told,
            cancelled=cancelled,
            patience=hub.patience,
            headers={name: value for name, value in headers.items() if name.lower() == "authorization"},
            words=HUB_WORDS,
        )
        if is_file_of(partial, file.blob):
            partial.replace(target)
            return
        partial.unlink()
        # A part from an earlier day may have been of another file: once more from the start.
        if not resumed:
            break
    raise DownloadError(
        f"{hub_host(hub)} gave a file {file.path} whose checksum is not the one that it states: it was changed or "
        "damaged on its way. Nothing of it was kept; import again, or use another network."
    )


def _in_snapshot(found: Found, file: HubFile, target: Path, hub: Hub) -> Path:
    """Let the library note that the file is in its cache, so that it is found by path and revision."""
    from huggingface_hub import hf_hub_download

    path = Path(
        hf_hub_download(
            found.name, file.path, revision=found.revision, cache_dir=cache_folder(hub), endpoint=hub_endpoint(hub)
        )
    )
    if path.resolve() != target.resolve() and not is_file_of(path, file.blob):
        raise DownloadError(f"{found.name} was changed on the hub while it was downloaded; import again.")
    return path
