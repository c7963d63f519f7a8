"""Errors as RFC 9457 has them: problem+json, with the sentence that the command line would print."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.last_resort import expected, write_log

MEDIA_TYPE = "application/problem+json"


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


def handle_problems(app: FastAPI) -> None:
    """Let every error of an app end in a problem."""

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

    @app.exception_handler(Exception)
    async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
        if not expected(error):
            write_log(error, doing="serve")
        if isinstance(error, AcuteFindingsError):
            # Its sentence may name places of this computer.
            return problem(503, "The server cannot do this now; whoever runs it finds the reason in its output.")
        return problem(500, "Something unexpected went wrong on the server; whoever runs it finds a log of it.")
