"""A department for a minute: studies are sent to the receiver, read while it is killed, and their results go back."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pydicom
import pytest
import requests
from pydicom.uid import generate_uid

from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.write_dicom import write_ct
from AcuteFindingsLib.worklist.exams import find_exams
from AcuteFindingsLib.worklist.records import ResultsFolder, instances_of
from AcuteFindingsLib.worklist.store import Store

pytestmark = pytest.mark.slow

pytest.importorskip("highdicom")

STUDIES, POSITIVE, SENDER = 20, 3, "SCANNER"


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of small head CTs; every study, series, instance and patient its own."""
    folder = tmp_path_factory.mktemp("studies")
    write_ct(make_head_ct(7, positive=True, matrix=128, slice_spacing=6.0), folder / "bleeds")
    write_ct(make_head_ct(7, positive=False, matrix=64, slice_spacing=10.0), folder / "calm")
    found = []
    for number in range(STUDIES):
        kind = folder / ("bleeds" if number < POSITIVE else "calm")
        made = [pydicom.dcmread(file) for file in sorted(kind.glob("*.dcm"))]
        target = folder / f"study{number}"
        target.mkdir()
        study, series, frame = generate_uid(), generate_uid(), generate_uid()
        for place, data in enumerate(made):
            data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            data.PatientID = data.PatientName = f"PATIENT{number}"
            data.save_as(target / f"{place:03}.dcm")
        found.append(target)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _send(port: int, files: list[Path]) -> int:
    words = [sys.executable, "-m", "pynetdicom", "storescu", "127.0.0.1", str(port), *map(str, files)]
    sent = subprocess.run(
        [*words, "-aet", SENDER, "-aec", "ACUTEFINDINGS", "-cx"], capture_output=True, timeout=120, check=False
    )
    return sent.returncode


def _start(out: Path, port: int, servers: Path) -> subprocess.Popen:
    code = "import sys; from AcuteFindingsLib.cli import main; sys.exit(main())"
    words = ["watch", "--out", out, "--listen", port, "--sender", SENDER, "--quiet", "3"]
    words += ["--return-to", "classic", "--servers", servers, "--detector", "hemorrhage"]
    started = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], start_new_session=True)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return started
        time.sleep(0.1)
    raise TimeoutError("the receiver did not come up")


def _kill(started: subprocess.Popen) -> None:
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def test_studies_are_read_once_and_their_results_come_back_whatever_is_killed(archive, studies, tmp_path) -> None:
    out, port = tmp_path / "out", _free_port()
    broken = tmp_path / "broken.dcm"
    broken.write_bytes((studies[0] / "000.dcm").read_bytes()[:900])
    files = [file for study in studies for file in sorted(study.iterdir())]
    shuffled = [*files, *files[:15], broken]
    random.Random(4).shuffle(shuffled)
    early = [file for study in studies[:8] for file in study.iterdir()]
    random.Random(5).shuffle(early)

    first = _start(out, port, archive.servers)
    _send(port, early)
    time.sleep(9)
    _kill(first)
    second = _start(out, port, archive.servers)
    # Whatever was cut off is sent again, as scanners do.
    _send(port, shuffled)
    time.sleep(12)
    _kill(second)
    third = _start(out, port, archive.servers)
    until = time.monotonic() + 240
    results = ResultsFolder(out)
    try:
        while time.monotonic() < until:
            with contextlib.suppress(requests.RequestException):
                if _all_read_whole(results) and _kept(results) <= _instances(archive):
                    break
            time.sleep(1)
        third.send_signal(signal.SIGTERM)
        assert third.wait(timeout=60) == 0
    finally:
        if third.poll() is None:
            _kill(third)

    records = list(results.records())
    assert Counter(record.state for record in records) == {"done": STUDIES}
    wanted = {str(pydicom.dcmread(study / "000.dcm", stop_before_pixels=True).StudyInstanceUID) for study in studies}
    assert {record.study_uid for record in records} == wanted
    kept, back = _kept(results), _instances(archive)
    assert kept <= back, "every result went back"
    # Where a pause in the sending let a part of a study be read first, its result went back as well.
    assert len(back) - len(kept) <= sum(record.attempts - 1 for record in records) * 2
    assert {item.state for item in Store(out).items()} == {"done"}
    page = (out / "worklist.html").read_text(encoding="utf-8")
    assert "PATIENT" not in page
    assert page.count(">open</a>") == STUDIES


def _all_read_whole(results: ResultsFolder) -> bool:
    """Whether every study was read with all of its images that came: parts of some are read while others are sent."""
    came = {exam.study_uid: instances_of(exam) for exam in find_exams(results.folder / "incoming").exams}
    read = {record.study_uid: record.instances for record in results.records() if record.state == "done"}
    return len(read) == STUDIES and read == came


def _kept(results: ResultsFolder) -> set[str]:
    """Return the SOP Instance UIDs of the results that were written."""
    files = [file for record in results.records() for file in (results.results(record.key) / "dicom").glob("*.dcm")]
    return {str(pydicom.dcmread(file).SOPInstanceUID) for file in files}


def _instances(archive) -> set[str]:
    """Return the SOP Instance UIDs of the results that the archive has."""
    found: set[str] = set()
    for modality in ("SEG", "SR"):
        asked = {"Level": "Instance", "Query": {"Modality": modality}, "Expand": True}
        answers = archive.session.post(f"{archive.rest}/tools/find", json=asked, timeout=60).json()
        found |= {one["MainDicomTags"]["SOPInstanceUID"] for one in answers}
    return found


def test_an_archive_is_asked_and_what_is_new_comes_into_the_list(archive, studies, tmp_path) -> None:
    from AcuteFindingsLib.pacs.connect import connect
    from AcuteFindingsLib.pacs.servers import find_server
    from AcuteFindingsLib.progress import never_cancelled
    from AcuteFindingsLib.worklist.intake.poll import Poll
    from AcuteFindingsLib.worklist.intake.spool import Spool

    today = time.strftime("%Y%m%d")
    copies = tmp_path / "copies"
    shutil.copytree(studies[1], copies)
    for file in copies.iterdir():
        data = pydicom.dcmread(file)
        data.StudyDate = today
        data.StudyInstanceUID = f"{data.StudyInstanceUID}.1"[:64]
        data.save_as(file)
    for file in copies.iterdir():
        answer = archive.session.post(f"{archive.rest}/instances", data=file.read_bytes(), timeout=30)
        assert answer.status_code == 200
    spool, said = Spool(tmp_path / "spool"), []
    poll = Poll("web", lambda: connect(find_server(archive.servers, "web")), "CT", days=0, every=0.0, say=said.append)
    assert poll.ask(spool, never_cancelled) == 1
    assert poll.ask(spool, never_cancelled) == 0
    (study,) = spool.waiting()
    (exam,) = find_exams(study.folder).exams
    assert len(exam.files) == len(list(copies.iterdir()))
    assert said == []
