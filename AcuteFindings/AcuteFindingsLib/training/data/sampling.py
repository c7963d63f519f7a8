"""Which examples a network sees how often: rare positives, and the schedules of the sources."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data.table import DataTable

FIRST_SHARE, LAST_SHARE = 0.8, 0.22
"""Share of images with a mask at the first and at the last epoch, fourth place of SIIM-ACR (docs/sources.md 3)."""

PER_CLASS = 5_000
"""Images a class that the PE slice classifier was developed on (docs/sources.md 2)."""


def balanced_weights(labels: np.ndarray, *, positive_share: float = 0.5) -> np.ndarray:
    """Return weights ``(n,)`` with which a sampler draws positives at a stated share, however rare they are.

    For RSNA STR PE, 5 % positive (docs/sources.md 2), a positive is drawn 19 times as often as a negative. Above one
    half the sampling leans to recall: misses cost more than false alarms.

    Parameters
    ----------
    labels
        ``(n,)`` 0 or 1 (soft labels: positive from 0.5); NaN, unknown, gets weight 0.
    positive_share
        Of what is drawn, 0..1.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` float64, adding up to 1.

    Raises
    ------
    DataError
        Where a class that should be drawn has no example.
    """
    labels = np.asarray(labels, float)
    if not 0 <= positive_share <= 1:
        raise DataError(f"positive_share is {positive_share}; expected 0 to 1.")
    weights = np.zeros(len(labels))
    for share, members, name in (
        (positive_share, labels >= 0.5, "positive"),
        (1 - positive_share, labels < 0.5, "negative"),
    ):
        if share and not members.any():
            raise DataError(f"Sampling asks for {share:.0%} {name} examples, but none of the {len(labels)} is {name}.")
        if share:
            weights[members] = share / members.sum()
    return weights


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
                f"{per_class} {name} examples are asked for, but the data set has {len(rows)}; ask for fewer."
            )
        chosen.append(generator.choice(rows, per_class, replace=False))
    return table.take(np.sort(np.concatenate(chosen)))


class ShareSampler(Sampler[int]):
    """Draws row numbers with a stated share of positives, with another share every epoch where asked.

    Parameters
    ----------
    labels
        ``(n,)`` as for `balanced_weights`.
    shares
        Share of positives by epoch; the last one stays. One number is the same share throughout.
    count
        Draws an epoch; the number of examples with a known label when None.
    seed
        With the epoch, decides what is drawn: a resumed training draws what it would have drawn.
    """

    def __init__(
        self, labels: np.ndarray, shares: float | Sequence[float], *, count: int | None = None, seed: int = 0
    ) -> None:
        self._labels = np.asarray(labels, float)
        self._shares = tuple(shares) if isinstance(shares, Sequence) else (float(shares),)
        self._count = int((~np.isnan(self._labels)).sum()) if count is None else count
        self._seed, self._epoch = seed, 0
        balanced_weights(self._labels, positive_share=self.share)

    @property
    def share(self) -> float:
        """Share of positives in this epoch."""
        return self._shares[min(self._epoch, len(self._shares) - 1)]

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is drawn next; Lightning calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        """How many are drawn an epoch."""
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Draw the epoch's row numbers: the share is met exactly, rows repeat only when a class runs out."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        positives = round(self._count * self.share)
        drawn = torch.cat(
            [
                _draw(np.flatnonzero(members), wanted, generator)
                for members, wanted in (
                    (self._labels >= 0.5, positives),
                    (self._labels < 0.5, self._count - positives),
                )
            ]
        )
        yield from drawn[torch.randperm(len(drawn), generator=generator)].tolist()


def _draw(rows: np.ndarray, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return `count` rows: all of them as often as they fit in, then a random rest."""
    if not count:
        return torch.empty(0, dtype=torch.int64)
    rounds = [torch.randperm(len(rows), generator=generator) for _ in range(-(-count // len(rows)))]
    return torch.from_numpy(rows)[torch.cat(rounds)[:count]]
