"""TLS both ways, with our own certificate, and a login; no secret is ever shown."""

import logging
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest


@pytest.fixture
def servers_with(secure_archive, tmp_path) -> Callable[..., Path]:
    """Write the file of servers anew with lines replaced or, by None, left out."""

    def write(**changes: str | None) -> Path:
        lines = []
        for line in secure_archive.servers.read_text(encoding="utf-8").splitlines():
            key = line.partition(" ")[0]
            if key not in changes:
                lines.append(line)
            elif changes[key] is not None:
                lines.append(f"{key} = {changes[key]}")
        (tmp_path / "servers.toml").write_text("\n".join(lines), encoding="utf-8")
        secret = tmp_path / "secure.password"
        secret.write_bytes(secure_archive.servers.with_name("secure.password").read_bytes())
        secret.chmod(0o600)
        return tmp_path / "servers.toml"

    return write


@pytest.mark.slow
@pytest.mark.parametrize("way", ["web", "classic"])
def test_studies_go_and_come_encrypted(way, secure_archive, sent_study, command, tmp_path) -> None:
    status, out, err = command("push", way, sent_study.folder, "--servers", secure_archive.servers)
    assert (status, err) == (0, ""), out
    status, out, err = command(
        "pull", way, "--study", sent_study.study_uid, "--out", tmp_path, "--servers", secure_archive.servers
    )
    assert (status, err) == (0, ""), out
    sent = sent_study.by_uid()
    files = list(tmp_path.rglob("*.dcm"))
    assert len(files) == len(sent)
    for file in files:
        dataset = pydicom.dcmread(file)
        assert dataset == sent[dataset.SOPInstanceUID]


@pytest.mark.slow
def test_the_servers_say_that_they_are_encrypted(secure_archive, command) -> None:
    status, out, _ = command("servers", "test", "--servers", secure_archive.servers)
    assert status == 0, out
    assert out.count("over TLS") == 2
    _, out, _ = command("servers", "list", "--servers", secure_archive.servers)
    assert [line.split()[2:4] for line in out.splitlines() if line.strip().startswith(("web", "classic"))] == [
        ["yes", "file"],
        ["yes", "none"],
    ]


@pytest.mark.parametrize("way", ["web", "classic"])
def test_a_server_that_nobody_trusted_vouches_for_is_refused(way, servers_with, certificates, command) -> None:
    servers = servers_with(ca_file=f'"{certificates.other_authority}"')
    status, _, err = command("find", way, "--study", "1.2.3", "--servers", servers)
    assert status == 2
    assert "TLS failed: its certificate is not signed by an authority that this computer trusts; set ca_file" in err


@pytest.mark.parametrize("way", ["web", "classic"])
def test_a_server_that_asks_for_our_certificate_is_understood(way, servers_with, command) -> None:
    servers = servers_with(certificate_file=None, key_file=None)
    status, _, err = command("find", way, "--study", "1.2.3", "--servers", servers)
    assert status == 2
    assert "set certificate_file and key_file" in err


def test_a_wrong_password_is_said_and_not_shown(servers_with, command, caplog) -> None:
    servers = servers_with()
    servers.with_name("secure.password").write_text("wrong-horse\n")
    caplog.set_level(logging.DEBUG)
    status, out, err = command("find", "web", "--study", "1.2.3", "--servers", servers)
    assert status == 2
    assert "rejects the login (HTTP 401): check user and password" in err
    assert "wrong-horse" not in out + err + caplog.text


@pytest.mark.slow
def test_no_password_is_shown_or_logged(secure_archive, sent_study, command, caplog, tmp_path) -> None:
    caplog.set_level(logging.DEBUG)
    outputs = []
    for arguments in (
        ("servers", "list"),
        ("servers", "test"),
        ("push", "web", sent_study.files[0]),
        ("find", "web", "--study", sent_study.study_uid),
        ("pull", "web", "--study", sent_study.study_uid, "--out", tmp_path),
    ):
        status, out, err = command(*arguments, "--servers", secure_archive.servers)
        assert status == 0
        outputs.append(out + err)
    everything = "".join(outputs) + caplog.text + "".join(str(record.args) for record in caplog.records)
    assert "swordfish" not in everything
    assert "cmVhZGVyOn" not in everything


def test_a_receiver_without_a_certificate_is_not_opened(servers_with, certificates, secure_archive, sent_study) -> None:
    from AcuteFindingsLib.errors import PacsError
    from AcuteFindingsLib.pacs.servers import find_server
    from AcuteFindingsLib.pacs.tls import receiver_context

    server = find_server(servers_with(certificate_file=None, key_file=None), "classic")
    with pytest.raises(PacsError, match="receiving over TLS needs certificate_file"):
        receiver_context(server)
