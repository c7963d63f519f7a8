"""What the routes work with."""

import time
from dataclasses import dataclass

from fastapi import Request

from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.store import Store

_EDITION_SECONDS = 0.9


@dataclass
class Context:
    """The parts of a running server.

    Attributes
    ----------
    uploading
        How many uploads are coming at this moment.
    streams
        How many clients hear of events.
    stopping
        Whether the server is being stopped: streams end.
    """

    settings: ServeSettings
    board: Board
    store: Store
    uploading: int = 0
    streams: int = 0
    stopping: bool = False
    _edition: tuple[float, str] = (0.0, "")

    def edition(self) -> str:
        """Return what differs after any change of the list; looked at once a second, however many clients ask."""
        at, known = self._edition
        if time.monotonic() - at >= _EDITION_SECONDS or not known:
            known = f"{hash(self.store.edition()) & 0xFFFFFFFF:08x}"
            self._edition = (time.monotonic(), known)
        return known


def context_of(request: Request) -> Context:
    """Return the context of a request's app."""
    context: Context = request.app.state.context
    return context
