import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.phantoms.chest_xray.drawing import contours


def blob(size: int = 60) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return ndimage.gaussian_filter(((y - 30) ** 2 / 300 + (x - 25) ** 2 / 120 < 1).astype(np.float32), 3.0)


def test_a_contour_lies_where_the_picture_has_the_level() -> None:
    (curve,) = contours(blob(), 0.4)
    at_curve = ndimage.map_coordinates(blob().astype(float), curve[:, ::-1].T, order=1)
    assert at_curve == pytest.approx(0.4, abs=1e-6)
    assert (curve[0] == curve[-1]).all()


def test_a_contour_that_the_edge_cuts_stays_open() -> None:
    (curve,) = contours(blob()[:, 25:], 0.4)
    assert curve[0, 0] == curve[-1, 0] == 0


@pytest.mark.parametrize("level", [0.2, 0.4, 0.7])
def test_contours_start_and_run_where_scikit_images_do(level: float) -> None:
    # The phantoms are the data of the tests: their pleural lines are sampled from this start.
    measure = pytest.importorskip("skimage.measure")
    for picture in (blob(), blob()[:, 25:], 1 - blob()):
        theirs = [curve[:, ::-1] for curve in measure.find_contours(picture, level)]
        ours = contours(picture, level)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            ways = (b, b[::-1])
            assert min(np.abs(a - way).max() for way in ways) < 1e-9
