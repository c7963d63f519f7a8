"""Where model packages are, and which one answers to a name or a task."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from AcuteFindingsLib.errors import AcuteFindingsError, ModelError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import METADATA, ModelPackage, read_package
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

    def row(self) -> tuple[str, ...]:
        """Return the cells of `ModelPackage.row`, empty but for the name, the error and the place."""
        return self.id, "damaged", "", "", "", self.error, str(self.folder)

    def verify(self) -> None:
        """Raise the `ModelError` that reading gave."""
        raise ModelError(self.error)


def default_cache() -> Path:
    """Return the folder where downloaded packages are kept: ``~/.cache/acutefindings``."""
    return Path.home() / ".cache" / "acutefindings"


def list_packages(
    *, folders: Iterable[Path | str] = (), cache: Path | None = None, shipped: Path | None = None
) -> list[ModelPackage | DamagedPackage]:
    """List every model that can be found, first the ones that win.

    Searched in this order: `folders`, the cache, what ships with the extension; inside a place by id. Of packages with
    the same id the first one found is listed. A package that cannot be read is listed with its error.

    Parameters
    ----------
    folders
        Places the user added: packages, or folders of packages.
    cache
        Folder of downloaded packages; `default_cache` when None.
    shipped
        Folder of packages that ship with the extension; its `Resources/Models` when None.
    """
    found: dict[str, ModelPackage | DamagedPackage] = {}
    damaged: list[DamagedPackage] = []
    for place in _places(folders, cache, shipped):
        for package in sorted(_packages_in(place), key=lambda item: item.id):
            if isinstance(package, DamagedPackage):
                damaged.append(package)
            else:
                found.setdefault(package.id, package)
    return [*found.values(), *damaged]


def find_package(
    id_or_folder: str | Path,
    *,
    task: Task | None = None,
    folders: Iterable[Path | str] = (),
    cache: Path | None = None,
    shipped: Path | None = None,
) -> ModelPackage:
    """Return the package with this id, else the one in this folder.

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


def default_package(
    task: Task, *, folders: Iterable[Path | str] = (), cache: Path | None = None, shipped: Path | None = None
) -> ModelPackage:
    """Return the first package made for `task`, in the order of `list_packages`.

    Raises
    ------
    ModelError
        When there is none.
    """
    packages = list_packages(folders=folders, cache=cache, shipped=shipped)
    for package in packages:
        if isinstance(package, ModelPackage) and package.card.task == task:
            return package
    damaged = [package.error for package in packages if isinstance(package, DamagedPackage)]
    told = f" Damaged packages were passed over: {' '.join(damaged)}" if damaged else ""
    raise ModelError(f"No model for {task!r} is installed; name the folder of a model package.{told}")


def _places(folders: Iterable[Path | str], cache: Path | None, shipped: Path | None) -> Iterator[Path]:
    for folder in folders:
        if not Path(folder).is_dir():
            raise ModelError(f"{folder} is no folder, so no models can be looked for in it; correct the path.")
        yield Path(folder)
    yield cache if cache is not None else default_cache()
    if shipped is not None:
        yield shipped
        return
    try:
        yield resource_path("Models")
    except AcuteFindingsError:
        # A build without models is whole all the same: the user brings their own.
        return


def _packages_in(place: Path) -> Iterator[ModelPackage | DamagedPackage]:
    if (place / METADATA).is_file():
        candidates = [place]
    elif place.is_dir():
        candidates = [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    else:
        candidates = []
    for folder in candidates:
        # Any other folder is none of our business: the cache holds more than models.
        if not (folder / METADATA).parent.is_dir():
            continue
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
