"""A real archive for each test that asks for one: Orthanc with its DICOMweb plugin, on free ports."""

import asyncio
import datetime
import ipaddress
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)
from pynetdicom import AE

from AcuteFindingsLib import cli
from AcuteFindingsLib.pacs.instance_files import Inbox
from AcuteFindingsLib.pacs.matches import InstanceMatch
from AcuteFindingsLib.pacs.servers import DimseServer

# Debian installs both into these places; neither is on an ordinary user's PATH.
_ORTHANC = ("Orthanc", "/usr/sbin/Orthanc")
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_START_TIMEOUT = 30.0

USER, PASSWORD = "reader", "swordfish-äß-42"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Archive:
    """A running Orthanc and the file of servers that names it: `web` is its DICOMweb side, `classic` its other."""

    servers: Path
    rest: str
    web_url: str
    dicom_port: int
    receive_port: int
    session: requests.Session

    def clear(self) -> None:
        for patient in self.session.get(f"{self.rest}/patients", timeout=10).json():
            self.session.delete(f"{self.rest}/patients/{patient}", timeout=10).raise_for_status()

    def count(self) -> int:
        return int(self.session.get(f"{self.rest}/statistics", timeout=10).json()["CountInstances"])


@dataclass(frozen=True)
class Certificates:
    """Who vouches, and two who are vouched for."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    other_authority: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, issuer=None, issuer_key=None):
        # RSA: what Orthanc's TLS profile takes.
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
            .sign(issuer_key or key, hashes.SHA256())
        )
        path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        key_path.chmod(0o600)
        return path, key_path, subject, key

    authority, _, subject, key = issue("authority")
    server, server_key, _, _ = issue("server", subject, key)
    client, client_key, _, _ = issue("client", subject, key)
    other, _, _, _ = issue("other")
    return Certificates(authority, server, server_key, client, client_key, other)


def _start(folder: Path, settings: dict, rest: str, session: requests.Session) -> subprocess.Popen:
    folder.mkdir()
    program = next((found for name in _ORTHANC if (found := shutil.which(name))), None)
    assert program
    file = folder / "orthanc.json"
    file.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, cwd=folder)
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            if session.get(f"{rest}/system", timeout=2).ok:
                return process
        except requests.RequestException:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            pytest.fail(f"Orthanc did not start:\n{(folder / 'orthanc.log').read_text()[-3000:]}")
        time.sleep(0.1)


def _settings(folder: Path, *, http: int, dicom: int, receive: int) -> dict:
    return {
        "Name": "test archive",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ARCHIVE",
        "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DefaultEncoding": "Utf8",
        "HttpThreadsCount": 8,
        "StableAge": 1,
        "DicomModalities": {"ours": {"AET": "ACUTEFINDINGS", "Host": "127.0.0.1", "Port": receive}},
    }


def require_orthanc() -> None:
    if not any(shutil.which(name) for name in _ORTHANC) or not _PLUGIN.is_file():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed (apt-get install orthanc orthanc-dicomweb)")


@pytest.fixture(scope="session")
def _plain_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    require_orthanc()
    folder = tmp_path_factory.mktemp("plain")
    http, dicom, receive = free_port(), free_port(), free_port()
    rest = f"http://127.0.0.1:{http}"
    session = requests.Session()
    session.trust_env = False
    process = _start(
        folder / "orthanc", _settings(folder / "orthanc", http=http, dicom=dicom, receive=receive), rest, session
    )
    servers = folder / "servers.toml"
    servers.write_text(
        f"""
[web]
kind = "dicomweb"
url = "{rest}/dicom-web"
timeout = 20

[classic]
kind = "dicom"
host = "127.0.0.1"
port = {dicom}
ae_title = "ARCHIVE"
receive_port = {receive}
receive_host = "127.0.0.1"
timeout = 20

[classic-get]
kind = "dicom"
host = "127.0.0.1"
port = {dicom}
ae_title = "ARCHIVE"
timeout = 20
""",
        encoding="utf-8",
    )
    yield Archive(servers, rest, f"{rest}/dicom-web", dicom, receive, session)
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture
def archive(_plain_archive: Archive) -> Archive:
    """An empty Orthanc without TLS or login."""
    _plain_archive.clear()
    return _plain_archive


class TlsFront:
    """Takes TLS connections that show a certificate, and hands what they carry to a plain port, as nginx would.

    Debian's Orthanc crashes in its own HTTPS (built for an older OpenSSL); in hospitals, too, a front like this one
    stands before it.
    """

    def __init__(self, certificates: Certificates, to_port: int) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.authority))
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(certificates.server, certificates.server_key)
        self._to_port = to_port
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    async def _open(self) -> None:
        await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _end(self) -> None:
        serving = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@pytest.fixture(scope="session")
def _secure_archive(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Archive]:
    require_orthanc()
    folder = tmp_path_factory.mktemp("secure")
    http, dicom, receive = free_port(), free_port(), free_port()
    rest = f"http://127.0.0.1:{http}"
    settings = _settings(folder / "orthanc", http=http, dicom=dicom, receive=receive)
    settings |= {
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(certificates.server),
        "DicomTlsPrivateKey": str(certificates.server_key),
        "DicomTlsTrustedCertificates": str(certificates.authority),
        "DicomTlsRemoteCertificateRequired": True,
    }
    settings["DicomModalities"]["ours"]["UseDicomTls"] = True
    session = requests.Session()
    session.trust_env = False
    session.auth = (USER.encode(), PASSWORD.encode())
    process = _start(folder / "orthanc", settings, rest, session)
    front = TlsFront(certificates, http)
    web_url = f"https://127.0.0.1:{front.port}/dicom-web"
    secret = folder / "secure.password"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    secret.chmod(0o600)
    tls = f"""
ca_file = "{certificates.authority}"
certificate_file = "{certificates.client}"
key_file = "{certificates.client_key}"
timeout = 20
"""
    servers = folder / "servers.toml"
    servers.write_text(
        f"""
[web]
kind = "dicomweb"
url = "{web_url}"
user = "{USER}"
password_file = "secure.password"
{tls}
[classic]
kind = "dicom"
host = "127.0.0.1"
port = {dicom}
ae_title = "ARCHIVE"
receive_port = {receive}
receive_host = "127.0.0.1"
tls = true
{tls}
""",
        encoding="utf-8",
    )
    yield Archive(servers, rest, web_url, dicom, receive, session)
    front.close()
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture
def secure_archive(_secure_archive: Archive) -> Archive:
    """An empty Orthanc that wants TLS with a client's certificate, and a login on its DICOMweb side."""
    _secure_archive.clear()
    return _secure_archive


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process: `status, stdout, stderr = command("find", ...)`; without lines of progress."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["acutefindings", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, re.sub(r".* \(\d+ %\)\n", "", err)

    return run


PATIENT_NAME, PATIENT_ID, ACCESSION = "Geheim^Gräfin", "GEHEIM-4711", "ACC-0815"


def _object(study: str, series: str, modality: str, sop_class: str, number: int) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = PATIENT_NAME, PATIENT_ID, ACCESSION
    dataset.PatientBirthDate, dataset.PatientSex = "19010203", "O"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = study, series, generate_uid()
    dataset.SOPClassUID, dataset.Modality = sop_class, modality
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240102", "080910", "1"
    dataset.StudyDescription, dataset.SeriesDescription = "Head for a test", f"{modality} for a test"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.ReferringPhysicianName = 1, number, ""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _with_pixels(dataset: Dataset, number: int) -> Dataset:
    dataset.Rows, dataset.Columns = 32, 40
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [1, 1]
    dataset.PixelData = np.random.default_rng(number).integers(0, 4096, (32, 40), dtype=np.uint16).tobytes()
    return dataset


def _save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


@dataclass(frozen=True)
class SentStudy:
    """A study on disk: CT slices in four transfer syntaxes, a segmentation and a report."""

    folder: Path
    study_uid: str
    ct_series: str
    seg_series: str
    sr_series: str
    files: tuple[Path, ...]

    def by_uid(self) -> dict[str, Dataset]:
        return {str(dataset.SOPInstanceUID): dataset for dataset in map(pydicom.dcmread, self.files)}


@pytest.fixture(scope="session")
def make_study() -> Callable[..., SentStudy]:
    def make(folder: Path, *, slices: int = 8) -> SentStudy:
        study, ct, seg, sr = (str(generate_uid()) for _ in range(4))
        files = []
        syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless]
        for number in range(slices):
            syntax = syntaxes[number % len(syntaxes)]
            image = _with_pixels(_object(study, ct, "CT", CTImageStorage, number + 1), number)
            if syntax.is_compressed:
                image.compress(syntax, generate_instance_uid=False)
            image.file_meta.TransferSyntaxUID = syntax
            files.append(_save(image, folder / "ct" / f"{number:03d}.dcm"))
        mask = _with_pixels(_object(study, seg, "SEG", SegmentationStorage, 1), 99)
        mask.NumberOfFrames = 1
        files.append(_save(mask, folder / "seg.dcm"))
        report = _object(study, sr, "SR", ComprehensiveSRStorage, 1)
        report.ValueType, report.CompletionFlag, report.VerificationFlag = "CONTAINER", "COMPLETE", "UNVERIFIED"
        files.append(_save(report, folder / "report.dcm"))
        return SentStudy(folder, study, ct, seg, sr, tuple(files))

    return make


@pytest.fixture(scope="session")
def sent_study(make_study: Callable[..., SentStudy], tmp_path_factory: pytest.TempPathFactory) -> SentStudy:
    """Made once; nobody changes it."""
    return make_study(tmp_path_factory.mktemp("sent"))


PEER = "ARCHIVE"


@pytest.fixture
def peer() -> Iterator[Callable[..., DimseServer]]:
    """Start a classic DICOM server of our own making; returns the entry that names it."""
    running = []

    def start(contexts: dict[str, list[str] | None], handlers: list, **settings: object) -> DimseServer:
        entity = AE(ae_title=PEER)
        for context, syntaxes in contexts.items():
            entity.add_supported_context(context, syntaxes, scu_role=True, scp_role=True) if syntaxes else (
                entity.add_supported_context(context, scu_role=True, scp_role=True)
            )
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        running.append(server)
        values = {
            "name": "peer",
            "folder": Path(),
            "kind": "dicom",
            "host": "127.0.0.1",
            "ae_title": PEER,
            "timeout": 5,
        }
        return DimseServer(**{**values, "port": server.server_address[1], **settings})

    yield start
    for server in running:
        server.shutdown()


@pytest.fixture
def wanted(sent_study) -> list[InstanceMatch]:
    return [
        InstanceMatch(sent_study.study_uid, sent_study.ct_series, uid, CTImageStorage, 1)
        for uid, dataset in sent_study.by_uid().items()
        if dataset.Modality == "CT" and not dataset.file_meta.TransferSyntaxUID.is_compressed
    ]


@pytest.fixture
def inbox(tmp_path, wanted) -> Inbox:
    return Inbox(tmp_path / "inbox", wanted, arrived=lambda uid: None)


@pytest.fixture
def free_ports() -> Callable[[], int]:
    def one() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return one
