"""DICOM results from a run of the command's job and from the worker's jobs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from highdicom.sr import srread

from AcuteFindingsLib.detectors.finding import mask_of
from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.errors import CancelledError, ExportError, SceneError
from AcuteFindingsLib.jobs.arrays import save_result, save_study
from AcuteFindingsLib.jobs.messages import Request
from AcuteFindingsLib.jobs.results_folder import results_folder
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.jobs.worker_jobs import JOBS
from AcuteFindingsLib.jobs.write_results import StudyResult
from AcuteFindingsLib.scene import pictures
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def without_scene() -> Any:
    """Leave out what takes longest: this machine has no Slicer libraries."""

    def missing(*_, **__):
        raise SceneError("Slicer's libraries could not be loaded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("AcuteFindingsLib.scene.bundle.write_scene", missing)
        patch.setattr(pictures, "offscreen_rendering_problem", lambda: "Slicer's libraries could not be loaded")
        yield


@pytest.fixture(scope="module")
def head_run(head_ct: Path, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    request = StudyRequest(
        source=head_ct,
        out=tmp_path_factory.mktemp("head-run") / "out",
        detector="hemorrhage",
        model_folders=(tiny_models,),
        model="tiny-hemorrhage",
        dicom=True,
        dicom_chart=True,
        force=True,
    )
    return run_study(request)


@pytest.fixture
def handed_over(head_run: StudyResult, head_ct: Path, tmp_path: Path) -> tuple[dict[str, str], Study]:
    """A result with a mask, as the application hands it to the worker."""
    study = read_study(head_ct)
    mask = np.zeros(study.array.shape, np.uint8)
    mask[3:6, 40:60, 50:80] = 1
    masks = (mask_of(KIND.segments[0], mask),)
    save_result(replace(head_run.finding, masks=masks), tmp_path / "result")
    save_study(study, tmp_path / "study", dtype=np.int16)
    fields = {name: str(tmp_path / name) for name in ("result", "study", "out")}
    return fields, study


def ask(job: str, fields: dict[str, str], *, cancelled: bool = False) -> dict[str, Any]:
    tools = Tools(progress=lambda _text, _fraction: None, cancelled=lambda: cancelled)
    return JOBS[job](Request(1, job, fields), tools)


def test_a_run_writes_dicom_beside_its_results(head_run: StudyResult) -> None:
    names = [path.name for path in head_run.dicom]
    assert names[-2:] == ["report.dcm", "picture.dcm"]
    assert {path.parent.name for path in head_run.dicom} == {"dicom"}
    report = srread(head_run.dicom[-2])
    (verdict,) = (
        group
        for group in report.content.get_image_measurement_groups()
        if group.tracking_identifier == "Hemorrhage: verdict"
    )
    assert verdict.get_measurements()[0].value == pytest.approx(head_run.finding.verdict.probability, abs=1e-6)
    assert head_run.finding.model.sha256 in verdict[0].to_json()


def test_dicom_of_an_earlier_run_does_not_stay(
    head_run: StudyResult, chest_xray: Path, tiny_models: Path, tmp_path: Path
) -> None:
    with results_folder(tmp_path / "out", entries=("finding.json", "dicom")) as work:
        (work / "dicom").mkdir()
        (work / "finding.json").write_text("{}", encoding="utf-8")
        (work / "dicom" / "segmentation.dcm").write_bytes(b"of another patient")
    request = StudyRequest(
        source=chest_xray,
        out=tmp_path / "out",
        detector="pneumothorax",
        model_folders=(tiny_models,),
        model="tiny-pneumothorax",
        force=True,
    )
    assert run_study(request).dicom == ()
    assert not (tmp_path / "out" / "dicom").exists()


def test_dicom_files_of_the_user_are_in_the_way_of_dicom_results(head_ct: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "dicom").mkdir(parents=True)
    (tmp_path / "out" / "dicom" / "IM0001.dcm").write_bytes(b"the user's own")
    request = StudyRequest(source=head_ct, out=tmp_path / "out", detector="hemorrhage", dicom=True)
    with pytest.raises(ExportError, match=r"dicom/IM0001\.dcm"):
        run_study(request)
    assert (tmp_path / "out" / "dicom" / "IM0001.dcm").read_bytes() == b"the user's own"


def test_dicom_of_what_is_no_dicom_is_refused_before_the_run(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.arange(65536, dtype=np.uint32).astype(np.uint8).reshape(256, 256)).save(tmp_path / "a.png")
    request = StudyRequest(source=tmp_path / "a.png", out=tmp_path / "out", detector="pneumothorax", dicom=True)
    with pytest.raises(ExportError, match="not read from DICOM"):
        run_study(request)
    assert not (tmp_path / "out").exists()


def test_worker_writes_the_segmentation(handed_over: tuple[dict[str, str], Study]) -> None:
    fields, study = handed_over
    answer = ask("dicom_seg", fields)
    assert [Path(file).name for file in answer["files"]] == ["segmentation.dcm"]
    assert answer["folder"] == fields["out"]
    uids = [source.sop_instance_uid for source in study.sources]
    found = segread(answer["files"][0]).get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    assert found.sum() == 3 * 20 * 30


def test_worker_writes_the_report_with_the_segmentation_it_refers_to(handed_over: tuple[dict[str, str], Study]) -> None:
    fields, _ = handed_over
    answer = ask("dicom_sr", fields)
    masks, report = answer["files"]
    (group,) = srread(report).content.get_volumetric_roi_measurement_groups()
    assert group.referenced_segment.referenced_sop_instance_uid == pydicom.dcmread(masks).SOPInstanceUID


def test_worker_writes_the_chart(handed_over: tuple[dict[str, str], Study]) -> None:
    fields, study = handed_over
    (file,) = ask("dicom_sc", fields)["files"]
    made = pydicom.dcmread(file)
    assert made.SOPClassUID.name == "Secondary Capture Image Storage"
    assert made.StudyInstanceUID == study.dicom.study_instance_uid
    assert "chart" in made.ImageComments.lower() or "probability" in made.ImageComments.lower()


def test_a_cancelled_job_leaves_nothing(handed_over: tuple[dict[str, str], Study]) -> None:
    fields, _ = handed_over
    with pytest.raises(CancelledError):
        ask("dicom_sr", fields, cancelled=True)
    assert not Path(fields["out"]).exists()


def test_a_volume_whose_files_are_unknown_is_refused(handed_over: tuple[dict[str, str], Study], tmp_path: Path) -> None:
    fields, study = handed_over
    from_a_node = replace(study, sources=tuple(replace(source, file=None) for source in study.sources))
    save_study(from_a_node, tmp_path / "study", dtype=np.int16)
    with pytest.raises(ExportError, match="no longer known"):
        ask("dicom_seg", fields)
