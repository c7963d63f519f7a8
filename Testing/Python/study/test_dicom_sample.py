"""Where headers leave a choice, a few slices of each series decide by the check itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study import dicom_sample
from AcuteFindingsLib.study.reader import read_study

pytestmark = pytest.mark.slow

Writer = Callable[..., list[Path]]
STEP = 6.0
SAME = {"StudyInstanceUID": "1.2.3", "BodyPartExamined": "CHEST"}


def _chest(blood: float, count: int = 40) -> np.ndarray:
    """A drawn chest in HU: body, two lungs, a heart full of blood, a spine."""
    z, y, x = ((np.arange(n) - (n - 1) / 2) * STEP for n in (count, 64, 64))
    z, y, x = np.meshgrid(z, y, x, indexing="ij")
    hu = np.where((x / 150) ** 2 + (y / 100) ** 2 < 1, 45.0, -1000.0)
    for side in (-75, 75):
        hu[((x - side) / 55) ** 2 + (y / 80) ** 2 + (z / 115) ** 2 < 1] = -850
    hu[(x / 45) ** 2 + ((y + 10) / 45) ** 2 + (z / 85) ** 2 < 1] = blood
    hu[(x / 18) ** 2 + ((y - 70) / 18) ** 2 < 1] = 350
    return hu + np.random.default_rng(0).normal(0, 8, hu.shape).round()


@pytest.mark.parametrize("enhanced", [2, 3])
def test_of_two_series_with_silent_headers_the_one_with_contrast_in_the_blood_is_read(
    tmp_path: Path, write_series: Writer, enhanced: int
) -> None:
    for number in (2, 3):
        hu = _chest(330.0 if number == enhanced else 45.0, 40 if number == enhanced else 42)
        write_series(tmp_path / f"{number}", hu, spacing=(STEP,) * 3, SeriesNumber=number, **SAME)
    study = read_study(tmp_path, requirements=find_kind("pe").requirements)
    assert study.dicom.series_number == enhanced
    told = {notice.code: notice.text for notice in study.notices}
    assert "series" in told["chosen-by-content"]


def test_nothing_is_sampled_where_there_is_no_choice(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        pytest.fail("a single series was sampled")

    monkeypatch.setattr(dicom_sample, "_fits", refuse)
    write_series(tmp_path, _chest(45.0), spacing=(STEP,) * 3, **SAME)
    assert len(read_study(tmp_path, requirements=find_kind("pe").requirements).sources) == 40
