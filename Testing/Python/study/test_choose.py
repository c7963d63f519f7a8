"""`--detector auto`: the detector that a study was made for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.study.choose import fitting
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

from .conftest import linear_field

Writer = Callable[..., list[Path]]


def fitting_detectors(study: Study) -> list[str]:
    return fitting(study, {kind.id: kind.requirements for kind in kinds()})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("head-ct-dicom", ["hemorrhage"]),
        ("dicom-encodings/CT2_RLE", ["hemorrhage"]),
        ("cta-pulmonary-artery/ct_cropped.nii.gz", ["pe"]),
        ("chest-xray-dicom/monochrome1_twin.dcm", ["pneumothorax"]),
        ("dicom-encodings/RG1_J2KI", ["pneumothorax"]),
    ],
)
def test_real_studies_fit_their_detector(data_folder: Path, name: str, expected: list[str]) -> None:
    assert fitting_detectors(read_study(data_folder / name)) == expected


@pytest.mark.parametrize(
    ("part", "description", "expected"),
    [
        ("CHEST", "", ["pe"]),
        ("BRAIN", "", ["hemorrhage"]),
        ("", "CTPA thin", ["pe"]),
        ("HEADCHEST", "", ["pe", "hemorrhage"]),
        ("FOOT", "", []),
        ("SCHÄDEL", "", ["hemorrhage"]),
        ("", "TC torace", ["pe"]),
    ],
)
def test_the_header_says_what_fits_a_ct(
    tmp_path: Path, write_series: Writer, part: str, description: str, expected: list[str]
) -> None:
    write_series(tmp_path, linear_field, BodyPartExamined=part, SeriesDescription=description)
    assert fitting_detectors(read_study(tmp_path)) == expected


def test_a_radiograph_of_another_body_part_fits_nothing(tmp_path: Path, write_radiograph: Callable[..., Path]) -> None:
    file = write_radiograph(tmp_path / "x.dcm", np.eye(20) * 100, BodyPartExamined="HAND")
    assert fitting_detectors(read_study(file)) == []


@pytest.mark.parametrize("part", ["RIBS", "PORTABLE", "TORAX"])
def test_what_the_check_takes_for_a_chest_fits_pneumothorax(
    tmp_path: Path, write_radiograph: Callable[..., Path], part: str
) -> None:
    file = write_radiograph(tmp_path / "x.dcm", np.eye(20) * 100, BodyPartExamined=part)
    assert fitting_detectors(read_study(file)) == ["pneumothorax"]


def test_a_picture_without_a_header_may_be_of_either_kind(data_folder: Path) -> None:
    for name in ("head-ct-slices", "chest-xray-lungs"):
        picture = next((data_folder / name).rglob("*.png"))
        assert fitting_detectors(read_study(picture)) == ["hemorrhage", "pneumothorax"]
