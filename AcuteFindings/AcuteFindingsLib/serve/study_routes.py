"""The list and what is known of each study on it."""

import re
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from AcuteFindingsLib.detectors.registry import known_kind
from AcuteFindingsLib.serve.context import Context, context_of
from AcuteFindingsLib.serve.events import as_data, event_stream
from AcuteFindingsLib.serve.problem import Problem, answers, gives
from AcuteFindingsLib.serve.removal import remove_study
from AcuteFindingsLib.worklist.item import WorklistItem, by_urgency
from AcuteFindingsLib.worklist.listing import finding_words
from AcuteFindingsLib.worklist.words import ReaderAnswer, State

_KEY = re.compile(r"[0-9a-f]{20}")
_EVERY_SECONDS = 1.0
_MOST_LISTED = 1000

router = APIRouter(tags=["studies"])
Here = Annotated[Context, Depends(context_of)]


class ItemBody(BaseModel):
    """One study with one detector, as the list has it."""

    id: str
    detector: str
    state: State
    study_uid: str
    series_uid: str
    arrived: str
    finished: str
    verdict: str | None
    probability: float | None
    urgency: float
    model: str
    said: str
    answer: str
    reader: str
    note: str
    answered: str
    standing: int
    finding_words: str
    radiograph: bool


class ListBody(BaseModel):
    """A part of the list."""

    total: int
    studies: list[ItemBody]


class AnswerBody(BaseModel):
    """What a reader says of a verdict."""

    answer: ReaderAnswer
    reader: str = Field(default="", max_length=128)
    note: str = Field(default="", max_length=2000)


def item_body(item: WorklistItem, standing: int) -> dict[str, Any]:
    """Return a row of the list as the API says it; `standing` is its place, from 1."""
    kind = known_kind(item.detector)
    row = asdict(item)
    return {
        "id": row.pop("key"),
        **row,
        "standing": standing,
        "finding_words": finding_words(item.detector),
        "radiograph": kind is not None and kind.reads_radiographs,
    }


@router.get("/studies", response_model=ListBody, responses=answers(422), summary="The list, the most urgent first")
def list_studies(
    here: Here,
    state: State | None = None,
    detector: Annotated[str | None, Query(max_length=64)] = None,
    verdict: Literal["positive", "indeterminate", "negative"] | None = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 200,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Any:
    """Return studies in the order in which they are to be looked at, those that nobody answered first."""
    ordered = list(enumerate(by_urgency(here.store.items(), here.store.settings), 1))
    found = [
        (place, item)
        for place, item in ordered
        if state in (None, item.state) and detector in (None, item.detector) and verdict in (None, item.verdict)
    ]
    shown = found[offset : offset + limit]
    return {"total": len(found), "studies": [item_body(item, place) for place, item in shown]}


@router.get(
    "/studies/events",
    response_class=Response,
    responses=gives("text/event-stream", 503),
    summary="When the list changes",
)
def list_events(here: Here, request: Request) -> Response:
    """Stream server-sent events named ``list``: one at the start, and one whenever the list has changed."""

    def look() -> tuple[str | None, bool]:
        return as_data({"edition": here.edition()}), False

    return event_stream(here, request, "list", look, _EVERY_SECONDS)


@router.get("/studies/{study_id}", response_model=ItemBody, responses=answers(404), summary="One study")
def get_study(study_id: str, here: Here) -> Any:
    """Return one row of the list."""
    item_of(here, study_id)
    for place, item in enumerate(by_urgency(here.store.items(), here.store.settings), 1):
        if item.key == study_id:
            return item_body(item, place)
    raise _no_study()


@router.delete("/studies/{study_id}", status_code=204, responses=answers(403, 404, 409), summary="Remove a study")
def delete_study(study_id: str, here: Here) -> Response:
    """Remove the results of a study that was uploaded here, with its answers."""
    item_of(here, study_id)
    remove_study(here.store, study_id)
    return Response(status_code=204)


@router.post(
    "/studies/{study_id}/answer", status_code=204, responses=answers(403, 404, 422), summary="Answer a verdict"
)
def answer_study(study_id: str, said: AnswerBody, here: Here, request: Request) -> Response:
    """Keep what a reader says; the last answer counts. Without a reader's name it is that of the token."""
    item_of(here, study_id)
    token = request.scope["state"]["token"]
    reader = said.reader or (token.name if token is not None else "")
    here.store.answer(study_id, said.answer, reader=reader, note=said.note)
    return Response(status_code=204)


def _no_study() -> Problem:
    return Problem(404, "There is no such study on the list; it was removed, or it has expired.")


def item_of(here: Context, study_id: str) -> WorklistItem:
    """Return the row of a study; raises `Problem` where the list has none."""
    item = here.store.item(study_id) if _KEY.fullmatch(study_id) else None
    if item is None:
        raise _no_study()
    return item
