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

from AcuteFindingsLib.detectors.registry import find_kind
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_a_header_lacks_is_empty_in_the_result(tmp_path: Path) -> None:
    study = series(tmp_path / "in")
    for file in write_dicom_results(bleeding(study), study, tmp_path / "out").files:
        made = pydicom.dcmread(file)
        assert not made.PatientBirthDate
        assert not made.AccessionNumber


def test_an_anonymized_header_gives_a_valid_result(tmp_path: Path) -> None:
    study = series(tmp_path / "in", PatientIdentityRemoved="YES", DeidentificationMethod="", PatientAge="")
    for file in write_dicom_results(bleeding(study), study, tmp_path / "out").files:
        made = pydicom.dcmread(file)
        assert made.DeidentificationMethod == "Not stated"
        assert "PatientAge" not in made


@pytest.mark.slow
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
    study = read_study(path, requirements=find_kind("hemorrhage").requirements)
    with pytest.raises(ExportError, match="not read from DICOM"):
        require_dicom(study)
    with pytest.raises(ExportError, match="original DICOM files"):
        write_dicom_results(cases.make_finding(study), study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_volume_without_files_is_refused(tmp_path: Path) -> None:
    study = series(tmp_path / "in")
    from_a_node = replace(study, sources=tuple(replace(source, file=None) for source in study.sources))
    with pytest.raises(ExportError, match="no longer known"):
        require_dicom(from_a_node)


def test_files_that_are_gone_or_changed_are_refused(tmp_path: Path) -> None:
    study = series(tmp_path / "in")
    file = study.sources[2].file
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(ExportError, match=f"{file.name} can no longer be read"):
        read_instances(study)
    file.write_bytes(b"not DICOM")
    with pytest.raises(ExportError, match=f"{file.name} can no longer be read"):
        read_instances(study)
    file.write_bytes(study.sources[3].file.read_bytes())
    with pytest.raises(ExportError, match=f"{file.name} is not the image any more"):
        read_instances(study)
    file.write_bytes(whole)
    assert len(read_instances(study).headers) == 6


def test_images_that_share_an_instance_uid_are_refused(tmp_path: Path) -> None:
    study = series(tmp_path / "in", SOPInstanceUID="1.2.3.4")
    assert len(study.sources) > 1
    with pytest.raises(ExportError, match="0008,0018"):
        require_dicom(study)


def test_slices_of_several_frames_of_reference_are_refused(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu(), FrameOfReferenceUID="1.2.3.1")
    study = read_study(tmp_path / "in")
    other = pydicom.dcmread(study.sources[2].file)
    other.FrameOfReferenceUID = "1.2.3.2"
    other.save_as(study.sources[2].file)
    with pytest.raises(ExportError, match="0020,0052"):
        write_dicom_results(bleeding(study), study, tmp_path / "out")


def test_headers_that_were_tried_are_not_read_again_and_give_the_same_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = series(tmp_path / "in")
    finding = bleeding(study)
    expected = [pydicom.dcmread(file) for file in write_dicom_results(finding, study, tmp_path / "read").files]
    source = require_dicom(study)
    monkeypatch.delattr("AcuteFindingsLib.export.dicom_source._header")
    files = write_dicom_results(finding, study, tmp_path / "kept", source=source).files
    for file, other in zip(files, expected, strict=True):
        made = pydicom.dcmread(file)
        assert set(made.keys()) == set(other.keys())
        assert made.PatientName == other.PatientName
        assert made.get("PixelData") == other.get("PixelData")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("characters", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        (["", "ISO 2022 IR 13", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["ISO_IR 100", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Müller^山田"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_in_the_character_sets_of_the_world_come_through(tmp_path: Path, characters, name: str) -> None:
    study = series(tmp_path / "in", SpecificCharacterSet=characters, PatientName=name)
    require_dicom(study)
    stored = pydicom.dcmread(study.sources[0].file).PatientName
    for file in write_dicom_results(bleeding(study), study, tmp_path / "out").files:
        assert str(pydicom.dcmread(file).PatientName) == str(stored) == name


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("SOPClassUID", None, "0008,0016"),
        ("SOPInstanceUID", "1.2.abc", "0008,0018"),
        ("StudyInstanceUID", "1.2.3/../4", "0020,000D"),
        ("SeriesInstanceUID", "1." + "2" * 70, "0020,000E"),
        ("FrameOfReferenceUID", "1..2", "0020,0052"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_files_that_no_result_can_refer_to_are_told_before_the_run(
    tmp_path: Path, keyword: str, value: str | None, told: str
) -> None:
    def spoil(dataset: Dataset, number: int) -> None:
        if value is None:
            if number == 1:
                dataset.SOPClassUID = ""
            return
        with pydicom.config.disable_value_validation():
            setattr(dataset, keyword, f"{value}.{number}" if keyword == "SOPInstanceUID" else value)

    cases.write_series(tmp_path / "in", cases.hu())
    study = read_study(tmp_path / "in")
    for number, source in enumerate(study.sources):
        with pydicom.config.disable_value_validation():
            image = pydicom.dcmread(source.file)
            spoil(image, number)
            image.save_as(source.file, enforce_file_format=False)
    facts = replace(
        study.dicom, study_instance_uid=value if keyword == "StudyInstanceUID" else study.dicom.study_instance_uid
    )
    sources = study.sources
    if keyword == "SOPInstanceUID":
        sources = tuple(replace(one, sop_instance_uid=f"{value}.{number}") for number, one in enumerate(sources))
    with pytest.raises(ExportError, match=told):
        require_dicom(replace(study, dicom=facts, sources=sources))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_name_in_a_character_set_that_nobody_knows_is_told_before_the_run(tmp_path: Path) -> None:
    for name, raw in (("plain", b"MARKNAME"), ("foreign", "Müller^Z".encode("cp850")[:8])):
        cases.write_series(tmp_path / name, cases.hu(), PatientName="MARKNAME")
        for file in (tmp_path / name).iterdir():
            image = pydicom.dcmread(file)
            with pydicom.config.disable_value_validation():
                image.SpecificCharacterSet = "KLINGON 7"
                image.save_as(file)
            file.write_bytes(file.read_bytes().replace(b"MARKNAME", raw))
        study = read_study(tmp_path / name)
        if name == "plain":
            require_dicom(study)
            continue
        with pytest.raises(ExportError, match="0008,0005"):
            require_dicom(study)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["shift", "turn", "stretch"])
def test_a_volume_that_was_moved_since_is_told_before_the_run(tmp_path: Path, change: str) -> None:
    study = series(tmp_path / "in")
    moved = {
        "shift": np.array([[1, 0, 0, 30.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        "turn": np.array([[0.96, -0.28, 0, 0], [0.28, 0.96, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        "stretch": np.diag([1.2, 1, 1, 1]),
    }[change]
    sources = tuple(
        replace(one, position_ras=tuple((moved @ [*one.position_ras, 1.0])[:3].tolist())) for one in study.sources
    )
    require_dicom(study)
    with pytest.raises(ExportError, match="transform"):
        require_dicom(replace(study, ijk_to_ras=moved @ study.ijk_to_ras, sources=sources))


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
