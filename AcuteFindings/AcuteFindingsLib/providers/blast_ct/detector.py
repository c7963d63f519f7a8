"""BLAST-CT: intraparenchymal, extra-axial and intraventricular hemorrhage, and edema, on head CT."""

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from AcuteFindingsLib.detectors.finding import Code, Finding
from AcuteFindingsLib.detectors.hemorrhage.drawn import (
    AREA_MM2,
    LABELS,
    THRESHOLD,
    Drawn,
    hemorrhage_finding,
    points,
    reached_levels,
)
from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.own_process import run_child
from AcuteFindingsLib.providers.provided import ModelFacts, provided_package, provider_notices
from AcuteFindingsLib.providers.terms import Terms, read_terms
from AcuteFindingsLib.providers.volume_files import ct_axial, read_volume, write_volume
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

SCRIPT = "run_blast_ct.py"

# Number in the package's output, name, SNOMED CT type, color, whether it is a bleed.
CLASSES: tuple[tuple[int, str, Code, tuple[float, float, float], bool], ...] = (
    (1, "Intraparenchymal hemorrhage", Code("SCT", "274100004", "Cerebral hemorrhage"), (0.85, 0.15, 0.15), True),
    (2, "Extra-axial hemorrhage", Code("SCT", "1386000", "Intracranial hemorrhage"), (0.95, 0.55, 0.15), True),
    (4, "Intraventricular hemorrhage", Code("SCT", "23276006", "Intraventricular hemorrhage"), (0.75, 0.2, 0.75), True),
    (3, "Perilesional edema", Code("SCT", "2032001", "Cerebral edema"), (0.35, 0.65, 0.95), False),
)

FACTS = ModelFacts(
    network="DeepMedic",
    labels=LABELS,
    points=points("the most probable class; not calibrated"),
    preprocessing={"resolution_mm": 1.0, "window_hu": [-15.0, 100.0]},
    limitations="Made for traumatic brain injury. Outlines follow 1 mm voxels; one network of the published ensemble.",
    rule={},
)


class BlastCtDetector:
    """Head CT → the package's lesion classes and bleed probability → the rule over neighboring slices."""

    name = KIND.id

    def __init__(
        self,
        *,
        python: Path,
        device: str,
        package: ModelPackage,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.package = package
        self._python, self._device, self._environment = python, device, environment

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        axial = ct_axial(study, "BLAST-CT")
        clock = perf_counter()
        with temporary_folder() as folder:
            result = run_child(
                SCRIPT,
                {"do": "run", "input": str(write_volume(axial, folder / "input.nii.gz")), "device": self._device},
                folder,
                python=self._python,
                environment=self._environment,
                progress=progress,
                cancelled=cancelled,
            )
            prediction = read_volume(folder / result["prediction"], axial).round().astype("uint8")
            levels = reached_levels(read_volume(folder / result["bleeding"], axial), axial.spacing)
        drawn = [Drawn(name, prediction == number, code, color, bleed) for number, name, code, color, bleed in CLASSES]
        return hemorrhage_finding(
            study,
            axial,
            drawn,
            levels,
            package=self.package,
            notices=(*provider_notices(terms(), self.package.version), _made_for()),
            timings={"network": perf_counter() - clock},
            rule_words=f"a slice is positive where the probability of a bleed reaches {THRESHOLD:.2f} "
            f"on at least {AREA_MM2:.0f} mm² of it",
        )


def load_blast_ct(
    *,
    python: Path,
    device: str,
    environment: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> BlastCtDetector:
    """Have the package fetch its weights, and return the detector.

    Parameters
    ----------
    python
        The Python that has the package.
    device
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    ProviderError
        The weights cannot be fetched, or the package does not work.
    """
    with temporary_folder() as place:
        known: dict[str, Any] = run_child(
            SCRIPT,
            {"do": "prepare"},
            place,
            python=python,
            environment=environment,
            progress=progress,
            cancelled=cancelled,
        )
    package = package_of(version=known["version"], sha256=known["sha256"])
    number = "cpu" if device == "cpu" else device.partition(":")[2] or "0"
    return BlastCtDetector(python=python, device=number, package=package, environment=environment)


def package_of(*, version: str, sha256: str) -> ModelPackage:
    """Return the model package that stands for BLAST-CT's model."""
    return provided_package(terms(), FACTS, task=KIND.id, version=version, sha256=sha256)


def terms() -> Terms:
    """Return what a person has to know of BLAST-CT."""
    return read_terms(Path(__file__).with_name("terms.json"))


def _made_for() -> Notice:
    text = "BLAST-CT was made for head injuries; it is not known how it reads spontaneous bleeds."
    return Notice("made-for-trauma", "warn", text)
