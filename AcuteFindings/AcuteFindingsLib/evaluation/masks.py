"""How well masks agree with the true ones: Dice for each image, and the error of the size."""

from collections.abc import Sequence

import numpy as np

from AcuteFindingsLib.evaluation.operating_points import proportion
from AcuteFindingsLib.evaluation.resampling import Bootstrap, mean_measure
from AcuteFindingsLib.evaluation.schema import Figure, MaskResult, MaskRow

CONVENTION = (
    "Dice of each image, then the mean. Two empty masks agree fully (1); a mask where there should be none, or none "
    "where there should be one, counts 0 (as the SIIM-ACR challenge scores). The mean over images with a true mask is "
    "given beside it, for the empty ones raise the first where they are many."
)


def dice(truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the Dice coefficient of two masks of one shape; two empty ones agree fully (1)."""
    truth, mask = np.asarray(truth, bool), np.asarray(mask, bool)
    pixels = np.count_nonzero(truth) + np.count_nonzero(mask)
    return 2 * np.count_nonzero(truth & mask) / pixels if pixels else 1.0


def mask_result(segment: str, unit: str, rows: Sequence[MaskRow], patients: Sequence | np.ndarray) -> MaskResult:
    """Sum up the masks of one segment.

    Parameters
    ----------
    segment, unit
        What is outlined, and the unit of the sizes: ``"mL"``, ``"mm²"`` or ``"pixels"``.
    rows
        One an image.
    patients
        One entry an image, for the bootstrap.
    """
    bootstrap = Bootstrap(patients)
    scores = np.array([row.dice for row in rows])
    true, size = np.array([row.true_size for row in rows]), np.array([row.size for row in rows])
    error, filled = size - true, true > 0
    held = error[filled]
    limits = None
    if len(held) > 1:
        half = 1.96 * float(held.std(ddof=1))
        limits = (float(held.mean()) - half, float(held.mean()) + half)
    return MaskResult(
        segment=segment,
        unit=unit,
        convention=CONVENTION,
        images=len(rows),
        with_truth=int(filled.sum()),
        dice=mean_figure(scores, bootstrap),
        dice_with_truth=mean_figure(scores[filled], bootstrap.part(filled)),
        empty_kept_empty=proportion(int((size[~filled] == 0).sum()), int((~filled).sum())),
        size_error=mean_figure(held, bootstrap.part(filled), within=None),
        absolute_size_error=mean_figure(np.abs(held), bootstrap.part(filled), within=None),
        limits_of_agreement=limits,
        rows=list(rows),
    )


def mean_figure(values: np.ndarray, bootstrap: Bootstrap, *, within: tuple[float, float] | None = (0.0, 1.0)) -> Figure:
    """Return a mean over cases with its bootstrap interval; undefined (None) for no cases.

    `within` holds the lowest and the highest value that a case can have; None where there are none.
    """
    if not len(values):
        return Figure(value=None)
    span = bootstrap.interval(mean_measure(values), within=within)
    return Figure(value=float(values.mean()), intervals=[span] if span else [], count=len(values))
