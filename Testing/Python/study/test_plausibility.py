"""What no scanner writes is refused, what is unlikely is warned of, and what is only unusual passes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.content import ct_content
from AcuteFindingsLib.study.plausibility import mend_wrapped
from AcuteFindingsLib.study.slice_values import slice_values
from AcuteFindingsLib.study.study import Study

from .drawn import ctpa, head, radiograph

Change = Callable[[np.ndarray], np.ndarray]


def notices(study: Study, detector: str) -> dict[str, str]:
    return {
        notice.code: notice.severity
        for notice in check_study(study, find_kind(detector).requirements)
        if notice.severity != "info"
    }


def with_values(study: Study, change: Change) -> Study:
    return replace(study, array=np.asarray(change(study.array.copy()), np.float32))


def scaled(study: Study, *factors: float) -> Study:
    """The study with other distances between columns, rows and slices."""
    return replace(study, ijk_to_ras=study.ijk_to_ras @ np.diag([*factors, 1.0]))


def noise(array: np.ndarray) -> np.ndarray:
    return np.random.default_rng(4).uniform(-1024, 3071, array.shape)


def unit(array: np.ndarray) -> np.ndarray:
    return (array - array.min()) / (array.max() - array.min())


def as_unsigned(array: np.ndarray, bits: int) -> np.ndarray:
    return np.where(array < 0, array + 2**bits, array)


def bytes_exchanged(array: np.ndarray) -> np.ndarray:
    stored = np.clip(array + 1024, 0, 4095).astype("<u2")
    return (stored.byteswap() & 0xFFF).astype(np.float32) - 1024


def in_slices(change: Change, places: slice) -> Change:
    def changed(array: np.ndarray) -> np.ndarray:
        array[places] = change(array[places])
        return array

    return changed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda a: a + 1024, {"not-hu"}),
        (lambda a: a - 1024, {"not-hu"}),
        (lambda a: (a + 1024) * 2 - 1024, {"not-hu"}),
        (lambda a: (a + 1024) * 0.5 - 1024, {"not-hu"}),
        (lambda a: -(a + 1024) - 1024, {"not-hu"}),
        (lambda a: a * 10, {"not-hu"}),
        (lambda a: a * 0.5, {"not-hu"}),
        (lambda a: a * 1000, {"not-hu"}),
        (unit, {"window-burnt-in"}),
        (lambda a: unit(a) * 2 - 1, {"not-hu"}),
        (lambda a: (a - a.mean()) / a.std(), {"not-hu"}),
        (lambda a: unit(a) * 100, {"window-burnt-in"}),
        (lambda a: (unit(a) * 255).round() - 1024, {"not-hu"}),
        (lambda a: as_unsigned(a, 12), {"not-hu"}),
        (lambda a: as_unsigned(a, 12) - 1024, {"not-hu"}),
        (lambda a: as_unsigned(a, 16), {"not-hu"}),
        (noise, {"noise"}),
        (bytes_exchanged, {"noise"}),
    ],
)
@pytest.mark.parametrize(("make", "detector"), [(ctpa, "pe"), (head, "hemorrhage")])
def test_values_that_no_scanner_writes_are_refused(make, detector, change, codes):
    found = notices(with_values(make(), change), detector)
    assert "refuse" in found.values()
    assert set(found) & (codes | {"wrong-body-part"})


@pytest.mark.parametrize(
    ("change", "places", "code", "severity"),
    [
        (lambda a: a + 1024, slice(10, 20), "mixed-scales", "refuse"),
        (lambda a: a + 1024, slice(12, 13), "mixed-scales", "warn"),
        (lambda a: a + 300, slice(0, 12), "mixed-scales", "refuse"),
        (lambda a: (a + 1024) * 2 - 1024, slice(3, None, 2), "mixed-scales", "refuse"),
        (lambda a: a * 0.5, slice(3, None, 2), "mixed-scales", "refuse"),
        (noise, slice(10, 20), "noise", "refuse"),
        (lambda a: a * 0, slice(0, 15), "constant-slices", "refuse"),
        (lambda a: a * 0 - 1024, slice(2, None, 2), "constant-slices", "refuse"),
        (lambda a: a * 0, slice(12, 14), "constant-slices", "warn"),
    ],
)
def test_slices_unlike_the_rest_of_their_stack_are_named(change, places, code, severity):
    assert notices(with_values(head(), in_slices(change, places)), "hemorrhage").get(code) == severity


@pytest.mark.parametrize(
    ("factors", "code", "severity"),
    [
        ((10, 10, 1), "impossible-size", "refuse"),
        ((0.1, 0.1, 1), "unlikely-size", "warn"),
        ((0.05, 0.05, 1), "impossible-size", "refuse"),
        ((2, 2, 1), "impossible-size", "refuse"),
        ((0.5, 0.5, 1), "small-body", "warn"),
        ((0.5, 0.5, 0.5), "small-body", "warn"),
        ((1, 1, 0.1), "small-body", "warn"),
        ((1, 1, 10), "impossible-slice-distance", "refuse"),
        ((1, 1, 2), "unlikely-size", "warn"),
        ((1.3, 1, 1), "pixel-aspect", "warn"),
        ((4, 1, 1), "pixel-aspect", "refuse"),
    ],
)
def test_sizes_that_no_head_has_are_refused_or_warned_of(factors, code, severity):
    assert notices(scaled(head(), *factors), "hemorrhage").get(code) == severity


@pytest.mark.slow
def test_a_chest_twice_or_half_its_size_is_named():
    assert notices(scaled(ctpa(), 2, 2, 1), "pe") == {"impossible-size": "refuse"}
    assert notices(scaled(ctpa(), 0.5, 0.5, 1), "pe").get("small-body") == "warn"


def test_a_radiograph_of_a_hand_breadth_or_of_stretched_pixels_is_warned_of_and_not_refused():
    assert notices(scaled(radiograph(), 0.1, 0.1, 1), "pneumothorax") == {"impossible-size": "warn"}
    assert notices(scaled(radiograph(), 1.2, 1, 1), "pneumothorax") == {"pixel-aspect": "warn"}
    assert notices(replace(scaled(radiograph(), 0.1, 0.1, 1), pixel_spacing_known=False), "pneumothorax") == {
        "no-pixel-spacing": "warn"
    }


def metal(array: np.ndarray) -> np.ndarray:
    array[14:16, 40:44, 40:44] = 3071
    return array


def extended(array: np.ndarray) -> np.ndarray:
    array[14:16, 40:43, 40:43] = 30710
    return array


def circle_padded(value: float) -> Change:
    def padded(array: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[-1 : 1 : array.shape[1] * 1j, -1 : 1 : array.shape[2] * 1j]
        array[:, x**2 + y**2 > 1] = value
        return array

    return padded


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        metal,
        extended,
        circle_padded(-2000),
        circle_padded(-3024),
        circle_padded(-1024),
        lambda a: np.maximum(a, -1024),
        in_slices(lambda a: np.random.default_rng(5).normal(-1000, 10, a.shape), slice(0, 2)),
        in_slices(lambda a: a * 0 - 1024, slice(0, 2)),
        lambda a: a + np.random.default_rng(6).normal(0, 25, a.shape),
    ],
)
@pytest.mark.parametrize(("make", "detector"), [(ctpa, "pe"), (head, "hemorrhage")])
def test_unusual_values_that_scanners_do_write_get_no_warning(make, detector, change):
    assert not notices(with_values(make(), change), detector)


def test_a_small_field_of_small_pixels_is_not_refused():
    middle = replace(head(), array=np.repeat(np.repeat(head().array[:, 40:56, 16:32], 16, 1), 16, 2))
    assert "refuse" not in {
        severity
        for code, severity in notices(scaled(middle, 0.08, 0.08, 1), "hemorrhage").items()
        if code != "wrong-body-part"
    }


@pytest.mark.parametrize("bits", [12, 16])
def test_negative_values_written_without_sign_are_mended_with_a_warning(bits: int):
    true = np.round(np.maximum(head().array, -1024))
    array = as_unsigned(true, bits).astype(np.float32)
    notice = mend_wrapped(array)
    assert notice is not None
    assert notice.severity == "warn"
    assert np.abs(array - true).max() == 0
    untouched = true.astype(np.float32)
    assert mend_wrapped(untouched) is None
    assert np.array_equal(untouched, true)


def test_metal_and_an_extended_scale_are_not_taken_for_values_without_sign():
    for change in (metal, extended):
        array = change(head().array.copy())
        assert mend_wrapped(array) is None


def test_slice_values_see_every_voxel_for_the_extremes():
    array = head().array.copy()
    array[7, 3, 5] = np.nan
    array[9, 3, 5] = 5000
    values = slice_values(array)
    assert np.flatnonzero(np.isnan(values.low)).tolist() == [7]
    assert values.high[9] == 5000
    assert np.isnan(values.lowest)
    assert np.isnan(values.highest)


def test_slice_values_and_content_are_the_same_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in ("1", "4"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append((slice_values(ctpa().array), ct_content(ctpa())))
    for one, other in zip(*found, strict=True):
        for name in vars(one):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_slice_of_one_value_that_is_no_filling_is_warned_of_at_the_end_too() -> None:
    lost, filled = head().array.copy(), head().array.copy()
    lost[-1] = 36.0
    filled[-1] = -1024.0
    for array, warned in ((lost, True), (filled, False)):
        notices = check_study(replace(head(), array=array), find_kind("hemorrhage").requirements)
        assert ("constant-slices" in {n.code for n in notices}) is warned


def test_lungs_from_end_to_end_that_are_too_low_are_warned_of():
    for factor in (0.3, 0.1):
        assert notices(scaled(ctpa(), 1, 1, factor), "pe").get("small-body") == "warn"


def test_a_volume_that_states_no_geometry_is_warned_of():
    assert notices(replace(head(), ijk_to_ras=np.eye(4)), "hemorrhage").get("no-geometry") == "warn"
