"""What one series holds is one volume, or several that are never stacked on each other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

from .conftest import write_enhanced

Writer = Callable[..., list[Path]]
SAME = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}


def _severity(study: Study) -> dict[str, str]:
    return {notice.code: notice.severity for notice in study.notices}


def _slices(value: float, count: int = 12) -> np.ndarray:
    """Slices of about one value, each a little different from its neighbors."""
    return value + np.arange(count)[:, None, None] + np.zeros((count, 8, 10))


def _values(study: Study) -> set[int]:
    return {round(float(plane.mean()), -2) for plane in study.array}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}),
        ({"KVP": 80}, {"KVP": 140}),
        ({"ConvolutionKernel": "H30s"}, {"ConvolutionKernel": "H70h"}),
        ({"ConvolutionKernel": ["I30f", "2"]}, {"ConvolutionKernel": ["I30f", "4"]}),
        ({"FrameOfReferenceUID": "1.2.8"}, {"FrameOfReferenceUID": "1.2.9"}),
        ({"NominalPercentageOfCardiacPhase": 40.0}, {"NominalPercentageOfCardiacPhase": 75.0}),
        ({"NominalPercentageOfRespiratoryPhase": 0.0}, {"NominalPercentageOfRespiratoryPhase": 50.0}),
        ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}),
        ({"AcquisitionTime": "121000"}, {"AcquisitionTime": "122000"}),
        ({"ReconstructionDiameter": 250}, {"ReconstructionDiameter": 360}),
        ({"ScanOptions": "HELICAL MODE"}, {"ScanOptions": "AXIAL MODE"}),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "VUE"]}),
        ({"origin": (-100.0, 20.0, -300.0)}, {"origin": (-60.0, 20.0, -300.0)}),
        ({"SeriesDescription": "FBP"}, {"SeriesDescription": "iterative"}),
    ],
)
@pytest.mark.parametrize("shift", [0.0, 0.003, 2.5])
def test_what_differs_in_one_series_is_never_stacked(
    tmp_path: Path, write_series: Writer, one: dict[str, Any], other: dict[str, Any], shift: float
) -> None:
    write_series(tmp_path / "a", _slices(100), **{**SAME, **one})
    write_series(tmp_path / "b", _slices(500), heights=5.0 * np.arange(12) + shift, **{**SAME, **other})
    study = read_study(tmp_path)
    assert len(study.sources) == 12
    assert len(_values(study)) == 1
    assert _severity(study) == {"several-phases": "warn"}


def test_trigger_times_tell_phases_of_the_same_places_apart(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", _slices(100), TriggerTime=300.0, **SAME)
    write_series(tmp_path / "b", _slices(500), TriggerTime=700.0, **SAME)
    study = read_study(tmp_path)
    assert len(_values(study)) == 1
    assert _severity(study) == {"several-phases": "warn"}


def test_acquisitions_side_by_side_are_one_volume_and_a_remark_says_so(tmp_path: Path, write_series: Writer) -> None:
    def acquisition(dataset: Dataset, number: int) -> None:
        dataset.AcquisitionNumber = 1 + number // 4
        dataset.AcquisitionTime = f"1210{number:02d}"

    write_series(tmp_path, _slices(100), each=acquisition)
    study = read_study(tmp_path)
    assert len(study.sources) == 12
    assert _severity(study) == {"put-together": "info"}


def test_of_acquisitions_that_overlap_none_is_put_together_across_the_gap_of_another(
    tmp_path: Path, write_series: Writer
) -> None:
    for name, low, high in (("1", 0, 9), ("2", 8, 17), ("3", 16, 25)):
        heights = 5.0 * np.arange(low, high)
        write_series(tmp_path / name, _slices(100, high - low), heights=heights, AcquisitionNumber=int(name), **SAME)
    study = read_study(tmp_path)
    assert len(study.sources) == 9
    assert _severity(study)["images-left-out"] == "refuse"
    assert "missing-slices" not in _severity(study)


def test_facts_that_differ_at_every_image_tell_nothing(tmp_path: Path, write_series: Writer) -> None:
    def own(dataset: Dataset, number: int) -> None:
        dataset.FrameOfReferenceUID = generate_uid()
        dataset.AcquisitionNumber = number

    write_series(tmp_path, _slices(100), each=own)
    study = read_study(tmp_path)
    assert len(study.sources) == 12
    assert study.notices == ()


def test_the_halves_of_a_scan_with_two_voltages_are_refused_as_half_of_it_is_lost(
    tmp_path: Path, write_series: Writer
) -> None:
    def voltage(dataset: Dataset, number: int) -> None:
        dataset.KVP = 80 if number < 6 else 140

    write_series(tmp_path, _slices(100), each=voltage)
    study = read_study(tmp_path)
    assert len(study.sources) == 6
    assert _severity(study) == {"several-phases": "warn", "images-left-out": "refuse"}


def test_of_a_partial_rescan_the_longer_scan_is_read_alone_and_the_missing_share_told(
    tmp_path: Path, write_series: Writer
) -> None:
    write_series(tmp_path / "a", _slices(100, 18), AcquisitionNumber=1, **SAME)
    write_series(
        tmp_path / "b", _slices(500, 14), heights=5.0 * np.arange(10, 24), AcquisitionNumber=2, InstanceNumber=7, **SAME
    )
    study = read_study(tmp_path)
    assert _values(study) == {100}
    assert _severity(study) == {"several-phases": "warn", "images-left-out": "warn"}
    assert any("6 of 24 slices" in notice.text for notice in study.notices)


@pytest.mark.parametrize("alternating", [False, True])
def test_instance_numbers_tell_phases_apart_where_nothing_else_does(
    tmp_path: Path, write_series: Writer, alternating: bool
) -> None:
    for phase, name in enumerate("ab"):

        def count(dataset: Dataset, number: int, phase: int = phase) -> None:
            dataset.InstanceNumber = 2 * number + phase if alternating else number + 12 * phase

        write_series(tmp_path / name, _slices(100 + 400 * phase), each=count, **SAME)
    study = read_study(tmp_path)
    assert _values(study) == {100}
    assert _severity(study) == {"several-phases": "warn"}


@pytest.mark.parametrize("backward", [False, True])
def test_interleaved_scans_are_told_apart_by_the_runs_of_their_instance_numbers(
    tmp_path: Path, write_series: Writer, backward: bool
) -> None:
    for scan, name in enumerate("ab"):

        def count(dataset: Dataset, number: int, scan: int = scan) -> None:
            dataset.InstanceNumber = 12 * scan + (11 - number if backward and scan else number)

        heights = 5.0 * np.arange(12) + 2.5 * scan
        write_series(tmp_path / name, _slices(100 + 400 * scan), heights=heights, each=count, **SAME)
    study = read_study(tmp_path)
    assert len(_values(study)) == 1
    assert _severity(study) == {"several-phases": "warn"}


def test_an_odd_numbering_of_one_stack_does_not_part_it(tmp_path: Path, write_series: Writer) -> None:
    def count(dataset: Dataset, number: int) -> None:
        dataset.InstanceNumber = number * 7 % 12

    write_series(tmp_path, _slices(100), each=count)
    study = read_study(tmp_path)
    assert len(study.sources) == 12
    assert study.notices == ()


def test_two_pictures_at_every_place_that_nothing_tells_apart_are_refused(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", _slices(100), **SAME)
    write_series(tmp_path / "b", _slices(500), **SAME)
    assert _severity(read_study(tmp_path))["images-left-out"] == "refuse"


def test_images_with_one_instance_uid_but_different_places_are_all_read(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, _slices(100), SOPInstanceUID="1.2.3.4.5")
    study = read_study(tmp_path)
    assert len(study.sources) == 12
    assert _severity(study) == {"repeated-uids": "warn"}


def test_slices_with_a_series_each_are_one_volume_where_all_else_agrees(tmp_path: Path, write_series: Writer) -> None:
    def own(dataset: Dataset, number: int) -> None:
        dataset.SeriesInstanceUID = generate_uid()
        dataset.SeriesNumber = number

    write_series(tmp_path, _slices(100), each=own)
    study = read_study(tmp_path)
    assert len(study.sources) == 12
    assert _severity(study) == {"own-series-each": "warn"}


@pytest.mark.parametrize(("patient", "step", "joined"), [("A", 5.0, True), ("", 5.0, False), ("A", None, False)])
def test_images_with_a_study_each_are_one_volume_only_as_one_patients_even_stack(
    tmp_path: Path, write_series: Writer, patient: str, step: float | None, joined: bool
) -> None:
    def alone(dataset: Dataset, _: int) -> None:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()

    heights = None if step else [0.0, 5.0, 11.0, 40.0, 47.0, 90.0]
    write_series(
        tmp_path,
        _slices(100, 6),
        heights=heights,
        each=alone,
        PatientID=patient,
        PatientName=patient,
        PatientBirthDate="",
    )
    study = read_study(tmp_path)
    assert len(study.sources) == (6 if joined else 1)
    assert ("several-studies" in _severity(study)) != joined
    assert ("own-series-each" in _severity(study)) == joined


def test_series_without_uid_are_told_apart_by_number_and_kernel(tmp_path: Path, write_series: Writer) -> None:
    none = {**SAME, "SeriesInstanceUID": ""}
    write_series(tmp_path / "a", _slices(100), **none, SeriesNumber=2, ConvolutionKernel="H30s")
    write_series(tmp_path / "b", _slices(500, 40), spacing=(1.3, 0.5, 0.75), **none, SeriesNumber=3)
    write_series(tmp_path / "c", _slices(900), **none, SeriesNumber=2, ConvolutionKernel="H70h")
    study = read_study(tmp_path, requirements=find_kind("hemorrhage").requirements)
    assert len(_values(study)) == 1
    assert len(study.sources) in (12, 40)


def test_a_lone_slice_between_two_of_an_even_stack_is_left_out(tmp_path: Path, write_series: Writer) -> None:
    heights = sorted([*(5.0 * np.arange(12)), 31.7])
    write_series(tmp_path, _slices(100, 13), heights=heights)
    study = read_study(tmp_path)
    assert len(study.sources) == 12
    assert _severity(study) == {"stray-slices": "warn"}


def test_two_reconstructions_of_different_thickness_are_not_mixed(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", _slices(100), **SAME)
    write_series(tmp_path / "b", _slices(500, 50), spacing=(1.2, 0.5, 0.75), **SAME)
    study = read_study(tmp_path)
    assert len(study.sources) == 50
    assert _severity(study) == {"several-phases": "warn"}


def test_phases_of_an_enhanced_file_are_told_apart(tmp_path: Path) -> None:
    hu = np.concatenate([_slices(100, 7), _slices(500, 7)])
    file = write_enhanced(tmp_path / "e.dcm", hu, order=range(14))
    from pydicom import dcmread

    dataset = dcmread(file)
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [-10.0, -20.0, 30.0 + 3 * (number % 7)]
        content = Dataset()
        content.TemporalPositionIndex = 1 + number // 7
        group.FrameContentSequence = [content]
    dataset.save_as(file)
    study = read_study(file)
    assert len(study.sources) == 7
    assert _values(study) == {100}
    assert _severity(study) == {"several-phases": "warn"}


def test_free_text_of_a_series_is_in_no_notice(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", _slices(100), SeriesDescription="Miller John", **SAME)
    write_series(tmp_path / "b", _slices(500), SeriesDescription="Miller Jane", **SAME)
    assert not any("MILLER" in notice.text.upper() for notice in read_study(tmp_path).notices)
