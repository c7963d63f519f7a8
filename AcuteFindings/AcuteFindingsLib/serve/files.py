"""Files as answers: opened before anything is sent, so that one that is removed meanwhile is still sent whole."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from AcuteFindingsLib.serve.problem import Problem

_PIECE = 2**18
PRIVATE = "private, no-cache"
"""A browser may keep it for its user, and asks each time whether it is still so."""


def file_answer(request: Request, path: Path, media_type: str, missing: str, **headers: str) -> Response:
    """Return a file as an answer.

    Raises
    ------
    Problem
        There is none: `missing` says so.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise Problem(404, missing) from error
    status = os.fstat(stream.fileno())
    tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"'
    known = {"ETag": tag, "Cache-Control": PRIVATE, **headers}
    if tag in request.headers.get("if-none-match", ""):
        stream.close()
        return Response(status_code=304, headers=known)
    known["Content-Length"] = str(status.st_size)
    return StreamingResponse(_pieces(stream, status.st_size), media_type=media_type, headers=known)


def made_answer(request: Request, edition: str, make: Callable[[], bytes], media_type: str, **headers: str) -> Response:
    """Return what is made of results as an answer; `edition` is that of the results."""
    tag = f'"{edition}"'
    known = {"ETag": tag, "Cache-Control": PRIVATE, **headers}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=known)
    return Response(make(), media_type=media_type, headers=known)


def _pieces(stream: IO[bytes], left: int) -> Iterator[bytes]:
    with stream:
        while left > 0 and (piece := stream.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece
