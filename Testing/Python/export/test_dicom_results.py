"""The files as a PACS gets them: valid by dciodvfy, each a series of its own, whole or not there."""

import runpy
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from highdicom import imread
from highdicom.seg import segread
from highdicom.sr import srread
from PIL import Image

from AcuteFindingsLib.detectors.finding import Finding, Heatmap
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import CancelledError, ExportError
from AcuteFindingsLib.export.dicom_results import SC, SEG, SR, CapturedPicture, DicomResults, write_dicom_results
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

cases = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dicom_cases.py"))))

PHANTOMS = {
    "hemorrhage": ("head-ct", {"matrix": 96, "slice_spacing": 10}),
    "pe": ("ctpa", {"matrix": 96, "slice_spacing": 8}),
    "pneumothorax": ("chest-xray", {"size": 192}),
}
FILES = {
    "hemorrhage": ["segmentation.dcm", "report.dcm", "picture.dcm"],
    "pe": ["heatmap.dcm", "report.dcm", "picture.dcm"],
    "pneumothorax": ["segmentation.dcm", "heatmap.dcm", "report.dcm", "picture.dcm"],
}


def found_in(study: Study, detector: str, masks: dict[str, np.ndarray]) -> Finding:
    """A finding with the phantom's truth as masks; of PE a heat map on a grid of its own."""
    if detector == "pe":
        heat = np.random.default_rng(4).integers(0, 256, (20, 48, 48)).astype(np.uint8)
        heat[:3] = heat[-4:] = heat[9] = 0
        own = study.ijk_to_ras @ np.array([[2.0, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 0.375, 0], [0, 0, 0, 1.0]])
        return cases.make_finding(study, detector, heatmap=Heatmap("Grad-CAM of the slice encoder", heat, own))
    lesion = replace(cases.BLEED, array=next(iter(masks.values())))
    if detector == "hemorrhage":
        return cases.make_finding(study, detector, masks=(lesion,))
    outline = cases.make_mask("Pneumothorax", masks["pneumothorax"], "36118008")
    lung = cases.make_mask("Right lung", cases.blob(study.array.shape), "3341006", category=cases.ANATOMICAL)
    heat = (200 * outline.array).astype(np.uint8)
    return cases.make_finding(
        study, detector, masks=(outline, lung), heatmap=Heatmap("Grad-CAM", heat, study.ijk_to_ras)
    )


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> CapturedPicture:
    path = tmp_path_factory.mktemp("picture") / "chart.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 61, 3)).astype(np.uint8)).save(path)
    return CapturedPicture(path, "Probability per slice — highest at slice 12.")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, picture: CapturedPicture) -> Callable[[str], SimpleNamespace]:
    """Study, finding and DICOM results of a detector's phantom, each made once."""
    made: dict[str, SimpleNamespace] = {}

    def make(detector: str) -> SimpleNamespace:
        if detector not in made:
            folder = tmp_path_factory.mktemp(detector)
            kind, size = PHANTOMS[detector]
            phantom = make_phantom(kind, 900_001, positive=True, **size)
            study = read_study(write_phantom(phantom, folder) / "dicom", requirements=find_kind(detector).requirements)
            lesions = {name: mask for name, mask in phantom.masks.items() if mask.any()}
            finding = found_in(study, detector, lesions)
            written = write_dicom_results(finding, study, folder / "out", kinds=(SEG, SR, SC), picture=picture)
            made[detector] = SimpleNamespace(study=study, finding=finding, written=written, folder=folder)
        return made[detector]

    return make


def names(written: DicomResults) -> list[str]:
    return [file.name for file in written.files]


@pytest.mark.slow
@pytest.mark.parametrize("detector", list(PHANTOMS))
def test_dciodvfy_finds_no_error(
    results: Callable, detector: str, record_property: Callable[[str, object], None]
) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not here: apt-get install dicom3tools")
    made = results(detector)
    assert names(made.written) == FILES[detector]
    for file in made.written.files:
        answer = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        said = (answer.stdout + answer.stderr).strip()
        record_property("log", f"dciodvfy {detector} {file.name} (exit status {answer.returncode}):\n{said}")
        assert not [line for line in said.splitlines() if line.startswith("Error")], said
        assert answer.returncode == 0


@pytest.mark.slow
def test_masks_of_phantoms_are_read_back_from_the_files(results: Callable) -> None:
    head = results("hemorrhage")
    volume = segread(head.written.files[0]).get_volume(allow_missing_positions=True).squeeze_channel()
    mask = head.finding.masks[0].array
    assert mask.any()
    assert np.array_equal(cases.on_grid(volume, mask.shape, head.study.ijk_to_ras), mask)
    chest = results("pneumothorax")
    found = segread(chest.written.files[0]).get_pixels_by_source_instance([chest.study.sources[0].sop_instance_uid])
    for number, mask in enumerate(chest.finding.masks):
        assert np.array_equal(found[..., number], mask.array)
    pe = results("pe")
    volume = segread(pe.written.files[0]).get_volume(allow_missing_positions=True, rescale_fractional=False)
    heat = pe.finding.heatmap
    assert np.array_equal(cases.on_grid(volume.squeeze_channel(), heat.array.shape, heat.ijk_to_ras), heat.array)


def test_report_refers_to_the_segmentation_beside_it(results: Callable) -> None:
    made = results("hemorrhage")
    masks, report = made.written.files[:2]
    (group,) = srread(report).content.get_volumetric_roi_measurement_groups()
    assert group.referenced_segment.referenced_sop_instance_uid == pydicom.dcmread(masks).SOPInstanceUID


def test_picture_is_kept_pixel_by_pixel(results: Callable, picture: CapturedPicture) -> None:
    made = imread(results("pe").written.files[-1])
    with Image.open(picture.path) as image:
        assert np.array_equal(made.get_frame(1), np.asarray(image))
    assert made.ImageComments == "Probability per slice - highest at slice 12."
    assert made.BurnedInAnnotation == "NO"
    assert made.Modality == "OT"


def test_every_object_is_a_series_of_its_own_with_new_uids(results: Callable, tmp_path: Path) -> None:
    made = results("pneumothorax")
    again = write_dicom_results(made.finding, made.study, tmp_path)
    headers = [pydicom.dcmread(file) for file in (*made.written.files, *again.files)]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        uids = {header[keyword].value for header in headers}
        assert len(uids) == len(headers)
        assert made.study.dicom.series_instance_uid not in uids
    assert {header.StudyInstanceUID for header in headers} == {made.study.dicom.study_instance_uid}
    assert [header.SeriesNumber for header in headers[:4]] == [101, 102, 103, 104]


@pytest.mark.slow
def test_an_empty_finding_has_a_report_and_says_why_no_segmentation(results: Callable, tmp_path: Path) -> None:
    made = results("hemorrhage")
    empty = replace(made.finding, masks=(replace(made.finding.masks[0], array=made.finding.masks[0].array * 0),))
    written = write_dicom_results(empty, made.study, tmp_path)
    assert names(written) == ["report.dcm"]
    assert written.remarks == ("No DICOM segmentation of the masks was written: they are empty.",)
    with pytest.raises(ExportError, match="nothing to write"):
        write_dicom_results(empty, made.study, tmp_path / "only", kinds=(SEG,))


@pytest.mark.slow
def test_stopping_leaves_no_file(results: Callable, tmp_path: Path) -> None:
    made = results("hemorrhage")

    def stop(_text: str, fraction: float) -> None:
        if fraction >= 0.9:
            raise CancelledError("Stopped on request; nothing was written.")

    with pytest.raises(CancelledError):
        write_dicom_results(made.finding, made.study, tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told(results: Callable, tmp_path: Path) -> None:
    made = results("pneumothorax")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ExportError, match="could not be written"):
        write_dicom_results(made.finding, made.study, tmp_path / "file", kinds=(SEG,))


def test_a_missing_package_is_named(results: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = results("pneumothorax")
    monkeypatch.setattr("AcuteFindingsLib.export.dicom_results.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ExportError, match="pip install"):
        write_dicom_results(made.finding, made.study, tmp_path)
