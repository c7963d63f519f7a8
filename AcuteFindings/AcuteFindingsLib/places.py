"""Folders of this account that the software keeps files in, and a folder for the time being."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from AcuteFindingsLib.errors import AcuteFindingsError


def models_cache() -> Path:
    """Return the folder where downloaded model packages are kept: on Linux ``~/.cache/acutefindings``.

    Raises
    ------
    AcuteFindingsError
        The account has no home folder.
    """
    return _kept("cache", "acutefindings")


def environments_folder() -> Path:
    """Return the folder of the environments that providers have to themselves; raises as `models_cache`.

    Apart from `models_cache`: what a model package brings along can never lie where a program is looked for.
    """
    return _kept("cache", "acutefindings-providers")


def proven_files() -> Path:
    """Return the file that says which files of model packages were checked; raises as `models_cache`."""
    return _kept("cache", "acutefindings-checked") / "files.json"


def results_folder() -> Path:
    """Return the folder of results where none is named: on Linux ``~/.local/share/acutefindings/results``.

    Raises as `models_cache`.
    """
    try:
        import platformdirs
    except ImportError:
        return _home() / "AcuteFindings" / "results"
    return platformdirs.user_data_path("acutefindings", appauthor=False) / "results"


def settings_folder() -> Path:
    """Return the folder of settings: on Linux ``~/.config/acutefindings``; raises as `models_cache`."""
    return _kept("config", "acutefindings")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that is gone afterwards.

    Raises
    ------
    AcuteFindingsError
        There is no place for one.
    """
    folder = make_temporary_folder("acutefindings-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_temporary_folder(prefix: str) -> Path:
    """Return a new temporary folder, which the caller removes; raises as `temporary_folder`."""
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        raise AcuteFindingsError(
            f"No temporary file can be written ({error.strerror or error}); set the environment variable TMPDIR to a "
            "folder that can be written to."
        ) from error


def _kept(kind: Literal["cache", "config"], name: str) -> Path:
    """Return the system's folder for a kind of files, or the one below the home folder where that is there already.

    Below the home folder earlier versions kept everything on every system; and without platformdirs, which Slicer
    gets with the packages of the first run, it still is.
    """
    earlier = _home() / f".{kind}" / name
    try:
        if earlier.is_dir():
            return earlier
        import platformdirs
    except (OSError, ImportError):
        return earlier
    find = platformdirs.user_cache_path if kind == "cache" else platformdirs.user_config_path
    return find(name, appauthor=False)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise AcuteFindingsError(
            "This account has no home folder, so nothing can be kept there; set the environment variable HOME "
            "(USERPROFILE on Windows) to a folder that can be written to."
        ) from error
