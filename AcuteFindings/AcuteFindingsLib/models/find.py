"""Where model packages are, and which one answers to a name or a task."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import AcuteFindingsError, ModelError
from AcuteFindingsLib.models.default_model import Choice, choose_default, chosen_defaults, chosen_since, newest
from AcuteFindingsLib.models.files import package_folders
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.names import model_id
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.resources import resource_path


@dataclass(frozen=True)
class DamagedPackage:
    """A folder that looks like a model package and could not be read; `error` says why in one sentence."""

    folder: Path
    error: str

    @property
    def id(self) -> str:
        """The folder's name: the only name that is left."""
        return self.folder.name

    def summary(self) -> dict[str, Any]:
        """Return what a list shows of it: its name, the place and the error."""
        return {"id": self.id, "folder": str(self.folder), "error": self.error}


def list_packages(
    *, folders: Iterable[Path | str] = (), cache: Path | None = None, shipped: Path | None = None
) -> list[ModelPackage | DamagedPackage]:
    """List every model that can be found.

    Searched in this order: `folders`, the cache, what ships with the extension; inside a place by id. Of packages with
    the same id the newest version is listed, wherever it lies; of equal versions the first one found. A package that
    cannot be read is listed with its error.

    Parameters
    ----------
    folders
        Places the user added: packages, or folders of packages.
    cache
        Folder of downloaded packages; `models_cache` when None.
    shipped
        Folder of packages that ship with the extension; its `Resources/Models` when None.
    """
    found: list[ModelPackage] = []
    damaged: list[DamagedPackage] = []
    for place in _places(folders, cache, shipped):
        for package in sorted(_packages_in(place), key=lambda item: item.id):
            if isinstance(package, DamagedPackage):
                damaged.append(package)
            else:
                found.append(package)
    return [*newest(found).values(), *damaged]


def find_package(
    id_or_folder: str | Path,
    *,
    task: Task | None = None,
    folders: Iterable[Path | str] = (),
    cache: Path | None = None,
    shipped: Path | None = None,
) -> ModelPackage:
    """Return the package with this id, else the one in this folder.

    For what a person names; an id out of a package goes to `find_id`.

    Parameters
    ----------
    id_or_folder
        A model's id, or the path of a package.
    task
        What the model must have been made for; any when None.
    folders, cache, shipped
        As for `list_packages`.

    Raises
    ------
    ModelError
        When there is none, it is damaged, or it was made for another task. Names the ones that would do.
    """
    packages = list_packages(folders=folders, cache=cache, shipped=shipped)
    for package in packages:
        if package.id == str(id_or_folder):
            if isinstance(package, DamagedPackage):
                raise ModelError(package.error)
            return _fitting(package, task)
    if Path(id_or_folder).is_dir():
        return _fitting(read_package(id_or_folder), task)
    raise ModelError(f"There is no model {str(id_or_folder)!r}; {_choices(packages, task)}")


def find_id(
    model: str,
    *,
    task: Task | None = None,
    folders: Iterable[Path | str] = (),
    cache: Path | None = None,
    shipped: Path | None = None,
) -> ModelPackage:
    """Return the package with this id, which stands in a file: a path is never followed.

    Raises
    ------
    ModelError
        As `find_package`, and when it is no id.
    """
    try:
        model_id(model)
    except ValueError as error:
        raise ModelError(f"{error}.") from error
    packages = list_packages(folders=folders, cache=cache, shipped=shipped)
    found = next((package for package in packages if package.id == model), None)
    if found is None:
        raise ModelError(f"There is no model {model!r}; {_choices(packages, task)}")
    if isinstance(found, DamagedPackage):
        raise ModelError(found.error)
    return _fitting(found, task)


def default_package(
    task: Task, *, folders: Iterable[Path | str] = (), cache: Path | None = None, shipped: Path | None = None
) -> ModelPackage:
    """Return the package of `default_choice`; raises as it does."""
    return default_choice(task, folders=folders, cache=cache, shipped=shipped).model


def default_choice(
    task: Task, *, folders: Iterable[Path | str] = (), cache: Path | None = None, shipped: Path | None = None
) -> Choice[ModelPackage]:
    """Return the package that is used for `task` if none is named, and why.

    What the user chose (`models default`), else what ships, else the first of those installed.

    Raises
    ------
    ModelError
        When there is none.
    """
    packages = list_packages(folders=folders, cache=cache, shipped=shipped)
    choice = _choice(packages, task, shipped)
    if choice is not None:
        return choice
    damaged = [package.error for package in packages if isinstance(package, DamagedPackage)]
    told = f" Damaged packages were skipped: {' '.join(damaged)}" if damaged else ""
    raise ModelError(f"No model for {task!r} is installed; name the folder of a model package.{told}")


def why_default(packages: Iterable[ModelPackage | DamagedPackage], *, shipped: Path | None = None) -> dict[str, str]:
    """Return, by id, why a package of a list is the one that is used for its task if none is named, and since when."""
    listed = list(packages)
    tasks = {package.card.task for package in listed if isinstance(package, ModelPackage)} - {"part"}
    choices = (_choice(listed, task, shipped) for task in sorted(tasks))
    return {
        choice.model.id: f"{choice.reason}, since {choice.since}" if choice.since else choice.reason
        for choice in choices
        if choice is not None
    }


def _choice(
    packages: Iterable[ModelPackage | DamagedPackage], task: Task, shipped: Path | None
) -> Choice[ModelPackage] | None:
    made = [package for package in packages if isinstance(package, ModelPackage) and package.card.task == task]
    return choose_default(
        made, shipped=shipped_versions(shipped), chosen=chosen_defaults().get(task), since=chosen_since().get(task, "")
    )


def shipped_versions(shipped: Path | None = None) -> dict[str, str]:
    """Return the version by id of the packages that ship with the extension."""
    place = _shipped(shipped)
    found = [] if place is None else _packages_in(place)
    return {package.id: package.version for package in found if isinstance(package, ModelPackage)}


def _places(folders: Iterable[Path | str], cache: Path | None, shipped: Path | None) -> Iterator[Path]:
    for folder in folders:
        if not Path(folder).is_dir():
            raise ModelError(f"{folder} is not a folder, so it cannot be searched for models; correct the path.")
        yield Path(folder)
    # Without a home folder there is nothing downloaded; what ships is found all the same.
    if cache is None:
        with suppress(AcuteFindingsError):
            cache = models_cache()
    if cache is not None:
        yield cache
    place = _shipped(shipped)
    if place is not None:
        yield place


def _shipped(shipped: Path | None) -> Path | None:
    if shipped is not None:
        return shipped
    try:
        return resource_path("Models")
    except AcuteFindingsError:
        # A build without models is whole all the same: the user brings their own.
        return None


def _packages_in(place: Path) -> Iterator[ModelPackage | DamagedPackage]:
    for folder in package_folders(place):
        try:
            yield read_package(folder)
        except ModelError as error:
            yield DamagedPackage(folder, str(error))


def _fitting(package: ModelPackage, task: Task | None) -> ModelPackage:
    if task is not None and package.card.task != task:
        raise ModelError(
            f"The model {package.id!r} in {package.folder} was made for {package.card.task!r}, not for {task!r}; "
            "choose another model."
        )
    return package


def _choices(packages: Iterable[ModelPackage | DamagedPackage], task: Task | None) -> str:
    ids = [p.id for p in packages if isinstance(p, ModelPackage) and task in (None, p.card.task)]
    return f"choose one of: {', '.join(ids)}." if ids else "no fitting one is installed: name a model package's folder."
