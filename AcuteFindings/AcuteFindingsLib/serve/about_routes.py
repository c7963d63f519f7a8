"""What the server is and has, and how a page signs in."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.serve.access import COOKIE
from AcuteFindingsLib.serve.context import Context, context_of
from AcuteFindingsLib.serve.models import packages
from AcuteFindingsLib.serve.problem import answers
from AcuteFindingsLib.serve.settings import API_VERSION
from AcuteFindingsLib.serve.tokens import SESSION_SECONDS, cookie_for

router = APIRouter(tags=["server"])
Here = Annotated[Context, Depends(context_of)]


class VersionBody(BaseModel):
    """Which software this is."""

    software: str
    api: int
    research_use: str
    tokens: bool
    keep_days: float


class DetectorBody(BaseModel):
    """A detector."""

    id: str
    finding: str
    short: str
    study: str
    radiograph: bool
    window: tuple[float, float] | None


class ModelBody(BaseModel):
    """A model that is installed."""

    id: str
    task: str
    version: str
    title: str
    license: str
    trained_on: str


@router.get("/version", response_model=VersionBody, summary="Which software this is")
def get_version(here: Here) -> Any:
    """Return the version of the software and of the API, whether a token is needed, and how long studies are kept."""
    return {
        "software": __version__,
        "api": API_VERSION,
        "research_use": RESEARCH_USE_ONLY,
        "tokens": bool(here.settings.tokens),
        "keep_days": here.settings.keep_days,
    }


@router.get("/detectors", response_model=list[DetectorBody], responses=answers(401), summary="The detectors")
def list_detectors() -> Any:
    """Return the detectors that an upload may name, and what each looks for."""
    return [
        {
            "id": kind.id,
            "finding": kind.finding,
            "short": kind.short,
            "study": kind.study,
            "radiograph": kind.reads_radiographs,
            "window": kind.window,
        }
        for kind in kinds()
    ]


@router.get("/models", response_model=list[ModelBody], responses=answers(401), summary="The models")
def list_models(here: Here) -> Any:
    """Return the models that are installed on the server."""
    return [one.summary() for one in packages(here.settings.model_folders)]


@router.post("/session", status_code=204, responses=answers(401, 403), summary="Sign a page in")
def open_session(request: Request) -> Response:
    """Give a page that sends its token as bearer a cookie, with which pictures and streams of events work."""
    response = Response(status_code=204)
    token = request.scope["state"]["token"]
    if token is not None:
        response.set_cookie(
            COOKIE,
            cookie_for(token),
            max_age=SESSION_SECONDS,
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return response


@router.delete("/session", status_code=204, responses=answers(403), summary="Sign a page out")
def close_session() -> Response:
    """Take the cookie back."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response
