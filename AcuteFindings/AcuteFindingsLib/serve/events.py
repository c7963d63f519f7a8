"""Server-sent events: what changes, as it changes, until the client goes or the server stops."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

from fastapi import Request
from fastapi.responses import StreamingResponse

from AcuteFindingsLib.serve.context import Context
from AcuteFindingsLib.serve.problem import Problem

MOST_STREAMS = 500
_BEAT_SECONDS = 15.0

# Whether there is a next message, and the message where it differs from the last.
Look = Callable[[], tuple[str | None, bool]]


def event_stream(context: Context, request: Request, name: str, look: Look, every: float) -> StreamingResponse:
    """Return a stream of events.

    Parameters
    ----------
    name
        Of the events.
    look
        Returns the data as it is now (JSON; None for none), and whether it was the last; runs in a thread.
    every
        Seconds from one look to the next; data that is as before is not sent again.

    Raises
    ------
    Problem
        Too many clients hear already.
    """
    if context.streams >= MOST_STREAMS:
        raise Problem(503, "Too many clients hear of events already; try again later.", {"Retry-After": "30"})

    async def pieces() -> AsyncIterator[str]:
        context.streams += 1
        try:
            before, beat = None, time.monotonic()
            while not context.stopping and not await request.is_disconnected():
                data, last = await asyncio.to_thread(look)
                if data is not None and data != before:
                    before, beat = data, time.monotonic()
                    yield f"event: {name}\ndata: {data}\n\n"
                elif time.monotonic() - beat > _BEAT_SECONDS:
                    beat = time.monotonic()
                    yield ": still here\n\n"
                if last:
                    return
                await asyncio.sleep(every)
        finally:
            context.streams -= 1

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(pieces(), media_type="text/event-stream", headers=headers)


def as_data(value: object) -> str:
    """Return JSON on one line."""
    return json.dumps(value, separators=(",", ":"))
