"""What the worker's jobs are handed beside their request, and the networks that stay in memory between them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.progress import Cancelled, Progress, part_of, stop_if

if TYPE_CHECKING:
    from AcuteFindingsLib.models.load import PredictorCache
    from AcuteFindingsLib.models.package import ModelPackage

KEPT_NETWORKS = 6
"""Networks that stay in memory: those of all three detectors, or of one with a few alternatives."""


@dataclass
class WarmModels:
    """The networks that earlier requests loaded, so that a second study starts at once.

    A network is found again by the content of its package and by its device: a package that changed is loaded anew.
    """

    cache: "PredictorCache | None" = None

    def load(self, package: "ModelPackage", *, device: str) -> Any:
        """Verify and load a package, or take it from memory; the networks unused for longest make room."""
        from AcuteFindingsLib.models.load import PredictorCache, load_predictor

        self.cache = self.cache or PredictorCache()
        predictor = load_predictor(package, device=device, cache=self.cache)
        kept = self.cache.predictors
        key = next(key for key, value in kept.items() if value is predictor)
        kept[key] = kept.pop(key)
        while len(kept) > KEPT_NETWORKS:
            del kept[next(iter(kept))]
        return predictor

    def clear(self) -> None:
        """Let go of every network."""
        if self.cache is not None:
            self.cache.clear()


@dataclass(frozen=True)
class Tools:
    """What a job is handed beside its request."""

    progress: Progress
    cancelled: Cancelled
    models: WarmModels = field(default_factory=WarmModels)

    def at(self, text: str, fraction: float) -> None:
        """Say what is being done; raise `CancelledError` where the user has asked to stop."""
        stop_if(self.cancelled)
        self.progress(text, fraction)

    def span(self, low: float, high: float) -> Progress:
        """Return the progress of a part of the job that takes it from `low` to `high`."""
        return part_of(self.at, low, high)
