import numpy as np
import pytest

from AcuteFindingsLib.preprocessing.pe_input import prepare_pe_slices, with_neighbors


def test_slices_have_the_published_size_and_range():
    out = prepare_pe_slices(np.linspace(-1000, 1000, 512 * 512, dtype=np.float32).reshape(1, 512, 512))
    assert out.shape == (1, 386, 386)
    assert out.dtype == np.float32
    assert out.min() == pytest.approx(-1)
    assert out.max() == pytest.approx(1)


def test_what_the_mask_leaves_out_is_black():
    mask = np.zeros((1, 64, 64), bool)
    mask[:, 16:48, 16:48] = True
    out = prepare_pe_slices(np.full((1, 64, 64), 99.5, np.float32), mask, size=64)
    assert np.unique(out[mask]) == pytest.approx([0], abs=1e-6)
    assert (out[~mask] == -1).all()


def test_batches_do_not_depend_on_each_other():
    slices = np.random.default_rng(0).normal(0, 300, (5, 50, 50)).astype(np.float32)
    whole = prepare_pe_slices(slices, size=32)
    np.testing.assert_array_equal(whole[3:4], prepare_pe_slices(slices[3:4], size=32))


def test_each_slice_is_shown_with_those_beside_it_and_the_last_stands_in_for_missing_ones():
    series = np.arange(10)
    for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
        wide, places = with_neighbors(part, len(series), 1)
        judged = np.arange(part.start, part.stop)
        shown = series[wide][places]
        assert shown.tolist() == [[max(z - 1, 0), z, min(z + 1, 9)] for z in judged]


def test_without_reach_a_slice_is_shown_alone():
    wide, places = with_neighbors(slice(3, 5), 10, 0)
    assert wide == slice(3, 5)
    assert places.tolist() == [[0], [1]]
