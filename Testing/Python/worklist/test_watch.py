"""Studies read as they arrive: nothing lost, nothing read or sent twice, whatever happens to the program."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pretend
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.progress import never_cancelled
from AcuteFindingsLib.worklist.engines.local import LocalEngine
from AcuteFindingsLib.worklist.intake.deliver import Delivery
from AcuteFindingsLib.worklist.intake.listener import ListenSettings, Received, keep, listener
from AcuteFindingsLib.worklist.intake.spool import Spool
from AcuteFindingsLib.worklist.intake.watch import Watch, WatchSettings
from AcuteFindingsLib.worklist.reading import ReadSettings
from AcuteFindingsLib.worklist.records import UPLOAD, Record, ResultsFolder, now
from AcuteFindingsLib.worklist.store import Store

pytest.importorskip("pynetdicom")


def instance(study: str, number: int = 1) -> pydicom.Dataset:
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{study}.{number}.1"
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.{number}"
    data.Modality, data.PatientID, data.PatientName = "CT", "4711", "DOE^JANE"
    data.Rows = data.Columns = 4
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PixelData = np.full((4, 4), number, np.uint16).tobytes()
    return data


def encoded(data: pydicom.Dataset) -> bytes:
    import io

    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send(port: int, data: list[pydicom.Dataset], title: str = "SENDER") -> list[int | None]:
    """Send instances and return the status of each; None where nobody answered."""
    from pynetdicom import AE

    entity = AE(ae_title=title)
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 5
    association = entity.associate("127.0.0.1", port, ae_title="ACUTEFINDINGS")
    statuses: list[int | None] = []
    for one in data:
        answer = None
        if association.is_established:
            try:
                answer = association.send_c_store(one).get("Status")
            except (RuntimeError, ValueError, AttributeError):
                answer = None
        statuses.append(answer)
    if association.is_established:
        association.release()
    return statuses


@pytest.fixture
def watch(tmp_path: Path, pretended) -> Iterator[Callable[..., Watch]]:
    pretended()
    engine = LocalEngine(1, keep=True)
    said: list[str] = []

    def make(**parts) -> Watch:
        out = tmp_path / "out"
        one = Watch(
            ReadSettings(out),
            parts.pop("settings", WatchSettings(quiet=0.0, keep=3600.0)),
            engine,
            Spool(tmp_path / "spool"),
            Store(out),
            say=said.append,
            reader=pretend.REFERENCE,
            **parts,
        )
        one.said = said
        return one

    yield make
    engine.close()


def test_the_spool_keeps_each_instance_once_under_names_of_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.put("../../1.2", "1.2.3", b"one")
    assert not spool.put("../../1.2", "1.2.3", b"one")
    assert spool.put("../../1.2", "1.2.3", b"another")
    (study,) = spool.waiting()
    assert (study.folder.parent, study.files.count) == (tmp_path / "spool", 1)
    assert not spool.drop(study.folder, older_than=60)
    assert spool.drop(study.folder, older_than=-1)
    assert not list(spool.waiting())


def test_what_is_sent_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    spool, port = Spool(tmp_path / "spool"), free_port()
    said: list[str] = []
    one, two = instance("1.2.3"), instance("1.2.3", 2)
    with listener(ListenSettings(port, senders=("SENDER",)), spool, say=said.append) as received:
        assert send(port, [one, two, one]) == [0, 0, 0]
        assert send(port, [one], title="STRANGER") == [None]
    assert (received.kept, received.repeats) == (2, 1)
    assert sorted(pydicom.dcmread(file).SOPInstanceUID for file in spool.study("1.2.3").iterdir()) == [
        "1.2.3.1.1", "1.2.3.2.1",
    ]  # fmt: skip
    assert any("STRANGER" in line for line in said)
    assert not any("DOE" in line for line in said)


def test_what_cannot_be_read_is_refused_and_kept_from_the_list(tmp_path: Path) -> None:
    spool, received, said = Spool(tmp_path / "spool"), Received(), []
    assert keep(b"no DICOM at all", "1.2.3", spool, received, said.append) == 0xC000
    assert keep(encoded(instance("1.2.3")), "9.9.9", spool, received, said.append) == 0xC000
    assert keep(encoded(instance("1.2.3"))[:-8], "1.2.3.1.1", spool, received, said.append) == 0xC000
    assert keep(encoded(instance("1.2.3")), "1.2.3.1.1", spool, received, said.append) == 0
    assert (received.kept, received.refused, len(said)) == (1, 3, 3)


def test_a_study_is_read_when_it_is_quiet_and_again_when_an_image_comes_late(watch, tmp_path: Path) -> None:
    one = watch(settings=WatchSettings(quiet=3600.0))
    one.spool.put("1.2.3", "1.2.3.1.1", encoded(instance("1.2.3")))
    assert one.look(never_cancelled) == 0
    one = watch()
    assert one.look(never_cancelled) == 1
    assert one.look(never_cancelled) == 0
    one.spool.put("1.2.3", "1.2.3.2.1", encoded(instance("1.2.3", 2)))
    assert one.look(never_cancelled) == 1
    (item,) = one.store.items()
    assert (item.state, item.verdict) == ("done", "negative")
    assert len(pretend.kept(tmp_path / "out")) == 2


def test_received_images_go_when_they_were_read_and_no_late_one_will_come(watch) -> None:
    one = watch(settings=WatchSettings(quiet=0.0, keep=-1.0))
    one.spool.put("1.2.3", "1.2.3.1.1", encoded(instance("1.2.3")))
    one.look(never_cancelled)
    assert not list(one.spool.waiting())
    assert [item.state for item in one.store.items()] == ["done"]


def test_a_folder_is_watched_and_nothing_is_removed_there(watch, tmp_path: Path) -> None:
    folder = tmp_path / "put"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(encoded(instance("1.2.3")))
    one = watch(settings=WatchSettings(quiet=0.0, keep=-1.0, folders=(folder, tmp_path / "none")))
    assert one.look(never_cancelled) == 1
    assert one.look(never_cancelled) == 0
    assert (folder / "a.dcm").is_file()
    assert any("none" in line for line in one.said)


_DRIVER = """
import sys, time
from pathlib import Path
from AcuteFindingsLib.worklist.engines.local import LocalEngine
from AcuteFindingsLib.worklist.intake.deliver import Delivery
from AcuteFindingsLib.worklist.intake.listener import ListenSettings, listener
from AcuteFindingsLib.worklist.intake.spool import Spool
from AcuteFindingsLib.worklist.intake.watch import Watch, WatchSettings
from AcuteFindingsLib.worklist.reading import ReadSettings
from AcuteFindingsLib.worklist.store import Store
out, port, hook, seconds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
until = time.monotonic() + seconds
one = Watch(ReadSettings(out, device="0.01"), WatchSettings(quiet=0.3, every=0.1), LocalEngine(1, keep=True),
            Spool(out / "incoming"), Store(out), delivery=Delivery(out, webhook=hook, say=print), say=lambda line: None,
            reader="pretend:make")
with listener(ListenSettings(port), one.spool, say=print):
    one.run(lambda: time.monotonic() > until)
"""


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[str, dict]], list[int]]]:
    """A web address that writes down what it is told, and answers as `answers` say."""
    told: list[tuple[str, dict]] = []
    answers = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = answers[0] if len(answers) == 1 else answers.pop(0)
            if status == 200:
                told.append((self.headers["Idempotency-Key"], body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", told, answers
    server.shutdown()
    server.server_close()
    thread.join()


def test_killed_at_any_moment_nothing_is_lost_read_twice_or_told_twice(hook, pretended, tmp_path: Path) -> None:
    pretended()
    address, told, _ = hook
    out, port = tmp_path / "out", free_port()
    moments = random.Random(2)
    wanted = {(f"1.2.{number}", part) for number in range(1, 9) for part in (1, 2)}
    left = sorted(wanted)

    def start(seconds: float) -> subprocess.Popen:
        words = [sys.executable, "-c", _DRIVER, str(out), str(port), address, str(seconds)]
        started = subprocess.Popen(words, start_new_session=True)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return started
            time.sleep(0.1)
        pytest.fail("the receiver did not come up")

    for round_ in range(3):
        driver = start(600)
        sent = [instance(*one) for one in left[: 6 * (round_ + 1)]]
        statuses = send(port, sent)
        # Whoever got no answer sends again, as archives do; whoever got one does not.
        left = [one for one, status in zip(left, statuses, strict=False) if status != 0] + left[len(statuses) :]
        time.sleep(moments.uniform(0.0, 2.5))
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    driver = start(12)
    assert set(send(port, [instance(*one) for one in left])) <= {0}
    assert driver.wait(timeout=60) == 0
    records = list(ResultsFolder(out).records())
    assert [record.state for record in records] == ["done"] * 8
    readings = pretend.kept(out)
    final = {f"{record.key}-{record.instances[:32]}" for record in records}
    assert len(readings) == len(set(readings)) or len(readings) <= 16, "once for each state of a study's images"
    keys = [key for key, _ in told]
    assert final <= set(keys), "every result was told"
    assert len(keys) == len(set(keys)), "none was told twice"


def test_a_web_address_is_told_once_and_again_only_until_it_answers(hook, tmp_path: Path) -> None:
    address, told, answers = hook
    answers[:] = [500, 200]
    said: list[str] = []
    results = ResultsFolder(tmp_path / "out")
    record = Record("aa", "hemorrhage", "done", instances="ff" * 32, verdict="positive", probability=0.9, finished="t")
    item = Store(tmp_path / "out").item_of(record)
    delivery = Delivery(results.folder, webhook=address, say=said.append)
    assert not delivery.deliver(record, item)
    assert delivery.deliver(record, item)
    assert Delivery(results.folder, webhook=address, say=said.append).deliver(record, item)
    assert [body["verdict"] for _, body in told] == ["positive"]
    assert not {"PatientName", "study_uid"} & set(told[0][1])
    assert "500" in said[0]


@pytest.mark.parametrize("address", ["http://example.org/", "ftp://example.org", "nothing"])
def test_a_web_address_of_another_computer_is_encrypted(address: str, tmp_path: Path) -> None:
    with pytest.raises(WorklistError, match="https"):
        Delivery(tmp_path, webhook=address, say=print)


def test_uids_are_used_to_make_names_only(tmp_path: Path) -> None:
    assert Spool(tmp_path).study(generate_uid()).parent == tmp_path


def test_a_file_copied_with_a_time_of_long_ago_is_not_taken_for_one_that_rests(watch, tmp_path: Path) -> None:
    folder = tmp_path / "put"
    folder.mkdir()
    file = folder / "a.dcm"
    file.write_bytes(encoded(instance("1.2.3")))
    os.utime(file, (1e9, 1e9))
    one = watch(settings=WatchSettings(quiet=0.4, folders=(folder,)))
    assert one.look(never_cancelled) == 0
    time.sleep(0.5)
    assert one.look(never_cancelled) == 1
    (item,) = one.store.items()
    assert item.arrived > "2026"


def test_what_is_being_written_is_not_looked_at(watch) -> None:
    one = watch()
    one.spool.put("1.2.3", "1.2.3.1.1", encoded(instance("1.2.3")))
    (study,) = one.spool.waiting()
    (study.folder / ".x.partial.y.dcm").write_bytes(b"half")
    assert next(one.spool.waiting()).files.count == 1


def test_a_study_that_came_whole_from_an_archive_does_not_wait(watch) -> None:
    one = watch(settings=WatchSettings(quiet=3600.0))
    one.spool.put("1.2.3", "1.2.3.1.1", encoded(instance("1.2.3")))
    (study,) = one.spool.waiting()
    one.spool.complete[study.folder] = 1
    assert one.look(never_cancelled) == 1


def test_one_look_that_fails_does_not_end_the_watch(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    one = watch(settings=WatchSettings(quiet=0.0, every=0.01))
    looks = []

    def look(_cancelled: object) -> int:
        looks.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(one, "look", look)
    one.run(lambda: len(looks) > 2)
    assert any("cut off" in line for line in one.said)


def test_what_was_uploaded_to_a_server_of_the_same_folder_is_not_sent_away(watch) -> None:
    one = watch(settings=WatchSettings(quiet=0.0, every=0.01))
    folder = one.store.folder
    for key, origin in (("a" * 20, UPLOAD), ("b" * 20, "")):
        folder.write(Record(key, "pretended", "done", finished=now(), attempts=1, origin=origin))
    sent = []

    class Sends:
        def deliver(self, record: Record, _item: object) -> bool:
            sent.append(record.key)
            return True

    one.delivery = Sends()
    looks = []
    one.run(lambda: looks.append(1) or bool(sent) or len(looks) > 1000)
    assert sent == ["b" * 20]
