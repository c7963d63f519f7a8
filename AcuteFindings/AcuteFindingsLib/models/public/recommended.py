"""Import descriptions: those that ship, the user's own, and the one to take for a task."""

from pathlib import Path

from AcuteFindingsLib.models.public.description import ImportDescription


def read_description(path: Path) -> ImportDescription:
    """Read an import description from a YAML file.

    Raises
    ------
    ModelError
        It cannot be read or is none: names up to three fields at fault.
    """
    raise NotImplementedError


def shipped_descriptions(folder: Path | None = None) -> list[ImportDescription]:
    """Return the descriptions that ship (`Resources/Imports`), by task, the recommended ones first."""
    raise NotImplementedError


def find_description(address: str, folder: Path | None = None) -> ImportDescription:
    """Return the description of an address (``hf:OWNER/NAME``) or id; raises `ModelError` where there is none."""
    raise NotImplementedError


def recommended(task: str, folder: Path | None = None) -> ImportDescription:
    """Return the description to take for a task; raises `ModelError` where none is recommended."""
    raise NotImplementedError


def graph_bytes(description: ImportDescription, folder: Path | None = None) -> dict[str, bytes]:
    """Return the graphs that lie beside a description (``<id>/<part>.onnx``) by their file in the package."""
    raise NotImplementedError
