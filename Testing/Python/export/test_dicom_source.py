"""What DICOM results take from the source instances, and what they refuse."""

import logging
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset

from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.export.dicom_object import making
from AcuteFindingsLib.export.dicom_results import MASKS_FILE, REPORT_FILE, require_dicom, write_dicom_results
from AcuteFindingsLib.export.dicom_source import read_instances
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

NAME = "Müller^Zoë"

cases = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dicom_cases.py"))))


def bleeding(study: Study):
    return cases.make_finding(study, masks=(replace(cases.BLEED, array=cases.blob(study.array.shape)),))


def series(folder: Path, **attributes) -> Study:
    fields = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": NAME, "PatientID": "4711", **attributes}
    cases.write_series(folder, cases.hu(), **fields)
    return read_study(folder)


def test_patient_and_study_are_those_of_the_images(tmp_path: Path) -> None:
    given = {
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "PatientAge": "074Y",
        "AccessionNumber": "A-1",
        "StudyID": "S1",
        "StudyDate": "20240102",
        "StudyTime": "080000",
        "StudyDescription": "Head",
        "ReferringPhysicianName": "Ärztin^Anna",
    }
    study = series(tmp_path / "in", **given)
    for file in write_dicom_results(bleeding(study), study, tmp_path / "out").files:
        made = pydicom.dcmread(file)
        assert str(made.PatientName) == NAME
        assert made.PatientID == "4711"
        assert {keyword: str(made[keyword].value) for keyword in given} == given
        assert made.StudyInstanceUID == study.dicom.study_instance_uid


def test_what_a_header_lacks_is_empty_in_the_result(tmp_path: Path) -> None:
    study = series(tmp_path / "in")
    for file in write_dicom_results(bleeding(study), study, tmp_path / "out").files:
        made = pydicom.dcmread(file)
        assert not made.PatientBirthDate
        assert not made.AccessionNumber


def test_an_anonymised_header_gives_a_valid_result(tmp_path: Path) -> None:
    study = series(tmp_path / "in", PatientIdentityRemoved="YES", DeidentificationMethod="", PatientAge="")
    for file in write_dicom_results(bleeding(study), study, tmp_path / "out").files:
        made = pydicom.dcmread(file)
        assert made.DeidentificationMethod == "Not stated"
        assert "PatientAge" not in made


@pytest.mark.parametrize(
    "wrong",
    [
        {"PatientSex": "U"},
        {"PatientSex": "female"},
        {"PatientBirthDate": "02.01.1950"},
        {"StudyDate": "yesterday"},
        {"StudyTime": "8 o'clock"},
        {"SpecificCharacterSet": "LATIN-1"},
        {"PatientName": "no caret " * 9},
        {"SeriesNumber": 2_000_000_000},
        {"PatientWeight": "a lot"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_header_with_a_wrong_value_does_not_stop_the_result(tmp_path: Path, wrong: dict) -> None:
    keyword, value = next(iter(wrong.items()))

    def spoil(dataset: Dataset, _number: int) -> None:
        vr = pydicom.datadict.dictionary_VR(keyword)
        with pydicom.config.disable_value_validation():
            dataset.add_new(keyword, "LO" if vr == "DS" else vr, value)

    cases.write_series(tmp_path / "in", cases.hu(), each=spoil)
    study = read_study(tmp_path / "in")
    files = write_dicom_results(bleeding(study), study, tmp_path / "out").files
    assert [file.name for file in files] == [MASKS_FILE, REPORT_FILE]


def test_slices_whose_directions_differ_in_the_last_decimal_are_one_series(tmp_path: Path) -> None:
    def waver(dataset: Dataset, number: int) -> None:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, f"{number * 1e-6:.7f}"]

    cases.write_series(tmp_path / "in", cases.hu(), each=waver)
    study = read_study(tmp_path / "in")
    assert write_dicom_results(bleeding(study), study, tmp_path / "out").files


def test_a_ct_without_frame_of_reference_gets_one_for_all_its_results(tmp_path: Path) -> None:
    def without(dataset: Dataset, _number: int) -> None:
        del dataset.FrameOfReferenceUID

    cases.write_series(tmp_path / "in", cases.hu(), each=without)
    study = read_study(tmp_path / "in")
    uids = {
        pydicom.dcmread(write_dicom_results(bleeding(study), study, tmp_path / out).files[0]).FrameOfReferenceUID
        for out in ("one", "two")
    }
    assert len(uids) == 1


def test_a_missing_slice_thickness_does_not_stop_the_result(tmp_path: Path) -> None:
    def without(dataset: Dataset, _number: int) -> None:
        dataset.SliceThickness = None

    cases.write_series(tmp_path / "in", cases.hu(), each=without)
    study = read_study(tmp_path / "in")
    assert write_dicom_results(bleeding(study), study, tmp_path / "out").files


def test_compressed_files_are_read(tmp_path: Path) -> None:
    import gzip

    for file in cases.write_series(tmp_path / "plain", cases.hu()):
        packed = tmp_path / "in" / f"{file.name}.gz"
        packed.parent.mkdir(exist_ok=True)
        packed.write_bytes(gzip.compress(file.read_bytes()))
    study = read_study(tmp_path / "in")
    assert write_dicom_results(bleeding(study), study, tmp_path / "out").files


@pytest.mark.parametrize("kind", ["nifti", "png"])
def test_a_study_that_is_no_dicom_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("volume.nii.gz" if kind == "nifti" else "picture.png")
    if kind == "nifti":
        sitk.WriteImage(sitk.GetImageFromArray(cases.hu((20, 64, 64))), str(path))
    else:
        Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(path)
    study = read_study(path, detector="hemorrhage")
    with pytest.raises(ExportError, match="not read from DICOM"):
        require_dicom(study)
    with pytest.raises(ExportError, match="original DICOM files"):
        write_dicom_results(cases.make_finding(study), study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_volume_without_files_is_refused(tmp_path: Path) -> None:
    study = series(tmp_path / "in")
    from_a_node = replace(study, sources=tuple(replace(source, file=None) for source in study.sources))
    with pytest.raises(ExportError, match="not known any more"):
        require_dicom(from_a_node)


def test_files_that_are_gone_or_changed_are_refused(tmp_path: Path) -> None:
    study = series(tmp_path / "in")
    file = study.sources[2].file
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(ExportError, match=f"{file.name} cannot be read"):
        read_instances(study)
    file.write_bytes(b"not DICOM")
    with pytest.raises(ExportError, match=f"{file.name} cannot be read"):
        read_instances(study)
    file.write_bytes(study.sources[3].file.read_bytes())
    with pytest.raises(ExportError, match=f"{file.name} is not the image any more"):
        read_instances(study)
    file.write_bytes(whole)
    assert len(read_instances(study).headers) == 6


def test_slices_of_several_frames_of_reference_are_refused(tmp_path: Path) -> None:
    def own(dataset: Dataset, number: int) -> None:
        dataset.FrameOfReferenceUID = f"1.2.3.{number // 3}"

    cases.write_series(tmp_path / "in", cases.hu(), each=own)
    study = read_study(tmp_path / "in")
    with pytest.raises(ExportError, match="0020,0052"):
        read_instances(study)


def test_nothing_that_names_the_patient_leaves_but_in_the_objects(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    caplog.set_level(logging.DEBUG)
    name = "Secretname Without Caret"
    cases.write_series(tmp_path / "in", cases.hu(), PatientName=name, PatientID="SECRET-1", StudyID="SECRET-2" * 3)
    study = read_study(tmp_path / "in")
    said: list[str] = []
    result = write_dicom_results(
        bleeding(study), study, tmp_path / "out", progress=lambda text, _fraction: said.append(text)
    )
    assert str(pydicom.dcmread(result.files[0]).PatientName) == name
    captured = capfd.readouterr()
    everything = [caplog.text, captured.out, captured.err, *said, *map(str, result.files), *result.remarks]
    everything += [str(warning.message) for warning in recwarn]
    assert not any("secret" in text.lower() for text in everything)


def test_what_a_library_complains_of_is_told_without_its_words() -> None:
    with pytest.raises(ExportError) as caught, making("structured report"):
        raise ValueError("bad value 'Doe^Jane'")
    assert "Doe" not in str(caught.value)
    assert "ValueError" in str(caught.value)
