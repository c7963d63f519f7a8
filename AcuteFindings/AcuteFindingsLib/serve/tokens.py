"""Who may ask: tokens from a file, and the cookie that a page gets for one."""

import hashlib
import hmac
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from AcuteFindingsLib.errors import ServeError
from AcuteFindingsLib.names import printable

SESSION_SECONDS = 12 * 3600
"""How long a page stays signed in: a shift."""

_SHORTEST, _LONGEST = 20, 256
_MOST_BYTES = 2**16


@dataclass(frozen=True)
class Token:
    """A secret that a client sends, and the name under which its answers are kept; empty where none is given."""

    secret: str
    name: str = ""


def read_tokens(file: Path) -> tuple[Token, ...]:
    """Read a file of tokens: one a line, ``token`` or ``name:token``; empty lines and those that begin with # are none.

    Raises
    ------
    ServeError
        It cannot be read, others of this computer can read it, or a token is too short to be a secret.
    """
    try:
        status = file.stat()
        if status.st_size > _MOST_BYTES:
            raise ServeError(f"--token-file {file} is too large to be a list of tokens.")
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ServeError(f"--token-file {file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ServeError(f"--token-file {file} is not a text file; write one token a line.") from error
    if os.name == "posix" and status.st_mode & 0o077:
        raise ServeError(f"--token-file {file} can be read by other users of this computer; run chmod 600 on it.")
    tokens = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        name, _, secret = line.rpartition(":")
        if not (
            _SHORTEST <= len(secret) <= _LONGEST and secret.isascii() and secret.isprintable() and " " not in secret
        ):
            raise ServeError(
                f"--token-file {file}, line {number}: a token has {_SHORTEST} to {_LONGEST} letters and digits and no "
                "blank; make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        tokens.append(Token(secret, printable(name.strip())))
    if not tokens:
        raise ServeError(f"--token-file {file} holds no token; write one a line.")
    return tuple(tokens)


def token_of(tokens: Iterable[Token], secret: str) -> Token | None:
    """Return the token that a client sent, in a time that does not tell how much of it was right."""
    found = None
    for token in tokens:
        if hmac.compare_digest(token.secret.encode(), secret.encode("utf-8", "replace")):
            found = token
    return found


def cookie_for(token: Token) -> str:
    """Return what a page keeps instead of the token: an end, and a signature that only the token can make."""
    ends = str(int(time.time()) + SESSION_SECONDS)
    return f"{ends}.{_signature(token, ends)}"


def token_of_cookie(tokens: Iterable[Token], cookie: str) -> Token | None:
    """Return the token that a page's cookie was made for; None where there is none, or the cookie has ended."""
    ends, _, signature = cookie.partition(".")
    if not (ends.isascii() and ends.isdecimal() and len(ends) < 12 and int(ends) > time.time()):
        return None
    found = None
    for token in tokens:
        if hmac.compare_digest(_signature(token, ends).encode(), signature.encode("utf-8", "replace")):
            found = token
    return found


def _signature(token: Token, ends: str) -> str:
    return hmac.new(token.secret.encode(), f"session|{ends}".encode(), hashlib.sha256).hexdigest()
