"""What a folder or table of studies holds."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.worklist.exams import find_exams


@pytest.fixture(scope="module")
def department(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two head CTs with their files mixed in one folder, a radiograph, a picture, an MR image and a broken file."""
    folder = tmp_path_factory.mktemp("department")
    for seed in (1, 2):
        made = folder / f"made{seed}"
        write_phantom(make_phantom("head-ct", seed, matrix=64, slice_spacing=20.0), made)
        for number, file in enumerate(sorted(made.rglob("*.dcm"))):
            file.rename(folder / f"{number:03}-{seed}.dcm")
    write_phantom(make_phantom("chest-xray", 3), folder / "made3")
    for name in ("made1", "made2"):
        for file in (folder / name).rglob("*.*"):
            file.unlink()
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".dcm":
            file.unlink()
    one = pydicom.dcmread(next(iter(sorted(folder.glob("*-1.dcm")))))
    one.Modality, one.StudyInstanceUID, one.PatientID = "MR", "1.2.3", "someone else"
    one.save_as(folder / "mr.dcm")
    (folder / "broken.dcm").write_text("this is no DICOM file")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / "picture.png")
    (folder / "notes.txt").write_text("not a study")
    return folder


def test_mixed_files_are_sorted_by_study_and_what_is_no_study_is_left(department: Path) -> None:
    found = find_exams(department)
    kinds = sorted((sorted(exam.modalities), len(exam.files) > 1) for exam in found.exams)
    assert kinds == [([], False), (["CT"], True), (["CT"], True), (["DX"], False)]
    assert found.others == 1
    assert [file.name for file in found.unreadable] == ["broken.dcm"]
    stacks = [exam for exam in found.exams if "CT" in exam.modalities]
    assert len({exam.study_uid for exam in stacks}) == 2
    for exam in stacks:
        assert len({file.stem[-1] for file in exam.files}) == 1


def test_one_study_uid_of_two_patients_is_two_examinations(department: Path, tmp_path: Path) -> None:
    for number, file in enumerate(sorted(department.glob("*-1.dcm"))[:4]):
        data = pydicom.dcmread(file)
        data.PatientID = f"patient {number % 2}"
        data.save_as(tmp_path / file.name)
    assert [len(exam.files) for exam in find_exams(tmp_path).exams] == [2, 2]


def test_a_table_names_paths_relative_to_itself_and_missing_ones_are_told(department: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text(
        f"path,note\n{department / 'picture.png'},x\n{department / 'made3'},y\nnowhere,z\n", encoding="utf-8"
    )
    found = find_exams(table)
    assert found.exams[0].source.name == "picture.png"
    assert len(found.exams) == 2
    assert found.missing == (tmp_path / "nowhere",)


def test_wrong_sources_are_told_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_exams(tmp_path / "none")
    table = tmp_path / "list.csv"
    table.write_text("name\nx\n", encoding="utf-8")
    with pytest.raises(DataError, match="'path'"):
        find_exams(table)


def test_results_below_a_source_are_none_of_its_studies(department: Path, tmp_path: Path) -> None:
    from AcuteFindingsLib.worklist.records import ResultsFolder

    source = tmp_path / "source"
    source.mkdir()
    (source / "picture.png").write_bytes((department / "picture.png").read_bytes())
    results = ResultsFolder(source / "results")
    (results.results("abc") / "pictures").mkdir(parents=True)
    (results.results("abc") / "pictures" / "one.png").write_bytes((department / "picture.png").read_bytes())
    assert [exam.source.name for exam in find_exams(source).exams] == ["picture.png"]


def test_a_file_that_cannot_be_read_stays_with_the_only_study_of_its_folder(department: Path, tmp_path: Path) -> None:
    for file in sorted(department.glob("*-1.dcm"))[:3]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "cut.dcm").write_bytes((tmp_path / sorted(tmp_path.iterdir())[0].name).read_bytes()[:300])
    found = find_exams(tmp_path)
    assert [len(exam.files) for exam in found.exams] == [4]
    assert found.unreadable == ()
