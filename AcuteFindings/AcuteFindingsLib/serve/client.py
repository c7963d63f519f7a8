"""The HTTP API from Python: upload a study, follow its job, fetch its finding, answer; Slicer's panels use it too."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO, Any, Literal, cast

import httpx

from AcuteFindingsLib.detectors.finding import Finding, load_finding
from AcuteFindingsLib.errors import CancelledError, ExportError, RemoteError, UnreachableError
from AcuteFindingsLib.names import printable
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.serve.address import Address
from AcuteFindingsLib.serve.connection import LONGEST_DETAIL, Connection, NotFoundError
from AcuteFindingsLib.serve.finding_zip import unpack_finding
from AcuteFindingsLib.serve.sending import opened_files
from AcuteFindingsLib.study.packed_study import MEDIA_TYPE

API = 1
"""The version of the interface that this client speaks."""

LOST_SECONDS = 120.0
"""How long a server that went away while a study was read may take to come back: it goes on where it was."""

# Less than the application waits for a cancelled request before it ends the worker.
_CANCEL_SECONDS = 3.0
_LOOK_SECONDS, _AGAIN_SECONDS = 0.1, 1.0
_STUDY, _JOB = re.compile(r"[0-9a-f]{20}"), re.compile(r"[A-Za-z0-9_-]{1,64}")

State = Literal["waiting", "reading", "done", "refused", "failed"]


@dataclass(frozen=True)
class Job:
    """What became of an upload so far.

    Attributes
    ----------
    id
        Its name on the server.
    state
        In the worklist's words.
    studies
        Ids of what was read, the most urgent first.
    text
        What is being done, or why there is no finding.
    progress
        Share that is done, 0..1.
    """

    id: str
    state: State
    studies: tuple[str, ...]
    text: str
    progress: float

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in ("waiting", "reading")


class Client:
    """A server of this software; a context manager that closes its connections.

    Parameters
    ----------
    address
        Where it is.
    transport
        What carries requests; by default the network.

    Raises
    ------
    RemoteError
        The address cannot be used. Every method raises it where the server cannot be reached, refuses or answers
        something else; the text is one sentence.
    """

    def __init__(self, address: Address, *, transport: httpx.BaseTransport | None = None) -> None:
        self._server = Connection(address, transport=transport)
        self.url = self._server.url

    def __enter__(self) -> "Client":
        """Return the client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def version(self) -> dict[str, Any]:
        """Return what the server says of itself, where it is one of this interface: ``software``, ``api``."""
        try:
            said = self._server.json("GET", "/version")
        except NotFoundError as error:
            raise self._server.not_ours() from error
        if not isinstance(said, dict) or "software" not in said or not isinstance(said.get("api"), int):
            raise self._server.not_ours()
        if said["api"] != API:
            older = "the server" if said["api"] < API else "AcuteFindings on this computer"
            raise RemoteError(
                f"The server at {self.url} speaks version {said['api']} of the interface and this program version "
                f"{API}; update {older}."
            )
        return said

    def detectors(self) -> list[dict[str, Any]]:
        """Return the server's detectors."""
        return cast(list[dict[str, Any]], self._server.json("GET", "/detectors"))

    def models(self) -> list[dict[str, Any]]:
        """Return the server's models."""
        return cast(list[dict[str, Any]], self._server.json("GET", "/models"))

    def upload(
        self,
        files: Sequence[Path],
        *,
        detector: str = "auto",
        model: str | None = None,
        packed: bool = False,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
    ) -> Job:
        """Send files of one study, or of several, and return the job that reads them. Their names stay here.

        Parameters
        ----------
        files
            DICOM files, a zip of them, a volume file, a picture.
        detector, model
            Ids; `model` None is the server's own choice.
        packed
            Whether the one file is what `study.packed_study.pack_study` wrote.
        progress
            Called with the share that is sent.

        Raises
        ------
        CancelledError
            When `cancelled` says so; the server keeps nothing.
        """
        form = {"detector": detector, **({"model": model} if model else {})}
        kind = MEDIA_TYPE if packed else "application/octet-stream"
        with opened_files(files, progress, cancelled) as streams:
            parts = [("files", (name, cast(IO[bytes], stream), kind)) for name, stream in streams]
            return self._job_of(self._server.json("POST", "/studies", data=form, files=parts))

    def job(self, job: str) -> Job:
        """Return what became of a job so far."""
        return self._job_of(self._server.json("GET", f"/jobs/{_name(job, _JOB)}"))

    def jobs(self) -> list[Job]:
        """Return the jobs that have not expired, the newest first."""
        said = self._server.json("GET", "/jobs")
        if not isinstance(said, list):
            raise self._server.not_ours()
        return [self._job_of(one) for one in said]

    def cancel(self, job: str) -> None:
        """Stop a job; what was uploaded for it goes."""
        self._server.json("DELETE", f"/jobs/{_name(job, _JOB)}", timeout=_CANCEL_SECONDS)

    def follow(self, job: str, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Job:
        """Wait for the end of a job and return it; a server that is started again in between is waited for.

        Parameters
        ----------
        progress
            Called with the server's words, and the share that is done.

        Raises
        ------
        CancelledError
            When `cancelled` says so; the job is stopped on the server.
        """
        try:
            return self._follow(job, progress, cancelled)
        except CancelledError:
            # Whoever stops has stopped, also where the server cannot be told.
            with suppress(RemoteError):
                self.cancel(job)
            raise

    def studies(self, **filters: str | int) -> dict[str, Any]:
        """Return the list, most urgent first, as the API has it: ``total`` and ``studies``."""
        return cast(dict[str, Any], self._server.json("GET", "/studies", params=filters))

    def finding(
        self, study: str, folder: Path, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> Finding:
        """Fetch a finding with its masks and heat map; its files are written below the new folder `folder`.

        Raises
        ------
        CancelledError
            When `cancelled` says so.
        """
        folder.mkdir(parents=True)
        target = folder / "finding.zip"
        try:
            with target.open("xb") as sink:
                self._server.fetch(f"/studies/{_name(study, _STUDY)}/finding.zip", sink, progress, cancelled)
            unpack_finding(target, folder)
            return load_finding(folder / "finding.json")
        except ExportError as error:
            raise RemoteError(
                f"The server at {self.url} sent a finding that this version cannot read; use the same version of "
                "AcuteFindings on both computers."
            ) from error
        except OSError as error:
            raise RemoteError(f"The finding could not be kept ({error.strerror or error}); make room.") from error

    def answer(self, study: str, answer: str, *, reader: str = "", note: str = "") -> None:
        """Keep what a reader says of a verdict: ``"agree"``, ``"disagree"`` or ``"unsure"``."""
        said = {"answer": answer, "reader": reader, "note": note}
        self._server.json("POST", f"/studies/{_name(study, _STUDY)}/answer", json=said)

    def delete(self, study: str) -> None:
        """Remove a study's results from the server."""
        self._server.json("DELETE", f"/studies/{_name(study, _STUDY)}")

    def _follow(self, job: str, progress: Progress, cancelled: Cancelled) -> Job:
        fraction, lost = 0.0, 0.0
        while True:
            for said in self._events(job, cancelled):
                fraction, lost = said.progress, 0.0
                if said.over:
                    return said
                progress(said.text, fraction)
            # The stream ended before the job: a proxy's limit, or the server is started again.
            try:
                said = self.job(job)
                if said.over:
                    return said
            except UnreachableError:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > LOST_SECONDS:
                    raise
                progress("The server does not answer; trying again", fraction)
            until = time.monotonic() + _AGAIN_SECONDS
            while time.monotonic() < until:
                stop_if(cancelled)
                time.sleep(_LOOK_SECONDS)

    def _events(self, job: str, cancelled: Cancelled) -> Iterator[Job]:
        """Yield a job as the server tells of it, until the stream ends; looks at `cancelled` also while none comes."""
        heard: SimpleQueue[Job | Exception | None] = SimpleQueue()

        def listen() -> None:
            try:
                for data in self._server.events(f"/jobs/{_name(job, _JOB)}/events"):
                    heard.put(self._job_of(data))
            except (UnreachableError, httpx.StreamError, OSError):
                heard.put(None)
            except RemoteError as error:
                heard.put(error)
            else:
                heard.put(None)

        threading.Thread(target=listen, name="events of a job", daemon=True).start()
        while True:
            stop_if(cancelled)
            try:
                said = heard.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if said is None:
                return
            if isinstance(said, Exception):
                raise said
            yield said

    def _job_of(self, said: Any) -> Job:
        try:
            states = State.__args__  # type: ignore[attr-defined]
            job = Job(
                str(said["id"]),
                said["state"],
                tuple(map(str, said["studies"])),
                printable(str(said["text"]))[:LONGEST_DETAIL],
                min(max(float(said["progress"]), 0.0), 1.0),
            )
            if job.state not in states or not _JOB.fullmatch(job.id):
                raise ValueError
        except (KeyError, TypeError, ValueError) as error:
            raise self._server.not_ours() from error
        return job


def _name(text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise RemoteError("The server names a study or a job in a way that is not understood.")
    return text
