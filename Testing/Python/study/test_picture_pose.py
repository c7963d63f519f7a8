"""A chest on its side or upside down is recognized, an upright one never called either."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from AcuteFindingsLib.study.picture_pose import pose_notices


@pytest.mark.slow
def test_real_chests_are_told_from_turned_ones(data_folder: Path) -> None:
    files = sorted((data_folder / "chest-xray-lungs" / "images").glob("*.png"))
    files += sorted((data_folder / "chest-xray-64").rglob("*.png"))[::4]
    assert len(files) > 200
    images = [np.asarray(Image.open(file).convert("L"), np.float32) / 255 for file in files]
    found = [Counter(one.code for image in images for one in pose_notices(np.rot90(image, k))) for k in range(4)]
    assert not found[0]
    assert found[1]["on-its-side"] > 0.75 * len(images)
    assert found[2]["upside-down"] > 0.75 * len(images)
    assert found[3]["on-its-side"] > 0.75 * len(images)
    assert not any(pose_notices(image[:, ::-1]) for image in images)


@pytest.mark.parametrize("shape", [(1, 1), (40, 300), (63, 63)])
def test_tiny_pictures_are_not_judged(shape: tuple[int, int]) -> None:
    array = np.zeros(shape, np.float32)
    array[shape[0] // 3 : 2 * shape[0] // 3 + 1] = 1
    assert pose_notices(array) == ()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_even_picture_has_no_pose(level: float) -> None:
    assert pose_notices(np.full((300, 200), level, np.float32)) == ()
