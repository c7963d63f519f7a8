"""Files over HTTP: resumed where they broke off, stopped on request, and every failure told in a sentence."""

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from AcuteFindingsLib import __version__
from AcuteFindingsLib.errors import DownloadError
from AcuteFindingsLib.models.download.fetch_words import (
    CATALOGUE_WORDS,
    Words,
    amount,
    explained,
    host_of,
    other_size,
    proxy_text,
    shown_address,
)
from AcuteFindingsLib.progress import Cancelled, stop_if

if TYPE_CHECKING:
    import requests

    from AcuteFindingsLib.web import GuardedSession

_KEPT = "what has been downloaded is kept, and the next download continues there"

# Small, so that a slow line shows progress and a request to stop is heard.
_READ_BYTES = 4 * 2**10
_MOST_AT_ONCE = 2**20
# A catalogue has as many of the waiting times for one packet.
_SMALL_FILE_TIMEOUTS = 4


@dataclass(frozen=True)
class Patience:
    """How long a server may take, in seconds, and how often a broken line is taken up again without any progress."""

    connect_s: float = 10.0
    read_s: float = 30.0
    retries: int = 3
    pause_s: float = 1.0


PATIENCE = Patience()


def fetch_file(
    url: str,
    target: Path,
    *,
    size: int,
    progress: Callable[[int], None],
    cancelled: Cancelled,
    patience: Patience = PATIENCE,
    headers: Mapping[str, str] | None = None,
    words: Words = CATALOGUE_WORDS,
) -> None:
    """Fetch a file of known size; what `target` holds of it already is not asked for again.

    Whatever ends the download early leaves in `target` what has come, for the next call. Proxies, certificates and
    login are those that the requests package takes from the environment (``HTTPS_PROXY``, ``NO_PROXY``,
    ``REQUESTS_CA_BUNDLE``, ``~/.netrc``).

    Parameters
    ----------
    url
        http(s) address, or the path of a local file.
    target
        Where the bytes go.
    size
        Of the whole file in bytes.
    progress
        Called with the number of bytes there are.
    cancelled
        Asked after each piece and while waiting.
    headers
        Sent along; a login among them goes to no other host.
    words
        What is said of where the file comes from.

    Raises
    ------
    DownloadError
        One sentence with the reason and what to do.
    CancelledError
        `cancelled` answered True.
    """
    import requests

    if _bytes_in(target) > size:
        target.unlink()
    if not is_web(url):
        _copy(Path(url), target, size=size, progress=progress, cancelled=cancelled)
        return
    order = _Order(url, target, size, dict(headers or {}), words, patience)
    failures = 0
    while _bytes_in(target) < size:
        before = _bytes_in(target)
        try:
            _fetch_rest(order, progress=progress, cancelled=cancelled)
        except _RetryLaterError as error:
            reason = str(error)
        except requests.exceptions.RequestException as error:
            told = explained(url, error, _bytes_in(target), size, words=words)
            if not _may_pass(error):
                raise told from error
            reason = str(told)
        else:
            continue
        failures = 0 if _bytes_in(target) > before else failures + 1
        if failures >= patience.retries:
            raise DownloadError(reason)
        _pause(patience.pause_s * 2 ** max(0, failures - 1), cancelled)
    progress(size)


def read_bytes(url: str, *, most: int, patience: Patience = PATIENCE) -> bytes:
    """Read a small file over HTTP.

    Raises
    ------
    DownloadError
        When it cannot be reached, or is larger than `most` bytes.
    """
    import requests

    try:
        with (
            _session() as session,
            session.within(seconds=_SMALL_FILE_TIMEOUTS * patience.read_s, most_bytes=2 * most),
            session.get(url, stream=True, timeout=_timeout(patience)) as response,
        ):
            _refuse_status(url, response, CATALOGUE_WORDS)
            data = bytearray()
            for part in response.iter_content(_READ_BYTES):
                data += part
                if len(data) > most:
                    raise DownloadError(
                        f"{shown_address(url)} is larger than {most / 1e6:.0f} MB; it is not a catalogue."
                    )
            return bytes(data)
    except _RetryLaterError as error:
        raise DownloadError(str(error)) from error
    except requests.exceptions.RequestException as error:
        raise explained(url, error, 0, 0) from error


def is_web(text: str) -> bool:
    """Return whether a text is an http(s) address rather than a path."""
    return text.lower().startswith(("http://", "https://"))


class _RetryLaterError(Exception):
    """The server is busy or in trouble; its sentence is told if it stays so."""


def _session() -> "GuardedSession":
    from AcuteFindingsLib.web import GuardedSession, never_to_plain

    session = GuardedSession(never_to_plain)
    # Compressed on the way, sizes and ranges would count other bytes than those of the file.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": f"acutefindings/{__version__}"})
    return session


def _timeout(patience: Patience) -> tuple[float, float]:
    return patience.connect_s, patience.read_s


def _copy(source: Path, target: Path, *, size: int, progress: Callable[[int], None], cancelled: Cancelled) -> None:
    try:
        if source.stat().st_size != size:
            raise DownloadError(
                f"{source} is not the file that the catalogue describes (its size is not {size} bytes)."
            )
        with source.open("rb") as reading, target.open("wb") as writing:
            while part := reading.read(2**20):
                writing.write(part)
                progress(reading.tell())
                stop_if(cancelled, left=_KEPT)
    except OSError as error:
        raise DownloadError(f"{source} cannot be read: {error.strerror or error}.") from error


@dataclass(frozen=True)
class _Order:
    """What is to be fetched: the parameters of `fetch_file`."""

    url: str
    target: Path
    size: int
    headers: dict[str, str]
    words: Words
    patience: Patience


def _fetch_rest(order: _Order, *, progress: Callable[[int], None], cancelled: Cancelled) -> None:
    url, target, size, patience, words = order.url, order.target, order.size, order.patience, order.words
    have = _bytes_in(target)
    headers = order.headers | ({"Range": f"bytes={have}-"} if have else {})
    # Time and bytes for one piece: how long the whole takes is the user's to judge, who sees it and can stop it.
    seconds = 2 * patience.read_s + patience.connect_s
    with _session() as session, session.within(seconds=seconds, most_bytes=_MOST_AT_ONCE) as allowance:
        stop_if(cancelled, left=_KEPT)
        with session.get(url, headers=headers, stream=True, timeout=_timeout(patience)) as response:
            if response.status_code == 416:
                # The server's file ends before ours does: what we hold is of another file.
                target.unlink()
                raise _RetryLaterError(other_size(url, size, words=words))
            _refuse_status(url, response, words)
            start = _start_of(response, have)
            _check_size(url, response, start=start, size=size, words=words)
            with target.open("r+b" if start else "wb", buffering=0) as stream:
                stream.seek(start)
                written = start
                for part in response.iter_content(_READ_BYTES):
                    allowance.restart()
                    written += len(part)
                    if written > size:
                        stream.truncate(0)
                        raise DownloadError(other_size(url, size, words=words))
                    if stream.write(part) != len(part):
                        raise OSError(errno.ENOSPC, "No space left on the disk")
                    progress(written)
                    stop_if(cancelled, left=_KEPT)
    if written < size:
        raise _RetryLaterError(
            f"The connection to {host_of(url)} ended after {amount(written)} of {amount(size)}; what has arrived is "
            "kept: download again to continue from there."
        )


def _start_of(response: "requests.Response", have: int) -> int:
    """Return at which byte the answer begins: 0 where the server sends the whole file all the same."""
    if response.status_code != 206:
        return 0
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if start != str(have):
        raise DownloadError("The server sent another part of the file than was requested; try another mirror.")
    return have


def _check_size(url: str, response: "requests.Response", *, start: int, size: int, words: Words) -> None:
    stated = response.headers.get("Content-Length", "")
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    if (stated.isdigit() and int(stated) + start != size) or (whole.isdigit() and int(whole) != size):
        raise DownloadError(other_size(url, size, words=words))


def _refuse_status(url: str, response: "requests.Response", words: Words) -> None:
    status, host = response.status_code, host_of(url)
    if status < 400:
        return
    if status in (401, 403):
        raise DownloadError(f"{host} refuses the download without a login (HTTP {status}); {words.login}.")
    if status == 407:
        raise DownloadError(proxy_text(url, "it asks for a login", words=words))
    if status in (408, 425, 429) or status >= 500:
        raise _RetryLaterError(f"{host} has a problem (HTTP {status}); try again later. {words.by_hand}.")
    raise DownloadError(f"{shown_address(url)} is not there (HTTP {status}); {words.source} may be out of date.")


def _may_pass(error: Exception) -> bool:
    """Return whether trying again makes sense: the line broke, or nobody answered in time."""
    from requests import exceptions

    passing = exceptions.ConnectionError | exceptions.Timeout | exceptions.ChunkedEncodingError
    return isinstance(error, passing) and not isinstance(error, exceptions.ProxyError | exceptions.SSLError)


def _bytes_in(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _pause(seconds: float, cancelled: Cancelled) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        stop_if(cancelled, left=_KEPT)
        time.sleep(min(0.1, left))
