"""Errors as RFC 9457 has them: problem+json, with the sentence that the command line would print."""

import errno
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.last_resort import sentence, where_logged, write_log

MEDIA_TYPE = "application/problem+json"

FULL = (errno.ENOSPC, errno.EDQUOT)
"""How the system says that there is no room on a disk."""


class ProblemBody(BaseModel):
    """What an error says."""

    type: str
    title: str
    status: int
    detail: str


class Problem(Exception):
    """An answer that says no: status and sentence."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem_body(status: int, detail: str) -> dict[str, Any]:
    """Return the JSON of a problem."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a problem as an answer."""
    return JSONResponse(problem_body(status, detail), status, headers, media_type=MEDIA_TYPE)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how a route's description names the problems that it may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def gives(media_type: str, *problems: int) -> dict[int | str, dict[str, Any]]:
    """Return how a route's description names what it answers with, and its problems."""
    kind = {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}
    if media_type == "application/json":
        kind = {"type": "object"}
    return {200: {"description": "OK", "content": {media_type: {"schema": kind}}}, **answers(*problems)}


def handle_problems(app: FastAPI, say: Callable[[str], object]) -> None:
    """Let every error of an app end in a problem; `say` tells who runs the server what clients are not told."""

    @app.exception_handler(Problem)
    async def _problem(_request: Request, error: Problem) -> JSONResponse:
        return problem(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        known = {
            404: "There is nothing at this address; the API is described at /docs.",
            405: "This address does not take such a request; the API is described at /docs.",
        }
        return problem(error.status_code, known.get(error.status_code, str(error.detail)), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()[:3]]
        return problem(422, f"The request is not one that is taken here: {'; '.join(faults)}.")

    @app.exception_handler(AcuteFindingsError)
    @app.exception_handler(OSError)
    async def _cannot(_request: Request, error: Exception) -> JSONResponse:
        # Its sentence may name places of this computer: it is for who runs the server.
        say(f"A request could not be answered: {sentence(error)}")
        if isinstance(error, OSError) and error.errno in FULL:
            return problem(507, "There is no room on the server's disk; whoever runs it must make some.")
        return problem(503, "The server cannot do this now; whoever runs it finds the reason in its output.")

    @app.exception_handler(Exception)
    async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
        say(f"A request went wrong ({type(error).__name__}). {where_logged(write_log(error, doing='serve'))}")
        return problem(500, "Something unexpected went wrong on the server; whoever runs it finds a log of it.")
