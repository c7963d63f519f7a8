"""TLS in both directions: whom we trust, and who we are."""

import os
import ssl
import stat
from pathlib import Path

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.login import read_secret_file
from AcuteFindingsLib.pacs.servers import Server


def client_context(server: Server) -> ssl.SSLContext:
    """Return how we connect: the server must prove who it is; our certificate is shown where it asks.

    Raises
    ------
    PacsError
        Where a certificate or key file is missing or wrong.
    """
    context = ssl.create_default_context(cafile=_authorities(server))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = server.check_host_name
    if server.certificate_file:
        _show_our_certificate(context, server)
    return context


def receiver_context(server: Server) -> ssl.SSLContext:
    """Return how our own receiver takes connections: it shows our certificate and asks the server for its own.

    Raises
    ------
    PacsError
        As `client_context`, and where there is no certificate to show or nobody to trust.
    """
    if not server.certificate_file or not server.ca_file:
        raise PacsError(
            f"{server.name}: receiving over TLS needs certificate_file, key_file and ca_file; give them, or say "
            'retrieve = "get", or receive_tls = false where the server sends unencrypted.'
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=_authorities(server))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    _show_our_certificate(context, server)
    return context


def _authorities(server: Server) -> str | None:
    if server.ca_file is None:
        return None
    _must_be_file(server.ca_file, f"{server.name}: ca_file")
    try:
        ssl.create_default_context(cafile=str(server.ca_file))
    except ssl.SSLError as error:
        raise PacsError(f"{server.name}: {server.ca_file} holds no certificate in PEM form.") from error
    return str(server.ca_file)


def _show_our_certificate(context: ssl.SSLContext, server: Server) -> None:
    certificate = server.certificate_file
    assert certificate is not None
    key = server.key_file or certificate
    _must_be_file(certificate, f"{server.name}: certificate_file")
    _must_be_file(key, f"{server.name}: key_file")
    if os.name == "posix" and stat.S_IMODE(key.stat().st_mode) & 0o007:
        raise PacsError(f"{key} holds a private key and everyone can read it; close it with: chmod 600 {key.name}")
    secret = (
        read_secret_file(server.key_password_file, f"the password of the key of {server.name}")
        if server.key_password_file
        else None
    )
    try:
        # Without a password to give, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: secret.get_secret_value() if secret else b"")
    except (ssl.SSLError, ValueError) as error:
        raise PacsError(
            f"{server.name}: {certificate.name} and {key.name} are not a certificate and its private key in PEM form"
            f"{', or the password of the key is wrong' if secret else ''}; where the key has a password, name its file "
            "with key_password_file."
        ) from error


def _must_be_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise PacsError(f"{what} names {path}, which is not a file.")
