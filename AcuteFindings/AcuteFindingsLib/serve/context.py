"""What the routes work with."""

from dataclasses import dataclass, field

from fastapi import Request

from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.store import Store


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
    stopping: bool = field(default=False)


def context_of(request: Request) -> Context:
    """Return the context of a request's app."""
    context: Context = request.app.state.context
    return context
