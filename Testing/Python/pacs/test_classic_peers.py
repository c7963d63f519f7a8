"""What a server of classic DICOM may do on the way, played by a server of our own making."""

import logging
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.dimse import DimseConnection
from AcuteFindingsLib.pacs.instance_files import Inbox
from AcuteFindingsLib.pacs.matches import InstanceMatch
from AcuteFindingsLib.pacs.push import collect_files
from AcuteFindingsLib.pacs.servers import DimseServer

pytestmark = pytest.mark.slow

PEER = "ARCHIVE"


def fetch(server: DimseServer, wanted: list[InstanceMatch], inbox: Inbox) -> None:
    DimseConnection(server).fetch(wanted, inbox, complete=True, cancelled=lambda: False)


def give(sent_study, wanted, *, extra: bool = False):
    """Answer a C-GET with what is wanted, and with another series' file where `extra`."""

    def answer(event):
        sent = sent_study.by_uid()
        files = [sent[match.sop_uid] for match in wanted]
        if extra:
            stranger = pydicom.dcmread(files[0].filename)
            stranger.SOPInstanceUID, stranger.StudyInstanceUID = "1.2.3.4", "9.9.9"
            stranger.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
            files.append(stranger)
        yield len(files)
        for file in files:
            yield 0xFF00, file

    return answer


def test_what_c_move_cannot_bring_c_get_fetches(peer, sent_study, wanted, inbox, free_ports) -> None:
    def unknown(event):
        yield None, None

    server = peer(
        {
            StudyRootQueryRetrieveInformationModelMove: None,
            StudyRootQueryRetrieveInformationModelGet: None,
            CTImageStorage: [ExplicitVRLittleEndian, ImplicitVRLittleEndian],
        },
        [(evt.EVT_C_MOVE, unknown), (evt.EVT_C_GET, give(sent_study, wanted))],
        receive_port=free_ports(),
    )
    fetch(server, wanted, inbox)
    assert inbox.missing == []


def test_a_destination_that_the_server_does_not_know_is_explained(peer, wanted, inbox, free_ports) -> None:
    def unknown(event):
        yield None, None

    port = free_ports()
    server = peer(
        {StudyRootQueryRetrieveInformationModelMove: None},
        [(evt.EVT_C_MOVE, unknown)],
        receive_port=port,
        retrieve="move",
    )
    with pytest.raises(
        PacsError, match=f"register AE title ACUTEFINDINGS with this computer's address and port {port}"
    ):
        fetch(server, wanted, inbox)


def test_what_was_not_asked_for_is_not_kept(peer, sent_study, wanted, inbox) -> None:
    server = peer(
        {StudyRootQueryRetrieveInformationModelGet: None, CTImageStorage: [ExplicitVRLittleEndian]},
        [(evt.EVT_C_GET, give(sent_study, wanted, extra=True))],
    )
    fetch(server, wanted, inbox)
    assert inbox.missing == []
    assert not (inbox.folder / "1.2.3.4.dcm").exists()
    assert any("1.2.3.4, which was not requested" in sentence for sentence in inbox.refused)


def test_the_receiver_takes_nothing_but_what_was_asked_for(peer, sent_study, wanted, inbox, free_ports) -> None:
    port = free_ports()
    statuses = []

    def move(event):
        entity = AE(ae_title=PEER)
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        for called in ("SOMEBODY", "ACUTEFINDINGS"):
            opened = entity.associate("127.0.0.1", port, ae_title=called)
            if not opened.is_established:
                statuses.append("rejected")
                continue
            stranger = pydicom.dcmread(sent_study.files[0])
            stranger.SOPInstanceUID = "1.2.3.4"
            statuses.append(opened.send_c_store(stranger).Status)
            opened.release()
        yield ("127.0.0.1", port)
        yield 0

    server = peer(
        {StudyRootQueryRetrieveInformationModelMove: None}, [(evt.EVT_C_MOVE, move)], receive_port=port, retrieve="move"
    )
    with pytest.raises(PacsError, match="peer sent nothing"):
        fetch(server, wanted, inbox)
    assert statuses == ["rejected", 0x0124]
    assert not inbox.folder.exists() or not list(inbox.folder.iterdir())
    probe = AE()
    probe.add_requested_context(CTImageStorage)
    assert not probe.associate("127.0.0.1", port).is_established


def test_a_server_that_falls_silent_is_given_up(peer, wanted, inbox) -> None:
    over = threading.Event()

    def silent(event):
        yield 1
        over.wait(10)

    server = peer(
        {StudyRootQueryRetrieveInformationModelGet: None, CTImageStorage: None}, [(evt.EVT_C_GET, silent)], timeout=1
    )
    start = time.monotonic()
    with pytest.raises(PacsError, match="nothing arrived for 1 s; try again, or set a longer timeout"):
        fetch(server, wanted, inbox)
    over.set()
    assert time.monotonic() - start < 8


def test_a_port_that_is_taken_is_explained(peer, wanted, inbox, free_ports) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = peer(
            {StudyRootQueryRetrieveInformationModelMove: None},
            [],
            receive_port=taken.getsockname()[1],
            receive_host="127.0.0.1",
            retrieve="move",
        )
        with pytest.raises(PacsError, match="cannot be listened on"):
            fetch(server, wanted, inbox)


def test_a_full_disk_is_said_and_ends_the_retrieval(peer, sent_study, wanted, inbox, monkeypatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    server = peer(
        {StudyRootQueryRetrieveInformationModelGet: None, CTImageStorage: [ExplicitVRLittleEndian]},
        [(evt.EVT_C_GET, give(sent_study, wanted))],
    )
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PacsError, match=r"No space left on device.*What is there already is kept; make room"):
        fetch(server, wanted, inbox)


def test_the_servers_own_word_is_passed_on_for_each_instance(peer, sent_study) -> None:
    codes = iter([0x0000, 0xB000, 0xA700, 0xC123, 0x0124])

    def store(event) -> int:
        return next(codes)

    syntaxes = [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        *{d.file_meta.TransferSyntaxUID for d in sent_study.by_uid().values()},
    ]
    server = peer({CTImageStorage: list(dict.fromkeys(syntaxes))}, [(evt.EVT_C_STORE, store)])
    files = collect_files([sent_study.folder / "ct"]).files[:5]
    answers = list(DimseConnection(server).store(files, cancelled=lambda: False))
    assert [(answer.state, answer.code) for answer in answers] == [
        ("stored", "0x0000"),
        ("stored with a remark", "0xB000"),
        ("refused", "0xA700"),
        ("refused", "0xC123"),
        ("refused", "0x0124"),
    ]
    assert "changed some values" in answers[1].text
    assert "out of room" in answers[2].text
    assert "ask the administrator to permit our AE title" in answers[4].text


def test_a_syntax_that_the_server_does_not_take_is_named_and_the_rest_is_sent(peer, sent_study) -> None:
    server = peer({CTImageStorage: [ImplicitVRLittleEndian]}, [(evt.EVT_C_STORE, lambda event: 0)])
    answers = list(DimseConnection(server).store(collect_files([sent_study.folder]).files, cancelled=lambda: False))
    refused = [answer for answer in answers if not answer.stored]
    assert len(answers) - len(refused) == 4
    assert {answer.text for answer in refused} == {
        "the server does not take CT Image Storage in RLE Lossless",
        "the server does not take CT Image Storage in JPEG 2000 Image Compression (Lossless Only)",
        "the server does not take Segmentation Storage in Explicit VR Little Endian",
        "the server does not take Comprehensive SR Storage in Explicit VR Little Endian",
    }


def test_a_connection_that_breaks_is_opened_again_for_the_rest(peer, sent_study) -> None:
    seen: list[str] = []

    def store(event) -> int:
        seen.append(str(event.request.AffectedSOPInstanceUID))
        if len(seen) == 2:
            event.assoc.abort()
        return 0

    server = peer({CTImageStorage: [ExplicitVRLittleEndian, ImplicitVRLittleEndian]}, [(evt.EVT_C_STORE, store)])
    files = [file for file in collect_files([sent_study.folder / "ct"]).files if file.transfer_syntax in STORAGE_PLAIN]
    answers = list(DimseConnection(server).store(files, cancelled=lambda: False))
    assert [answer.state for answer in answers] == ["stored"] * 4
    assert [answer.file for answer in answers] == files
    assert len(seen) == 5


STORAGE_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def test_more_kinds_than_one_association_holds_are_sent_over_several(peer, sent_study, tmp_path) -> None:
    base = collect_files([sent_study.files[0]]).files[0]
    kinds = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[:70]]
    files = []
    for number, kind in enumerate(kinds):
        dataset = pydicom.dcmread(base.path)
        dataset.SOPClassUID, dataset.SOPInstanceUID = kind, f"1.2.3.{number}"
        dataset.save_as(tmp_path / f"{number}.dcm")
        files.append(replace(base, path=tmp_path / f"{number}.dcm", sop_class_uid=kind, sop_uid=f"1.2.3.{number}"))
    associations = []
    server = peer(
        {kind: [ExplicitVRLittleEndian] for kind in kinds},
        [(evt.EVT_C_STORE, lambda event: 0), (evt.EVT_ESTABLISHED, lambda event: associations.append(event))],
    )
    answers = list(DimseConnection(server).store(files, cancelled=lambda: False))
    assert [answer.state for answer in answers] == ["stored"] * len(files)
    assert len(associations) == 2


def test_a_user_and_password_reach_the_server_and_no_log(peer, tmp_path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    identities = []

    def identify(event):
        identities.append((event.primary_field, event.secondary_field))
        return event.secondary_field == b"hush-hush", None

    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    for word in ("hush-hush", "wrong-one"):
        secret.write_text(word)
        server = peer(
            {"1.2.840.10008.1.1": None, "1.2.840.10008.5.1.4.1.2.2.1": None},
            [(evt.EVT_USER_ID, identify), (evt.EVT_C_ECHO, lambda event: 0)],
            user="me",
            password_file=secret,
        )
        caplog.clear()
        if word == "hush-hush":
            assert "C-ECHO answers" in DimseConnection(server).test()
            ours = [record for record in caplog.records if record.threadName == "MainThread"]
            assert not [record for record in ours if word in record.getMessage()]
        else:
            with pytest.raises(PacsError, match="and the login") as refused:
                DimseConnection(server).test()
            assert word not in str(refused.value)
    assert identities[0] == (b"me", b"hush-hush")
