import numpy as np
import pytest

from AcuteFindingsLib.evaluation.operating_points import WILSON, Threshold, decision_figures, point, proportion
from AcuteFindingsLib.evaluation.resampling import Bootstrap


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        span = proportion(hits, count).intervals[0]
        assert (span.low, span.high) == pytest.approx((low, high), abs=5e-5)


def test_radnets_figures_follow_from_its_counts() -> None:
    # RADnet, 77 scans, 44 with hemorrhage (docs/sources.md 4): 39 found, 9 false alarms.
    truth = np.r_[np.ones(44), np.zeros(33)] == 1
    called = np.r_[np.ones(39), np.zeros(5), np.ones(9), np.zeros(24)] == 1
    figures = decision_figures(truth, called)
    published = {"accuracy": 0.8182, "sensitivity": 0.8864, "ppv": 0.8125, "f1": 0.8478}
    assert {name: figures[name].value for name in published} == pytest.approx(published, abs=5e-5)


def test_f1_has_an_interval_by_bootstrap_and_no_wilson() -> None:
    truth = np.arange(60) % 3 == 0
    figures = decision_figures(truth, np.arange(60) % 4 == 0, Bootstrap(np.arange(60)))
    assert [span.method for span in figures["f1"].intervals] == ["bootstrap by patient, 2,000 draws"]
    assert [span.method for span in figures["ppv"].intervals] == [WILSON]


def test_where_patients_repeat_the_bootstrap_comes_first() -> None:
    truth = np.repeat(np.arange(30) % 2 == 0, 3)
    figures = decision_figures(truth, np.arange(90) % 4 != 0, Bootstrap(np.repeat(np.arange(30), 3)))
    assert [span.method for span in figures["sensitivity"].intervals][1:] == [WILSON]


def test_a_score_at_the_threshold_is_positive() -> None:
    found = point(np.array([1, 0, 1, 0]), np.array([0.5, 0.5, 0.4, 0.1]), Threshold(0.5, "stated"))
    assert (found.true_positive, found.false_positive, found.false_negative, found.true_negative) == (1, 1, 1, 1)


def test_a_share_of_no_cases_is_undefined() -> None:
    figures = decision_figures(np.array([True, True]), np.array([False, False]), Bootstrap(np.arange(2)))
    assert figures["ppv"].value is None
    assert figures["specificity"].value is None
    assert figures["f1"].value == 0
