import numpy as np
import pytest

from AcuteFindingsLib.providers.totalsegmentator.rv_lv_ratio import ventricle_diameters

SHAPE = (40, 120, 120)


def ellipsoid(center, radii, spacing, angle=0.0) -> np.ndarray:
    """Mask of an ellipsoid; center and radii in mm, turned in the axial plane by an angle in radians."""
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, spacing, strict=True)), indexing="ij"))
    z, y, x = (axis - c for axis, c in zip(grid, center, strict=True))
    along, across = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    return (z / radii[0]) ** 2 + (across / radii[1]) ** 2 + (along / radii[2]) ** 2 <= 1


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (3.0, 0.7, 0.7), (1.5, 1.2, 0.8)])
def test_diameters_of_ellipsoids_are_found_to_a_pixel(spacing) -> None:
    middle = 20 * spacing[0]
    right = ellipsoid((middle, 40, 25), (15, 25, 20), spacing)
    left = ellipsoid((middle, 40, 65), (15, 25, 16), spacing)
    found = ventricle_diameters(right, left, spacing)
    assert found.right_mm == pytest.approx(40, abs=1.5 * max(spacing[1:]))
    assert found.left_mm == pytest.approx(32, abs=1.5 * max(spacing[1:]))
    assert found.ratio == pytest.approx(40 / 32, rel=0.06)


def test_the_diameter_is_taken_across_the_septum_not_along_the_long_axis() -> None:
    spacing, turn = (2.0, 1.0, 1.0), np.deg2rad(40)
    offset = 36 * np.array([np.sin(turn), np.cos(turn)])
    center = np.array([60.0, 60.0])
    # Long axes stand at right angles to the line between the ventricles, as in a heart.
    right = ellipsoid((40, *(center - offset / 2)), (20, 40, 15), spacing, turn)
    left = ellipsoid((40, *(center + offset / 2)), (20, 40, 15), spacing, turn)
    found = ventricle_diameters(right, left, spacing)
    assert found.right_mm == pytest.approx(30, abs=2)
    assert found.left_mm == pytest.approx(30, abs=2)


def test_each_ventricle_is_measured_in_the_slice_where_it_is_widest() -> None:
    spacing = (2.0, 1.0, 1.0)
    right, left = ellipsoid((30, 40, 25), (15, 25, 20), spacing), ellipsoid((50, 40, 65), (15, 25, 16), spacing)
    found = ventricle_diameters(right, left, spacing)
    assert found.right_z == pytest.approx(15, abs=1)
    assert found.left_z == pytest.approx(25, abs=1)


def test_a_stray_island_does_not_widen_a_ventricle() -> None:
    spacing = (2.0, 1.0, 1.0)
    right, left = ellipsoid((40, 40, 25), (15, 25, 20), spacing), ellipsoid((40, 40, 75), (15, 25, 16), spacing)
    plain = ventricle_diameters(right, left, spacing)
    right[20, 100:110, 5:100] = True
    assert ventricle_diameters(right, left, spacing) == plain


def test_ventricles_that_are_missing_tiny_or_cut_off_are_not_measured() -> None:
    spacing = (2.0, 1.0, 1.0)
    right, left = ellipsoid((40, 40, 25), (15, 25, 20), spacing), ellipsoid((40, 40, 65), (15, 25, 16), spacing)
    nothing = np.zeros(SHAPE, bool)
    assert ventricle_diameters(right, nothing, spacing) is None
    assert ventricle_diameters(right, ellipsoid((40, 40, 65), (4, 4, 4), spacing), spacing) is None
    assert ventricle_diameters(right[20:], left[20:], spacing) is None
