"""Blocks cover a volume, fit in the memory, and what they say is joined as nnU-Net joins it."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from AcuteFindingsLib.detectors.blocks import JoinedBlocks, block_weights, choose_blocks, lay_blocks

PUBLISHED = {"largest": (224, 320, 320), "smallest": (64, 128, 128), "divisor": (32, 64, 64), "overlap": 0.5}


def test_blocks_lie_evenly_from_the_first_voxel_to_the_last_and_overlap_by_half() -> None:
    blocks = lay_blocks((300, 340, 100), (128, 256, 128), overlap=0.5)
    assert blocks.starts == ((0, 57, 115, 172), (0, 84), (0,))
    assert len(blocks) == len(set(blocks.corners)) == 8
    assert blocks.voxels == 8 * 128 * 256 * 128


def test_of_blocks_that_fit_those_like_in_training_are_taken_that_cost_the_least() -> None:
    plenty = choose_blocks((224, 320, 320), **PUBLISHED, most_voxels=1e9)
    assert plenty is not None
    assert plenty.side == (224, 320, 320)
    tight = choose_blocks((290, 300, 411), **PUBLISHED, most_voxels=9e6)
    assert tight is not None
    assert np.prod(tight.side) <= 9e6
    assert all(side % step == 0 for side, step in zip(tight.side, PUBLISHED["divisor"], strict=True))
    for side in [(128, 192, 192), (160, 192, 192), (128, 256, 256)]:
        assert tight.voxels <= lay_blocks((290, 300, 411), side, overlap=0.5).voxels
    # Flat ones would cost less.
    assert all(side >= largest / 2 for side, largest in zip(tight.side, PUBLISHED["largest"], strict=True))
    assert tight.voxels > lay_blocks((290, 300, 411), (64, 320, 320), overlap=0.5).voxels
    small = choose_blocks((300, 340, 410), **PUBLISHED, most_voxels=2e6)
    assert small is not None
    assert np.prod(small.side) <= 2e6
    assert choose_blocks((300, 340, 410), **PUBLISHED, most_voxels=1e5) is None


@pytest.mark.parametrize(
    ("shape", "side"), [((20, 90, 100), (32, 128, 128)), ((70, 100, 310), (96, 128, 320)), ((3, 9, 9), (64, 64, 64))]
)
def test_an_axis_shorter_than_a_block_is_filled_up_to_its_divisor(shape, side) -> None:
    blocks = choose_blocks(shape, **PUBLISHED, most_voxels=1e9)
    assert blocks is not None
    assert blocks.side == side


def test_what_blocks_say_is_joined_by_a_gaussian_around_their_middle() -> None:
    shape, side = (21, 18, 40), (8, 16, 16)
    blocks = lay_blocks(shape, side, overlap=0.5)
    middle = np.zeros(side)
    middle[4, 8, 8] = 1
    weights = gaussian_filter(middle, [1, 2, 2], mode="constant")
    weights /= weights.max()
    numbers, total, seen = np.random.default_rng(1), np.zeros((21, 18, 40)), np.zeros((21, 18, 40))
    joined = JoinedBlocks(shape, blocks)
    for z, y, x in blocks.corners:
        said = numbers.normal(size=side).astype(np.float32)
        joined.add((z, y, x), said)
        place = np.s_[z : z + 8, y : y + 16, x : x + 16]
        total[place] += said * weights
        seen[place] += weights
    assert seen.min() > 0
    np.testing.assert_allclose(joined.mean(), total / seen, rtol=1e-4, atol=1e-5)


def test_one_block_is_its_own_mean_up_to_the_corners_and_what_fills_it_up_is_left_out() -> None:
    blocks = lay_blocks((20, 30, 30), (32, 64, 64), overlap=0.5)
    said = np.random.default_rng(2).normal(size=(32, 64, 64)).astype(np.float32)
    joined = JoinedBlocks((20, 30, 30), blocks)
    joined.add((0, 0, 0), said)
    np.testing.assert_allclose(joined.mean(), said[:20, :30, :30], rtol=1e-5)
    assert block_weights(32)[0] > 0
