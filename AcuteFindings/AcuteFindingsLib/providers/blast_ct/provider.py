"""BLAST-CT as a `Provider`."""

from pathlib import Path
from typing import TYPE_CHECKING

from AcuteFindingsLib.providers.provider import Loading, Provider
from AcuteFindingsLib.providers.terms import read_terms

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.kind import DetectorKind
    from AcuteFindingsLib.detectors.load import LoadedDetector
    from AcuteFindingsLib.models.package import ModelPackage


class BlastCt(Provider):
    """Hemorrhage on head CT by the package blast-ct, in a process of its own."""

    terms = read_terms(Path(__file__).with_name("terms.json"))

    def load_detector(self, kind: "DetectorKind", how: Loading, *, base: str | None) -> "LoadedDetector":  # noqa: ARG002
        """See `Provider.load_detector`."""
        from AcuteFindingsLib.detectors.load import LoadedDetector
        from AcuteFindingsLib.models.device import choose_device
        from AcuteFindingsLib.providers.blast_ct.detector import load_blast_ct
        from AcuteFindingsLib.providers.install import python_of

        python, device = python_of(self.terms), choose_device(how.device)
        detector = load_blast_ct(python=python, device=device, progress=how.progress, cancelled=how.cancelled)
        return LoadedDetector(detector, detector.package)

    def package_of(self, task: str, *, version: str, sha256: str) -> "ModelPackage":  # noqa: ARG002
        """See `Provider.package_of`."""
        from AcuteFindingsLib.providers.blast_ct.detector import package_of

        return package_of(version=version, sha256=sha256)


PROVIDER = BlastCt()
