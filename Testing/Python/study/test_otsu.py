import numpy as np
import pytest

from AcuteFindingsLib.study.otsu import otsu_threshold


def two_groups(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.normal(40, 15, 900), generator.normal(300, 40, 100 + 10 * seed)])


def test_the_threshold_lies_between_the_groups() -> None:
    assert 80 < otsu_threshold(two_groups(0)) < 200


def test_of_a_picture_of_two_gray_levels_the_lower_is_the_threshold() -> None:
    assert otsu_threshold(np.array([[3, 3], [250, 3]], np.uint8)) == 3


@pytest.mark.parametrize("seed", range(20))
def test_it_is_scikit_images_threshold_to_the_last_bit(seed: int) -> None:
    filters = pytest.importorskip("skimage.filters")
    values = two_groups(seed)
    gray = np.clip(values / 2, 7, 255).astype(np.uint8).reshape(10, -1)
    assert otsu_threshold(values) == filters.threshold_otsu(values)
    assert otsu_threshold(gray) == filters.threshold_otsu(gray)
