"""What does not belong to the stack is left out, and told."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

from .conftest import SAGITTAL, linear_field

Writer = Callable[..., list[Path]]
SAME = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}


def _severity(study: Study) -> dict[str, str]:
    return {notice.code: notice.severity for notice in study.notices}


def _flat(values: list[float]) -> np.ndarray:
    return np.array(values)[:, None, None] * np.ones((len(values), 8, 10))


def test_a_file_copied_twice_counts_once(tmp_path: Path, write_series: Writer) -> None:
    files = write_series(tmp_path, linear_field)
    (tmp_path / "copies").mkdir()
    shutil.copy(files[2], tmp_path / "copies" / "again.dcm")
    study = read_study(tmp_path)
    assert study.array.shape[0] == 6
    assert _severity(study) == {"duplicate-slices": "info"}


def test_two_images_at_one_place_keep_the_first_and_a_warning_says_so(tmp_path: Path, write_series: Writer) -> None:
    def strip(dataset: Dataset, number: int) -> None:
        del dataset.InstanceNumber

    write_series(tmp_path, _flat([0, 1, 2, 3]), heights=[0, 5, 5.01, 10], each=strip)
    study = read_study(tmp_path)
    assert study.array[:, 0, 0].tolist() == [0, 1, 3]
    assert "1 image is at the same place" in study.notices[0].text
    assert _severity(study) == {"duplicate-slices": "warn", "images-left-out": "warn"}


def test_one_picture_stored_twice_under_two_identifiers_is_only_remarked(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, _flat([0, 1, 1, 3]), heights=[0, 5, 5.0, 10])
    assert _severity(read_study(tmp_path)) == {"duplicate-slices": "info"}


def test_one_phase_of_several_is_read(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "a", _flat([10, 10, 10]), AcquisitionNumber=1, **SAME)
    write_series(tmp_path / "b", _flat([20, 20, 20, 20]), AcquisitionNumber=2, **SAME)
    study = read_study(tmp_path)
    assert study.array[:, 0, 0].tolist() == [20, 20, 20, 20]
    assert _severity(study) == {"several-phases": "warn"}


def test_localizers_by_image_type_or_by_plane_are_left_out(tmp_path: Path, write_series: Writer) -> None:
    write_series(
        tmp_path / "scout", linear_field, shape=(1, 8, 10), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **SAME
    )
    write_series(tmp_path / "plane", linear_field, shape=(1, 8, 10), directions=SAGITTAL, **SAME)
    write_series(tmp_path / "stack", linear_field, **SAME)
    study = read_study(tmp_path)
    assert study.array.shape[0] == 6
    assert study.orientation == "axial"
    assert [notice.code for notice in study.notices] == ["localizer-dropped", "localizer-dropped"]


def test_slices_of_another_matrix_or_pixel_size_are_left_out(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "small", linear_field, shape=(2, 4, 10), **SAME)
    write_series(tmp_path / "zoomed", linear_field, shape=(3, 8, 10), spacing=(5.0, 0.3, 0.3), **SAME)
    write_series(tmp_path / "stack", linear_field, **SAME)
    study = read_study(tmp_path)
    assert study.array.shape == (6, 8, 10)
    assert [notice.code for notice in study.notices] == ["mixed-sizes", "mixed-sizes"]


def test_images_without_a_position_go_where_their_number_puts_them_or_are_left_out(
    tmp_path: Path, write_series: Writer
) -> None:
    def strip(dataset: Dataset, number: int) -> None:
        if number == 2:
            del dataset.ImagePositionPatient

    def strip_all(dataset: Dataset, number: int) -> None:
        strip(dataset, number)
        del dataset.InstanceNumber

    write_series(tmp_path / "numbered", _flat([0, 1, 2, 3, 4, 5]), each=strip)
    study = read_study(tmp_path / "numbered")
    assert study.array[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert _severity(study) == {"no-position": "warn"}
    write_series(tmp_path / "bare", _flat([0, 1, 2, 3, 4, 5]), each=strip_all)
    study = read_study(tmp_path / "bare")
    assert len(study.sources) == 5
    assert {"no-position": "warn", "images-left-out": "warn"}.items() <= _severity(study).items()


def test_bolus_tracking_slices_far_from_the_scan_are_left_out(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, linear_field, shape=(12, 8, 10), heights=[0, 1, *(200 + 2.0 * np.arange(10))])
    study = read_study(tmp_path)
    assert study.array.shape[0] == 10
    assert _severity(study) == {"stray-slices": "warn", "images-left-out": "warn"}
