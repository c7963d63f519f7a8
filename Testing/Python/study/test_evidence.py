"""What descriptions, kernel and age of a series mean, read once for choosing and checking."""

from collections.abc import Callable
from pathlib import Path

import pytest

from AcuteFindingsLib.study.evidence import stated_contrast, stated_kinds, stated_parts
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import DicomFacts

from .conftest import linear_field

Writer = Callable[..., list[Path]]


def test_descriptions_beside_the_series_are_read_and_none_of_their_text_is_kept(
    tmp_path: Path, write_series: Writer
) -> None:
    write_series(tmp_path, linear_field, StudyDescription="ABD AND PELVIS of Smith", ProtocolName="WO IV CONT Smith")
    facts = read_study(tmp_path).dicom
    assert stated_parts(facts) == {"abdomen", "pelvis"}
    assert stated_contrast(facts) is False
    assert "Smith" not in repr(facts)


def test_the_series_speaks_before_its_study(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, linear_field, SeriesDescription="Head C-", StudyDescription="CT CHEST with contrast")
    facts = read_study(tmp_path).dicom
    assert stated_parts(facts) == {"head"}
    assert stated_contrast(facts) is False


@pytest.mark.parametrize(
    ("attributes", "infant"),
    [
        ({"PatientAge": "003M"}, True),
        ({"PatientAge": "001Y"}, True),
        ({"PatientAge": "034Y"}, False),
        ({"PatientAge": "50"}, False),
        ({"PatientBirthDate": "20191230", "StudyDate": "20200101"}, True),
        ({"PatientBirthDate": "19900101", "StudyDate": "20200101"}, False),
        ({"PatientBirthDate": "20200301", "StudyDate": "20200101"}, False),
        ({}, False),
    ],
)
def test_an_infant_is_known_by_age(
    tmp_path: Path, write_series: Writer, attributes: dict[str, str], infant: bool
) -> None:
    write_series(tmp_path, linear_field, **attributes)
    assert ("infant" in stated_kinds(read_study(tmp_path).dicom)) == infant


def test_the_kernel_speaks_before_the_name_of_the_series() -> None:
    assert "lung" in stated_kinds(DicomFacts(series_description="Lung 1 mm"))
    assert "lung" not in stated_kinds(DicomFacts(series_description="Lung 1 mm", convolution_kernel="B30f"))
    assert "lung" in stated_kinds(DicomFacts(series_description="1 mm", convolution_kernel="LUNG"))
