"""A network of the user's own as a `Provider`; reading a list of them takes the standard library alone."""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from AcuteFindingsLib.errors import AcuteFindingsError, ProviderError
from AcuteFindingsLib.names import model_id
from AcuteFindingsLib.places import settings_folder
from AcuteFindingsLib.providers.provider import Loading, Provider
from AcuteFindingsLib.providers.terms import Terms, read_terms

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.kind import DetectorKind
    from AcuteFindingsLib.detectors.load import LoadedDetector
    from AcuteFindingsLib.models.package import ModelPackage

_log = logging.getLogger(__name__)


class OwnNetwork(Provider):
    """One network that the user has added."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    def load_detector(self, kind: "DetectorKind", how: Loading, *, base: str | None) -> "LoadedDetector":  # noqa: ARG002
        """See `Provider.load_detector`."""
        from AcuteFindingsLib.detectors.load import LoadedDetector
        from AcuteFindingsLib.models.device import choose_device
        from AcuteFindingsLib.providers.install import python_of
        from AcuteFindingsLib.providers.own_networks.detector import load_own_network

        detector = load_own_network(
            self.terms,
            kind,
            python=python_of(self.terms),
            device=choose_device(how.device),
            progress=how.progress,
            cancelled=how.cancelled,
        )
        return LoadedDetector(detector, detector.package)

    def package_of(self, task: str, *, version: str, sha256: str) -> "ModelPackage":  # noqa: ARG002
        """See `Provider.package_of`."""
        from AcuteFindingsLib.providers.own_networks.detector import package_of
        from AcuteFindingsLib.providers.own_networks.record import read_record

        return package_of(self.terms, read_record(self.terms.file.parent), version=version, sha256=sha256)


def networks_folder() -> Path:
    """Return the folder that keeps what is known of added networks; raises as `places.settings_folder`."""
    return settings_folder() / "networks"


def list_own_networks() -> tuple[OwnNetwork, ...]:
    """Return the networks that the user has added, by name; a damaged one is named in a warning and left out."""
    try:
        folder = networks_folder()
    except AcuteFindingsError:
        # An account without a home folder has no settings, and so no networks.
        return ()
    found = []
    for file in sorted(folder.glob("*/terms.json")):
        if file.parent.name.startswith("."):
            continue
        try:
            terms = read_terms(file)
            if terms.id != model_id(file.parent.name):
                raise ValueError(f"it says that its name is {terms.id}")
        except (OSError, ValueError, TypeError) as error:
            told = " ".join(str(error).split())[:200]
            _log.warning("The network %s was left out: %s cannot be used (%s).", file.parent.name, file, told)
            continue
        found.append(OwnNetwork(terms))
    return tuple(found)


def remove_own_network(name: str) -> None:
    """Forget a network that the user has added; its own folder stays as it is.

    Raises
    ------
    ProviderError
        There is none of this name.
    """
    known = {own.terms.id: own for own in list_own_networks()}
    if name not in known:
        there = f"those there are: {', '.join(known)}" if known else "none was added"
        raise ProviderError(f"{name!r} is not a network that was added; {there}.")
    shutil.rmtree(known[name].terms.file.parent)
