"""Import descriptions: those that ship, the user's own, and the one to take for a task."""

from pathlib import Path

from pydantic import ValidationError

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import read_text
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.yaml_text import parse_yaml

_SUFFIX = ".yaml"
_NAMED_FAULTS = 3


def read_description(path: Path) -> ImportDescription:
    """Read an import description from a YAML file.

    Raises
    ------
    ModelError
        It cannot be read or is none: names up to three fields at fault.
    """
    try:
        data = parse_yaml(read_text(path))
    except ValueError as error:
        raise ModelError(f"The import description {path.name} {error}.") from error
    try:
        return ImportDescription.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        told = "; ".join(
            f"field '{'.'.join(str(part) for part in fault['loc']) or 'top level'}': {fault['msg']}"
            for fault in faults[:_NAMED_FAULTS]
        )
        more = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
        raise ModelError(f"The import description {path.name} cannot be used: {told}{more}.") from error


def shipped_descriptions(folder: Path | None = None) -> list[ImportDescription]:
    """Return the descriptions that ship, by task: recommended ones first, then those that can be imported.

    Parameters
    ----------
    folder
        Where they are; `Resources/Imports` when None.

    Raises
    ------
    ModelError
        One of them cannot be read, or is not called as its id.
    """
    found = []
    for path in sorted(_folder(folder).glob(f"*{_SUFFIX}")):
        description = read_description(path)
        if description.id != path.stem:
            raise ModelError(f"The import description {path.name} is of {description.id!r}; its file must be named so.")
        found.append(description)
    return sorted(found, key=lambda one: (one.task, not one.recommended, bool(one.needs), one.id))


def find_description(address: str, folder: Path | None = None) -> ImportDescription:
    """Return the description of an address (``hf:OWNER/NAME``) or id.

    Of several of one address, as of a repository that holds more than one model, the recommended one.

    Raises
    ------
    ModelError
        There is none.
    """
    for one in shipped_descriptions(folder):
        if address.casefold() in (one.address.casefold(), one.id):
            return one
    raise ModelError(
        f"There is no import description of {address}; `acutefindings models recommended --all` lists those there are. "
        "Write one of your own and name it with --description, or download the file and import it with --as."
    )


def recommended(task: str, folder: Path | None = None) -> ImportDescription:
    """Return the description to take for a task; raises `ModelError` where none is recommended."""
    descriptions = shipped_descriptions(folder)
    for one in descriptions:
        if one.recommended and one.task == task:
            return one
    tasks = ", ".join(one.task for one in descriptions if one.recommended) or "none"
    raise ModelError(f"No public model is recommended for {task}; there are some for {tasks}.")


def graph_bytes(
    description: ImportDescription, folder: Path | None = None, *, beside: Path | None = None
) -> dict[str, bytes]:
    """Return the graphs of a description by their file in the package: ``models/graphs/<part>.onnx``.

    Parameters
    ----------
    folder
        As for `shipped_descriptions`.
    beside
        The description's own file, where it is not one of those that ship.

    Raises
    ------
    ModelError
        One that the description names is not there.
    """
    if description.graphs is None:
        return {}
    place = (beside.parent if beside is not None else _folder(folder)) / description.id
    stated = [part.file for part in description.graphs.parts.values()]
    if description.graphs.explaining is not None:
        stated.append(description.graphs.explaining.file)
    found = {}
    for file in dict.fromkeys(stated):
        path = place / Path(file).name
        try:
            found[file] = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"The graph {path} of the import description {description.id} cannot be read: "
                f"{error.strerror or error}."
            ) from error
    return found


def _folder(folder: Path | None) -> Path:
    return resource_path("Imports") if folder is None else folder
