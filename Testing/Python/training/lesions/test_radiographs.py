import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.training.lesions.radiographs import at_most, draw_findings


@pytest.fixture(scope="module")
def radiograph() -> tuple[np.ndarray, np.ndarray]:
    phantom = make_phantom("chest-xray", 30, positive=False, tubes=(), size=128)
    return phantom.array[0].astype(np.float32), phantom.masks["lungs"][0] > 0


def test_a_pneumothorax_is_drawn_where_asked_and_tubes_either_way(radiograph: tuple[np.ndarray, np.ndarray]) -> None:
    image, lungs = radiograph
    for positive in (True, False):
        found = [draw_findings(np.random.default_rng(seed), image, lungs, positive=positive) for seed in range(12)]
        assert all(one.mask.any() == positive == bool(one.kind) for one in found)
        assert all(not (one.mask & ~lungs).any() for one in found)
        assert {bool(one.tubes) for one in found} == {True, False}
        assert all(one.image.min() >= 0 and one.image.max() <= 1 for one in found)
    again = draw_findings(np.random.default_rng(3), image, lungs, positive=True)
    np.testing.assert_array_equal(
        again.image, draw_findings(np.random.default_rng(3), image, lungs, positive=True).image
    )


def test_a_large_picture_is_made_smaller_with_its_mask(radiograph: tuple[np.ndarray, np.ndarray]) -> None:
    image, lungs = (one[:90] for one in radiograph)
    small, mask = at_most(image, lungs, 64)
    assert small.shape == mask.shape == (45, 64)
    assert mask.mean() == pytest.approx(lungs.mean(), abs=0.03)
    assert at_most(image, lungs, 128)[0] is image
