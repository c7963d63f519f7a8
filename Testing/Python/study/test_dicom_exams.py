"""A verdict is on one examination: several in one input are refused, and listed without a name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

from .conftest import linear_field

Writer = Callable[..., list[Path]]
RADIOGRAPH = np.arange(81).reshape(9, 9)


def _severity(study: Study) -> dict[str, str]:
    return {notice.code: notice.severity for notice in study.notices}


def test_several_patients_are_refused_and_what_belongs_to_others_is_not_described(
    tmp_path: Path, write_radiograph: Callable[..., Path]
) -> None:
    for number in range(3):
        write_radiograph(
            tmp_path / f"{number}" / "a.dcm", RADIOGRAPH + number, PatientID=f"P{number}", SeriesDescription="Miller"
        )
    study = read_study(tmp_path, requirements=find_kind("pneumothorax").requirements)
    assert _severity(study)["several-patients"] == "refuse"
    told = " ".join(notice.text for notice in study.notices)
    assert "3 patients" in told
    assert "another patient" in told
    assert not any(word in told for word in ("Miller", "P1", "P2"))
    with pytest.raises(StudyError, match=r"3 patients.*patient 2: 1/a\.dcm \(1 CR; --series") as error:
        read_study(tmp_path, requirements=find_kind("pneumothorax").requirements, one_examination=True)
    assert "P1" not in str(error.value)


def test_several_studies_of_one_patient_are_refused(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", linear_field)
    write_series(tmp_path / "b", linear_field)
    study = read_study(tmp_path, requirements=find_kind("hemorrhage").requirements)
    assert _severity(study) == {"several-studies": "refuse", "other-study": "info"}
    assert any("another study (CT, 6 images)" in notice.text for notice in study.notices)


def test_a_series_that_is_named_is_read_whoever_else_is_there(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", linear_field, SeriesInstanceUID="1.2.3", PatientID="A")
    write_series(tmp_path / "b", linear_field, PatientID="B")
    study = read_study(tmp_path, series="1.2.3", one_examination=True)
    assert study.dicom.series_instance_uid == "1.2.3"
    assert "refuse" not in _severity(study).values()


def test_two_patients_in_one_series_are_refused_also_where_the_series_is_named(
    tmp_path: Path, write_series: Writer
) -> None:
    same = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
    write_series(tmp_path / "a", linear_field, PatientID="A", **same)
    write_series(tmp_path / "b", linear_field, PatientID="B", **same)
    assert len(read_study(tmp_path, series="1.2.3").sources) == 6
    with pytest.raises(StudyError, match="2 patients"):
        read_study(tmp_path, series="1.2.3", one_examination=True)


def test_patients_without_number_are_told_apart_by_name(tmp_path: Path, write_series: Writer) -> None:
    same = {"StudyInstanceUID": "1.2", "PatientID": ""}
    write_series(tmp_path / "a", linear_field, PatientName="A", **same)
    write_series(tmp_path / "b", linear_field, PatientName="B", **same)
    assert _severity(read_study(tmp_path))["several-patients"] == "refuse"


def test_images_of_one_study_are_a_choice_and_equal_ones_are_warned_of(
    tmp_path: Path, write_radiograph: Callable[..., Path]
) -> None:
    same = {"StudyInstanceUID": "1.2"}
    write_radiograph(tmp_path / "pa.dcm", RADIOGRAPH, **same)
    write_radiograph(tmp_path / "lat.dcm", RADIOGRAPH + 1, ViewPosition="LL", **same)
    assert (
        _severity(read_study(tmp_path, requirements=find_kind("pneumothorax").requirements, one_examination=True))[
            "other-series"
        ]
        == "info"
    )
    write_radiograph(tmp_path / "again.dcm", RADIOGRAPH + 2, **same)
    study = read_study(tmp_path, requirements=find_kind("pneumothorax").requirements, one_examination=True)
    assert _severity(study)["equal-images"] == "warn"


def test_images_without_number_of_a_patient_of_the_same_name_are_that_patients(
    tmp_path: Path, write_series: Writer
) -> None:
    same = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
    heights = 5.0 * np.arange(6)
    write_series(tmp_path / "a", linear_field, heights=heights, PatientID="A", PatientName="Phantom", **same)
    write_series(tmp_path / "b", linear_field, heights=heights + 30.0, PatientID="", PatientName="Phantom", **same)
    study = read_study(tmp_path, requirements=find_kind("hemorrhage").requirements)
    assert len(study.sources) == 12
    assert "several-patients" not in _severity(study)
