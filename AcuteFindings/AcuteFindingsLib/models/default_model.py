"""Which of several models of a task is used if none is named: what the user chose, else what ships.

Needs nothing that Slicer lacks: the panel asks the same questions before torch is installed. A model that was
installed or imported is used because the user names it or chose it, never because it is there.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from packaging.version import InvalidVersion, Version

from AcuteFindingsLib.errors import AcuteFindingsError, ModelError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.names import LONGEST, detector_name, model_id
from AcuteFindingsLib.places import settings_folder

_MOST_BYTES = 2**16


class Listed(Protocol):
    """What a list knows of a model."""

    @property
    def id(self) -> str:
        """Name of the model."""
        ...

    @property
    def version(self) -> str:
        """Version of the package."""
        ...


ModelT = TypeVar("ModelT", bound=Listed)


@dataclass(frozen=True)
class Choice(Generic[ModelT]):
    """A model and, in words, why it is the one; `since` is the day (ISO 8601) on which it was chosen, where known."""

    model: ModelT
    reason: str
    since: str = ""


def version_key(version: str) -> Version:
    """Return what versions are ordered by: as Python packages have them (PEP 440), words first of all.

    What is none of those but begins with a number, a date for example, is ordered by its numbers.
    """
    text = version.partition("+")[0][:LONGEST]
    try:
        return Version(text)
    except InvalidVersion:
        numbers = re.findall(r"\d+", text) if re.match(r"v?\d", text) else []
        return Version(".".join(numbers) or "0.dev0")


def newest(models: Iterable[ModelT]) -> dict[str, ModelT]:
    """Return the newest version of each id, in the order in which ids come; of equal versions the first."""
    found: dict[str, ModelT] = {}
    for model in models:
        known = found.get(model.id)
        if known is None or version_key(model.version) > version_key(known.version):
            found[model.id] = model
    return found


def choose_default(
    models: Sequence[ModelT], *, shipped: Mapping[str, str], chosen: str | None = None, since: str = ""
) -> Choice[ModelT] | None:
    """Return the model of one task that is used if none is named; None where there is none.

    Parameters
    ----------
    models
        Those made for the task, each id once, in the order of a list.
    shipped
        Version by id of what ships with the extension, of any task.
    chosen
        The id that the user chose for this task.
    since
        The day on which the user chose it.
    """
    by_id = {model.id: model for model in models}
    if chosen in by_id:
        return Choice(by_id[chosen], "chosen with `models default`", since)
    gone = f"; {chosen}, the one chosen with `models default`, is not installed" if chosen else ""
    first = next((by_id[name] for name in sorted(by_id) if name in shipped), None)
    if first is not None:
        newer = version_key(first.version) > version_key(shipped[first.id])
        return Choice(first, ("newer version of the one that came" if newer else "came") + f" with AcuteFindings{gone}")
    if not by_id:
        return None
    only = next(iter(by_id.values()))
    why = "the only one installed" if len(by_id) == 1 else "the first one installed: choose with `models default`"
    return Choice(only, why + gone)


def defaults_file() -> Path:
    """Return the file that keeps the user's choices, ``models.json`` in the folder of settings."""
    return settings_folder() / "models.json"


def chosen_defaults(file: Path | None = None) -> dict[str, str]:
    """Return the ids that the user chose, by task; none where the account has no home folder.

    Raises
    ------
    ModelError
        The file is damaged: says what to do.
    """
    return _read(file)[0]


def chosen_since(file: Path | None = None) -> dict[str, str]:
    """Return the days (ISO 8601) on which the user chose, by task; of choices of earlier versions none is known.

    Raises
    ------
    ModelError
        The file is damaged: says what to do.
    """
    return _read(file)[1]


def set_default(task: str, model: str | None, *, file: Path | None = None) -> None:
    """Keep `model` as the default of a task, and since which day it is; None takes the choice back.

    Raises
    ------
    ModelError
        The file cannot be read or written.
    """
    file = file or defaults_file()
    chosen, since = _read(file)
    if model is None:
        chosen.pop(task, None)
    elif chosen.get(task) != model:
        chosen[task] = model
        since[task] = datetime.now(UTC).astimezone().date().isoformat()
    kept: dict[str, Any] = {"defaults": chosen, "since": {name: day for name, day in since.items() if name in chosen}}
    try:
        with replace_when_written(file) as partial:
            partial.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"The choice could not be kept in {file}: {error.strerror or error}.") from error


def _read(file: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return models and days by task; raises as `chosen_defaults`."""
    try:
        file = file or defaults_file()
    except AcuteFindingsError:
        return {}, {}
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        data = json.loads(file.read_text(encoding="utf-8"))
        chosen = {detector_name(task): model_id(name) for task, name in data["defaults"].items()}
        days = {detector_name(task): date.fromisoformat(day) for task, day in data.get("since", {}).items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{file}, which keeps the default models, cannot be read ({error}); delete it and choose again with "
            "`acutefindings models default`."
        ) from error
    return chosen, {task: day.isoformat() for task, day in days.items() if task in chosen}
