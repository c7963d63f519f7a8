"""Servers of classic DICOM that never end, send what nobody asked for, or announce more than there can be."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from AcuteFindingsLib.budgets import Budgets, set_budgets
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.dimse import DimseConnection
from AcuteFindingsLib.pacs.instance_files import Inbox
from AcuteFindingsLib.pacs.matches import SeriesMatch, StudyQuery
from AcuteFindingsLib.pacs.servers import DimseServer

pytestmark = pytest.mark.slow

PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
FIND, GET, MOVE = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
PENDING, LIMIT, CANCELLED, OUT_OF_RESOURCES = 0xFF00, 0xB001, 0xFE00, 0xA700


@pytest.fixture
def small_budgets() -> Iterator[None]:
    set_budgets(Budgets(answers=40, instance_bytes=200_000, connections=3))
    yield
    set_budgets(Budgets())


def study(uid: str) -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel, answer.StudyInstanceUID, answer.StudyDate = "STUDY", uid, "20240101"
    return answer


def find(server: DimseServer, limit: int = 200) -> tuple[list[str], list[str]]:
    connection = DimseConnection(server)
    found = connection.find_studies(StudyQuery(date="20240101"), limit=limit)
    return [match.study_uid for match in found], [shortfall.text for shortfall in connection.shortfalls]


@pytest.mark.parametrize("status", [LIMIT, OUT_OF_RESOURCES, CANCELLED])
def test_what_came_before_a_server_stopped_is_shown_and_said_to_be_cut(status: int, peer) -> None:
    def answer(_):
        for number in range(3):
            yield PENDING, study(f"1.2.{number}")
        yield status, None

    found, shortfalls = find(peer({FIND: None}, [(evt.EVT_C_FIND, answer)]))
    assert sorted(found) == ["1.2.0", "1.2.1", "1.2.2"]
    (sentence,) = shortfalls
    assert f"0x{status:04X}" in sentence


def test_a_connection_that_breaks_amid_the_answers_shows_what_came(peer) -> None:
    def answer(event):
        yield PENDING, study("1.2.3")
        event.assoc.abort()
        yield PENDING, study("1.2.4")

    found, shortfalls = find(peer({FIND: None}, [(evt.EVT_C_FIND, answer)]))
    assert "1.2.3" in found
    assert "the connection broke after" in shortfalls[0]


def test_duplicates_are_one_answer(peer) -> None:
    def answer(_):
        for number in range(30):
            yield PENDING, study(f"1.2.{number % 3}")
        yield 0, None

    found, shortfalls = find(peer({FIND: None}, [(evt.EVT_C_FIND, answer)]), limit=10)
    assert sorted(found) == ["1.2.0", "1.2.1", "1.2.2"]
    assert shortfalls == []


@pytest.mark.parametrize("stops", [True, False])
def test_answers_without_end_are_ended(stops: bool, peer, small_budgets) -> None:
    over = threading.Event()

    def answer(event):
        number = 0
        while not over.is_set() and not (stops and event.is_cancelled):
            number += 1
            yield PENDING, study(f"1.2.{number}")
        yield CANCELLED, None

    server = peer({FIND: None}, [(evt.EVT_C_FIND, answer)])
    start = time.monotonic()
    found, shortfalls = find(server)
    assert (len(found), len(shortfalls)) == (40, 1)
    assert "ended after 40 answers" in shortfalls[0]
    found, shortfalls = find(server, limit=5)
    assert (len(found), shortfalls) == (5, [])
    over.set()
    assert time.monotonic() - start < 20


def test_a_query_that_trickles_for_ever_is_ended(peer) -> None:
    over = threading.Event()

    def answer(event):
        number = 0
        while not over.wait(0.2) and not event.is_cancelled:
            number += 1
            yield PENDING, study(f"1.2.{number}")
        yield CANCELLED, None

    start = time.monotonic()
    found, shortfalls = find(peer({FIND: None}, [(evt.EVT_C_FIND, answer)], timeout=0.4))
    over.set()
    assert found
    assert "the time was over" in shortfalls[0]
    assert time.monotonic() - start < 15


@pytest.fixture
def raw_server() -> Iterator:
    """A server that takes one connection, reads a little and sends the bytes it is given, slowly where it is told."""
    sockets, threads = [], []

    def start(data: bytes, *, pause: float = 0.0) -> DimseServer:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(4096)
                        for position in range(0, len(data), 1 if pause else len(data)):
                            connection.sendall(data[position : position + (1 if pause else len(data))])
                            time.sleep(pause)
                        time.sleep(0 if pause else 3)
                    except OSError:
                        pass

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        values = {"name": "peer", "folder": Path(), "kind": "dicom", "host": "127.0.0.1", "ae_title": "ARCHIVE"}
        return DimseServer(**values, port=listening.getsockname()[1], timeout=1)

    yield start
    for listening in sockets:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize("kind", [2, 3, 4])
def test_a_unit_of_two_gibibytes_is_not_awaited(kind: int, raw_server) -> None:
    server = raw_server(struct.pack(">BBL", kind, 0, 2**31) + b"\0" * 1000)
    start = time.monotonic()
    with pytest.raises(PacsError, match="announced 2,147 MB in one piece, 4 MB are allowed"):
        find(server)
    assert time.monotonic() - start < 6


def test_a_unit_that_drips_is_given_up(raw_server) -> None:
    server = raw_server(struct.pack(">BBL", 2, 0, 500) + b"\0" * 500, pause=0.1)
    start = time.monotonic()
    with pytest.raises(PacsError, match="peer"):
        find(server)
    assert time.monotonic() - start < 10


def send_to(port: int, dataset: Dataset | None, *, calling: str = "ARCHIVE", called: str = "ACUTEFINDINGS") -> object:
    entity = AE(ae_title=calling)
    for syntax in PLAIN:
        entity.add_requested_context(CTImageStorage, syntax)
    opened = entity.associate("127.0.0.1", port, ae_title=called)
    if not opened.is_established:
        return "rejected"
    status = opened.send_c_store(dataset).get("Status", "lost") if dataset is not None else None
    opened.release()
    return status


@pytest.fixture
def moving(peer, wanted, inbox, free_ports):
    """Run what is given as a server does while a C-MOVE is under way; returns what it gave back, and the inbox."""

    def run(play, *, box: Inbox | None = None, status: int = 0, **settings: object) -> tuple[object, Inbox]:
        port = free_ports()
        results = []
        box = box or inbox

        def move(_):
            results.append(play(port))
            yield ("127.0.0.1", port)
            yield 0
            if status:
                yield status, None

        server = peer({MOVE: None}, [(evt.EVT_C_MOVE, move)], receive_port=port, retrieve="move", **settings)
        try:
            DimseConnection(server).fetch(wanted, box, complete=True, cancelled=lambda: False)
        except PacsError as error:
            box.refuse(str(error))
        return results[0], box

    return run


def test_the_receiver_listens_on_this_computer_alone_unless_told(peer, moving, sent_study) -> None:
    assert peer({MOVE: None}, [], receive_port=11112).receive_host == "127.0.0.1"
    own = next((found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)), "127.0.0.1")

    def play(port: int) -> bool:
        if own.startswith("127."):
            return False
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((own, port)) == 0

    assert moving(play)[0] is False


def test_the_receiver_takes_connections_of_the_archive_alone(moving, sent_study) -> None:
    image = pydicom.dcmread(sent_study.files[0])
    result, box = moving(lambda port: send_to(port, image, calling="STRANGER"))
    assert result == "rejected"
    assert box.received == 0
    assert any("refused a connection from 'STRANGER'" in sentence for sentence in box.refused)


def test_other_senders_can_be_named(moving, sent_study) -> None:
    image = pydicom.dcmread(sent_study.files[0])
    result, box = moving(lambda port: send_to(port, image, calling="OUT"), receive_from=["ARCHIVE", "OUT"])
    assert (result, box.received) == (0, 1)


def test_instances_of_another_study_are_refused_and_never_written(moving, sent_study) -> None:
    image = pydicom.dcmread(sent_study.files[0])
    image.StudyInstanceUID = "9.9.9"
    result, box = moving(lambda port: send_to(port, image))
    assert (result, box.received) == (0x0124, 0)
    assert not box.folder.exists() or not list(box.folder.iterdir())


def test_an_instance_announced_under_the_uid_of_another_is_refused(moving, sent_study) -> None:
    def play(port: int) -> int:
        image = pydicom.dcmread(sent_study.files[0])
        entity = AE(ae_title="ARCHIVE")
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        opened = entity.associate("127.0.0.1", port, ae_title="ACUTEFINDINGS")
        send = opened.dimse.send_msg

        def lie(primitive, context_id):
            primitive.AffectedSOPInstanceUID = "1.2.3.4"
            send(primitive, context_id)

        opened.dimse.send_msg = lie
        status = opened.send_c_store(image).get("Status")
        opened.release()
        return status

    result, box = moving(play)
    assert (result, box.received) == (0x0124, 0)
    assert any("with the data of another instance" in sentence for sentence in box.refused)


@pytest.mark.parametrize("uid", ["../../evil", "/tmp/evil", "a\\b", "CON", "1.2."])
def test_a_name_that_is_no_uid_never_becomes_a_file(uid: str, sent_study, tmp_path) -> None:
    data = pydicom.dcmread(sent_study.files[0])
    whole = SeriesMatch(str(data.StudyInstanceUID), str(data.SeriesInstanceUID), "CT", 1, "", 1)
    box = Inbox(tmp_path / "in", [], arrived=lambda _: None, series=whole)
    data.SOPInstanceUID = uid
    assert not box.take_dataset(data)
    assert list(tmp_path.rglob("*")) == []


def test_a_unit_of_two_gibibytes_ends_that_connection_alone(moving, sent_study) -> None:
    image = pydicom.dcmread(sent_study.files[0])

    def play(port: int) -> object:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(struct.pack(">BBL", 1, 0, 2**31) + b"\0" * 100)
            connection.settimeout(3)
            assert connection.recv(100) == b""
        return send_to(port, image)

    result, box = moving(play)
    assert (result, box.received) == (0, 1)
    assert any("announced 2,147 MB in one piece" in sentence for sentence in box.refused)


def test_an_instance_beyond_the_budget_is_not_taken(moving, sent_study, small_budgets) -> None:
    image = pydicom.dcmread(sent_study.files[0])
    image.PixelData = b"\0" * 400_000
    result, box = moving(lambda port: send_to(port, image))
    assert (result, box.received) == ("lost", 0)
    assert any("sent a message of more than 0 MB" in sentence for sentence in box.refused)


def test_silent_connections_are_few_and_hold_up_nobody(moving, sent_study, small_budgets) -> None:
    held: list[socket.socket] = []

    def play(port: int) -> int:
        for _ in range(10):
            held.append(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.5)
        closed = 0
        for connection in held:
            connection.settimeout(0.1)
            with suppress(TimeoutError):
                closed += connection.recv(1) == b""
        return closed

    start = time.monotonic()
    closed, _ = moving(play)
    assert closed == 7
    for connection in held:
        connection.close()
    assert time.monotonic() - start < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "receiver"]


def test_half_of_a_c_get_that_fails_is_incomplete_by_the_servers_own_count(peer, sent_study, wanted, tmp_path) -> None:
    sent = sent_study.by_uid()

    def answer(_):
        yield len(wanted) + 2
        for match in wanted:
            yield PENDING, sent[match.sop_uid]
        for _ in range(2):
            yield 0xC000, None

    whole = SeriesMatch(wanted[0].study_uid, wanted[0].series_uid, "CT", 1, "", None)
    box = Inbox(tmp_path / "in", wanted, arrived=lambda _: None, series=whole)
    server = peer({GET: None, CTImageStorage: PLAIN}, [(evt.EVT_C_GET, answer)])
    DimseConnection(server).fetch(wanted, box, complete=True, cancelled=lambda: False)
    assert (box.missing, box.received) == ([], len(wanted))
    assert box.lacking == 2


def test_instances_that_the_search_did_not_list_are_kept_where_the_whole_series_was_asked_for(
    peer, sent_study, wanted, tmp_path
) -> None:
    sent = sent_study.by_uid()

    def answer(_):
        yield len(wanted)
        for match in wanted:
            yield PENDING, sent[match.sop_uid]

    whole = SeriesMatch(wanted[0].study_uid, wanted[0].series_uid, "CT", 1, "", len(wanted))
    box = Inbox(tmp_path / "in", wanted[:2], arrived=lambda _: None, series=whole)
    server = peer({GET: None, CTImageStorage: PLAIN}, [(evt.EVT_C_GET, answer)])
    DimseConnection(server).fetch(wanted[:2], box, complete=True, cancelled=lambda: False)
    assert (box.received, box.lacking) == (len(wanted), 0)


def test_a_receiver_that_the_archive_cannot_reach_says_why(peer, wanted, inbox, free_ports, monkeypatch) -> None:
    def unreached(_):
        yield "127.0.0.1", 9
        yield 1
        yield 0xC000, None

    server = peer({MOVE: None}, [(evt.EVT_C_MOVE, unreached)], receive_port=free_ports(), retrieve="move")
    monkeypatch.setattr(DimseServer, "local", False)
    with pytest.raises(PacsError, match=r"listens on 127.0.0.1, which only this computer reaches: set receive_host"):
        DimseConnection(server).fetch(wanted, inbox, complete=True, cancelled=lambda: False)
