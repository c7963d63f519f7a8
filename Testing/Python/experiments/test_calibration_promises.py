"""The simulation of sites that calibrate, in small form: promises are held as often as promised."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

EXPERIMENTS = Path(__file__).resolve().parents[2] / "Experiments"


@pytest.fixture(scope="module")
def promises():
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        import calibration_promises
    finally:
        sys.path.remove(str(EXPERIMENTS))
    return calibration_promises


@pytest.mark.parametrize("kind", ["synthetic", "phantoms"])
@pytest.mark.parametrize("words", ["PPV 0.90, NPV 0.95", "sensitivity 0.95, specificity 0.90"])
def test_sites_keep_what_they_promise_as_often_as_promised(promises, kind: str, words: str) -> None:
    if kind == "synthetic":
        scores = promises.synthetic("s", apart=3.0, prevalence=0.3)
    else:
        scores = promises.read_phantoms(EXPERIMENTS / "results" / promises.PHANTOM_SCORES)
    row = promises.sites(scores, promises.PROMISES[words], 200, draws=200, seed=5)
    assert row["made"] > 0
    assert min(row["held"]) >= binom.ppf(0.001, 200, 0.9)
    assert 0 <= row["indeterminate"] < 0.4


def test_the_exact_shares_of_synthetic_scores_are_those_of_many_drawn_ones(promises) -> None:
    scores = promises.synthetic("s", apart=2.5, prevalence=0.3, artifacts=0.05)
    found = promises.Thresholds(0.3, 0.8)
    drawn = promises.pooled("drawn", *scores.draw(np.random.default_rng(0), 200_000)).shares(found)
    exact = scores.shares(found)
    np.testing.assert_allclose(exact.called_positive, drawn.called_positive, atol=0.01)
    np.testing.assert_allclose(exact.called_negative, drawn.called_negative, atol=0.01)
    assert exact.indeterminate == pytest.approx(drawn.indeterminate, abs=0.01)
    for kind in ("predictive values", "error rates"):
        np.testing.assert_allclose(exact.kept(kind), drawn.kept(kind), atol=0.01)


def test_the_table_of_the_whole_has_a_row_a_set_promise_and_number_of_studies(promises, tmp_path: Path) -> None:
    rows = promises.run([promises.synthetic("s", apart=3.0, prevalence=0.3)], draws=3)
    assert len(rows) == len(promises.PROMISES) * len(promises.SIZES)
    table = promises.as_table(rows)
    assert table.count("\n") == len(rows) + 2
    assert "3 of" not in table


def test_phantoms_are_scored_as_their_verdicts_are(promises, tmp_path: Path) -> None:
    from AcuteFindingsLib.detectors.load import load_detector
    from AcuteFindingsLib.detectors.phantoms import make_phantom
    from AcuteFindingsLib.phantoms.as_study import phantom_study

    promises.score_phantoms(2, tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0] == "present,probability"
    assert len(lines) == 3
    random = np.random.default_rng(26)
    from AcuteFindingsLib.phantoms.chest_xray.mimics import MIMICS

    variants = tuple(name for name in MIMICS if random.random() < 0.3)
    positive = bool(random.random() < 0.3)
    phantom = make_phantom("chest-xray", 700_000, positive=positive, size=128, variants=variants)
    verdict = load_detector("pneumothorax", device="cpu").detector.run(phantom_study(phantom)).verdict
    assert lines[1] == f"{int(positive)},{verdict.probability:.6f}"
