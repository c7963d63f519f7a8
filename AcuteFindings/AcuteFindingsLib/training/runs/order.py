"""Which examples an epoch shows, in which order: the same for the same seed and epoch, also after a resume."""

from collections.abc import Iterator, Mapping

import numpy as np
from torch import distributed
from torch.utils.data import Sampler as TorchSampler

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.training.data.sampling import non_empty_share
from AcuteFindingsLib.training.recipes.plans import Sampler


class EpochOrder(TorchSampler[tuple[int, int]]):
    """The order of one epoch's examples.

    Lightning calls `set_epoch` before each epoch. On several devices each process takes every n-th example. With each
    example's number comes one that is nobody else's, to draw from what is random about it.

    Parameters
    ----------
    positive
        ``(n,)`` bool: which examples show the finding.
    plan
        Of the recipe.
    epochs
        Over which a falling share falls.
    seed
        Of the run.
    sources
        ``(n,)``: which source of a mixture each example is of; left out, there is one only.

    Raises
    ------
    TrainingError
        Where positives are asked for and there are none, or no negatives.
    """

    def __init__(
        self, positive: np.ndarray, plan: Sampler, *, epochs: int, seed: int, sources: np.ndarray | None = None
    ) -> None:
        self.plan, self.epochs, self.seed = plan, epochs, seed
        self.epoch = 0
        self.positive, self.negative = np.flatnonzero(positive), np.flatnonzero(~np.asarray(positive, bool))
        if plan.name != "natural" and not (len(self.positive) and len(self.negative)):
            lacking = "positive" if not len(self.positive) else "negative"
            raise TrainingError(
                f"The sampler {plan.name!r} draws positives and negatives, but none of the {len(positive)} examples to "
                f"fit to is {lacking}; add data, or choose --set stages.*.sampler.name=natural."
            )
        self.count = plan.examples or len(positive)
        self.pools = [(np.arange(len(positive)), self.count)]
        if plan.sources is not None and sources is not None:
            self.pools = _pools(plan.sources, sources, self.count)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0."""
        self.epoch = epoch

    def share(self) -> float:
        """Return which share of this epoch's examples is positive, where the sampler decides it."""
        if self.plan.name == "balanced":
            return self.plan.positive_share
        epoch = min(self.epoch, self.epochs - 1)
        return non_empty_share(epoch, self.epochs, first=self.plan.first_share, last=self.plan.last_share)

    def chosen(self) -> np.ndarray:
        """Return the example numbers of this epoch in order, over all processes."""
        generator = np.random.default_rng((self.seed, self.epoch))
        parts = [self._of(pool, count, generator) for pool, count in self.pools]
        return parts[0] if len(parts) == 1 else generator.permutation(np.concatenate(parts))

    def _of(self, pool: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        """Draw so many of one source; one that holds a single class is drawn from as it is."""
        positive, negative = np.intersect1d(pool, self.positive), np.intersect1d(pool, self.negative)
        if self.plan.name == "natural" or not (len(positive) and len(negative)):
            return np.resize(generator.permutation(pool), count)
        positives = round(count * self.share())
        drawn = [_drawn(positive, positives, generator), _drawn(negative, count - positives, generator)]
        return generator.permutation(np.concatenate(drawn))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield this process's part: numbers of examples, and of draws."""
        rank, world = _place()
        # Every process must take as many steps as the others.
        chosen = self.chosen()[: len(self) * world]
        draws = self.epoch * len(chosen) + np.arange(len(chosen))
        return zip(chosen[rank::world].tolist(), draws[rank::world].tolist(), strict=True)

    def __len__(self) -> int:
        """How many examples this process shows."""
        return max(self.count // _place()[1], 1)


def _pools(shares: Mapping[str, float], sources: np.ndarray, count: int) -> list[tuple[np.ndarray, int]]:
    """Return the examples of each source and how many of them an epoch shows, together `count`."""
    ends = [round(count * end) for end in np.cumsum([0, *shares.values()])]
    pools = [(np.flatnonzero(sources == one), b - a) for one, a, b in zip(shares, ends[:-1], ends[1:], strict=True)]
    for name, (pool, wanted) in zip(shares, pools, strict=True):
        if wanted and not len(pool):
            raise TrainingError(f"The sampler draws from the source {name!r}, but none of its examples is fitted to.")
    return pools


def _drawn(pool: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw each once before any comes again."""
    rounds = [generator.permutation(pool) for _ in range(-(-count // len(pool)))]
    return np.concatenate(rounds)[:count] if rounds else np.empty(0, np.int64)


def _place() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
