import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.preprocessing.head_slice import neutral_head
from AcuteFindingsLib.preprocessing.windows import apply_window
from AcuteFindingsLib.training.lesions.bleeds import KINDS, brain_region, draw_bleed, draw_calcium


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """A slice at the height of the ventricles, head cut out, 160 pixels."""
    phantom = make_phantom("head-ct", 3, positive=False)
    windowed = apply_window(phantom.array[len(phantom.array) // 2][None], level=40, width=80)[0]
    return np.clip(neutral_head(windowed, 160), 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_bleed_lies_in_the_brain_and_is_brighter_than_what_was_there(head: np.ndarray, kind: str) -> None:
    bleeds = [draw_bleed(np.random.default_rng(seed), head, kind=kind) for seed in range(12)]
    drawn = [bleed for bleed in bleeds if bleed is not None]
    assert drawn
    for bleed in drawn:
        assert bleed.kind == kind
        assert bleed.image.dtype == np.float32
        assert 0 <= bleed.image.min() <= bleed.image.max() <= 1
        assert np.mean(brain_region(head)[bleed.mask]) > 0.9
        assert bleed.image[bleed.mask].mean() > head[bleed.mask].mean()


@pytest.mark.slow
def test_far_from_a_bleed_the_slice_is_as_it_was(head: np.ndarray) -> None:
    bleed = draw_bleed(np.random.default_rng(1), head, kind="subdural")
    assert bleed is not None
    columns = np.flatnonzero(bleed.mask.any(axis=0))
    away = np.ones(head.shape, bool)
    away[:, max(columns[0] - 12, 0) : columns[-1] + 12] = False
    np.testing.assert_array_equal(bleed.image[away], head[away].astype(np.float32))


def test_the_same_seed_draws_the_same_bleed(head: np.ndarray) -> None:
    first, second = (draw_bleed(np.random.default_rng(7), head) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.image, second.image)


def test_a_picture_without_a_head_gets_no_bleed() -> None:
    empty = np.zeros((160, 160), np.float32)
    assert draw_bleed(np.random.default_rng(0), empty) is None
    np.testing.assert_array_equal(draw_calcium(np.random.default_rng(0), empty), empty)


def test_calcium_is_a_few_bright_specks(head: np.ndarray) -> None:
    changed = draw_calcium(np.random.default_rng(2), head) > head + 0.05
    assert 1 <= np.count_nonzero(changed) < 150
