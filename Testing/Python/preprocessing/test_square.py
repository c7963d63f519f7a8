import numpy as np
import pytest
import torch

from AcuteFindingsLib.preprocessing.square import fit_square, pad_to_square, stretch_square, unfit_square


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (301, 400), (256, 256)])
def test_a_radiograph_comes_back_from_the_square_where_it_was(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = (0.5 + 0.5 * np.sin(y / 30) * np.cos(x / 25)).astype(np.float32)
    square = fit_square(image, 256)
    assert square.shape == (256, 256)
    back = unfit_square(square, shape)
    assert back.shape == shape
    assert np.abs(back - image)[8:-8, 8:-8].max() < 0.02


def test_padding_is_on_both_sides_and_black():
    padded = pad_to_square(np.ones((3, 6), np.float32))
    assert padded.sum(axis=1).tolist() == [0, 6, 6, 6, 0, 0]


def test_proportions_are_kept():
    image = np.zeros((200, 400), np.float32)
    image[52:152, 152:252] = 1
    mask = fit_square(image, 100) > 0.5
    assert mask.any(axis=1).sum() == mask.any(axis=0).sum() == 25


@pytest.mark.parametrize("shape", [(300, 400), (640, 1024), (64, 64), (20, 300), (1, 5)])
def test_a_stretched_picture_is_torch_s_bilinear_without_a_mean(shape):
    image = np.random.default_rng(4).random(shape, np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(image)[None, None], size=(64, 64), mode="bilinear")
    np.testing.assert_allclose(stretch_square(image, 64), expected[0, 0].numpy(), atol=1e-5)
