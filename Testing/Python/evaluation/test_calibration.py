import numpy as np
import pytest
from scipy.special import expit

from AcuteFindingsLib.evaluation.calibration import (
    calibration,
    calibration_error,
    calibration_measure,
    class_wise_calibration_error,
    fit_temperature,
    reliability,
    scale_temperature,
)
from AcuteFindingsLib.evaluation.resampling import Bootstrap


def sure(factor: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return truth drawn from calibrated probabilities, and what a model `factor` times as sure would state."""
    generator = np.random.default_rng(4)
    logits = generator.normal(0, 1.5, count)
    return generator.random(count) < expit(logits), expit(logits * factor)


def test_the_error_of_two_bins_is_what_one_counts_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    stated = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9])
    assert calibration_error(truth, stated, bins=2) == pytest.approx(0.5 * 0.15 + 0.5 * 0.15)


def test_the_error_is_what_the_bars_of_the_diagram_show_also_at_one() -> None:
    truth, stated = sure(3, 500)
    stated[:20] = 1.0
    bars = [item for item in reliability(truth, stated) if item.count]
    by_bars = sum(item.count * abs(item.stated - item.observed) for item in bars) / 500
    assert calibration_error(truth, stated) == pytest.approx(by_bars)
    assert calibration_measure(truth, stated)(np.ones((1, 500)))[0] == pytest.approx(by_bars)
    assert sum(item.count for item in bars) == 500


def test_a_calibrated_model_has_next_to_no_error_and_a_sure_one_much() -> None:
    assert calibration_error(*sure(1)) < 0.015
    assert calibration_error(*sure(4)) > 0.1


def test_the_class_wise_error_is_the_mean_over_labels() -> None:
    pairs = [sure(1), sure(4)]
    both = class_wise_calibration_error(*zip(*pairs, strict=True))
    assert both == pytest.approx(np.mean([calibration_error(*pair) for pair in pairs]))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_how_much_too_sure_a_model_is(factor: float) -> None:
    truth, stated = sure(factor)
    temperature = fit_temperature(truth, stated)
    assert temperature == pytest.approx(factor, rel=0.05)
    assert calibration_error(truth, scale_temperature(stated, temperature)) < 0.015


def test_scaling_lowers_the_error_on_patients_it_was_not_fitted_to() -> None:
    truth, stated = sure(4, 2000)
    result = calibration(truth, stated, Bootstrap(np.repeat(np.arange(500), 4)))
    assert result.error_after is not None
    assert result.error.value is not None
    assert result.error_after < result.error.value / 3
    assert result.error.intervals[0].low < result.error.value < result.error.intervals[0].high


def test_cases_of_one_kind_have_no_temperature() -> None:
    result = calibration(np.zeros(10), np.full(10, 0.2), Bootstrap(np.arange(10)))
    assert (result.temperature, result.error_after) == (None, None)
    assert result.error.value == pytest.approx(0.2)
