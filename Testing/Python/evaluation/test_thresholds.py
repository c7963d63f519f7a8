import numpy as np
import pytest

from AcuteFindingsLib.evaluation.thresholds import f1_threshold, youden_threshold


def test_the_youden_threshold_lies_between_two_groups_that_separate() -> None:
    threshold = youden_threshold(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.7, 0.9]))
    assert threshold == pytest.approx(0.5)


def test_the_f1_threshold_keeps_few_positives_apart_from_many_negatives() -> None:
    truth = np.array([0] * 90 + [1] * 10)
    score = np.concatenate([np.linspace(0, 0.3, 90), [0.02, *np.linspace(0.4, 0.9, 9)]])
    assert f1_threshold(truth, score) == pytest.approx(0.4)
    assert youden_threshold(truth, score) == pytest.approx(0.35, abs=0.06)


def test_the_youden_threshold_stays_inside_0_and_1() -> None:
    assert youden_threshold(np.array([0, 1]), np.array([0.0, 1e-6])) == 0.01
    assert youden_threshold(np.array([0, 1]), np.array([0.9999, 1.0])) == 0.99


def test_two_sets_count_alike_however_large_each_is() -> None:
    # A large set that 0.8 splits, and a small one that 0.3 splits: between lies what serves both.
    large = np.repeat([[0, 0.5], [1, 0.9]], 100, axis=0)
    small = np.array([[0, 0.1], [0, 0.1], [1, 0.4], [1, 0.85]])
    truth, score = np.concatenate([large, small]).T
    sets = np.arange(len(truth)) < len(large)
    assert 0.5 < youden_threshold(truth, score) < 0.85
    assert 0.5 < youden_threshold(truth, score, sets=sets) < 0.85
    # With more to lose in the small set, the large one gives way.
    small = np.array([[0, 0.1], [0, 0.1], [1, 0.4], [1, 0.4]])
    hazy = np.concatenate([large, np.repeat([[1, 0.45]], 60, axis=0), small])
    truth, score = hazy.T
    alike = youden_threshold(truth, score, sets=np.arange(len(truth)) < len(hazy) - len(small))
    assert 0.1 < alike < 0.4
    assert youden_threshold(truth, score) > 0.45
