"""TorchXRayVision's networks made ready: alone, beside a model of a package, or for single radiographs."""

import sys
from dataclasses import replace
from pathlib import Path

from AcuteFindingsLib.detectors.detector import Detector
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.load import LoadedDetector
from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxDetector
from AcuteFindingsLib.detectors.scoring import ImageScorer
from AcuteFindingsLib.errors import ModelError, ProviderError
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.install import how_to_install, python_of
from AcuteFindingsLib.providers.provider import Loading
from AcuteFindingsLib.providers.torchxrayvision.detector import XrvPneumothoraxDetector, image_scorer
from AcuteFindingsLib.providers.torchxrayvision.networks import load_chest, load_lungs, package_of, terms
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


def load_alone(how: Loading) -> LoadedDetector:
    """Return the detector of its 18-finding network, with its lungs."""
    require_here()
    chest = load_chest(device=how.device, progress=how.progress, cancelled=how.cancelled)
    lungs = load_lungs(device=how.device, progress=how.progress, cancelled=how.cancelled)
    detector = XrvPneumothoraxDetector(chest=chest, lungs=lungs)
    beside = {"lungs": package_of(task="lungs", version=lungs.version, sha256=lungs.sha256)}
    return LoadedDetector(detector, detector.package, beside, predictors={"chest": chest, "lungs": lungs})


def load_beside(base: str, how: Loading) -> LoadedDetector:
    """Return the outline model of a package with TorchXRayVision's lungs and chest findings beside it."""
    require_here()
    own = PneumothoraxDetector.name
    package = find_package(base, task=own, folders=how.folders)
    predictor = (how.load or load_predictor)(package, device=how.device)
    beside = {
        "lungs": load_lungs(device=how.device, progress=how.progress, cancelled=how.cancelled),
        "chest": load_chest(device=how.device, progress=how.progress, cancelled=how.cancelled),
    }
    try:
        detector = PneumothoraxDetector(predictor, **beside)
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model package {package.id} does not fit the {own} detector: {error}") from error
    packages = {task: package_of(task=task, version=item.version, sha256=item.sha256) for task, item in beside.items()}
    own_notices = _WithNotices(detector, (_whose(beside["chest"].version),))
    return LoadedDetector(own_notices, package, packages, predictors={own: predictor, **beside})


def load_scorer(task: str, how: Loading) -> ImageScorer:
    """Return what scores single radiographs."""
    require_here()
    load = load_lungs if task == "lungs" else load_chest
    return image_scorer(task, load(device=how.device, progress=how.progress))


def require_here() -> None:
    """Raise `ProviderError` where the package is not in this very environment, in which its network has to run."""
    provider = terms()
    if Path(python_of(provider)) != Path(sys.executable):
        raise ProviderError(f"{provider.package} must be installed in this environment: {how_to_install(provider)}.")


class _WithNotices:
    """A detector whose findings say one thing more."""

    def __init__(self, detector: Detector, notices: tuple[Notice, ...]) -> None:
        self.name, self._detector, self._notices = detector.name, detector, notices

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        finding = self._detector.run(study, progress=progress, cancelled=cancelled)
        return replace(finding, warnings=(*finding.warnings, *self._notices))


def _whose(version: str) -> Notice:
    provider = terms()
    text = (
        f"Lungs and chest findings are those of {provider.package} {version}, at its own operating points; it knows no "
        f"tubes. Please cite: {provider.citations[0]}"
    )
    return Notice("beside-provider", "info", text)
