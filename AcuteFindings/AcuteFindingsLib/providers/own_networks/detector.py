"""A network of the user's own in a process of its own: CT in, probability volume out, and from there a finding."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.registry import find_task
from AcuteFindingsLib.detectors.volume_finding import refuse_unmeasured, volume_finding
from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.metadata import Label, OperatingPoint
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.own_networks.record import Record, read_record
from AcuteFindingsLib.providers.own_process import run_child
from AcuteFindingsLib.providers.provided import ModelFacts, not_calibrated, provided_package
from AcuteFindingsLib.providers.terms import Terms
from AcuteFindingsLib.providers.volume_files import write_volume
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

SCRIPTS = {"nnunet": "run_nnunet.py", "monai-bundle-3d": "run_monai_bundle.py"}

_POINT = "half: drawn is what is more probable than not; the network's own operating point is not known"


class OwnNetworkDetector:
    """CT → the network's probability volume → `detectors.volume_finding`."""

    def __init__(
        self,
        record: Record,
        package: ModelPackage,
        kind: DetectorKind,
        *,
        python: Path,
        device: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = kind.id
        self.package = package
        self._record, self._kind = record, kind
        self._python, self._device, self._environment = python, device, environment

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        refuse_unmeasured(study)
        axial = to_axial(study)
        shown = _turned(axial, _turns(self._record))
        clock = perf_counter()
        with temporary_folder() as folder:
            asked = {"do": "run", "device": self._device, **_input(self._record, shown, folder)}
            result = _ask(
                self._record,
                asked,
                folder,
                python=self._python,
                environment=self._environment,
                progress=progress,
                cancelled=cancelled,
            )
            probability = np.flip(_read_probability(folder / result["probability"], axial), _turns(self._record))
        return volume_finding(
            study,
            axial.restore(probability),
            kind=self._kind,
            model=self.package,
            notices=_notices(self.package, result["version"]),
            timings={"network": perf_counter() - clock},
        )


def load_own_network(
    terms: Terms,
    kind: DetectorKind,
    *,
    python: Path,
    device: str,
    environment: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> OwnNetworkDetector:
    """Return the detector of a network that was added, once its files are found to be those that were added.

    Parameters
    ----------
    terms
        Of the network; its record lies beside them.
    python
        The Python that has the package.
    device
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    ProviderError
        A file is missing or changed, or the package does not work.
    """
    record = read_record(terms.file.parent)
    progress("Checking the files of the network", 0.0)
    record.verify()
    with temporary_folder() as folder:
        known = _ask(record, {"do": "version"}, folder, python=python, environment=environment, cancelled=cancelled)
    package = package_of(terms, record, version=known["version"], sha256=record.sha256)
    return OwnNetworkDetector(record, package, kind, python=python, device=device, environment=environment)


def check_own_network(
    record: Record,
    *,
    python: Path,
    environment: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> str:
    """Have the package build the network and read its weights; return the package's version.

    Raises
    ------
    ProviderError
        It cannot; says why.
    """
    with temporary_folder() as folder:
        result = _ask(
            record,
            {"do": "check"},
            folder,
            python=python,
            environment=environment,
            progress=progress,
            cancelled=cancelled,
        )
    return str(result["version"])


def package_of(terms: Terms, record: Record, *, version: str, sha256: str) -> ModelPackage:
    """Return the model package that stands for a network that was added."""
    task = find_task(record.task)
    label = task.label(task.main_label)
    facts = ModelFacts(
        network=record.network,
        labels=(Label(name=label.name, meaning=label.meaning, code=label.code),),
        points=(OperatingPoint(level="mask", label=label.name, threshold=0.5, chosen=_POINT),),
        preprocessing={},
        limitations=f"A network that was added on this computer. Its masks show what its folder calls {record.drawn}. "
        "How well it finds anything was not measured here.",
        rule=dict(record.rule),
    )
    return provided_package(terms, facts, task=record.task, version=version, sha256=sha256)


def _ask(record: Record, request: Mapping[str, Any], folder: Path, **how: Any) -> dict[str, Any]:
    asked = {**record.program, "folder": str(record.folder), **request}
    return run_child(SCRIPTS[record.form], asked, folder, **how)


def _turns(record: Record) -> tuple[int, ...]:
    """Return the axes of ``(z, y, x)`` that run the other way round in what the network is shown."""
    return tuple(
        2 - axis for axis, (wanted, ours) in enumerate(zip(record.orientation, "LPS", strict=True)) if wanted != ours
    )


def _turned(axial: Axial, axes: tuple[int, ...]) -> Axial:
    """Reverse axes of an axial view, with its geometry; a view, no copy."""
    matrix = axial.ijk_to_ras.copy()
    for axis in axes:
        column = 2 - axis
        matrix[:3, 3] += matrix[:3, column] * (axial.array.shape[axis] - 1)
        matrix[:3, column] *= -1
    return replace(axial, array=np.flip(axial.array, axes), ijk_to_ras=matrix)


def _input(record: Record, axial: Axial, folder: Path) -> dict[str, Any]:
    """Write the study in the form that the program reads."""
    if record.form == "nnunet":
        return {"input": str(write_volume(axial, folder / "input.nii"))}
    target = folder / "input.npy"
    np.save(target, np.asarray(axial.array, np.float32))
    return {"input": str(target), "affine": axial.ijk_to_ras.tolist()}


def _read_probability(file: Path, axial: Axial) -> np.ndarray:
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ProviderError(f"The result {file.name} of the network's program cannot be read: {error}.") from error
    if array.shape != axial.array.shape:
        raise ProviderError(f"The network answers for {array.shape} voxels, expected {axial.array.shape}.")
    return np.asarray(array, np.float32)


def _notices(package: ModelPackage, version: str) -> tuple[Notice, ...]:
    return (
        Notice(
            "own-network",
            "info",
            f"The mask is that of {package.id}, a network that was added on this computer, run by "
            f"{next(iter(package.metadata.required_packages_version))} {version}.",
        ),
        not_calibrated(package.id),
    )
