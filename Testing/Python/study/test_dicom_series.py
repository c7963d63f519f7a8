"""Of several series the one that a detector was made for is read; the others are listed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

from .conftest import CORONAL, linear_field

Writer = Callable[..., list[Path]]


def _chosen(folder: Path, detector: str | None) -> str:
    return read_study(
        folder, requirements=find_kind(detector).requirements if detector else None
    ).dicom.series_description


@pytest.mark.slow
def test_the_detector_decides_between_ct_and_radiograph(
    tmp_path: Path, write_series: Writer, write_radiograph: Callable[..., Path]
) -> None:
    study_uid = {"StudyInstanceUID": "1.2.3"}
    write_series(tmp_path / "head", linear_field, SeriesDescription="head", BodyPartExamined="HEAD", **study_uid)
    write_series(
        tmp_path / "chest",
        linear_field,
        SeriesDescription="CTPA",
        BodyPartExamined="CHEST",
        SeriesNumber=7,
        **study_uid,
    )
    for name, view in (("lat", "LL"), ("pa", "PA")):
        write_radiograph(
            tmp_path / f"{name}.dcm", np.eye(9) * 99, SeriesDescription=name, ViewPosition=view, **study_uid
        )
    (tmp_path / "LICENSE.txt").write_text("free")
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    assert _chosen(tmp_path, "hemorrhage") == "head"
    assert _chosen(tmp_path, "pe") == "CTPA"
    study = read_study(tmp_path, requirements=find_kind("pneumothorax").requirements)
    assert study.dicom.series_description == "pa"
    others = [notice for notice in study.notices if notice.code == "other-series"]
    assert len(others) == 3
    assert any("series 7 (CT, 6 images)" in notice.text for notice in others)
    assert not any("CTPA" in notice.text or "Secret" in notice.text for notice in others)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("detector", "better", "worse"),
    [
        ("pe", {"ContrastBolusAgent": "Iohexol"}, {}),
        ("pe", {"SeriesDescription": "CTPA 1.0"}, {"SeriesDescription": "native"}),
        ("pe", {"SeriesDescription": "with contrast"}, {"SeriesDescription": "without contrast"}),
        ("pe", {"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}),
        ("pe", {"ConvolutionKernel": "FC18"}, {"ConvolutionKernel": "FC52"}),
        ("pe", {"ConvolutionKernel": "B"}, {"ConvolutionKernel": "L"}),
        ("pe", {"ConvolutionKernel": ["Br40d", "3"]}, {"ConvolutionKernel": ["Br59d", "3"]}),
        ("pe", {"ContrastBolusAgent": "Iohexol"}, {"ContrastBolusAgent": "Iohexol", "SeriesDescription": "VUE"}),
        ("pe", {"SeriesDescription": "CTPA"}, {"SeriesDescription": "CTPA iodine map"}),
        ("pe", {"SeriesDescription": "MONO 50 keV"}, {"SeriesDescription": "MONO 190 keV"}),
        ("pe", {"SliceThickness": 3.0}, {"SliceThickness": 12.0}),
        ("hemorrhage", {"SliceThickness": 1.5}, {"SliceThickness": 5.0}),
        ("pe", {"directions": (1, 0, 0, 0, 1, 0)}, {"directions": CORONAL}),
        ("hemorrhage", {}, {"ContrastBolusAgent": "Iohexol"}),
        ("hemorrhage", {"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "BONE"}),
        ("hemorrhage", {}, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}),
        ("hemorrhage", {"shape": (6, 8, 10)}, {"shape": (5, 8, 10)}),
        (None, {"shape": (6, 8, 10)}, {"shape": (6, 8, 10), "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
    ],
)
def test_the_better_suited_of_two_ct_series_is_read(
    tmp_path: Path, write_series: Writer, detector: str | None, better: dict[str, object], worse: dict[str, object]
) -> None:
    part = {"StudyInstanceUID": "1.2.3", "BodyPartExamined": "HEAD" if detector == "hemorrhage" else "CHEST"}
    write_series(tmp_path / "a", linear_field, SeriesNumber=3, **part, **worse)
    write_series(tmp_path / "b", linear_field, SeriesNumber=4, **part, **better)
    write_series(tmp_path / "c", linear_field, SeriesNumber=3, **part, **worse)
    study = read_study(tmp_path, requirements=find_kind(detector).requirements if detector else None)
    if study.dicom.series_number == 2:
        pytest.fail("the builder's number was not replaced")
    assert study.dicom.series_number == 4


def test_a_series_can_be_named_by_uid(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", linear_field, SeriesInstanceUID="1.2.3", BodyPartExamined="HEAD")
    write_series(tmp_path / "b", linear_field, SeriesInstanceUID="1.2.4", BodyPartExamined="FOOT")
    assert (
        read_study(tmp_path, requirements=find_kind("hemorrhage").requirements, series="1.2.4").dicom.body_part
        == "FOOT"
    )
    with pytest.raises(StudyError, match=r"no series 9\.9.*1\.2\.3"):
        read_study(tmp_path, series="9.9")


def test_other_modality_is_read_only_where_there_is_nothing_better(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "mr", linear_field, Modality="MR")
    assert read_study(tmp_path / "mr", requirements=find_kind("hemorrhage").requirements).modality == "MR"
    write_series(tmp_path / "ct", linear_field)
    assert read_study(tmp_path, requirements=find_kind("hemorrhage").requirements).modality == "CT"


def test_lone_localizers_are_refused_with_a_sentence(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "scout", linear_field, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with pytest.raises(StudyError, match="only localizer"):
        read_study(tmp_path / "scout")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"ViewPosition": "PA"}, {"ViewPosition": "LL"}),
        ({"ViewPosition": ""}, {"ViewPosition": "", "SeriesDescription": "Thorax lateral"}),
        (
            {"ViewPosition": "", "PatientOrientation": ["L", "F"]},
            {"ViewPosition": "", "PatientOrientation": ["P", "F"]},
        ),
        ({}, {"PresentationIntentType": "FOR PROCESSING"}),
        ({}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}),
        ({}, {"BodyPartExamined": "HAND"}),
        ({}, {"SeriesDescription": "bone suppressed"}),
    ],
)
def test_the_better_suited_of_two_radiographs_is_read(
    tmp_path: Path, write_radiograph: Callable[..., Path], better: dict[str, object], worse: dict[str, object]
) -> None:
    for name, attributes in (("a", worse), ("b", better), ("c", worse)):
        picture = np.arange(81).reshape(9, 9) + ord(name)
        write_radiograph(tmp_path / f"{name}.dcm", picture, StudyInstanceUID="1.2.3", **attributes)
    study = read_study(tmp_path, requirements=find_kind("pneumothorax").requirements)
    assert study.sources[0].file == tmp_path / "b.dcm"
    assert "equal-images" not in {notice.code for notice in study.notices}
