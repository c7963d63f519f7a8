import numpy as np
import pytest

from AcuteFindingsLib.detectors.rules import consecutive_runs, consecutive_score, run_extent_mm, window_starts


def test_runs_are_found_at_both_ends_and_single_slices_count() -> None:
    assert consecutive_runs(np.array([1, 1, 0, 1, 0, 0, 1])) == [(0, 1), (3, 3), (6, 6)]


def test_runs_shorter_than_the_minimum_are_left_out() -> None:
    assert consecutive_runs(np.array([1, 1, 0, 1, 1, 1, 0, 1]), minimum=3) == [(3, 5)]


def test_no_positive_slice_gives_no_run() -> None:
    assert consecutive_runs(np.zeros(4)) == []


@pytest.mark.parametrize("threshold", np.linspace(0.05, 0.95, 10))
def test_score_reaches_a_threshold_exactly_where_the_rule_of_three_holds(threshold: float) -> None:
    generator = np.random.default_rng(3)
    for _ in range(50):
        probabilities = generator.random(9)
        holds = bool(consecutive_runs(probabilities >= threshold, minimum=3))
        assert (consecutive_score(probabilities, minimum=3) >= threshold) == holds


def test_series_shorter_than_the_rule_must_be_positive_throughout() -> None:
    assert consecutive_score(np.array([0.9, 0.4]), minimum=3) == pytest.approx(0.4)


@pytest.mark.parametrize("count", [1, 95, 96, 97, 143, 144, 145, 275, 800])
def test_windows_cover_every_slice_and_none_reaches_past_the_end(count: int) -> None:
    starts = window_starts(count, 96, 48)
    covered = np.zeros(count, bool)
    for start in starts:
        assert start + min(96, count) <= count
        covered[start : start + 96] = True
    assert covered.all()


def test_extent_reaches_from_outer_face_to_outer_face() -> None:
    assert run_extent_mm((1, 3), np.array([0.0, 4.0, 8.0, 16.0]), 4.0) == pytest.approx(16.0)
