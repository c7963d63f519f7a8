"""Uploads and jobs."""

import asyncio
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from AcuteFindingsLib.detectors.registry import detector_ids
from AcuteFindingsLib.serve.board import MOST_WAITING
from AcuteFindingsLib.serve.context import Context, context_of
from AcuteFindingsLib.serve.events import as_data, event_stream
from AcuteFindingsLib.serve.job_files import Job
from AcuteFindingsLib.serve.models import known_model
from AcuteFindingsLib.serve.problem import Problem, answers, gives
from AcuteFindingsLib.serve.upload import receive_upload
from AcuteFindingsLib.worklist.reading import AUTO
from AcuteFindingsLib.worklist.words import State

MOST_UPLOADING = 16
"""Uploads that may come at the same time."""

_EVERY_SECONDS = 0.25
_BUSY = {"Retry-After": "60"}

router = APIRouter(tags=["jobs"])
Here = Annotated[Context, Depends(context_of)]

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "A zip, DICOM files, NIfTI, NRRD, MetaImage, PNG or JPEG.",
                        },
                        "detector": {"type": "string", "default": AUTO, "maxLength": 64},
                        "model": {
                            "type": "string",
                            "maxLength": 128,
                            "description": "Id of a model, as /models has it.",
                        },
                    },
                }
            }
        },
    }
}


class JobBody(BaseModel):
    """A job."""

    id: str
    state: State
    study: str | None
    studies: list[str]
    text: str
    progress: float
    detector: str
    created: str
    expires: str | None


def job_body(job: Job) -> dict[str, Any]:
    """Return a job as the API says it."""
    return {
        "id": job.id,
        "state": job.state,
        "study": job.studies[0] if job.studies else None,
        "studies": list(job.studies),
        "text": job.text,
        "progress": round(job.progress, 4),
        "detector": job.detector,
        "created": job.created,
        "expires": job.expires,
    }


@router.post(
    "/studies",
    status_code=202,
    response_model=JobBody,
    openapi_extra=_FORM,
    responses=answers(400, 403, 408, 413, 415, 422, 429, 507),
    summary="Upload a study and have it read",
)
async def upload_study(request: Request, here: Here, response: Response) -> Any:
    """Take files of one study, or of several, and answer with the job that reads them."""
    if here.board.waiting >= MOST_WAITING or here.uploading >= MOST_UPLOADING:
        raise Problem(429, "Too many studies wait already; upload this one later.", _BUSY)
    here.uploading += 1
    job = None
    try:
        job = await asyncio.to_thread(here.board.files.new, AUTO, None, here.settings.keep_days)
        length = request.headers.get("content-length", "")
        upload = await receive_upload(
            request.headers.get("content-type", ""),
            int(length) if length.isascii() and length.isdecimal() else 0,
            request.stream(),
            here.board.files.files(job.id),
        )
        detector = upload.fields.get("detector") or AUTO
        if detector not in (AUTO, *detector_ids()):
            raise Problem(422, f"There is no such detector; choose one of {', '.join((AUTO, *detector_ids()))}.")
        model = await asyncio.to_thread(known_model, upload.fields.get("model", ""), here.settings.model_folders)
        job = replace(job, detector=detector, model=model)
        await asyncio.to_thread(here.board.add, job)
    except BaseException as error:
        if job is not None:
            here.board.files.drop(job.id)
        if isinstance(error, ClientDisconnect):
            raise Problem(400, "The upload was cut short; send it again.") from error
        raise
    finally:
        here.uploading -= 1
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job_body(here.board.get(job.id) or job)


@router.get("/jobs", response_model=list[JobBody], summary="The jobs, the newest first")
def list_jobs(here: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Any:
    """Return the jobs that have not expired."""
    return [job_body(here.board.get(job.id) or job) for job in here.board.all()[:limit]]


@router.get("/jobs/{job_id}", response_model=JobBody, responses=answers(404), summary="One job")
def get_job(job_id: str, here: Here) -> Any:
    """Return what has become of a job so far."""
    return job_body(_job(here, job_id))


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    responses=gives("text/event-stream", 404, 503),
    summary="One job as it changes",
)
def job_events(job_id: str, here: Here, request: Request) -> Response:
    """Stream server-sent events named ``job``, whose data is the job; the last one says how it ended."""
    _job(here, job_id)

    def look() -> tuple[str | None, bool]:
        job = here.board.get(job_id)
        return (None, True) if job is None else (as_data(job_body(job)), job.ended)

    return event_stream(here, request, "job", look, _EVERY_SECONDS)


@router.delete("/jobs/{job_id}", status_code=204, responses=answers(403, 404), summary="Stop a job, forget its upload")
def delete_job(job_id: str, here: Here) -> Response:
    """Stop a job if it is not done, and remove what was uploaded; studies that were read stay on the list."""
    if not here.board.remove(job_id):
        raise _no_job()
    return Response(status_code=204)


def _job(here: Context, job_id: str) -> Job:
    job = here.board.get(job_id)
    if job is None:
        raise _no_job()
    return job


def _no_job() -> Problem:
    return Problem(404, "There is no such job; it was deleted, or it has expired.")
