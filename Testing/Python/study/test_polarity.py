"""A negative is recognized, a proper radiograph never taken for one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from AcuteFindingsLib.study.polarity import looks_negative, positive_slices
from AcuteFindingsLib.study.reader import read_study


@pytest.mark.slow
def test_real_radiographs_are_never_called_negatives_and_their_negatives_mostly_are(data_folder: Path) -> None:
    files = sorted((data_folder / "chest-xray-lungs" / "images").glob("*.png"))
    files += sorted((data_folder / "chest-xray-64").rglob("*.png"))[::8]
    assert len(files) > 100
    images = [np.asarray(Image.open(file).convert("L")) / 255 for file in files]
    assert not any(looks_negative(image) for image in images)
    assert np.mean([looks_negative(1 - image) for image in images]) > 0.85


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (40, 70), (200, 63)])
def test_tiny_pictures_are_no_negatives(shape: tuple[int, int]) -> None:
    lungs = np.ones(shape, np.float32)
    lungs[:, shape[1] // 3 : 2 * shape[1] // 3] = 0
    assert not looks_negative(lungs)


def test_a_header_that_makes_a_negative_of_a_radiograph_is_overruled_with_a_warning(data_folder: Path) -> None:
    # The twin holds the same stored values as its original under MONOCHROME1: by the header alone, its negative.
    study = read_study(data_folder / "chest-xray-dicom" / "monochrome1_twin.dcm")
    told = [(notice.code, notice.severity) for notice in study.notices]
    assert told == [("inverted-grey", "warn"), ("side-assumed", "info")]


def test_pictures_of_ct_are_turned_only_where_they_are_negatives(data_folder: Path) -> None:
    files = sorted(file for file in (data_folder / "head-ct-slices").rglob("*") if file.suffix in (".png", ".jpg"))
    for file in files[::5]:
        gray = np.asarray(Image.open(file).convert("L")) / np.float32(255)
        same, told = positive_slices(gray)
        assert told == ()
        assert same is gray
        turned, told = positive_slices(1 - gray)
        assert [(notice.code, notice.severity) for notice in told] == [("inverted-grey", "warn")]
        np.testing.assert_allclose(turned, gray, atol=1e-6)
