"""What is told of a download that fails: the reason, and what to do."""

from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies

from AcuteFindingsLib.errors import DownloadError

BY_HAND = (
    "The file can also be fetched with a browser on another computer and installed with "
    "`acutefindings models install FILE` or Add… > File… in the model loader"
)


@dataclass(frozen=True)
class Words:
    """What is said of where a file comes from.

    Attributes
    ----------
    source
        Who states its size and checksum.
    login
        How to log in, or whom to ask, where the server wants a login.
    by_hand
        How the file is had without this computer's network, as a sentence without its end.
    """

    source: str = "the catalogue"
    login: str = "put the login into ~/.netrc, or ask the maintainer of the catalogue"
    by_hand: str = BY_HAND


CATALOGUE_WORDS = Words()


def shown_address(url: str) -> str:
    """Return an address without login and query, which may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}"


def explained(url: str, error: Exception, have: int, size: int, *, words: Words = CATALOGUE_WORDS) -> DownloadError:
    """Return a network error in a sentence for the person at the screen; `have` of `size` bytes have come."""
    from requests import exceptions

    from AcuteFindingsLib.web import RefusedAnswerError

    kept = (
        f" What has arrived ({amount(have)} of {amount(size)}) is kept: download again to continue from there."
        * bool(have)
    )
    host = host_of(url)
    if isinstance(error, exceptions.ProxyError):
        return DownloadError(proxy_text(url, "it does not answer as a proxy does", words=words))
    if isinstance(error, RefusedAnswerError) and not isinstance(error, exceptions.Timeout):
        return DownloadError(f"{host} {error}.")
    if isinstance(error, exceptions.SSLError):
        return DownloadError(
            f"The certificate of {host} is not trusted here; where your network has its own authority, name its file "
            "in the environment variable REQUESTS_CA_BUNDLE."
        )
    if isinstance(error, exceptions.Timeout) or _fell_silent(error):
        return DownloadError(f"{host} did not answer in time.{kept or ' Try again later.'}")
    if isinstance(error, exceptions.TooManyRedirects):
        return DownloadError(f"{shown_address(url)} redirects in a loop; {words.source} may be out of date.")
    if isinstance(error, exceptions.ChunkedEncodingError) or have:
        return DownloadError(f"The connection to {host} broke off.{kept or ' Try again.'}")
    if isinstance(error, exceptions.ConnectionError):
        through = f" (the proxy {_proxy_of(url)} was used)" if _proxy_of(url) else ""
        return DownloadError(
            f"{host} cannot be reached{through}: this computer may be offline, or behind a proxy that the environment "
            f"variable {urlsplit(url).scheme.upper()}_PROXY has to name. {words.by_hand}."
        )
    return DownloadError(f"{shown_address(url)} cannot be downloaded: {type(error).__name__}.")


def proxy_text(url: str, what: str, *, words: Words = CATALOGUE_WORDS) -> str:
    """Return what is told where a proxy stands in the way."""
    variable = f"{urlsplit(url).scheme.upper()}_PROXY"
    return (
        f"The proxy {_proxy_of(url) or '(none is named)'} does not let the download through: {what}. Correct the "
        f"environment variable {variable}, or add the host to NO_PROXY. {words.by_hand}."
    )


def _proxy_of(url: str) -> str:
    """Return host and port of the proxy that the environment names, without the login that may stand before them."""
    proxies = getproxies()
    named = proxies.get(urlsplit(url).scheme) or proxies.get("all") or ""
    return named.rpartition("@")[2].rpartition("//")[2].rstrip("/")


def other_size(url: str, size: int, *, words: Words = CATALOGUE_WORDS) -> str:
    """Return what is told of a file whose size is not the one that was stated."""
    return (
        f"{shown_address(url)} is not the file that {words.source} describes (its size is not {size} bytes): "
        f"{words.source} is out of date, or a login page of your network answered instead."
    )


def _fell_silent(error: Exception) -> bool:
    """Return whether an answer began and then stopped: requests gives the class of a lost connection to that too."""
    from urllib3.exceptions import ReadTimeoutError

    return any(isinstance(cause, ReadTimeoutError) for cause in error.args)


def host_of(url: str) -> str:
    """Return host and port, without a login."""
    return urlsplit(url).netloc.rpartition("@")[2]


def amount(count: int) -> str:
    """Return a number of bytes in words."""
    return f"{count / 1e6:.1f} MB"
