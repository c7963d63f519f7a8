"""Intervals where there are few cases or all agree: never of width zero, and never narrower than the cases allow."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from AcuteFindingsLib.evaluation.agreement import cohen_kappa
from AcuteFindingsLib.evaluation.delong import delong_test, newcombe_range
from AcuteFindingsLib.evaluation.evaluate import Request, evaluate
from AcuteFindingsLib.evaluation.labels import FEW, auc_figure, label_result
from AcuteFindingsLib.evaluation.masks import mean_figure
from AcuteFindingsLib.evaluation.operating_points import Threshold, decision_figures
from AcuteFindingsLib.evaluation.resampling import Bootstrap, mean_measure, no_case_of
from AcuteFindingsLib.evaluation.schema import Figure


def widths(figure: Figure) -> list[float]:
    return [span.high - span.low for span in figure.intervals]


def test_the_share_of_which_none_was_seen_is_clopper_and_pearsons() -> None:
    for count in (1, 3, 30, 1000):
        assert no_case_of(count) == pytest.approx(binomtest(0, count).proportion_ci(method="exact").high)


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (1, 59), (4, 4), (30, 2), (500, 500)])
@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 0.97, 1.0])
def test_newcombes_interval_holds_the_area_and_has_a_width(area: float, positives: int, negatives: int) -> None:
    span = newcombe_range(area, positives, negatives)
    assert 0 <= span.low <= area <= span.high <= 1
    assert span.high > span.low
    turned = newcombe_range(1 - area, positives, negatives)
    assert (turned.low, turned.high) == pytest.approx((1 - span.high, 1 - span.low), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("positives", "negatives", "shift"), [(3, 40, 1.5), (5, 5, 2.0), (8, 30, 0.5)])
def test_newcombes_interval_covers_what_it_states(positives: int, negatives: int, shift: float) -> None:
    generator = np.random.default_rng(1)
    truth = np.r_[np.ones(positives, bool), np.zeros(negatives, bool)]
    # Of two normal scores: P(X + shift > Y).
    area = float(np.mean(generator.normal(shift, 1, 400_000) > generator.normal(0, 1, 400_000)))
    held = 0
    for _ in range(600):
        measured = roc_auc_score(truth, generator.normal(truth * shift, 1))
        span = newcombe_range(measured, positives, negatives)
        held += span.low <= area <= span.high
    assert held / 600 > 0.93


@pytest.mark.slow
@pytest.mark.parametrize("cases_each", [1, 3])
def test_no_figure_of_a_perfect_model_has_an_interval_of_width_zero(cases_each: int) -> None:
    truth = np.repeat([1.0] * 4 + [0.0] * 4, cases_each)
    patients = np.repeat(np.arange(8), cases_each)
    result = label_result("pe", "pe", truth, truth * 0.8 + 0.1, Bootstrap(patients), [Threshold(0.5, "stated")])
    figures = [result.auc, result.average_precision, *result.points[0].figures.values()]
    assert all(figure.value == 1.0 for figure in figures)
    for figure in figures:
        assert figure.intervals
        assert min(widths(figure)) > 0
        assert figure.intervals[0].low < 0.9


def test_one_positive_case_has_a_wide_interval() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(60) == 3
    figure = auc_figure(truth, generator.random(60), Bootstrap(np.arange(60)))
    assert widths(figure)[0] > 0.5


def test_with_many_cases_nothing_changes() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(400) < 0.4
    figure = auc_figure(truth, generator.random(400) + 0.3 * truth, Bootstrap(np.arange(400)))
    assert [span.method.split()[0] for span in figure.intervals] == ["DeLong", "bootstrap"]


def test_patients_count_not_their_slices() -> None:
    truth = np.repeat([True] * 3 + [False] * 3, 100)
    figures = decision_figures(truth, truth, Bootstrap(np.repeat(np.arange(6), 100)))
    assert figures["sensitivity"].intervals[0].low == pytest.approx(0.025 ** (1 / 3))


def test_other_measures_that_agree_in_all_cases_have_a_width_or_no_interval() -> None:
    ones = np.ones(10)
    assert min(widths(mean_figure(ones, Bootstrap(np.arange(10))))) > 0.2
    assert mean_figure(ones * 5.3, Bootstrap(np.arange(10)), within=None).intervals == []
    inside = Bootstrap(np.arange(10)).interval(mean_measure(ones * 0.8))
    assert inside is not None
    assert 0 < inside.low < 0.8 < inside.high < 1
    answers = np.array([0, 1] * 5)
    assert min(widths(cohen_kappa(answers, answers))) > 0.2
    same = delong_test(answers, np.arange(10.0), np.arange(10.0))
    assert same.interval.low < 0 < same.interval.high


@pytest.mark.slow
@pytest.mark.parametrize("positives", [1, 3, FEW])
def test_few_cases_are_remarked_on_and_enough_are_not(positives: int, tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(60)]
    scores = np.linspace(0, 1, 60)
    pd.DataFrame({"image": names, "pe": scores}).to_csv(tmp_path / "p.csv", index=False)
    truth = (np.arange(60) % (60 // positives) == 0).astype(int)
    pd.DataFrame({"image": names, "pe": truth}).to_csv(tmp_path / "t.csv", index=False)
    result = evaluate(tmp_path / "p.csv", Request(tmp_path / "t.csv"))
    said = [notice for notice in result.notices if "only" in notice]
    assert bool(said) == (positives < FEW)
    if said:
        assert f"only {positives} positive image" in said[0]
