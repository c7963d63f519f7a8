"""Which examples a network sees how often: rare positives, and the schedules of the sources."""

import numpy as np

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data.table import DataTable

FIRST_SHARE, LAST_SHARE = 0.8, 0.22
"""Share of images with a mask at the first and at the last epoch, fourth place of SIIM-ACR (docs/sources.md 3)."""

PER_CLASS = 5_000
"""Images a class that the PE slice classifier was developed on (docs/sources.md 2)."""


def non_empty_share(epoch: int, epochs: int, *, first: float = FIRST_SHARE, last: float = LAST_SHARE) -> float:
    """Return the share of images with a mask in an epoch (from 0): falls in equal steps from `first` to `last`.

    Early epochs learn where a pneumothorax lies, late ones how rare it is (docs/sources.md 3, fourth place).

    Raises
    ------
    DataError
        For an epoch outside of the training.
    """
    if not 0 <= epoch < epochs:
        raise DataError(f"Epoch {epoch} is none of {epochs}.")
    return first if epochs == 1 else first + (last - first) * epoch / (epochs - 1)


def choose_per_class(
    table: DataTable, *, per_class: int = PER_CLASS, seed: int = 0, label: str | None = None
) -> DataTable:
    """Return as many examples of each class at random, without repeats, in the order of the table (docs/sources.md 2).

    Raises
    ------
    DataError
        Where a class has fewer.
    """
    values = table.label(label or table.main_label)
    generator = np.random.default_rng(seed)
    chosen = []
    for name, members in (("positive", values >= 0.5), ("negative", values < 0.5)):
        rows = np.flatnonzero(members)
        if len(rows) < per_class:
            raise DataError(
                f"{per_class} {name} examples are requested, but the data set has {len(rows)}; request fewer."
            )
        chosen.append(generator.choice(rows, per_class, replace=False))
    return table.take(np.sort(np.concatenate(chosen)))
