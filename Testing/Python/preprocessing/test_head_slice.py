from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from AcuteFindingsLib.preprocessing.head_slice import head_region_windowed, neutral_head


def picture(shape=(300, 260), center=(150, 130), radii=(120, 95)) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    distance = ((y - center[0]) / radii[0]) ** 2 + ((x - center[1]) / radii[1]) ** 2
    image = np.zeros(shape, np.float32)
    image[distance <= 1.12] = 0.25
    image[distance <= 1] = 1
    image[distance <= 0.8] = 0.45
    return image, distance <= 1


def test_head_reaches_to_the_outer_face_of_the_skull():
    image, head = picture()
    region = head_region_windowed(image)
    assert 2 * (region & head).sum() / (region.sum() + head.sum()) > 0.98


def test_letters_and_head_rest_stay_outside():
    image, head = picture()
    image[5:25, 5:20] = 1
    image[296:, 60:200] = 1
    assert head_region_windowed(image)[~head].mean() < 0.02


def test_a_skull_that_the_edge_cuts_in_two_is_one_head():
    image, head = picture(shape=(300, 150), center=(150, 75))
    assert head_region_windowed(image)[head].mean() > 0.95


def test_an_empty_picture_holds_no_head():
    assert not head_region_windowed(np.zeros((50, 50), np.float32)).any()
    assert not neutral_head(np.zeros((50, 50), np.float32), 64).any()


def test_neutral_head_does_not_tell_the_size_border_or_background_of_the_picture():
    image, _ = picture()
    plain = neutral_head(image, 128)
    padded = np.pad(image, ((40, 10), (80, 30)), constant_values=0.08)
    padded[2:20, 2:20] = 1
    assert plain.shape == (128, 128)
    assert np.abs(neutral_head(padded, 128) - plain).mean() < 0.01
    assert plain[:3, :3].max() == 0


@pytest.mark.parametrize("name", ["002", "014", "049", "068", "079", "113", "144", "193", "199"])
def test_real_slices_keep_their_brain_and_lose_their_corners(data_folder: Path, name):
    file = data_folder / "head-ct-slices" / "images" / f"{name}.png"
    image = np.asarray(Image.open(file), np.float32) / 255
    region = head_region_windowed(image)
    height, width = image.shape
    assert region[int(0.35 * height) : int(0.65 * height), int(0.35 * width) : int(0.65 * width)].all()
    assert 0.38 < region.mean() < 0.88
    assert not region[[0, 0, -1, -1], [0, -1, 0, -1]].any()
