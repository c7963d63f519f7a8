"""Images lie where their headers say, or where what is stated puts them; what cannot be placed is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

from .conftest import SAGITTAL

Writer = Callable[..., list[Path]]
HU = np.arange(8.0)[:, None, None] * 10 + np.zeros((8, 6, 7))


def _severity(study: Study) -> dict[str, str]:
    return {notice.code: notice.severity for notice in study.notices}


def _without(*keywords: str, only: Callable[[int], bool] = lambda _: True) -> Callable[[Dataset, int], None]:
    def strip(dataset: Dataset, number: int) -> None:
        for keyword in keywords if only(number) else ():
            delattr(dataset, keyword)

    return strip


def test_positions_are_used_where_only_the_orientation_is_missing(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path / "whole", HU)
    whole = read_study(tmp_path / "whole")

    def strip(dataset: Dataset, number: int) -> None:
        del dataset.ImageOrientationPatient
        dataset.InstanceNumber = 8 - number

    write_series(tmp_path / "bare", HU, each=strip)
    study = read_study(tmp_path / "bare")
    np.testing.assert_array_equal(study.array, whole.array)
    np.testing.assert_allclose(study.ijk_to_ras, whole.ijk_to_ras)
    assert _severity(study) == {"no-orientation": "warn"}
    assert "0020,0037" in study.notices[0].text


def test_slices_that_do_not_run_from_foot_to_head_need_an_orientation(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, HU, directions=SAGITTAL, each=_without("ImageOrientationPatient"))
    with pytest.raises(StudyError, match="0020,0037"):
        read_study(tmp_path)


def test_images_without_orientation_take_that_of_the_others(tmp_path: Path, write_series: Writer) -> None:
    strip = _without("ImageOrientationPatient", only=lambda number: number % 3 == 0)
    write_series(tmp_path, HU, directions=SAGITTAL, each=strip)
    study = read_study(tmp_path)
    assert study.orientation == "sagittal"
    assert len(study.sources) == 8
    assert _severity(study) == {"no-orientation": "warn"}


@pytest.mark.parametrize("position", [[0, 0, 0], [3, 4, 5]])
def test_one_position_for_all_images_gives_way_to_their_slice_locations(
    tmp_path: Path, write_series: Writer, position: list[float]
) -> None:
    def locate(dataset: Dataset, number: int) -> None:
        dataset.ImagePositionPatient = position
        dataset.SliceLocation = 4.0 * number
        dataset.InstanceNumber = 8 - number

    write_series(tmp_path, HU, each=locate)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, HU)
    assert study.spacing[0] == pytest.approx(4.0)
    assert _severity(study) == {"no-position": "warn"}


def test_a_lone_zero_position_among_others_counts_as_missing(tmp_path: Path, write_series: Writer) -> None:
    def zero(dataset: Dataset, number: int) -> None:
        if number == 3:
            dataset.ImagePositionPatient = [0, 0, 0]

    write_series(tmp_path, HU, each=zero)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, HU)
    assert _severity(study) == {"no-position": "warn"}


def test_a_slice_at_the_origin_of_a_scan_around_it_stays_there(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, HU, origin=(0.0, 0.0, -15.0))
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, HU)
    assert study.notices == ()


@pytest.mark.parametrize(
    "missing", [("ImagePositionPatient", "InstanceNumber"), ("ImagePositionPatient", "SliceThickness")]
)
def test_what_states_neither_place_nor_order_nor_step_is_refused(
    tmp_path: Path, write_series: Writer, missing: tuple[str, ...]
) -> None:
    write_series(tmp_path, HU, each=_without(*missing))
    with pytest.raises(StudyError, match="cannot be read as a volume"):
        read_study(tmp_path)


def test_without_positions_a_skipped_instance_number_is_a_missing_slice(tmp_path: Path, write_series: Writer) -> None:
    files = write_series(tmp_path, HU, each=_without("ImagePositionPatient"))
    files[4].unlink()
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, HU)
    assert {"no-position", "missing-slices"} <= set(_severity(study))


def _multi_frame(folder: Path, write_series: Writer, **attributes: object) -> Path:
    file = write_series(folder, HU[:1])[0]
    dataset = dcmread(file)
    dataset.NumberOfFrames = len(HU)
    dataset.PixelData = (HU + 1024).astype("<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file)
    return file


def test_frames_without_places_lie_a_stated_distance_apart_and_a_warning_says_so(
    tmp_path: Path, write_series: Writer
) -> None:
    study = read_study(_multi_frame(tmp_path, write_series, SpacingBetweenSlices=4.0))
    np.testing.assert_array_equal(study.array, HU)
    assert study.spacing[0] == pytest.approx(4.0)
    assert _severity(study) == {"frames-placed": "warn"}


@pytest.mark.parametrize(
    "attributes", [{}, {"SpacingBetweenSlices": 4.0, "FrameTime": 50.0, "FrameIncrementPointer": 0x00181063}]
)
def test_frames_without_distance_and_frames_in_time_are_no_volume(
    tmp_path: Path, write_series: Writer, attributes: dict[str, object]
) -> None:
    file = _multi_frame(tmp_path, write_series, **attributes)
    with pytest.raises(StudyError, match="8 frames"):
        read_study(file)
