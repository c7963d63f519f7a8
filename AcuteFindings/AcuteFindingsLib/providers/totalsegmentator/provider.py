"""TotalSegmentator as a `Provider`."""

from pathlib import Path
from typing import TYPE_CHECKING

from AcuteFindingsLib.detectors.pe.kind import KIND as PE
from AcuteFindingsLib.providers.provider import Loading, Provider
from AcuteFindingsLib.providers.terms import read_terms

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.kind import DetectorKind
    from AcuteFindingsLib.detectors.load import LoadedDetector
    from AcuteFindingsLib.models.package import ModelPackage


class TotalSegmentator(Provider):
    """Bleeds on head CT, and what lies around clots on chest CT, by TotalSegmentator in a process of its own."""

    terms = read_terms(Path(__file__).with_name("terms.json"))
    beside = (PE.id,)

    def load_detector(self, kind: "DetectorKind", how: Loading, *, base: str | None) -> "LoadedDetector":
        """See `Provider.load_detector`."""
        from AcuteFindingsLib.models.device import choose_device
        from AcuteFindingsLib.providers.install import python_of
        from AcuteFindingsLib.providers.totalsegmentator.segmenter import Segmenter

        segmenter = Segmenter(python_of(self.terms), choose_device(how.device))
        if kind.id in self.beside:
            from AcuteFindingsLib.providers.totalsegmentator.context import load_with_context

            return load_with_context(segmenter, kind, how, base=base)
        from AcuteFindingsLib.detectors.load import LoadedDetector
        from AcuteFindingsLib.providers.totalsegmentator.bleeds import load_hemorrhage

        detector = load_hemorrhage(segmenter, progress=how.progress, cancelled=how.cancelled)
        return LoadedDetector(detector, detector.package)

    def package_of(self, task: str, *, version: str, sha256: str) -> "ModelPackage":  # noqa: ARG002
        """See `Provider.package_of`."""
        from AcuteFindingsLib.providers.totalsegmentator.bleeds import package_of

        return package_of(version=version, sha256=sha256)


PROVIDER = TotalSegmentator()
