"""A provider's terms shown and agreed to, and its package installed, before the first run with it."""

from typing import Any

from AcuteFindingsLib.errors import AcuteFindingsError, CancelledError
from AcuteFindingsLib.packages import Package, missing_packages
from AcuteFindingsLib.providers.consent import give_consent, has_consent
from AcuteFindingsLib.providers.registry import list_terms
from AcuteFindingsLib.providers.terms import Terms
from AcuteFindingsLib.widgets.models.packages import PROTECTED, TITLE, ensure_torch, installed_versions, torch_possible


def chosen_provider(model: str) -> Terms | None:
    """Return the provider that a chosen model names, alone or after a plus sign; None where it names none."""
    name = model.rpartition("+")[2]
    return next((provider for provider in list_terms() if provider.id == name), None)


def ensure_provider(model: str, parent: Any = None) -> bool:
    """See to it that a chosen provider's terms are agreed to and its package is there; ask for both.

    Parameters
    ----------
    model
        What is chosen in the model loader; nothing is asked where it is no provider.
    parent
        Widget that the questions belong to.

    Returns
    -------
    bool
        Whether a run can go ahead. Where it cannot, the user has said no or has been told why.
    """
    provider = chosen_provider(model)
    if provider is None:
        return True
    try:
        possible = not provider.needs_torch or torch_possible(provider.id, parent)
        return possible and _agreed(provider, parent) and _installed(provider, parent)
    except AcuteFindingsError as error:
        _tell(str(error), parent)
        return False


def _agreed(provider: Terms, parent: Any) -> bool:
    import slicer
    from slicer.i18n import tr as _

    if has_consent(provider):
        return True
    if slicer.app.testingEnabled():
        _tell(
            _("{name}: its terms are not agreed to, and nothing is asked in testing mode.").format(name=provider.id),
            parent,
        )
        return False
    text = _("{terms}\n\nDo you agree to these terms?").format(terms=provider.text.replace("\n", "\n\n"))
    if not slicer.util.confirmOkCancelDisplay(text, windowTitle=TITLE, parent=parent):
        return False
    give_consent(provider)
    return True


def _installed(provider: Terms, parent: Any) -> bool:
    import slicer
    from slicer.i18n import tr as _

    from AcuteFindingsLib.providers.install import is_installed

    # Before its package, which would bring along one that the PyTorch extension does not know.
    if provider.needs_torch and not provider.own_environment and not ensure_torch(provider.id, parent):
        return False
    if is_installed(provider):
        return True
    if slicer.app.testingEnabled():
        _tell(
            _("{name} is not installed, and nothing is installed in testing mode.").format(name=provider.package),
            parent,
        )
        return False
    question = _(
        "The package {name} is not installed yet. It is downloaded from the Python package index and takes about "
        "{size} MB; its weights, about {weights} MB, follow at the first run. Packages that Slicer brought are left as "
        "they are. Install it now?"
    )
    text = question.format(name=provider.package, size=provider.package_mb, weights=provider.weights_mb)
    if not slicer.util.confirmOkCancelDisplay(text, windowTitle=TITLE, parent=parent):
        return False
    try:
        if provider.own_environment:
            _install_apart(provider, parent)
        else:
            _install_here(provider)
    except CancelledError:
        return False
    except Exception as error:  # pip raises many kinds; the user needs to hear of all of them
        _tell(_("{name} could not be installed: {error}").format(name=provider.package, error=error), parent)
        return False
    from AcuteFindingsLib.widgets.worker.process import shared_worker

    # A worker that started before does not see it.
    shared_worker().stop()
    return True


def _install_here(provider: Terms) -> None:
    """Install beside what is here, under the versions that are in use."""
    import tempfile
    from pathlib import Path

    import slicer.packaging
    from packaging.requirements import Requirement

    with tempfile.TemporaryDirectory(prefix="AcuteFindings-") as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in installed_versions(PROTECTED)), encoding="utf-8")
        slicer.packaging.pip_ensure(
            [Requirement(provider.requirement)], constraints=constraints, prompt_install=False, requester=TITLE
        )
    left = missing_packages([Package(provider.package, f"{provider.package}>=0", provider.package_mb)])
    if left:
        raise AcuteFindingsError(f"{provider.package} is still missing; restart Slicer and try again.")


def _install_apart(provider: Terms, parent: Any) -> None:
    """Install into an environment of its own; the window stays alive and a dialog can cancel it."""
    import qt
    import slicer
    from slicer.i18n import tr as _

    from AcuteFindingsLib.providers.install import install

    dialog = qt.QProgressDialog(parent)
    dialog.setWindowTitle(TITLE)
    dialog.setLabelText(_("Installing {name}").format(name=provider.package))
    dialog.setRange(0, 100)
    dialog.setMinimumDuration(0)
    dialog.setModal(True)

    def progress(text: str, share: float) -> None:
        dialog.setLabelText(text)
        dialog.setValue(min(99, round(100 * share)))

    def cancelled() -> bool:
        slicer.app.processEvents()
        return bool(dialog.wasCanceled)

    try:
        install(provider, progress=progress, cancelled=cancelled)
    finally:
        dialog.close()


def _tell(text: str, parent: Any) -> None:
    import slicer

    slicer.util.errorDisplay(text, windowTitle=TITLE, parent=parent)
