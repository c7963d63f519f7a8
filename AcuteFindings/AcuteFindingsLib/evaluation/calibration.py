"""Whether a probability of 0.8 means eight in ten: reliability, class-wise calibration error, temperature scaling."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GroupKFold

from AcuteFindingsLib.evaluation.resampling import Bootstrap, Measure, of_all
from AcuteFindingsLib.evaluation.schema import Bin, Calibration, Figure

BINS = 15
_FOLDS = 5
_LOG_TEMPERATURES = (-4.0, 4.0)
_LEAST_PROBABILITY = 1e-7


def calibration_error(truth: np.ndarray, probability: np.ndarray, *, bins: int = BINS) -> float:
    """Return one label's calibration error: mean over cases of |stated - observed|, each averaged within its bin.

    Bins of equal width over 0..1; the mean over the labels is the class-wise calibration error (Kull 2019), which
    docs/sources.md 5 reports.
    """
    return of_all(calibration_measure(np.asarray(truth, bool), probability, bins=bins), len(truth))


def class_wise_calibration_error(
    truths: Sequence[np.ndarray], probabilities: Sequence[np.ndarray], *, bins: int = BINS
) -> float:
    """Return the class-wise calibration error (CWCE): the labels' calibration errors, averaged."""
    return float(np.mean([calibration_error(t, p, bins=bins) for t, p in zip(truths, probabilities, strict=True)]))


def calibration_measure(truth: np.ndarray, probability: np.ndarray, *, bins: int = BINS) -> Measure:
    """Return `calibration_error` of weighted cases as a measure for the bootstrap."""
    place = _places(probability, bins)
    gap = np.zeros((len(place), bins))
    gap[np.arange(len(place)), place] = np.asarray(truth, float) - np.asarray(probability, float)

    def measure(weights: np.ndarray) -> np.ndarray:
        return np.abs(weights @ gap).sum(1) / weights.sum(1)

    return measure


def reliability(truth: np.ndarray, probability: np.ndarray, *, bins: int = BINS) -> list[Bin]:
    """Return the bars of a reliability diagram."""
    truth, probability = np.asarray(truth, float), np.asarray(probability, float)
    place = _places(probability, bins)
    edges = np.linspace(0, 1, bins + 1)
    bars = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        bars.append(
            Bin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                count=count,
                stated=float(probability[inside].mean()) if count else None,
                observed=float(truth[inside].mean()) if count else None,
            )
        )
    return bars


def fit_temperature(truth: np.ndarray, probability: np.ndarray) -> float:
    """Return the T for which sigmoid(logit / T) has the least log loss (Guo 2017); above 1 the model is too sure."""
    present, logits = np.asarray(truth, bool), _logits(probability)
    found = minimize_scalar(
        lambda power: log_loss(present, expit(logits / np.exp(power)), labels=[False, True]),
        bounds=_LOG_TEMPERATURES,
        method="bounded",
    )
    return float(np.exp(found.x))


def scale_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities after division of their logits by the temperature."""
    return expit(_logits(probability) / temperature)


def calibration(truth: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap, *, bins: int = BINS) -> Calibration:
    """Return calibration error, reliability and what temperature scaling would give.

    The error after scaling is measured on patients whose cases the temperature was not fitted to, in five folds.
    """
    truth, probability = np.asarray(truth, bool), np.asarray(probability, float)
    span = bootstrap.interval(calibration_measure(truth, probability, bins=bins))
    temperature = fit_temperature(truth, probability) if truth.any() and not truth.all() else None
    scaled = None if temperature is None else _scaled_out_of_fold(truth, probability, bootstrap.numbers)
    return Calibration(
        error=Figure(
            value=calibration_error(truth, probability, bins=bins),
            intervals=[span] if span else [],
            count=len(truth),
        ),
        bins=reliability(truth, probability, bins=bins),
        brier=float(brier_score_loss(truth, probability, labels=[False, True])),
        temperature=temperature,
        error_after=None if scaled is None else calibration_error(truth, scaled, bins=bins),
        explained=f"{bins} bins of equal width; after scaling: temperature of {_FOLDS} folds, patients kept together",
    )


def _scaled_out_of_fold(truth: np.ndarray, probability: np.ndarray, patients: np.ndarray) -> np.ndarray | None:
    folds = min(_FOLDS, len(np.unique(patients)))
    if folds < 2:
        return None
    scaled = np.empty_like(probability)
    for fitted, held in GroupKFold(folds).split(probability, groups=patients):
        if truth[fitted].all() or not truth[fitted].any():
            return None
        scaled[held] = scale_temperature(probability[held], fit_temperature(truth[fitted], probability[fitted]))
    return scaled


def _places(probability: np.ndarray, bins: int) -> np.ndarray:
    return np.digitize(np.asarray(probability, float), np.linspace(0, 1, bins + 1)[1:-1])


def _logits(probability: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(probability, float), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
