"""Secrets come from a closed file or the keyring, and from nowhere else."""

import logging
import os
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked
from pydantic import SecretStr

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.login import hidden_in_logs, read_password, read_secret_file, read_token
from AcuteFindingsLib.pacs.servers import DicomwebServer, Server


class Ring(KeyringBackend):
    """A keyring in memory."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self, *, locked: bool = False) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = locked

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("hush-hush")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def ring():
    before = keyring.get_keyring()
    ring = Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def server(**settings: object) -> Server:
    return DicomwebServer(
        **{"name": "pacs", "folder": Path(), "kind": "dicomweb", "url": "https://pacs/dicom-web", **settings}
    )


@pytest.mark.skipif(os.name != "posix", reason="file permissions of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_can_open_is_refused(mode: int, tmp_path) -> None:
    path = tmp_path / "secret"
    path.write_text("hush-hush\n")
    path.chmod(mode)
    with pytest.raises(PacsError, match="others can read it; close it with: chmod 600 secret") as refused:
        read_secret_file(path, "the password of pacs")
    assert "hush-hush" not in str(refused.value)
    path.chmod(0o600)
    assert read_secret_file(path, "the password of pacs").get_secret_value() == "hush-hush"


def test_a_missing_or_empty_file_is_said(tmp_path) -> None:
    with pytest.raises(PacsError, match="the password of pacs, cannot be read: No such file"):
        read_secret_file(tmp_path / "none", "the password of pacs")
    (tmp_path / "empty").touch(mode=0o600)
    with pytest.raises(PacsError, match="first line, which is empty"):
        read_secret_file(tmp_path / "empty", "the password of pacs")
    (tmp_path / "binary").touch(mode=0o600)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PacsError, match="not UTF-8"):
        read_secret_file(tmp_path / "binary", "the password of pacs")


def test_the_password_is_the_first_line_as_it_stands(tmp_path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text(" with spaces \r\nsecond line\n", encoding="utf-8")
    assert read_secret_file(tmp_path / "secret", "it").get_secret_value() == " with spaces "


def test_the_keyring_is_asked_by_the_servers_name(ring: Ring) -> None:
    ring.set_password("acutefindings:pacs", "me", "hush-hush")
    secret = read_password(server(user="me", password="keyring"))
    assert secret is not None
    assert secret.get_secret_value() == "hush-hush"
    assert "hush" not in repr(secret) + str(secret)
    with pytest.raises(PacsError, match="store it with: keyring set acutefindings:pacs you"):
        read_password(server(user="you", password="keyring"))
    ring.set_password("acutefindings:pacs", "token", "t-o-k")
    token = read_token(server(token="keyring"))
    assert token is not None
    assert token.get_secret_value() == "t-o-k"


def test_a_locked_keyring_is_said(ring: Ring) -> None:
    ring.locked = True
    with pytest.raises(PacsError, match="could not be asked for the login of pacs") as refused:
        read_password(server(user="me", password="keyring"))
    assert "hush" not in str(refused.value)


def test_a_server_without_login_has_no_secret() -> None:
    assert read_password(server()) is None
    assert read_token(server()) is None


def test_log_lines_with_the_secret_are_dropped(caplog) -> None:
    import pynetdicom  # noqa: F401 - its loggers must exist

    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("pynetdicom._handlers")
    with hidden_in_logs(SecretStr("hush-hush")):
        logger.debug("  Password: [%s]", "hush-hush")
        logger.debug("harmless")
    assert caplog.messages == ["harmless"]
    logger.debug("hush-hush")
    assert caplog.messages == ["harmless", "hush-hush"]
