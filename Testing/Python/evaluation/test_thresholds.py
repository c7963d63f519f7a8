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
