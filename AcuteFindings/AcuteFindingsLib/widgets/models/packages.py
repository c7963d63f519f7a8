"""The packages that a run needs and Slicer lacks: named with their sizes, and installed only when the user agrees."""

import importlib.metadata
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TITLE = "AcuteFindings"

PROTECTED = ("numpy", "scipy", "SimpleITK", "pydicom", "vtk", "torch", "torchvision")
"""What Slicer or another extension brought is never replaced by another version."""


@dataclass(frozen=True)
class Package:
    """A package that has to be there: its name, the requirement for pip, and what it takes on the disk, roughly."""

    name: str
    requirement: str
    size_mb: int


# Sizes on the disk under Linux, with what each brings along; torch takes several times as much with CUDA.
RUN = (
    Package("torch", "torch>=2.6", 1300),
    Package("torchvision", "torchvision>=0.21", 15),
    Package("timm", "timm>=1.0", 25),
    Package("segmentation-models-pytorch", "segmentation-models-pytorch>=0.5", 5),
    Package("safetensors", "safetensors>=0.4", 2),
    Package("pydantic", "pydantic>=2.6", 10),
    Package("scikit-image", "scikit-image>=0.22", 40),
    Package("pillow", "pillow>=10", 25),
)
"""What detecting needs."""

REPORT = (
    Package("jinja2", "jinja2>=3.1", 2),
    Package("zstandard", "zstandard>=0.22", 25),
    Package("matplotlib", "matplotlib>=3.8", 50),
)
"""What a report needs beside it."""

DICOM = (Package("highdicom", "highdicom>=0.24", 15),)
"""What DICOM results need beside both."""

NEEDED = (*RUN, *REPORT)


def missing_packages(needed: Sequence[Package] = NEEDED) -> list[Package]:
    """Return what is not installed or too old; reads the installed packages' names only and imports none of them."""
    return [package for package in needed if not _satisfied(package)]


def describe(packages: list[Package]) -> str:
    """Return packages and sizes in words: ``"torch (about 1300 MB), timm (about 25 MB)"``."""
    from slicer.i18n import tr as _

    about = _("{name} (about {size} MB)")
    return ", ".join(about.format(name=package.name, size=package.size_mb) for package in packages)


def ensure_packages(parent: Any = None, *, needed: Sequence[Package] = NEEDED) -> bool:
    """See to it that all packages are there; ask before anything is installed.

    Parameters
    ----------
    parent
        Widget that the question belongs to.
    needed
        What has to be there.

    Returns
    -------
    bool
        Whether a run can go ahead (for a report, more may be missing). Where it cannot, the user has been told why.
    """
    missing = missing_packages(needed)
    if not missing:
        return True
    import slicer
    from slicer.i18n import tr as _

    if slicer.app.testingEnabled():
        if not missing_packages(RUN):
            return True
        told = _("These packages are missing, and nothing is installed in testing mode: {packages}.")
        _tell(told.format(packages=describe(missing)), parent)
        return False
    question = _(
        "These Python packages are needed and not installed yet: {packages}. They are downloaded from the Python "
        "package index and take about {total} MB. Packages that came with Slicer are not changed. Install them now?"
    )
    total = sum(package.size_mb for package in missing)
    text = question.format(packages=describe(missing), total=total)
    if not slicer.util.confirmOkCancelDisplay(text, windowTitle=TITLE, parent=parent):
        return not missing_packages(RUN)
    try:
        _install(missing)
    except Exception as error:  # pip and PyTorchUtils raise many kinds; the user needs to hear of all of them
        _tell(_("The packages could not be installed: {error}").format(error=error), parent)
        return False
    still = missing_packages(needed)
    if still:
        told = _("These packages are still missing: {packages}. Restart Slicer and try again.")
        _tell(told.format(packages=describe(still)), parent)
        return False
    from AcuteFindingsLib.widgets.worker.process import shared_worker

    # A worker that started before does not see them.
    shared_worker().stop()
    return True


def _install(missing: list[Package]) -> None:
    """Install torch as the PyTorch extension does, and the rest with pip under the versions that are there."""
    import slicer.packaging
    from packaging.requirements import Requirement

    names = {package.name for package in missing}
    if names & {"torch", "torchvision"}:
        _install_torch()
    others = [package for package in missing if package.name not in ("torch", "torchvision")]
    if not others:
        return
    with tempfile.TemporaryDirectory(prefix="AcuteFindings-") as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in installed_versions(PROTECTED)), encoding="utf-8")
        slicer.packaging.pip_ensure(
            [Requirement(package.requirement) for package in others],
            constraints=constraints,
            prompt_install=False,
            requester=TITLE,
        )


def installed_versions(names: tuple[str, ...]) -> list[str]:
    """Return ``name==version`` for those that are installed: a constraint under which pip replaces none of them."""
    pinned = []
    for name in names:
        try:
            pinned.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return pinned


def _install_torch() -> None:
    from slicer.i18n import tr as _

    from AcuteFindingsLib.errors import AcuteFindingsError

    if installed_versions(("torch",)):
        # Another version would take the place of the one that other extensions use.
        raise AcuteFindingsError(
            _("PyTorch is too old or torchvision is missing; update both in the module PyTorch Util, restart Slicer.")
        )
    try:
        import PyTorchUtils
    except ImportError as error:
        raise AcuteFindingsError(
            _("PyTorch is missing. Install the extension PyTorch in the Extensions Manager and restart Slicer.")
        ) from error
    torch, vision = (package.requirement.removeprefix(package.name) for package in RUN[:2])
    logic = PyTorchUtils.PyTorchUtilsLogic()
    if logic.installTorch(torchVersionRequirement=torch, torchvisionVersionRequirement=vision) is None:
        raise AcuteFindingsError(_("PyTorch was not installed."))


def _tell(text: str, parent: Any) -> None:
    import slicer

    slicer.util.errorDisplay(text, windowTitle=TITLE, parent=parent)


def _satisfied(package: Package) -> bool:
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    try:
        version = Version(importlib.metadata.version(package.name))
        # A build of a coming release (2.6.0a0) counts as what it will be.
        return Requirement(package.requirement).specifier.contains(version.base_version)
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return False
