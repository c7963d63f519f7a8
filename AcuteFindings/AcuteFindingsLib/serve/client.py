"""The HTTP API from Python: upload a study, follow its job, fetch its finding, answer; Slicer's panels use it too."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO, Any, Literal, cast

import httpx

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.detectors.finding import Finding, load_finding
from AcuteFindingsLib.errors import CancelledError, ExportError, RemoteError, UnreachableError
from AcuteFindingsLib.json_text import parse_json
from AcuteFindingsLib.names import printable
from AcuteFindingsLib.pacs.reach import explain_socket
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.serve.address import Address, checked, tls_of
from AcuteFindingsLib.serve.finding_zip import unpack_finding
from AcuteFindingsLib.study.packed_study import MEDIA_TYPE

API = 1
"""The version of the interface that this client speaks."""

LOST_SECONDS = 120.0
"""How long a server that went away while a study was read may take to come back: it goes on where it was."""

# Less than the application waits for a cancelled request before it ends the worker.
_CONNECT_SECONDS, _CANCEL_SECONDS = 4.0, 3.0
_ANSWER_SECONDS = 60.0
_LOOK_SECONDS, _AGAIN_SECONDS = 0.1, 1.0
_LONGEST_DETAIL = 500
_STUDY, _JOB = re.compile(r"[0-9a-f]{20}"), re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".zip", ".dcm")

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
        self.url = address.url.strip().rstrip("/")
        self._http = httpx.Client(
            base_url=checked(address),
            headers={"Authorization": f"Bearer {address.token}"} if address.token else {},
            verify=tls_of(address),
            transport=transport,
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            # Straight there: images and token are for this server alone.
            trust_env=False,
            follow_redirects=False,
        )

    def __enter__(self) -> "Client":
        """Return the client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def version(self) -> dict[str, Any]:
        """Return what the server says of itself, where it is one of this interface: ``software``, ``api``."""
        try:
            said = self._json("GET", "/version")
        except _NotFoundError as error:
            raise self._not_ours() from error
        if not isinstance(said, dict) or "software" not in said or not isinstance(said.get("api"), int):
            raise self._not_ours()
        if said["api"] != API:
            older = "the server" if said["api"] < API else "AcuteFindings on this computer"
            raise RemoteError(
                f"The server at {self.url} speaks version {said['api']} of the interface and this program version "
                f"{API}; update {older}."
            )
        return said

    def detectors(self) -> list[dict[str, Any]]:
        """Return the server's detectors."""
        return cast(list[dict[str, Any]], self._json("GET", "/detectors"))

    def models(self) -> list[dict[str, Any]]:
        """Return the server's models."""
        return cast(list[dict[str, Any]], self._json("GET", "/models"))

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
        with _opened(files, progress, cancelled) as streams:
            parts = [("files", (name, cast(IO[bytes], stream), kind)) for name, stream in streams]
            return self._job_of(self._json("POST", "/studies", data=form, files=parts))

    def job(self, job: str) -> Job:
        """Return what became of a job so far."""
        return self._job_of(self._json("GET", f"/jobs/{_name(job, _JOB)}"))

    def jobs(self) -> list[Job]:
        """Return the jobs that have not expired, the newest first."""
        said = self._json("GET", "/jobs")
        if not isinstance(said, list):
            raise self._not_ours()
        return [self._job_of(one) for one in said]

    def cancel(self, job: str) -> None:
        """Stop a job; what was uploaded for it goes."""
        self._json("DELETE", f"/jobs/{_name(job, _JOB)}", timeout=_CANCEL_SECONDS)

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
        return cast(dict[str, Any], self._json("GET", "/studies", params=filters))

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
                self._fetch(f"/studies/{_name(study, _STUDY)}/finding.zip", sink, progress, cancelled)
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
        self._json("POST", f"/studies/{_name(study, _STUDY)}/answer", json=said)

    def delete(self, study: str) -> None:
        """Remove a study's results from the server."""
        self._json("DELETE", f"/studies/{_name(study, _STUDY)}")

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
                for data in self._lines(f"/jobs/{_name(job, _JOB)}/events"):
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

    def _lines(self, path: str) -> Iterator[Any]:
        """Yield the data of server-sent events; each is one line (WHATWG HTML 9.2)."""
        with self._open("GET", path, headers={"Accept": "text/event-stream"}) as response:
            rest, most = b"", budgets().settings_bytes
            for part in response.iter_bytes():
                *lines, rest = (rest + part).split(b"\n")
                if len(rest) > most:
                    raise self._not_ours()
                for line in lines:
                    if line.startswith(b"data:"):
                        yield self._parsed(line[5:].strip())

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._open(method, path, **options) as response:
            data = self._read(response)
        return self._parsed(data) if data else None

    def _parsed(self, data: bytes) -> Any:
        try:
            return parse_json(data)
        except ValueError as error:
            raise self._not_ours() from error

    def _fetch(self, path: str, sink: IO[bytes], progress: Progress, cancelled: Cancelled) -> None:
        most, done = budgets().archive_bytes, 0
        with self._open("GET", path) as response:
            length = response.headers.get("Content-Length", "")
            for part in response.iter_bytes():
                stop_if(cancelled)
                done += len(part)
                if done > most:
                    raise RemoteError(f"The server at {self.url} sends more than any finding has; it was not read.")
                sink.write(part)
                progress("Fetching the result", min(done / max(int(length), 1), 1.0) if length.isdecimal() else 0.5)

    @contextmanager
    def _open(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Yield an answer that says yes, and turn what goes wrong into one sentence."""
        try:
            with self._http.stream(method, path, **options) as response:
                if not response.is_success:
                    raise self._refused(response)
                yield response
        except httpx.HTTPError as error:
            plain = self.url.startswith("http:") and isinstance(error, httpx.RemoteProtocolError)
            hint = ", or an address that begins with https" if plain else ""
            raise UnreachableError(f"The server at {self.url} {_reason(error)}{hint}.") from error

    def _read(self, response: httpx.Response) -> bytes:
        data, most = bytearray(), budgets().text_bytes
        for part in response.iter_bytes():
            data += part
            if len(data) > most:
                raise self._not_ours()
        return bytes(data)

    def _refused(self, response: httpx.Response) -> RemoteError:
        """Return what an answer that says no means."""
        status, detail = response.status_code, ""
        if response.headers.get("Content-Type", "").startswith("application/problem+json"):
            said = self._parsed(self._read(response))
            detail = printable(str(said.get("detail", ""))) if isinstance(said, dict) else ""
        if status == 401:
            said = "does not take the token" if "Authorization" in self._http.headers else "asks for a token"
            return RemoteError(f"The server at {self.url} {said}; ask whoever runs it for one, and enter it.")
        if detail:
            kind = _NotFoundError if status == 404 else RemoteError
            return kind(f"The server at {self.url} says: {detail[:_LONGEST_DETAIL]}")
        if status >= 500:
            return UnreachableError(f"The server at {self.url} has an error (HTTP {status}); try again later.")
        return self._not_ours()

    def _not_ours(self) -> RemoteError:
        return RemoteError(
            f"What answers at {self.url} is not an AcuteFindings server of this kind; check the address, and that the "
            "same version of AcuteFindings runs on both computers."
        )

    def _job_of(self, said: Any) -> Job:
        try:
            states = State.__args__  # type: ignore[attr-defined]
            job = Job(
                str(said["id"]),
                said["state"],
                tuple(map(str, said["studies"])),
                printable(str(said["text"]))[:_LONGEST_DETAIL],
                min(max(float(said["progress"]), 0.0), 1.0),
            )
            if job.state not in states or not _JOB.fullmatch(job.id):
                raise ValueError
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_ours() from error
        return job


class _NotFoundError(RemoteError):
    """There is no such thing on the server."""


class _Watched:
    """A file that tells how much of all was read, and stops where that is asked for."""

    def __init__(self, stream: IO[bytes], told: Callable[[int], None]) -> None:
        self._stream, self._told = stream, told

    def fileno(self) -> int:
        """Return the file's number, from which its length is known."""
        return self._stream.fileno()

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._stream.read(size)
        self._told(len(data))
        return data


@contextmanager
def _opened(files: Sequence[Path], progress: Progress, cancelled: Cancelled) -> Iterator[list[tuple[str, _Watched]]]:
    """Yield files under numbers for names, with the ending that says what they are."""
    try:
        total = max(sum(file.stat().st_size for file in files), 1)
    except OSError as error:
        raise RemoteError(f"A file to send cannot be read ({error.strerror or error}).") from error
    sent = 0

    def told(count: int) -> None:
        nonlocal sent
        stop_if(cancelled)
        sent += count
        progress("Sending the study", min(sent / total, 1.0))

    streams: list[tuple[str, _Watched]] = []
    opened: list[IO[bytes]] = []
    try:
        for place, file in enumerate(files):
            lowered = file.name.lower()
            ending = next((ending for ending in _ENDINGS if lowered.endswith(ending)), "")
            opened.append(file.open("rb"))
            streams.append((f"{place:06d}{ending}", _Watched(opened[-1], told)))
        yield streams
    except OSError as error:
        raise RemoteError(f"A file to send cannot be read ({error.strerror or error}).") from error
    finally:
        for stream in opened:
            stream.close()


def _name(text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise RemoteError("The server names a study or a job in a way that is not understood.")
    return text


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "cannot be reached: it does not answer; check the address, and that no firewall blocks it"
    if isinstance(error, httpx.TimeoutException):
        return f"did not answer within {_ANSWER_SECONDS:g} s; try again"
    # Whoever reads this has a field for it, and no file of servers.
    reason = (explain_socket(error) or "").replace("set ca_file to", "give")
    if isinstance(error, httpx.ConnectError):
        return f"cannot be reached: {reason or 'check the address and the network'}"
    return f"broke off: {reason or 'the connection was lost'}; try again"
