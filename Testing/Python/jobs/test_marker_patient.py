"""Nothing that names a patient, and no free text of any series, reaches a result that is not DICOM."""

import shutil
import zipfile
from pathlib import Path

import pydicom
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.study.reader import read_study

MARK = "Zqxmark"
OF_THE_PATIENT = {
    "PatientName": f"{MARK}^Name",
    "PatientID": f"{MARK}-id",
    "OtherPatientNames": f"{MARK}^Other",
    "PatientComments": f"{MARK} comments",
    "AccessionNumber": f"{MARK}-acc",
    "InstitutionName": f"{MARK} hospital",
    "InstitutionAddress": f"{MARK} street",
    "ReferringPhysicianName": f"{MARK}^Referring",
    "OperatorsName": f"{MARK}^Operator",
    "StudyID": f"{MARK}-st",
    "StationName": f"{MARK}-station",
    "PatientAddress": f"{MARK} town",
}
FREE_TEXT = {
    "StudyDescription": f"{MARK} study",
    "SeriesDescription": f"{MARK} series",
    "ProtocolName": f"{MARK} protocol",
    "ImageComments": f"{MARK} image",
    "RequestedProcedureDescription": f"{MARK} request",
    "AdditionalPatientHistory": f"{MARK} history",
}


@pytest.fixture(scope="module")
def marked(head_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head CT marked in every text, beside another series, a damaged file and a strange one, all marked too."""
    folder = tmp_path_factory.mktemp(f"{MARK}-folder") / f"{MARK}^Jane"
    shutil.copytree(head_ct, folder)
    files = sorted(folder.rglob("*.dcm"))
    for number, file in enumerate(files):
        image = pydicom.dcmread(file)
        for keyword, text in {**OF_THE_PATIENT, **FREE_TEXT}.items():
            setattr(image, keyword, text)
        image.save_as(file)
        if number < 4:
            image.SeriesInstanceUID, image.SeriesNumber = "1.2.3.4", 9
            image.SeriesDescription = f"{MARK} other series"
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
            image.save_as(file.with_name(f"{MARK}-other-{number}.dcm"))
    (folder / f"{MARK}-damaged.dcm").write_bytes(files[0].read_bytes()[:3000])
    (folder / f"{MARK}-notes.txt").write_text(f"{MARK} wrote this", encoding="utf-8")
    (folder / f"{MARK}-empty.dcm").write_bytes(b"")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its path, those in archives too."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        found[name] = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found |= {f"{name}/{inner}": archive.read(inner) for inner in archive.namelist()}
    return found


def names_marked(files: dict[str, bytes]) -> list[str]:
    """Return the files in whose name or bytes the mark stands, in any usual way of writing it."""
    ways = [way for text in (MARK, MARK.lower(), MARK.upper()) for way in (text.encode(), text.encode("utf-16-le"))]
    return [name for name, data in files.items() if MARK.lower() in name.lower() or any(way in data for way in ways)]


@pytest.mark.slow
def test_no_result_but_dicom_names_the_patient_or_quotes_a_series(
    marked: Path, tiny_models: Path, tmp_path: Path
) -> None:
    result = run_study(
        StudyRequest(
            source=marked,
            out=tmp_path / "out",
            detector="hemorrhage",
            model_folders=(tiny_models,),
            force=True,
            dicom=True,
            dicom_chart=True,
        )
    )
    files = contents(tmp_path / "out")
    assert {"finding.json", "report.html", "acutefindings-files.json"} <= set(files)
    assert result.pictures
    assert any(notice.severity == "warn" for notice in result.finding.warnings), "nothing was said of the damaged file"
    assert not names_marked({name: data for name, data in files.items() if not name.startswith("dicom/")})
    assert not any(MARK in notice.text for notice in result.finding.warnings)


@pytest.mark.slow
def test_dicom_results_hold_the_identity_and_the_study_they_belong_to_and_no_other_series(
    marked: Path, tiny_models: Path, tmp_path: Path
) -> None:
    request = StudyRequest(
        source=marked,
        out=tmp_path / "out",
        detector="hemorrhage",
        model_folders=(tiny_models,),
        force=True,
        dicom=True,
        dicom_chart=True,
    )
    for file in run_study(request).dicom:
        made = pydicom.dcmread(file)
        assert str(made.PatientName) == OF_THE_PATIENT["PatientName"]
        quoted = {element.keyword for element in made.iterall() if MARK in str(element.value) and element.VR != "SQ"}
        # Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1) and the place, as every object of that study has.
        assert quoted <= {
            "PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName", "StudyID", "StudyDescription",
            "OtherPatientNames", "PatientComments", "PatientAddress", "AdditionalPatientHistory", "InstitutionName",
            "InstitutionAddress", "StationName",
        }  # fmt: skip
        assert "other series" not in file.read_bytes().decode("latin-1")


def test_what_reading_says_of_a_study_names_nobody(marked: Path) -> None:
    study = read_study(marked, requirements=find_kind("hemorrhage").requirements)
    assert study.notices
    assert not any(MARK in notice.text for notice in study.notices)


def test_an_error_quotes_no_header(marked: Path, tiny_models: Path, tmp_path: Path) -> None:
    for file in marked.rglob("*.dcm"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "in" / f"{len(list((tmp_path / 'in').iterdir()))}.dcm")
    request = StudyRequest(tmp_path / "in", tmp_path / "out", "pneumothorax", model_folders=(tiny_models,))
    with pytest.raises(AcuteFindingsError) as told:
        run_study(request)
    assert MARK not in str(told.value)
