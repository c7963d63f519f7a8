"""What the rest of the library sees of a provider."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.terms import Terms

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.kind import DetectorKind
    from AcuteFindingsLib.detectors.load import LoadedDetector
    from AcuteFindingsLib.detectors.scoring import ImageScorer
    from AcuteFindingsLib.models.package import ModelPackage
    from AcuteFindingsLib.models.predictor import Predictor


@dataclass(frozen=True)
class Loading:
    """How models are to be loaded.

    Attributes
    ----------
    device
        One of `models.device.DEVICES`.
    folders
        Where the user keeps packages of their own; looked at first.
    load
        Turns a package into a predictor; `models.load.load_predictor` when None.
    progress, cancelled
        For weights that the provider's package fetches at its first use.
    """

    device: str = "auto"
    folders: tuple[Path, ...] = ()
    load: "Callable[..., Predictor] | None" = None
    progress: Progress = no_progress
    cancelled: Cancelled = never_cancelled


class Provider(Protocol):
    """Public models that come with a package of their own.

    A provider is a class that derives from this one, and an object of it is what is registered. Importing it takes
    milliseconds: what is heavy is imported by the methods. They are called for the tasks of the terms only, and those
    that load anything once the user has agreed to the terms.

    Attributes
    ----------
    terms
        What a person has to know of it before the first use, and the tasks it serves.
    beside
        Detectors beside whose own models it can stand.
    """

    terms: Terms
    beside: tuple[str, ...] = ()

    def load_detector(self, kind: "DetectorKind", how: Loading, *, base: str | None) -> "LoadedDetector":
        """Return its detector of a kind, or the one of the model `base` with what it adds to that.

        Raises
        ------
        ProviderError
            Its package is missing or fails.
        ModelError
            There is no such model, or it is damaged.
        """
        ...

    def image_scorer(self, task: str) -> "Callable[[Loading], ImageScorer] | None":  # noqa: ARG002
        """Return what loads the scorer of single images for a task; None where it reads whole series only."""
        return None

    def package_of(self, task: str, *, version: str, sha256: str) -> "ModelPackage":
        """Return the model package that stands for its model of a task.

        Parameters
        ----------
        task
            One of its terms.
        version
            Of the provider's package.
        sha256
            Of the weights file that the provider's package fetched.
        """
        ...
