"""Secrets: read from a file that only its owner can read, or from the keyring; never shown."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.servers import Server


def read_password(server: Server) -> SecretStr | None:
    """Return the password of a server, or None where it has none.

    Raises
    ------
    PacsError
        Where the file is missing, empty or open to others, or the keyring has no such entry.
    """
    if server.password_file:
        return read_secret_file(server.password_file, f"the password of {server.name}")
    return _from_keyring(server, server.user or "") if server.password else None


def read_token(server: Server) -> SecretStr | None:
    """Return the bearer token of a server, or None where it has none; raises as `read_password`."""
    if server.token_file:
        return read_secret_file(server.token_file, f"the token of {server.name}")
    return _from_keyring(server, server.user or "token") if server.token else None


def read_secret_file(path: Path, what: str) -> SecretStr:
    """Return the first line of a file, refusing one that others than its owner can read.

    Raises
    ------
    PacsError
        Where the file is missing, empty, or open to others.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            if os.name == "posix":
                status = os.fstat(stream.fileno())
                if stat.S_IMODE(status.st_mode) & 0o077:
                    raise PacsError(f"{path} holds {what} and others can read it; close it with: chmod 600 {path.name}")
                if status.st_uid not in (os.geteuid(), 0):
                    raise PacsError(f"{path} holds {what} but belongs to another user; make a file of your own.")
            secret = stream.readline().strip("\r\n")
    except OSError as error:
        raise PacsError(f"{path}, which should hold {what}, cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        # The cause would show bytes of the secret.
        raise PacsError(f"{path}, which should hold {what}, is not UTF-8 text.") from None
    if not secret:
        raise PacsError(f"{path} should hold {what} in its first line, which is empty.")
    return SecretStr(secret)


@contextmanager
def hidden_in_logs(secret: SecretStr | None) -> Iterator[None]:
    """Drop log lines of pynetdicom that hold the secret: at its debug level it writes out what is sent."""
    if secret is None:
        yield
        return
    value = secret.get_secret_value()

    def without_secret(record: logging.LogRecord) -> bool:
        return value not in record.getMessage()

    loggers = [
        logging.getLogger(name) for name in logging.root.manager.loggerDict if name.partition(".")[0] == "pynetdicom"
    ]
    for logger in loggers:
        logger.addFilter(without_secret)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(without_secret)


def _from_keyring(server: Server, account: str) -> SecretStr:
    service = f"acutefindings:{server.name}"
    try:
        import keyring
        from keyring.errors import KeyringError
    except ModuleNotFoundError as error:
        raise PacsError(f"The keyring needs the package keyring, which is missing: {error.name}.") from error
    try:
        secret = keyring.get_password(service, account)
    except (KeyringError, RuntimeError) as error:
        raise PacsError(
            f"The keyring could not be asked for the login of {server.name} ({type(error).__name__}); unlock it, or "
            "use a file (password_file or token_file)."
        ) from error
    if not secret:
        raise PacsError(f"The keyring holds no login for {server.name}; store it with: keyring set {service} {account}")
    return SecretStr(secret)
