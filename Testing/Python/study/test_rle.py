import importlib.util
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.rle import decode_runs, decode_union, encode_runs, is_empty


def test_a_run_counts_down_the_columns_from_the_end_of_the_one_before() -> None:
    mask = decode_runs("1 2 3 1", (3, 4))
    expected = np.zeros((3, 4), bool)
    expected[1, 0] = expected[2, 0] = True  # pixels 1 and 2 of the first column
    expected[0, 2] = True  # three further on: pixel 6
    assert np.array_equal(mask, expected)
    assert encode_runs(mask) == "1 2 3 1"


@pytest.mark.parametrize("text", ["-1", " -1 ", ""])
def test_minus_one_is_an_empty_mask(text: str) -> None:
    assert is_empty(text)
    assert not decode_runs(text, (5, 7)).any()
    assert decode_runs(text, (5, 7)).shape == (5, 7)
    assert encode_runs(np.zeros((5, 7))) == "-1"


@pytest.mark.parametrize("seed", range(20))
def test_any_mask_comes_back_as_it_was(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = generator.random((generator.integers(1, 9), generator.integers(1, 9))) < generator.random()
    assert np.array_equal(decode_runs(encode_runs(mask), mask.shape), mask)


def test_full_first_and_last_pixels_are_kept() -> None:
    assert encode_runs(np.ones((2, 3))) == "0 6"
    corners = np.zeros((4, 4), bool)
    corners[0, 0] = corners[-1, -1] = True
    assert encode_runs(corners) == "0 1 14 1"
    assert np.array_equal(decode_runs("0 1 14 1", (4, 4)), corners)


def test_masks_of_several_objects_are_joined() -> None:
    union = decode_union(["0 1", "1 1", "-1"], (2, 2))
    assert union.tolist() == [[True, False], [True, False]]
    assert not decode_union([], (2, 2)).any()


@pytest.mark.parametrize(
    ("text", "what"),
    [("1 2 3", "3 numbers"), ("1 -2", "smallest -2"), ("1 x", "not a whole number"), ("10 7", "pixel 17 of an image")],
)
def test_what_is_no_mask_of_the_image_is_refused_in_words(text: str, what: str) -> None:
    with pytest.raises(StudyError, match=what):
        decode_runs(text, (4, 4))


@pytest.mark.slow
def test_every_real_mask_of_siim_acr_comes_back_letter_by_letter() -> None:
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None:
        pytest.skip("torchxrayvision, whose wheel holds the masks, is not installed")
    pandas = pytest.importorskip("pandas")
    table = Path(spec.origin).parent / "data" / "siim-pneumothorax-train-rle.csv.gz"
    rows = pandas.read_csv(table, skipinitialspace=True, dtype=str)
    texts = rows["EncodedPixels"].str.strip()
    assert rows["ImageId"].nunique() == 12_047
    empty = texts.map(is_empty)
    assert (int(empty.sum()), int((~empty).sum())) == (9_378, 3_576)
    changed = [text for text in texts[~empty] if encode_runs(decode_runs(text)) != text]
    assert changed == []
