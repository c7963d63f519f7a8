"""From a detector's name and what the user chose as model, provider or not, to a detector that runs."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from AcuteFindingsLib.detectors.detector import Detector
from AcuteFindingsLib.detectors.finding import Finding, ModelIdentity
from AcuteFindingsLib.detectors.load import LoadedDetector, load_detector
from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxDetector
from AcuteFindingsLib.errors import ModelError, ProviderError
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.consent import require_consent
from AcuteFindingsLib.providers.install import how_to_install, python_of
from AcuteFindingsLib.providers.provider import Provider, find_provider, list_providers
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.single_image import ImageScorer

_TOGETHER = {("totalsegmentator", "pe"), ("torchxrayvision", "pneumothorax")}
"""Providers that can stand beside a model of ours, by detector."""


def split_model(model: str | None) -> tuple[str | None, Provider | None]:
    """Read what the user chose: ``"ID"``, ``"PROVIDER"`` or ``"ID+PROVIDER"``.

    Returns
    -------
    tuple
        The package's id or folder (None for the default, or where the provider gives the model), and the provider.
    """
    if not model:
        return None, None
    providers = {provider.id: provider for provider in list_providers()}
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
    if name not in provider.tasks:
        raise ProviderError(f"{provider.id} has no model for {name}; it has one for {', '.join(provider.tasks)}.")
    if base is not None and (provider.id, name) not in _TOGETHER:
        raise ProviderError(f"{provider.id} does not stand beside another model for {name}; name it alone.")
    require_consent(provider)
    if provider.id == "torchxrayvision":
        _require_here(provider)
        if base is None:
            return _torchxrayvision(device, progress, cancelled)
        return _with_torchxrayvision(base, device, folders, load, progress, cancelled)
    python = python_of(provider)
    if provider.id == "blast-ct":
        from AcuteFindingsLib.providers.blast_ct import load_blast_ct

        blast = load_blast_ct(python=python, device=_device(device), progress=progress, cancelled=cancelled)
        return LoadedDetector(blast, blast.package)
    from AcuteFindingsLib.providers.totalsegmentator import Segmenter, load_hemorrhage

    segmenter = Segmenter(python, _device(device))
    if name == "hemorrhage":
        detector = load_hemorrhage(segmenter, progress=progress, cancelled=cancelled)
        return LoadedDetector(detector, detector.package)
    from AcuteFindingsLib.providers.context import TASKS, PEWithContext

    own = load_detector(name, model=base, device=device, folders=folders, load=load)
    known = segmenter.prepare(TASKS, progress=progress, cancelled=cancelled)
    return LoadedDetector(
        PEWithContext(own.detector, segmenter, version=known.version), own.package, own.companions, own.why
    )


def load_any_image_scorer(
    task: Task,
    *,
    model: str | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
    progress: Progress = no_progress,
) -> "ImageScorer":
    """Return the scorer as `detectors.single_image.load_image_scorer` does, also where the model is a provider's.

    Raises
    ------
    ConsentError, ProviderError
        As `load_any_detector`.
    ModelError
        As `load_image_scorer`.
    """
    base, provider = split_model(model)
    if provider is None:
        from AcuteFindingsLib.detectors.single_image import load_image_scorer

        return load_image_scorer(task, model=model, device=device, folders=folders)
    if base is not None or task not in provider.tasks:
        raise ProviderError(f"{provider.id} does not score single images for {task}; name a model package.")
    if provider.id != "torchxrayvision":
        raise ProviderError(f"{provider.id} reads whole CT series, not single images; use it with `acutefindings run`.")
    require_consent(provider)
    _require_here(provider)
    from AcuteFindingsLib.providers.torchxrayvision import load_chest, load_lungs
    from AcuteFindingsLib.providers.torchxrayvision_detector import XrvScorer

    load = load_lungs if task == "lungs" else load_chest
    return XrvScorer(task, load(device=device, progress=progress))


def package_of_finding(detector: str, identity: ModelIdentity) -> ModelPackage | None:
    """Return the package that stands for the provider's model that gave a finding; None where it was none."""
    if identity.id not in {provider.id for provider in list_providers()}:
        return None
    known = {"version": identity.version, "sha256": identity.sha256}
    provider = find_provider(identity.id)
    if provider.id == "torchxrayvision":
        from AcuteFindingsLib.providers import torchxrayvision

        return torchxrayvision.package_of(task=detector, **known)
    if provider.id == "blast-ct":
        from AcuteFindingsLib.providers import blast_ct

        return blast_ct.package_of(**known)
    from AcuteFindingsLib.providers import totalsegmentator

    return totalsegmentator.package_of(**known)


def _torchxrayvision(device: str, progress: Progress, cancelled: Cancelled) -> LoadedDetector:
    from AcuteFindingsLib.providers.torchxrayvision import load_chest, load_lungs, package_of
    from AcuteFindingsLib.providers.torchxrayvision_detector import XrvPneumothoraxDetector

    chest = load_chest(device=device, progress=progress, cancelled=cancelled)
    lungs = load_lungs(device=device, progress=progress, cancelled=cancelled)
    detector = XrvPneumothoraxDetector(chest=chest, lungs=lungs)
    beside = {cast(Task, "lungs"): package_of(task="lungs", version=lungs.version, sha256=lungs.sha256)}
    return LoadedDetector(detector, detector.package, beside)


def _with_torchxrayvision(
    base: str,
    device: str,
    folders: tuple[Path, ...],
    load: Callable[..., Predictor] | None,
    progress: Progress,
    cancelled: Cancelled,
) -> LoadedDetector:
    """Return the outline model of a package with TorchXRayVision's lungs and chest findings beside it."""
    from AcuteFindingsLib.models.load import load_predictor
    from AcuteFindingsLib.providers.torchxrayvision import load_chest, load_lungs, package_of

    own: Task = "pneumothorax"
    package = find_package(base, task=own, folders=folders)
    predictor = (load or load_predictor)(package, device=device)
    beside = {
        "lungs": load_lungs(device=device, progress=progress, cancelled=cancelled),
        "chest": load_chest(device=device, progress=progress, cancelled=cancelled),
    }
    try:
        detector = PneumothoraxDetector(predictor, lungs=beside["lungs"], chest=beside["chest"])
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model package {package.id} does not fit the pneumothorax detector: {error}") from error
    packages = {
        cast(Task, task): package_of(task=task, version=item.version, sha256=item.sha256)
        for task, item in beside.items()
    }
    return LoadedDetector(_WithNotices(detector, (_whose(beside["chest"].version),)), package, packages)


class _WithNotices:
    """A detector whose findings say one thing more."""

    def __init__(self, detector: Detector, notices: tuple[Notice, ...]) -> None:
        self.name, self._detector, self._notices = detector.name, detector, notices

    def check(self, study: Study) -> tuple[Notice, ...]:
        return self._detector.check(study)

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        finding = self._detector.run(study, progress=progress, cancelled=cancelled)
        return replace(finding, warnings=(*finding.warnings, *self._notices))


def _whose(version: str) -> Notice:
    provider = find_provider("torchxrayvision")
    text = (
        f"Lungs and chest findings are those of {provider.package} {version}, at its own operating points; it knows no "
        f"tubes. Please cite: {provider.citations[0]}"
    )
    return Notice("beside-provider", "info", text)


def _require_here(provider: Provider) -> None:
    """Raise `ProviderError` where the package is not in this very environment, in which its network has to run."""
    if Path(python_of(provider)) != Path(sys.executable):
        raise ProviderError(f"{provider.package} must be installed in this environment: {how_to_install(provider)}.")


def _device(device: str) -> str:
    from AcuteFindingsLib.models.device import choose_device

    return choose_device(device)
