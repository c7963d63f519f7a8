"""The server under load: clients that upload and read at once while jobs run; time of its answers, memory, errors."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import httpx

from batch import write_studies
from tables import as_markdown, goal

CLIENTS = 10
MOST_SECONDS = 0.2
_PAUSE_SECONDS, _LOOK_SECONDS, _PATIENCE_SECONDS = 0.2, 0.5, 1800.0
_COMMAND = "import sys; from AcuteFindingsLib.cli import main; sys.exit(main())"
_ENDED = ("done", "refused", "failed")


@dataclass
class Heard:
    """Seconds of every answer by what was asked for, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, client: httpx.Client, what: str, method: str, address: str, **more: object) -> httpx.Response:
        """Ask, and keep how long it took and whether it went wrong."""
        clock = time.perf_counter()
        answer = client.request(method, address, **more)  # type: ignore[arg-type]
        with self.lock:
            self.seconds[what].append(time.perf_counter() - clock)
            if answer.status_code >= 400:
                self.errors.append(f"{what}: {answer.status_code}")
        return answer


def measure_serve(work: Path, *, clients: int = CLIENTS) -> tuple[object, list[str], list[str]]:
    """Return what was measured, the paragraphs that say it, and its goals."""
    studies = work / "serve-studies"
    size = write_studies(studies, clients + 1)
    uploads = [_packed(folder) for folder in sorted(path for path in studies.iterdir() if path.is_dir())]
    heard = Heard()
    command = [sys.executable, "-c", _COMMAND, "serve", "--port", "0", "--results", str(work / "served")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = _address(server)
        with httpx.Client(base_url=address, timeout=120) as client:
            _wait(client, _upload(heard, client, uploads[0]))
            heard.seconds.clear()
            started = time.perf_counter()
            threads = [threading.Thread(target=_client, args=(heard, address, upload)) for upload in uploads[1:]]
            for thread in threads:
                thread.start()
            largest: dict[str, int] = {}
            while any(thread.is_alive() for thread in threads):
                largest |= {kind: max(largest.get(kind, 0), held) for kind, held in _memory(server.pid).items()}
                time.sleep(_LOOK_SECONDS)
            seconds = time.perf_counter() - started
            states = [job["state"] for job in client.get("/jobs").json()]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
    read = [one for what, some in heard.seconds.items() if what != "upload" for one in some]
    wrong = heard.errors + [state for state in states if state != "done"]
    data = {
        "clients": clients, "bytes": size, "seconds": seconds, "errors": wrong, "memory": largest,
        "answers": {what: some for what, some in heard.seconds.items()},
    }  # fmt: skip
    paragraphs = [
        f"{clients} clients at once, {os.cpu_count()} cores, one worker: each uploads a phantom ({size / 1e6:.1f} MB), "
        f"then asks every {_PAUSE_SECONDS:g} s for what the page shows until all jobs are done, {seconds:.0f} s. "
        f"{len(read)} answers, {len(wrong)} errors{': ' + ', '.join(sorted(set(wrong))[:5]) if wrong else ''}. "
        f"Largest resident memory: server {largest.get('server', 0) / 1e6:.0f} MB, its worker "
        f"{largest.get('worker', 0) / 1e6:.0f} MB.",
        as_markdown(list(_table(heard))),
    ]
    text = f"answers of the page within {MOST_SECONDS:g} s at the median while jobs run"
    goals = [goal(text, median(read), MOST_SECONDS, digits=3), goal("no error", float(len(wrong)), 0, digits=0)]
    return data, paragraphs, goals


def _client(heard: Heard, address: str, upload: bytes) -> None:
    with httpx.Client(base_url=address, timeout=120) as client:
        job = _upload(heard, client, upload)
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            listed = heard.ask(client, "list", "GET", "/studies").json()["studies"]
            if listed:
                study = listed[0]["id"]
                heard.ask(client, "finding", "GET", f"/studies/{study}/finding")
                heard.ask(client, "picture", "GET", f"/studies/{study}/pictures/0")
                heard.ask(client, "mask", "GET", f"/studies/{study}/mask.nii.gz")
                heard.ask(client, "volume", "GET", f"/studies/{study}/volume.nii.gz")
            heard.ask(client, "job", "GET", f"/jobs/{job}")
            jobs = heard.ask(client, "jobs", "GET", "/jobs").json()
            if all(one["state"] in _ENDED for one in jobs):
                return
            time.sleep(_PAUSE_SECONDS)


def _upload(heard: Heard, client: httpx.Client, content: bytes) -> str:
    answer = heard.ask(client, "upload", "POST", "/studies", files={"files": ("study.zip", content)})
    return str(answer.json()["id"])


def _wait(client: httpx.Client, job: str) -> None:
    while client.get(f"/jobs/{job}").json()["state"] not in _ENDED:
        time.sleep(_PAUSE_SECONDS)


def _address(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"serving (http://\S+)", line):
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return f"{found[1]}api/v1"
    raise RuntimeError("the server did not start")


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
            archive.write(file, f"{number}.dcm")
    return packed.getvalue()


def _memory(server: int) -> dict[str, int]:
    """Return the resident bytes of the server and of its worker; empty where the system does not say (no Linux)."""
    held = {}
    for kind, process in (("server", server), *(("worker", one) for one in _children(server))):
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            continue
        held[kind] = max(held.get(kind, 0), pages * os.sysconf("SC_PAGE_SIZE"))
    return held


def _children(process: int) -> list[int]:
    """Return the processes that any thread of a process has started."""
    try:
        said = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [int(one) for one in " ".join(said).split()]


def _table(heard: Heard) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("answer", "times", "median, ms", "19 of 20 within, ms", "longest, ms")]
    for what, some in sorted(heard.seconds.items()):
        late = quantiles(some, n=20)[-1] if len(some) > 1 else some[0]
        rows.append((what, str(len(some)), *(f"{1000 * one:.0f}" for one in (median(some), late, max(some)))))
    return rows
