"""Certificates and keys: what is wrong with a file is said before anything is sent."""

import ssl
from pathlib import Path

import pytest

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.servers import DicomwebServer
from AcuteFindingsLib.pacs.tls import client_context, receiver_context

PASSWORD = "key-hush-hush"


def server(**settings: object) -> DicomwebServer:
    return DicomwebServer(
        **{"name": "pacs", "folder": Path(), "kind": "dicomweb", "url": "https://pacs/dicom-web", **settings}
    )


def test_the_server_must_prove_who_it_is(certificates) -> None:
    context = client_context(server(ca_file=certificates.authority))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert [dict(part[0] for part in ca["subject"])["commonName"] for ca in context.get_ca_certs()] == ["authority"]
    assert not client_context(server(ca_file=certificates.authority, check_host_name=False)).check_hostname


def test_the_receiver_asks_for_a_certificate(certificates) -> None:
    ours = {"certificate_file": certificates.client, "key_file": certificates.client_key}
    assert receiver_context(server(ca_file=certificates.authority, **ours)).verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(PacsError, match="needs certificate_file, key_file and ca_file"):
        receiver_context(server(**ours))


def test_a_wrong_or_missing_file_is_named(certificates, tmp_path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    for settings, says in (
        ({"ca_file": tmp_path / "none.pem"}, "ca_file names .*none.pem, which is not a file"),
        ({"ca_file": tmp_path / "text.pem"}, "text.pem holds no certificate in PEM form"),
        ({"certificate_file": tmp_path / "none.pem"}, "certificate_file names .*none.pem"),
        (
            {"certificate_file": certificates.client, "key_file": tmp_path / "none.key"},
            "key_file names .*none.key",
        ),
        (
            {"certificate_file": certificates.client, "key_file": certificates.server_key},
            "are not a certificate and its private key",
        ),
    ):
        with pytest.raises(PacsError, match=says):
            client_context(server(**settings))


def test_a_key_that_everyone_can_read_is_refused(certificates, tmp_path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes(certificates.client_key.read_bytes())
    key.chmod(0o644)
    with pytest.raises(PacsError, match=r"everyone can read it; close it with: chmod 600 open\.key"):
        client_context(server(certificate_file=certificates.client, key_file=key))


def test_a_key_with_a_password_is_opened_by_its_file_and_asks_nobody(certificates, tmp_path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(certificates.client_key.read_bytes(), None)
    locked, secret = tmp_path / "locked.key", tmp_path / "key.password"
    locked.touch(mode=0o600)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    secret.touch(mode=0o600)
    ours = {"certificate_file": certificates.client, "key_file": locked}
    with pytest.raises(PacsError, match="name its file with key_password_file"):
        client_context(server(**ours))
    secret.write_text("wrong\n")
    with pytest.raises(PacsError, match="or the password of the key is wrong") as refused:
        client_context(server(**ours, key_password_file=secret))
    assert "wrong\n" not in str(refused.value)
    secret.write_text(PASSWORD + "\n")
    client_context(server(**ours, key_password_file=secret))
