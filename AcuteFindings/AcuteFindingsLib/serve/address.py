"""Where a server is and how one logs in: what the client needs to know, checked before anything is sent."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from AcuteFindingsLib.errors import RemoteError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """A server.

    Attributes
    ----------
    url
        ``https://host:port``, with a path where a proxy puts the server below one.
    token
        What the server's ``--token-file`` holds; empty where it asks for none.
    ca_file
        PEM with who vouches for the server; None trusts whom the system trusts.
    unencrypted
        Whether images and token may cross the network unencrypted.
    """

    url: str
    token: str = ""
    ca_file: Path | None = None
    unencrypted: bool = False

    def __repr__(self) -> str:
        """Return the place without the secret."""
        return f"Address({self.url!r})"


def checked(address: Address) -> str:
    """Return the base of the API's addresses.

    Raises
    ------
    RemoteError
        The address is not whole, holds a login, would send images unencrypted, or the token cannot be one.
    """
    try:
        parts = urlsplit(address.url.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise RemoteError("The address of the server is not whole; give one such as https://ai.example.org:8080.")
    if parts.username or parts.password:
        raise RemoteError("The address of the server holds a login; leave it out and give the token by itself.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not address.unencrypted:
        raise RemoteError(
            "Images and token would cross the network unencrypted; use an address that begins with https, or allow it "
            "without encryption where the network is your own."
        )
    if not (address.token.isascii() and address.token.isprintable()) or " " in address.token:
        raise RemoteError("The token holds a blank or a letter that no token has; copy it again.")
    return f"{address.url.strip().rstrip('/')}/api/v1"


def tls_of(address: Address) -> ssl.SSLContext:
    """Return whom we trust; raises `RemoteError` where the certificate file is missing or is none."""
    try:
        context = ssl.create_default_context(cafile=None if address.ca_file is None else str(address.ca_file))
    except OSError as error:
        raise RemoteError(
            f"The file of certificates for the server cannot be read, or holds none in PEM form ({address.ca_file})."
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
