"""From a detector's name and what the user chose as model, provider or not, to a detector that runs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from AcuteFindingsLib.detectors.finding import ModelIdentity
from AcuteFindingsLib.detectors.load import LoadedDetector, load_detector
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.consent import require_consent
from AcuteFindingsLib.providers.provider import Loading, Provider
from AcuteFindingsLib.providers.registry import list_providers

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.scoring import ImageScorer


def split_model(model: str | None) -> tuple[str | None, Provider | None]:
    """Read what the user chose: ``"ID"``, ``"PROVIDER"`` or ``"ID+PROVIDER"``.

    Returns
    -------
    tuple
        The package's id or folder (None for the default, or where the provider gives the model), and the provider.
    """
    if not model:
        return None, None
    providers = {provider.terms.id: provider for provider in list_providers()}
    if model in providers:
        return None, providers[model]
    base, plus, name = model.rpartition("+")
    return (base, providers[name]) if plus and base and name in providers else (model, None)


def load_any_detector(
    name: str,
    *,
    model: str | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
    load: Callable[..., Predictor] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> LoadedDetector:
    """Return the detector as `detectors.load.load_detector` does, also where the model is a provider's.

    Parameters
    ----------
    model
        As for `load_detector`, or a provider's id (``"torchxrayvision"``), or both joined by a plus sign: the package
        gives the verdict and the provider what stands beside it.
    progress, cancelled
        For weights that a provider's package fetches at its first use.

    Raises
    ------
    ConsentError
        The user has not agreed to the provider's terms.
    ProviderError
        The provider has nothing for this detector, or its package is missing or fails.
    DetectionError, ModelError
        As `load_detector`.
    """
    base, provider = split_model(model)
    if provider is None:
        return load_detector(name, model=model, device=device, folders=folders, load=load)
    terms = provider.terms
    if name not in terms.tasks:
        raise ProviderError(f"{terms.id} has no model for {name}; it has one for {', '.join(terms.tasks)}.")
    if base is not None and name not in provider.beside:
        raise ProviderError(f"{terms.id} cannot be combined with another model for {name}; name it alone.")
    require_consent(terms)
    how = Loading(device, folders, load, progress, cancelled)
    return provider.load_detector(find_kind(name), how, base=base)


def load_any_image_scorer(
    task: Task,
    *,
    model: str | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
    progress: Progress = no_progress,
) -> "ImageScorer":
    """Return the scorer as `detectors.scoring.load_scorer` does, also where the model is a provider's.

    Raises
    ------
    ConsentError, ProviderError
        As `load_any_detector`.
    ModelError
        As `load_scorer`.
    """
    base, provider = split_model(model)
    if provider is None:
        from AcuteFindingsLib.detectors.scoring import load_scorer

        return load_scorer(task, model=model, device=device, folders=folders)
    terms = provider.terms
    if base is not None or task not in terms.tasks:
        raise ProviderError(f"{terms.id} does not score single images for {task}; name a model package.")
    make = provider.image_scorer(task)
    if make is None:
        raise ProviderError(f"{terms.id} reads whole CT series, not single images; use it with `acutefindings run`.")
    require_consent(terms)
    return make(Loading(device, folders, progress=progress))


def package_of_finding(detector: str, identity: ModelIdentity) -> ModelPackage | None:
    """Return the package that stands for the provider's model that gave a finding; None where it was none."""
    provider = {provider.terms.id: provider for provider in list_providers()}.get(identity.id)
    if provider is None:
        return None
    return provider.package_of(detector, version=identity.version, sha256=identity.sha256)
