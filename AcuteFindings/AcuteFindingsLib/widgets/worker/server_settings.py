"""The server that detects where a panel's device is `REMOTE`: its address in the settings, its token in a file alone.

The token is for this account's eyes: neither the application's settings, which people copy, nor a scene holds it.
"""

from pathlib import Path
from typing import Any

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.places import settings_folder

REMOTE = "remote"
"""The device's name."""

ADDRESS_KEY = "AcuteFindings/Remote/Address"
CERTIFICATES_KEY = "AcuteFindings/Remote/Certificates"
UNENCRYPTED_KEY = "AcuteFindings/Remote/Unencrypted"


def server_address(settings: Any) -> str:
    """Return the server's address; ``""`` where none was entered. `settings` is a `QSettings`."""
    return str(settings.value(ADDRESS_KEY, "") or "")


def server_fields(settings: Any) -> dict[str, Any]:
    """Return what the worker's jobs need to reach the server (`serve.worker`)."""
    file = token_file()
    return {
        "address": server_address(settings),
        "token_file": str(file) if file.is_file() else None,
        "ca_file": str(settings.value(CERTIFICATES_KEY, "") or ""),
        "unencrypted": unencrypted(settings),
    }


def unencrypted(settings: Any) -> bool:
    """Whether the user allowed images and token to cross the network unencrypted."""
    return str(settings.value(UNENCRYPTED_KEY, "") or "").lower() in ("true", "1")


def token_file() -> Path:
    """Return the file that holds the server's token, whether it is there or not."""
    return settings_folder() / "server-token"


def keep_server(settings: Any, *, address: str, token: str, certificates: str, unencrypted: bool) -> None:
    """Keep a server; an empty token leaves the one that is kept, unless the address is another.

    Raises
    ------
    OSError
        The token cannot be written.
    """
    if token:
        with replace_when_written(token_file()) as partial:
            # Readable by nobody else from the start.
            partial.touch(0o600, exist_ok=False)
            partial.write_text(f"{token}\n", encoding="utf-8")
    elif address != server_address(settings):
        # A token is for the server that it was given for.
        token_file().unlink(missing_ok=True)
    settings.setValue(ADDRESS_KEY, address)
    settings.setValue(CERTIFICATES_KEY, certificates)
    settings.setValue(UNENCRYPTED_KEY, str(unencrypted).lower())


def forget_server(settings: Any) -> None:
    """Forget address and token; raises `OSError` where the token cannot be removed."""
    token_file().unlink(missing_ok=True)
    for key in (ADDRESS_KEY, CERTIFICATES_KEY, UNENCRYPTED_KEY):
        settings.remove(key)
