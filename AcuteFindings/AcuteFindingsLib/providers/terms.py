"""What a person has to know of a provider before its first use.

Read with nothing but the standard library: lists are shown before any heavy package is installed.
"""

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Terms:
    """What a provider is, as the file `terms.json` in its folder says.

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
    needs_torch
        Whether it computes with PyTorch, which `package_mb` leaves out.
    also
        Names of further distributions without which the package cannot be used here.
    environments
        Names of the environments of their own that have the package, the one to make first; its id by default.
    license, citations, remarks
        Shown before the first use.
    source
        Where its authors publish it.
    trained_on
        What its weights were fitted to, as its authors say.
    file
        Where these terms were read.
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
    file: Path
    needs_torch: bool = False
    also: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return what the user agrees to: license, citations and remarks as plain text."""
        lines = [self.title, f"License: {self.license}", f"Source: {self.source}"]
        lines += [f"Please cite: {citation}" for citation in self.citations]
        lines += list(self.remarks)
        size = f"about {self.package_mb} MB, its weights about {self.weights_mb} MB"
        return "\n".join([*lines, f"Installing {self.requirement} takes {size}."])

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the terms: where they change, consent is asked for again."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def installed_version(self) -> str:
        """Return the version that is installed in this environment, ``""`` where it is not."""
        try:
            for name in self.also:
                importlib.metadata.version(name)
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""


def read_terms(file: Path) -> Terms:
    """Read the terms of a provider from a JSON file."""
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Terms(**fields, file=file)
