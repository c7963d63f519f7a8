"""What is known of a study on the list: finding, chart, images, masks, pictures, report."""

from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from AcuteFindingsLib.export.dicom_results import MASKS_FILE, REPORT_FILE
from AcuteFindingsLib.jobs.run_study import DICOM_FOLDER
from AcuteFindingsLib.serve import evidence
from AcuteFindingsLib.serve.access import FRAME_POLICY
from AcuteFindingsLib.serve.context import Context
from AcuteFindingsLib.serve.files import file_answer, made_answer
from AcuteFindingsLib.serve.models import packages
from AcuteFindingsLib.serve.problem import Problem, answers, gives
from AcuteFindingsLib.serve.sheet import SheetBody, sheet_of
from AcuteFindingsLib.serve.study_routes import Here, item_of
from AcuteFindingsLib.worklist.viewing import VOLUME

_FRAMED = {"Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}
_NIFTI, _DICOM = "application/gzip", "application/dicom"

router = APIRouter(tags=["results"])


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


def _shown(name: str, media_type: str, summary: str) -> Any:
    """Return what makes a route of a function that answers with a file of a study."""
    address = f"/studies/{{study_id}}/{name}"
    return router.get(address, response_class=Response, responses=gives(media_type, 404), summary=summary)


@_shown("finding", "application/json", "The finding")
def get_finding(study_id: str, here: Here, request: Request) -> Response:
    """Return ``finding.json``: verdict, slices, measurements, warnings, reasons, and how the masks are called."""
    folder = _results(here, study_id)
    return file_answer(request, folder / evidence.FINDING, "application/json", evidence.NO_FINDING)


@router.get("/studies/{study_id}/sheet", response_model=SheetBody, responses=answers(404), summary="In words")
def get_sheet(study_id: str, here: Here) -> Any:
    """Return the finding in the words of panel and report: verdict with its marks, measurements, labels, runs."""
    found = evidence.read_finding(_results(here, study_id))
    with evidence.damage_told():
        return sheet_of(evidence.without_images(found), _packages_of(here, found))


@router.get("/studies/{study_id}/chart", response_model=ChartBody, responses=answers(404), summary="The chart")
def get_chart(study_id: str, here: Here) -> Any:
    """Return the probability of every label on every slice, in numbers."""
    found = evidence.chart(evidence.read_finding(_results(here, study_id)))
    with evidence.damage_told():
        return ChartBody.model_validate(found)


@_shown("chart.svg", "image/svg+xml", "The chart, drawn")
def get_chart_picture(study_id: str, here: Here, request: Request) -> Response:
    """Return the chart as it stands in the report."""
    folder = _results(here, study_id)

    def drawn() -> bytes:
        found = evidence.read_finding(folder)
        return evidence.chart_picture(found, _packages_of(here, found))

    return made_answer(request, f"{evidence.edition(folder)}-c", drawn, "image/svg+xml", **_FRAMED)


@_shown("volume.nii.gz", _NIFTI, "The images")
def get_volume(study_id: str, here: Here, request: Request) -> Response:
    """Return the voxels that were read, in HU or as the radiograph has them."""
    folder = _results(here, study_id)
    if not (folder / VOLUME).is_file() and (folder / evidence.SCENE).is_file():
        return made_answer(
            request, f"{evidence.edition(folder)}-v", partial(evidence.scene_volume_file, folder), _NIFTI
        )
    return file_answer(request, folder / VOLUME, _NIFTI, evidence.NO_IMAGES)


@_shown("mask.nii.gz", _NIFTI, "The masks")
def get_mask(study_id: str, here: Here, request: Request) -> Response:
    """Return one label map on the grid of the images: 1 is the first of the finding's masks, 2 the second …"""
    folder = _results(here, study_id)
    return made_answer(request, f"{evidence.edition(folder)}-m", partial(evidence.mask_file, folder), _NIFTI)


@_shown("heatmap.nii.gz", _NIFTI, "Heat map")
def get_heatmap(study_id: str, here: Here, request: Request) -> Response:
    """Return where the network looked, 0 to 255, on a grid of its own."""
    folder = _results(here, study_id)
    return made_answer(request, f"{evidence.edition(folder)}-h", partial(evidence.heatmap_file, folder), _NIFTI)


@router.get(
    "/studies/{study_id}/pictures", response_model=list[PictureBody], responses=answers(404), summary="Pictures"
)
def list_pictures(study_id: str, here: Here) -> Any:
    """Return the pictures that were drawn, the most telling first."""
    return [
        {**one, "url": f"/api/v1/studies/{study_id}/pictures/{one['n']}"}
        for one in evidence.pictures(_results(here, study_id))
    ]


@_shown("pictures/{n}", "image/png", "A picture")
def get_picture(study_id: str, n: int, here: Here, request: Request) -> Response:
    """Return one picture (PNG)."""
    path = evidence.picture_path(_results(here, study_id), n)
    return file_answer(request, path, "image/png", "This picture was removed meanwhile.")


@_shown("report.html", "text/html", "The report")
def get_report(study_id: str, here: Here, request: Request) -> Response:
    """Return the report, one page that holds all its pictures."""
    path = _results(here, study_id) / "report.html"
    return file_answer(request, path, "text/html", "There is no report for this study.", **_FRAMED)


@_shown("seg", _DICOM, "DICOM Segmentation")
def get_segmentation(study_id: str, here: Here, request: Request) -> Response:
    """Return the masks as DICOM Segmentation."""
    missing = "There is no DICOM Segmentation: the study is not DICOM, nothing was marked, or it was not asked for."
    return _dicom(here, request, study_id, MASKS_FILE, missing)


@_shown("sr", _DICOM, "Structured Report")
def get_structured_report(study_id: str, here: Here, request: Request) -> Response:
    """Return the finding as DICOM Structured Report."""
    missing = "There is no DICOM Structured Report: the study is not DICOM, or it was not asked for."
    return _dicom(here, request, study_id, REPORT_FILE, missing)


@_shown("card", "text/markdown", "The model's card")
def get_card(study_id: str, here: Here) -> Response:
    """Return what is known of the model that gave the verdict, as text (Markdown)."""
    found = _packages_of(here, evidence.read_finding(_results(here, study_id)))
    if not found:
        raise Problem(404, "The model that gave this verdict is not installed here any more.")
    return Response(found[0].read_card_text(), media_type="text/markdown")


@_shown("finding.zip", "application/zip", "Finding, masks")
def get_archive(study_id: str, here: Here, request: Request) -> Response:
    """Return a zip of the finding, its masks and its heat map, as the library reads them."""
    folder = _results(here, study_id)
    return made_answer(
        request, f"{evidence.edition(folder)}-z", partial(evidence.finding_archive, folder), "application/zip"
    )


def _results(here: Context, study_id: str) -> Path:
    """Return the folder of a study that is on the list; its name is made of nothing that a client sent but digits."""
    return here.store.folder.results(item_of(here, study_id).key)


def _packages_of(here: Context, finding: dict[str, Any]) -> Any:
    model = finding.get("model")
    wanted = model.get("id") if isinstance(model, dict) else None
    return [one for one in packages(here.settings.model_folders) if one.id == wanted]


def _dicom(here: Context, request: Request, study_id: str, name: str, missing: str) -> Response:
    shown = {"Content-Disposition": f'attachment; filename="{study_id}-{name}"'}
    return file_answer(request, _results(here, study_id) / DICOM_FOLDER / name, _DICOM, missing, **shown)
