"""The server's process: one for a folder of results, until it is stopped."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from filelock import FileLock, Timeout
from uvicorn.protocols.http.h11_impl import H11Protocol

from AcuteFindingsLib.errors import ServeError
from AcuteFindingsLib.serve.access import check_place
from AcuteFindingsLib.serve.app import make_app
from AcuteFindingsLib.serve.job_files import UPLOADS
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.engines.engine import Engine

# Of the head of a request; browsers send 1 to 2 KiB.
_HEAD_BYTES = 32 * 1024
_FIRST_SECONDS, _IDLE_SECONDS, _STOP_SECONDS = 30.0, 30, 3
_CONNECTIONS, _BACKLOG = 1000, 128


def serve(
    settings: ServeSettings,
    engine: Engine,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Serve until the process is told to end (Ctrl+C, SIGTERM).

    Raises
    ------
    ServeError
        The address is not allowed or taken, or another server uses the folder of results.
    WorklistError, DataError
        The folder of results, or its list, cannot be used.
    """
    check_place(settings)
    with _alone(settings.results), _listening(settings) as bound:
        app = make_app(settings, engine, say)
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        try:
            config.load()
        except OSError as error:
            raise ServeError(
                f"--tls-certificate {certificate} and --tls-key {key} cannot be used: {error.strerror or error}."
            ) from error
        # What goes wrong in a request is told by `problem.handle_problems`, without a stack.
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        logging.getLogger("uvicorn").propagate = False
        scheme = "https" if certificate else "http"
        host, port = bound.getsockname()[:2]
        say(f"serving {scheme}://{f'[{host}]' if ':' in host else host}:{port}/")
        _Server(config).run(sockets=[bound])


class _Server(uvicorn.Server):
    """A server that ends in order on Ctrl+C and SIGTERM: uvicorn's own raises the signal again at its end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop taking requests; a second signal does not wait for those that are being answered."""
        self.force_exit = self.should_exit
        self.should_exit = True


class _Protocol(H11Protocol):
    """HTTP that does not wait for ever for the first request of a connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(_FIRST_SECONDS, self._hang_up_silent)

    def _hang_up_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


@contextmanager
def _alone(results: Path) -> Iterator[None]:
    """Hold the folder's uploads for this process: two servers would read each other's."""
    folder = results / UPLOADS
    try:
        # Patients' images: for the account that runs the server alone, unless it made the folder for others too.
        results.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise ServeError(f"Another server uses --results {results}; stop it, or name another folder.") from error
    except OSError as error:
        raise ServeError(f"--results {results} cannot hold uploads: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """Take the address before anything is started."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(
            f"--host {settings.host} is no address of this computer: {error.strerror or error}."
        ) from error
    with bound:
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)
        except OSError as error:
            raise ServeError(
                f"{settings.host}:{settings.port} cannot be listened on ({error.strerror or error}); choose another "
                "--port."
            ) from error
        yield bound
