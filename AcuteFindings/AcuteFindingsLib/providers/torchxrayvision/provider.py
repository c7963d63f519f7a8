"""TorchXRayVision as a `Provider`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from AcuteFindingsLib.detectors.pneumothorax.kind import KIND
from AcuteFindingsLib.providers.provider import Loading, Provider
from AcuteFindingsLib.providers.terms import read_terms

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.kind import DetectorKind
    from AcuteFindingsLib.detectors.load import LoadedDetector
    from AcuteFindingsLib.detectors.scoring import ImageScorer
    from AcuteFindingsLib.models.package import ModelPackage


class TorchXRayVision(Provider):
    """Pneumothorax, chest findings and lungs on radiographs by the package torchxrayvision, in this process."""

    terms = read_terms(Path(__file__).with_name("terms.json"))
    beside = (KIND.id,)

    def load_detector(self, kind: "DetectorKind", how: Loading, *, base: str | None) -> "LoadedDetector":  # noqa: ARG002
        """See `Provider.load_detector`."""
        from AcuteFindingsLib.providers.torchxrayvision.load import load_alone, load_beside

        return load_alone(how) if base is None else load_beside(base, how)

    def image_scorer(self, task: str) -> "Callable[[Loading], ImageScorer] | None":
        """See `Provider.image_scorer`."""
        return partial(self._load_scorer, task)

    def _load_scorer(self, task: str, how: Loading) -> "ImageScorer":
        from AcuteFindingsLib.providers.torchxrayvision.load import load_scorer

        return load_scorer(task, how)

    def package_of(self, task: str, *, version: str, sha256: str) -> "ModelPackage":
        """See `Provider.package_of`."""
        from AcuteFindingsLib.providers.torchxrayvision.networks import package_of

        return package_of(task=task, version=version, sha256=sha256)


PROVIDER = TorchXRayVision()
