"""The list and what is known of each study on it."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from AcuteFindingsLib.detectors.registry import known_kind
from AcuteFindingsLib.export.dicom_results import MASKS_FILE, REPORT_FILE
from AcuteFindingsLib.jobs.run_study import DICOM_FOLDER
from AcuteFindingsLib.serve import evidence
from AcuteFindingsLib.serve.access import FRAME_POLICY
from AcuteFindingsLib.serve.context import Context, context_of
from AcuteFindingsLib.serve.events import as_data, event_stream
from AcuteFindingsLib.serve.files import file_answer, made_answer
from AcuteFindingsLib.serve.models import packages
from AcuteFindingsLib.serve.problem import Problem, answers
from AcuteFindingsLib.serve.removal import remove_study
from AcuteFindingsLib.worklist.item import WorklistItem, by_urgency
from AcuteFindingsLib.worklist.listing import finding_words
from AcuteFindingsLib.worklist.viewing import VOLUME
from AcuteFindingsLib.worklist.words import ReaderAnswer, State

_KEY = re.compile(r"[0-9a-f]{20}")
_EVERY_SECONDS = 1.0
_MOST_LISTED = 1000
_FRAMED = {"Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}
_NIFTI, _DICOM = "application/gzip", "application/dicom"

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


class PictureBody(BaseModel):
    """A picture of a finding."""

    n: int
    kind: str
    caption: str
    url: str


class SliceBody(BaseModel):
    """A slice of a chart."""

    index: int
    number: int
    k: float
    probabilities: dict[str, float]
    position_ras: list[float]
    positive: bool


class ChartBody(BaseModel):
    """The probabilities of the slices."""

    labels: list[str]
    threshold: float
    slices: list[SliceBody]
    runs: list[list[int]]


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
    responses={**answers(503), 200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    summary="When the list changes",
)
def list_events(here: Here, request: Request) -> Response:
    """Stream server-sent events named ``list``: one at the start, and one whenever the list has changed."""

    def look() -> tuple[str | None, bool]:
        return as_data({"edition": f"{hash(here.store.edition()) & 0xFFFFFFFF:08x}"}), False

    return event_stream(here, request, "list", look, _EVERY_SECONDS)


@router.get("/studies/{study_id}", response_model=ItemBody, responses=answers(404), summary="One study")
def get_study(study_id: str, here: Here) -> Any:
    """Return one row of the list."""
    _item(here, study_id)
    for place, item in enumerate(by_urgency(here.store.items(), here.store.settings), 1):
        if item.key == study_id:
            return item_body(item, place)
    raise _no_study()


@router.delete("/studies/{study_id}", status_code=204, responses=answers(403, 404, 409), summary="Remove a study")
def delete_study(study_id: str, here: Here) -> Response:
    """Remove the results of a study that was uploaded here, with its answers."""
    _item(here, study_id)
    remove_study(here.store, study_id)
    return Response(status_code=204)


@router.post(
    "/studies/{study_id}/answer", status_code=204, responses=answers(403, 404, 422), summary="Answer a verdict"
)
def answer_study(study_id: str, said: AnswerBody, here: Here, request: Request) -> Response:
    """Keep what a reader says; the last answer counts. Without a reader's name it is that of the token."""
    _item(here, study_id)
    token = request.scope["state"]["token"]
    reader = said.reader or (token.name if token is not None else "")
    here.store.answer(study_id, said.answer, reader=reader, note=said.note)
    return Response(status_code=204)


@router.get("/studies/{study_id}/finding", response_class=Response, responses=answers(404), summary="The finding")
def get_finding(study_id: str, here: Here, request: Request) -> Response:
    """Return ``finding.json``: verdict, slices, measurements, warnings, reasons, and how the masks are called."""
    folder = _results(here, study_id)
    return file_answer(request, folder / evidence.FINDING, "application/json", _NO_FINDING)


@router.get("/studies/{study_id}/chart", response_model=ChartBody, responses=answers(404), summary="The chart")
def get_chart(study_id: str, here: Here) -> Any:
    """Return the probability of every label on every slice, in numbers."""
    return evidence.chart(evidence.read_finding(_results(here, study_id)))


@router.get(
    "/studies/{study_id}/chart.svg", response_class=Response, responses=answers(404), summary="The chart, drawn"
)
def get_chart_picture(study_id: str, here: Here, request: Request) -> Response:
    """Return the chart as it stands in the report."""
    folder = _results(here, study_id)
    which = evidence.edition(folder)
    found = evidence.read_finding(folder)
    drawn = evidence.chart_picture(found, _packages_of(here, found))
    return made_answer(request, which, drawn, "image/svg+xml", **_FRAMED)


@router.get("/studies/{study_id}/volume.nii.gz", response_class=Response, responses=answers(404), summary="The images")
def get_volume(study_id: str, here: Here, request: Request) -> Response:
    """Return the voxels that were read, in HU or as the radiograph has them."""
    missing = "The images of this study are not kept with its results."
    return file_answer(request, _results(here, study_id) / VOLUME, _NIFTI, missing)


@router.get("/studies/{study_id}/mask.nii.gz", response_class=Response, responses=answers(404), summary="The masks")
def get_mask(study_id: str, here: Here, request: Request) -> Response:
    """Return one label map on the grid of the images: 1 is the first of the finding's masks, 2 the second …"""
    folder = _results(here, study_id)
    return made_answer(request, f"{evidence.edition(folder)}-m", evidence.mask_file(folder), _NIFTI)


@router.get("/studies/{study_id}/heatmap.nii.gz", response_class=Response, responses=answers(404), summary="Heat map")
def get_heatmap(study_id: str, here: Here, request: Request) -> Response:
    """Return where the network looked, 0 to 255, on a grid of its own."""
    folder = _results(here, study_id)
    return made_answer(request, f"{evidence.edition(folder)}-h", evidence.heatmap_file(folder), _NIFTI)


@router.get(
    "/studies/{study_id}/pictures", response_model=list[PictureBody], responses=answers(404), summary="Pictures"
)
def list_pictures(study_id: str, here: Here) -> Any:
    """Return the pictures that were drawn, the most telling first."""
    return [
        {**one, "url": f"/api/v1/studies/{study_id}/pictures/{one['n']}"}
        for one in evidence.pictures(_results(here, study_id))
    ]


@router.get("/studies/{study_id}/pictures/{n}", response_class=Response, responses=answers(404), summary="A picture")
def get_picture(study_id: str, n: int, here: Here, request: Request) -> Response:
    """Return one picture (PNG)."""
    path = evidence.picture_path(_results(here, study_id), n)
    return file_answer(request, path, "image/png", "This picture was removed meanwhile.")


@router.get("/studies/{study_id}/report.html", response_class=Response, responses=answers(404), summary="The report")
def get_report(study_id: str, here: Here, request: Request) -> Response:
    """Return the report, one page that holds all its pictures."""
    path = _results(here, study_id) / "report.html"
    return file_answer(request, path, "text/html", "There is no report for this study.", **_FRAMED)


@router.get("/studies/{study_id}/seg", response_class=Response, responses=answers(404), summary="DICOM Segmentation")
def get_segmentation(study_id: str, here: Here, request: Request) -> Response:
    """Return the masks as DICOM Segmentation."""
    missing = "There is no DICOM Segmentation: the study is not DICOM, nothing was marked, or it was not asked for."
    return _dicom(here, request, study_id, MASKS_FILE, missing)


@router.get("/studies/{study_id}/sr", response_class=Response, responses=answers(404), summary="Structured Report")
def get_structured_report(study_id: str, here: Here, request: Request) -> Response:
    """Return the finding as DICOM Structured Report."""
    missing = "There is no DICOM Structured Report: the study is not DICOM, or it was not asked for."
    return _dicom(here, request, study_id, REPORT_FILE, missing)


@router.get("/studies/{study_id}/card", response_class=Response, responses=answers(404), summary="The model's card")
def get_card(study_id: str, here: Here) -> Response:
    """Return what is known of the model that gave the verdict, as text (Markdown)."""
    found = _packages_of(here, evidence.read_finding(_results(here, study_id)))
    if not found:
        raise Problem(404, "The model that gave this verdict is not installed here any more.")
    return Response(found[0].read_card_text(), media_type="text/markdown")


@router.get(
    "/studies/{study_id}/finding.zip", response_class=Response, responses=answers(404), summary="Finding, masks"
)
def get_archive(study_id: str, here: Here, request: Request) -> Response:
    """Return a zip of the finding, its masks and its heat map, as the library reads them."""
    folder = _results(here, study_id)
    return made_answer(request, f"{evidence.edition(folder)}-z", evidence.finding_archive(folder), "application/zip")


_NO_FINDING = "There is no finding for this study; it was refused, or could not be read."


def _no_study() -> Problem:
    return Problem(404, "There is no such study on the list; it was removed, or it has expired.")


def _item(here: Context, study_id: str) -> WorklistItem:
    item = here.store.item(study_id) if _KEY.fullmatch(study_id) else None
    if item is None:
        raise _no_study()
    return item


def _results(here: Context, study_id: str) -> Path:
    """Return the folder of a study that is on the list; its name is made of nothing that a client sent but digits."""
    return here.store.folder.results(_item(here, study_id).key)


def _packages_of(here: Context, finding: dict[str, Any]) -> Any:
    model = finding.get("model")
    wanted = model.get("id") if isinstance(model, dict) else None
    return [one for one in packages(here.settings.model_folders) if one.id == wanted]


def _dicom(here: Context, request: Request, study_id: str, name: str, missing: str) -> Response:
    shown = {"Content-Disposition": f'attachment; filename="{study_id}-{name}"'}
    return file_answer(request, _results(here, study_id) / DICOM_FOLDER / name, _DICOM, missing, **shown)
