"""Which providers there are, and what a person has to know of them before the first use.

Read with nothing but the standard library: lists are shown before any heavy package is installed.
"""

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import ProviderError

TERMS = Path(__file__).resolve().parent / "terms"


@dataclass(frozen=True)
class Provider:
    """Public models that come with a package of their own.

    Attributes
    ----------
    id
        Name by which it is chosen as a model.
    title
        What it gives, in one line.
    tasks
        Tasks it can be chosen for (`models.metadata.Task`).
    package, requirement
        Name of the distribution, and the requirement for pip.
    package_mb, weights_mb
        What package and weights take on the disk, roughly.
    own_environment
        Whether it is installed apart, because it would replace packages that are in use.
    license, citations, remarks
        Shown before the first use.
    source
        Where its authors publish it.
    trained_on
        What its weights were fitted to, as its authors say.
    """

    id: str
    title: str
    tasks: tuple[str, ...]
    package: str
    requirement: str
    package_mb: int
    weights_mb: int
    own_environment: bool
    license: str
    citations: tuple[str, ...]
    source: str
    trained_on: str
    remarks: tuple[str, ...]

    @property
    def terms(self) -> str:
        """Return what the user agrees to: license, citations and remarks as plain text."""
        lines = [self.title, f"License: {self.license}", f"Source: {self.source}"]
        lines += [f"Please cite: {citation}" for citation in self.citations]
        lines += list(self.remarks)
        size = f"about {self.package_mb} MB, its weights about {self.weights_mb} MB"
        return "\n".join([*lines, f"Installing {self.requirement} takes {size}."])

    @property
    def terms_sha256(self) -> str:
        """Return the SHA-256 of the terms: where they change, consent is asked for again."""
        return hashlib.sha256(self.terms.encode()).hexdigest()

    def installed_version(self) -> str:
        """Return the version that is installed in this environment, ``""`` where it is not."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""


def read_provider(file: Path) -> Provider:
    """Read one of the files in `TERMS`."""
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Provider(**fields)


def list_providers(task: str | None = None) -> list[Provider]:
    """List the providers, those for one task or all."""
    providers = [read_provider(file) for file in sorted(TERMS.glob("*.json"))]
    return [provider for provider in providers if task is None or task in provider.tasks]


def find_provider(name: str) -> Provider:
    """Return the provider with this id.

    Raises
    ------
    ProviderError
        There is none; names those there are.
    """
    providers = list_providers()
    for provider in providers:
        if provider.id == name:
            return provider
    raise ProviderError(f"There is no provider {name!r}; choose one of {', '.join(item.id for item in providers)}.")
