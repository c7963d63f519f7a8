"""The figures of a few lines each are those of the packages that have them too."""

import numpy as np
import pytest

from AcuteFindingsLib.evaluation.agreement import cohen_kappa, fleiss
from AcuteFindingsLib.evaluation.calibration import calibration_error
from AcuteFindingsLib.evaluation.masks import dice


@pytest.fixture(params=range(5))
def generator(request) -> np.random.Generator:
    return np.random.default_rng(request.param)


def test_cohens_kappa_is_scikit_learns(generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    a = generator.random(60) < 0.3
    b = np.where(generator.random(60) < 0.8, a, ~a)
    assert cohen_kappa(a, b).value == pytest.approx(metrics.cohen_kappa_score(a, b), abs=1e-12)


def test_fleiss_kappa_is_torchmetrics_but_for_the_hundred_thousandth_that_it_adds(generator) -> None:
    torch = pytest.importorskip("torch")
    nominal = pytest.importorskip("torchmetrics.functional.nominal")
    answers = (generator.random((50, 4)) < generator.random((50, 1))).astype(int)
    counts = torch.as_tensor(np.stack([4 - answers.sum(1), answers.sum(1)], axis=1))
    assert fleiss(answers).value == pytest.approx(float(nominal.fleiss_kappa(counts, mode="counts")), abs=5e-5)


def test_the_calibration_error_is_torchmetrics(generator) -> None:
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.functional.classification")
    stated = generator.random(200)
    truth = generator.random(200) < stated**2
    theirs = classification.binary_calibration_error(torch.as_tensor(stated), torch.as_tensor(truth.astype(int)), 15)
    assert calibration_error(truth, stated) == pytest.approx(float(theirs), abs=1e-9)


def test_dice_is_monais(generator) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    truth, mask = generator.random((2, 1, 1, 20, 20)) < 0.3
    for a, b in ((truth, mask), (truth, truth & False), (truth & False, mask & False)):
        theirs = metrics.compute_dice(torch.as_tensor(a), torch.as_tensor(b), ignore_empty=False)
        assert dice(a, b) == pytest.approx(float(theirs), abs=1e-6)
