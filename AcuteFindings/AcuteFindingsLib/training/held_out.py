"""Figures on phantoms that nothing was fitted or tuned on."""

from collections.abc import Callable

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.evaluation.intervals import auc_interval
from AcuteFindingsLib.models.metadata import Interval
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.training.phantom_sets import TEST_SEED


def held_out(name: str, tests: int) -> str:
    """Return in words which phantoms are kept aside; `name` says what they show."""
    return f"held-out {name} phantoms, seeds {TEST_SEED} to {TEST_SEED + tests - 1}"


def held_out_aucs(
    run: Callable[[Study], Finding],
    kind: str,
    label: str,
    *,
    name: str,
    tests: int,
    command: str,
    seen: Callable[[Phantom, Finding], None] = lambda _phantom, _finding: None,
) -> list[Interval]:
    """Run a detector on scans kept aside, at full matrix, and return the AUC of studies and of slices.

    Parameters
    ----------
    run
        The detector.
    kind, label
        Of the phantoms; of the slices.
    name
        What the phantoms show, for the card.
    seen
        Is told every phantom and what was found in it.
    """
    truth, score = [], []
    slice_truth: list[bool] = []
    slice_score: list[float] = []
    for seed in range(TEST_SEED, TEST_SEED + tests):
        phantom = make_phantom(kind, seed)
        finding = run(phantom_study(phantom))
        truth.append(phantom.positive)
        score.append(finding.verdict.probability)
        slice_truth.extend(phantom.slice_labels[label])
        slice_score.extend(item.probabilities[label] for item in finding.slices)
        seen(phantom, finding)
    data = held_out(name, tests)
    return [
        auc_interval(
            np.array(truth),
            np.array(score),
            metric="AUC, study",
            data=f"{data}, {sum(truth)} positive",
            command=command,
        ),
        auc_interval(
            np.array(slice_truth),
            np.array(slice_score),
            metric="AUC, slice",
            data=f"slices of the {data}",
            command=command,
        ),
    ]
