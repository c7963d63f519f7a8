"""The packages that Slicer lacks: named with what they take to download, and installed only when the user agrees."""

import importlib.metadata
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from AcuteFindingsLib.packages import LIGHT, REPORT, TORCH, Package, missing_packages, torch_exists, total_mb

TITLE = "AcuteFindings"

PROTECTED = ("numpy", "scipy", "SimpleITK", "pydicom", "vtk", "torch", "torchvision")
"""What Slicer or another extension brought is never replaced by another version."""


def describe(packages: Sequence[Package]) -> str:
    """Return packages and their downloads in words: ``"onnxruntime (28 MB), jinja2 (less than 1 MB)"``."""
    from slicer.i18n import tr as _

    size, small = _("{name} ({size} MB)"), _("{name} (less than 1 MB)")
    return ", ".join(
        (size if package.download_mb >= 1 else small).format(name=package.name, size=round(package.download_mb))
        for package in packages
    )


def ensure_packages(parent: Any = None, *, needed: Sequence[Package] = LIGHT) -> bool:
    """See to it that packages are there; ask before anything is installed. For PyTorch see `ensure_torch`.

    Parameters
    ----------
    parent
        Widget that the question belongs to.
    needed
        What has to be there.

    Returns
    -------
    bool
        Whether what is needed is there; what only a report needs may be missing. Where it is not, the user has said no
        or has been told why.
    """
    missing = missing_packages(needed)
    if not missing:
        return True
    from slicer.i18n import tr as _

    question = _(
        "These Python packages are needed and not installed yet: {packages}. They are downloaded from the Python "
        "package index, about {total} MB in all. Packages that came with Slicer are not changed. Install them now?"
    ).format(packages=describe(missing), total=total_mb(missing))
    enough = [package for package in needed if package not in REPORT]
    return _ensure(missing, question, parent, install=_install, enough=enough)


def ensure_torch(what: str, parent: Any = None) -> bool:
    """See to it that PyTorch and what comes with it are there, because something cannot do without.

    Parameters
    ----------
    what
        What needs it, as a sentence begins: ``"Importing weights.pt"``.
    parent
        Widget that the question belongs to.

    Returns
    -------
    bool
        Whether it is there. Where it is not, the user has said no or has been told why.
    """
    missing = missing_packages(TORCH)
    if not missing:
        return True
    if not torch_possible(what, parent):
        return False
    from slicer.i18n import tr as _

    question = _(
        "{what} needs Python packages that are not installed yet: {packages}. They are downloaded from the Python "
        "package index, about {total} MB in all; PyTorch for a graphics card (CUDA) is several times as large. "
        "Packages that came with Slicer are not changed. Install them now?"
    ).format(what=what, packages=describe(missing), total=total_mb(missing))
    return _ensure(missing, question, parent, install=_install_with_torch, enough=missing)


def torch_possible(what: str, parent: Any = None) -> bool:
    """Whether there is a PyTorch for this Slicer; where there is none, the user is told that `what` is not possible."""
    if torch_exists():
        return True
    from slicer.i18n import tr as _

    text = _(
        "{what} needs PyTorch 2.6 or later, which does not exist for Slicer on a Mac (an x86_64 program; 2.2.2 was the "
        "last). Do it on Linux or Windows, or with the command acutefindings in a Python for Apple silicon. The models "
        "that came with the extension work without it."
    )
    _tell(text.format(what=what), parent)
    return False


def _ensure(
    missing: Sequence[Package],
    question: str,
    parent: Any,
    *,
    install: Callable[[Sequence[Package]], None],
    enough: Sequence[Package],
) -> bool:
    """Ask, install, and say what went wrong; return whether `enough` is there at the end."""
    import slicer
    from slicer.i18n import tr as _

    if slicer.app.testingEnabled():
        if not missing_packages(enough):
            return True
        told = _("These packages are missing, and nothing is installed in testing mode: {packages}.")
        _tell(told.format(packages=describe(missing)), parent)
        return False
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=TITLE, parent=parent):
        return not missing_packages(enough)
    try:
        install(missing)
    except Exception as error:  # pip and PyTorchUtils raise many kinds; the user needs to hear of all of them
        _tell(_("The packages could not be installed: {error}").format(error=error), parent)
        return False
    still = missing_packages(missing)
    if still:
        told = _("These packages are still missing: {packages}. Restart Slicer and try again.")
        _tell(told.format(packages=describe(still)), parent)
        return False
    from AcuteFindingsLib.widgets.worker.process import shared_worker

    # A worker that started before does not see them.
    shared_worker().stop()
    return True


def _install_with_torch(missing: Sequence[Package]) -> None:
    """Install torch as the PyTorch extension does, and then the rest, which would bring another torch along."""
    if {package.name for package in missing} & {"torch", "torchvision"}:
        _install_torch()
    _install([package for package in missing if package.name not in ("torch", "torchvision")])


def _install(missing: Sequence[Package]) -> None:
    """Install with pip under the versions that are there."""
    import slicer.packaging
    from packaging.requirements import Requirement

    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="AcuteFindings-") as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in installed_versions(PROTECTED)), encoding="utf-8")
        slicer.packaging.pip_ensure(
            [Requirement(package.requirement) for package in missing],
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
    torch, vision = (package.requirement.removeprefix(package.name) for package in TORCH[:2])
    logic = PyTorchUtils.PyTorchUtilsLogic()
    if logic.installTorch(torchVersionRequirement=torch, torchvisionVersionRequirement=vision) is None:
        raise AcuteFindingsError(_("PyTorch was not installed."))


def _tell(text: str, parent: Any) -> None:
    import slicer

    slicer.util.errorDisplay(text, windowTitle=TITLE, parent=parent)
