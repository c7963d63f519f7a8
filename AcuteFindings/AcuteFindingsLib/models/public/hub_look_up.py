"""What a repository on the hub holds, of which revision, under which license; from the cache where nobody answers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from AcuteFindingsLib import __version__
from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import DownloadError
from AcuteFindingsLib.models.public.hub import (
    COMMIT,
    HUB_WORDS,
    SHA256,
    Found,
    Hub,
    HubFile,
    cache_folder,
    cached_file,
    hub_endpoint,
    hub_host,
    is_offline,
)

_MAIN = "main"
# What opens pull requests with the safetensors of a repository's other weights.
_CONVERTER = "SFconvertbot"


def look_up(name: str, paths: Mapping[str, Sequence[str]], *, revision: str = "", hub: Hub | None = None) -> Found:
    """Ask the hub what it holds; where it cannot be reached, or by wish, the cache.

    Parameters
    ----------
    name
        ``OWNER/NAME``.
    paths
        By key the paths that a file may have; the first that is there is taken. Where none but a file of PyTorch's
        pickles is there, the hub's own conversion to safetensors is looked for among the pull requests.
    revision
        Commit, tag or branch; the newest when empty.

    Raises
    ------
    DownloadError
        There is no such repository, revision or file, it wants a login, or neither hub nor cache has it.
    """
    hub = hub or Hub()
    wanted = revision or _MAIN
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if is_offline(hub):
        return _from_cache(name, paths, wanted, hub, why="offline mode is set (HF_HUB_OFFLINE)")
    api = HfApi(endpoint=hub_endpoint(hub), library_name="acutefindings", library_version=__version__)

    def ask() -> Found:
        info = api.model_info(name, revision=wanted, files_metadata=True, timeout=hub.patience.read_s)
        return _with_conversions(_of_info(name, info, paths, wanted, hub), api, paths, hub)

    try:
        return _asked_again(ask)
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status >= 500 or status in (408, 429):
            return _from_cache(
                name, paths, wanted, hub, why=f"{hub_host(hub)} has a problem (HTTP {status})", cause=error
            )
        raise DownloadError(_refusal(name, wanted, error, hub)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # What the library makes of an answer that is none.
        raise DownloadError(
            f"{hub_host(hub)} does not answer as the hub does: a login page of your network may stand before it, or "
            "HF_ENDPOINT names another server."
        ) from error
    except OfflineModeIsEnabled as error:
        return _from_cache(name, paths, wanted, hub, why="offline mode is set (HF_HUB_OFFLINE)", cause=error)
    except Exception as error:
        # What the library asks with (requests, httpx) differs between its versions.
        if not _is_network(error):
            raise
        return _from_cache(name, paths, wanted, hub, why=f"{hub_host(hub)} cannot be reached", cause=error)


def _of_info(name: str, info: Any, paths: Mapping[str, Sequence[str]], revision: str, hub: Hub) -> Found:
    there = {one.rfilename: one for one in info.siblings or ()}
    files, lacking = {}, []
    for key, choices in paths.items():
        path = next((path for path in choices if path in there), None)
        if path is None:
            lacking.append(" or ".join(choices))
            continue
        one = there[path]
        blob = one.lfs.sha256 if one.lfs is not None else one.blob_id
        # It becomes a file's name: nothing but a checksum may.
        if not isinstance(one.size, int) or not _is_sum(blob) or not COMMIT.fullmatch(str(info.sha)):
            raise DownloadError(
                f"{hub_host(hub)} does not state revision, size and checksum of {path} in {name} as the hub does; "
                "HF_ENDPOINT may name another server."
            )
        files[key] = HubFile(path, one.size, blob, cached_file(name, path, info.sha, hub))
    if lacking:
        raise DownloadError(
            f"The repository {name} does not hold {lacking[0]} in revision {revision}; it may have been changed since "
            "it was described."
        )
    total = sum(file.size for file in files.values())
    if total > budgets().archive_bytes:
        raise DownloadError(f"{name} states {total / 1e9:,.0f} GB, more than any model here; it was not downloaded.")
    return Found(name, revision, info.sha, _license(info), files)


def _is_sum(text: Any) -> bool:
    return isinstance(text, str) and bool(SHA256.fullmatch(text) or COMMIT.fullmatch(text))


def _license(info: Any) -> str:
    stated = getattr(info.card_data, "license", None) if info.card_data is not None else None
    if isinstance(stated, list):
        stated = ", ".join(map(str, stated))
    tags = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    return "".join(sign for sign in str(stated or ", ".join(tags))[:100] if sign.isprintable())


def _with_conversions(found: Found, api: Any, paths: Mapping[str, Sequence[str]], hub: Hub) -> Found:
    """Take the safetensors of the hub's own conversion where the repository holds but a file of pickles."""
    for key, choices in paths.items():
        wanted = [path for path in choices if path.endswith(".safetensors")]
        if not wanted or found.files[key].path in wanted or len(paths) > 1 or found.revision != _MAIN:
            continue
        requests = api.get_repo_discussions(found.name, author=_CONVERTER, discussion_type="pull_request")
        for request in requests:
            if request.author != _CONVERTER or request.status not in ("open", "merged"):
                continue
            revision = f"refs/pr/{request.num}"
            info = api.model_info(found.name, revision=revision, files_metadata=True, timeout=hub.patience.read_s)
            if any(one.rfilename in wanted for one in info.siblings or ()):
                converted = _of_info(found.name, info, {key: wanted}, revision, hub)
                return Found(found.name, revision, converted.commit, found.license, converted.files)
    return found


def _from_cache(
    name: str,
    paths: Mapping[str, Sequence[str]],
    revision: str,
    hub: Hub,
    *,
    why: str,
    cause: BaseException | None = None,
) -> Found:
    files: dict[str, HubFile] = {}
    commit = ""
    for key, choices in paths.items():
        for path in choices:
            cached = cached_file(name, path, revision, hub)
            if cached is None:
                continue
            blob = cached.resolve().name
            stated = blob if SHA256.fullmatch(blob) or COMMIT.fullmatch(blob) else ""
            files[key] = HubFile(path, cached.stat().st_size, stated, cached)
            # snapshots/<commit>/<path>
            commit = cached.parents[len(Path(path).parts) - 1].name
            break
        else:
            raise DownloadError(
                f"{name} is not in the cache of the hub ({cache_folder(hub)}), and {why}. {HUB_WORDS.by_hand}."
            ) from cause
    return Found(name, revision, commit, files=files, offline=True)


def _refusal(name: str, revision: str, error: Exception, hub: Hub) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    host = hub_host(hub)
    if isinstance(error, GatedRepoError):
        return (
            f"{host} gives {name} to those only who accepted its conditions: accept them at {hub_endpoint(hub)}/{name} "
            f"and {HUB_WORDS.login}."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"The repository {name} on {host} has no revision {revision}; leave it out for the newest one."
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{host} has no repository {name}, or shows it after a login only: correct the address, or "
            f"{HUB_WORDS.login}."
        )
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return f"{host} does not show {name} without a login (HTTP {status}); {HUB_WORDS.login}."
    return f"{host} answers HTTP {status} to the question for {name}; HF_ENDPOINT may name another server than a hub."


def _asked_again(ask: Callable[[], Found]) -> Found:
    """Ask, and once more where the line broke: servers close connections that were kept for the next question."""
    try:
        return ask()
    except Exception as error:
        if not _is_network(error) or "Timeout" in type(error).__name__:
            raise
        return ask()


def _is_network(error: BaseException) -> bool:
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(libraries & {"httpx", "httpx2", "httpcore", "requests", "urllib3"})
