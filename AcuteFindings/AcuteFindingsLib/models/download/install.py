"""Models into the folder of downloaded packages: from a catalogue, a zip file or a folder carried by hand.

A package appears there whole and verified, or not at all.
"""

import importlib.util
import logging
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import DownloadError, ModelError
from AcuteFindingsLib.files import sweep_abandoned
from AcuteFindingsLib.models.download.archive import extract_steps
from AcuteFindingsLib.models.download.catalogue import ArchiveSource, CatalogueEntry, ProviderSource
from AcuteFindingsLib.models.download.fetch import PATIENCE, Patience, fetch_file
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if

PARTIAL_FOLDER = ".downloads"
"""Where archives are kept below the cache until they are installed."""


def download_model(
    entry: CatalogueEntry,
    *,
    cache: Path | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
    patience: Patience = PATIENCE,
) -> ModelPackage:
    """Download the archive of a catalogue entry, verify it, and install its package.

    A download that broke off goes on where it ended. The addresses are tried in their order. pooch holds the file
    against its SHA-256 and keeps it until the package is installed.

    Parameters
    ----------
    entry
        As `load_catalogue` gives it.
    cache
        Folder of downloaded packages; `models_cache` when None.
    progress
        Called with what is being done and the share that is done, 0..1.
    cancelled
        Asked between pieces; True stops, and what has arrived is kept for the next time.
    patience
        How long servers may take.

    Returns
    -------
    ModelPackage
        The installed package; one that was there already in the same version is returned as it is.

    Raises
    ------
    ModelError
        When the entry is none that can be downloaded, another version is installed, or the package is damaged.
    DownloadError
        When no address gives the file: says why of each.
    CancelledError
        `cancelled` answered True.
    """
    source = entry.source
    if not isinstance(source, ArchiveSource):
        raise ModelError(_not_to_download(entry))
    cache = cache or models_cache()
    installed = _installed(cache / entry.id, entry)
    if installed is not None:
        return installed
    folder = cache / PARTIAL_FOLDER
    _make(folder)
    _check_room(folder, source.size)
    from filelock import FileLock, Timeout

    text = f"Downloading {entry.id} ({source.size / 1e6:.1f} MB)"

    def fetch(address: str, target: Path) -> None:
        fetch_file(
            address,
            target,
            size=source.size,
            progress=lambda have: progress(text, 0.9 * have / source.size),
            cancelled=cancelled,
            patience=patience,
        )

    try:
        with FileLock(folder / f"{source.sha256[:16]}.lock", timeout=0):
            archive = _fetch(source, folder, fetch)
            package = install_package(
                archive,
                cache=cache,
                expected=entry,
                progress=part_of(progress, 0.9, 1.0),
                cancelled=cancelled,
            )
            archive.unlink(missing_ok=True)
    except Timeout as error:
        raise DownloadError(f"The model {entry.id!r} is being downloaded by another program; wait for it.") from error
    (folder / f"{source.sha256[:16]}.lock").unlink(missing_ok=True)
    return package


def install_package(
    path: Path | str,
    *,
    cache: Path | None = None,
    expected: CatalogueEntry | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> ModelPackage:
    """Install a package from a zip file or a folder: copied aside, verified as a model package, then renamed.

    Parameters
    ----------
    path
        A zip file that holds one package, or a package's folder.
    cache
        Folder of downloaded packages; `models_cache` when None.
    expected
        Entry whose id and version the package must have.
    progress, cancelled
        As for `download_model`.

    Raises
    ------
    ModelError
        When there is no package in it, it is damaged, not the expected one, or one with its id is there already.
    CancelledError
        `cancelled` answered True; nothing is left.
    """
    path, cache = Path(path), cache or models_cache()
    work = cache / f".{uuid.uuid4().hex[:8]}.partial"
    _make(cache)
    sweep_abandoned(cache, r"\.[0-9a-f]{8}\.partial")
    try:
        if path.is_dir():
            read_package(path).verify_files()
            progress("Copying the model", 0.0)
            shutil.copytree(path, work)
        else:
            for share in extract_steps(path, work):
                stop_if(cancelled, left="nothing was installed")
                progress("Unpacking the model", 0.6 * share)
        progress("Verifying the model", 0.6)
        package = _verified(work, path)
        stop_if(cancelled, left="nothing was installed")
        if expected is not None and (package.id, package.version) != (expected.id, expected.version or package.version):
            raise ModelError(
                f"The archive holds the model {package.id!r} {package.version}, not {expected.id!r} {expected.version} "
                "as the catalogue says; it was not installed."
            )
        target = cache / package.id
        if target.exists():
            raise ModelError(f"There is a model {package.id!r} in {target} already; delete it first.")
        work.rename(target)
        progress("Installed", 1.0)
        return read_package(target)
    except OSError as error:
        raise ModelError(f"{path} could not be installed: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch(source: ArchiveSource, folder: Path, fetch: Callable[[str, Path], None]) -> Path:
    """Return the archive from the first address that gives it."""
    reasons: list[str] = []
    for url in source.urls:
        try:
            return _fetch_from(url, source, folder, fetch)
        except DownloadError as error:
            reasons.append(str(error))
    raise DownloadError(" ".join(dict.fromkeys(reasons)))


def _fetch_from(url: str, source: ArchiveSource, folder: Path, fetch: Callable[[str, Path], None]) -> Path:
    import pooch

    partial = folder / f"{source.sha256[:16]}.partial"

    def download(address: str, output_file: Any, _pooch: Any) -> None:
        fetch(address, partial)
        partial.replace(output_file)

    # Its own lines on where it puts files are of no use to the person who waits.
    pooch.get_logger().setLevel(logging.WARNING)
    for resumed in (partial.exists(), False):
        try:
            return Path(
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{source.sha256}",
                    fname=f"{source.sha256[:16]}.zip",
                    path=folder,
                    downloader=download,
                )
            )
        except ValueError as error:
            # A part from an earlier day may have been of another file: once more from the start.
            if not resumed:
                raise DownloadError(
                    f"{url} gave a file whose SHA-256 is not the one of the catalogue: it was changed or damaged on "
                    "its way, or the catalogue is out of date. Nothing of it was kept."
                ) from error
        except OSError as error:
            raise DownloadError(f"The download could not be written to {folder}: {error.strerror or error}.") from error
    raise AssertionError("the second turn returns or raises")


def _verified(work: Path, path: Path) -> ModelPackage:
    try:
        package = read_package(work)
        if importlib.util.find_spec("torch") is None:
            package.verify_files()
        else:
            verify_package(package)
    except ModelError as error:
        raise ModelError(str(error).replace(str(work), path.name)) from error
    return package


def _installed(folder: Path, entry: CatalogueEntry) -> ModelPackage | None:
    if not folder.exists():
        return None
    package = read_package(folder)
    if package.version != entry.version:
        raise ModelError(
            f"The model {entry.id!r} is installed in version {package.version}; delete it first to get {entry.version}."
        )
    package.verify_files()
    return package


def _not_to_download(entry: CatalogueEntry) -> str:
    if isinstance(entry.source, ProviderSource):
        name = entry.source.provider
        return (
            f"The model {entry.id!r} comes with the Python package of its authors: read its terms with `acutefindings "
            f"providers show {name}` and agree with `acutefindings providers consent {name}`."
        )
    return f"The model {entry.id!r} came with the extension; there is nothing to download."


def _check_room(folder: Path, size: int) -> None:
    if size > budgets().archive_bytes:
        raise DownloadError(
            f"The catalogue states {size / 1e9:,.0f} GB for this model, more than any model package takes; it was not "
            "downloaded. Ask the maintainer of the catalogue."
        )
    # The archive and, beside it, what is in it.
    needed = 2.2 * size
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"{folder} has {free / 1e6:.0f} MB left on its disk and the model needs {needed / 1e6:.0f} MB; make room."
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"The folder {folder} for models cannot be made: {error.strerror or error}.") from error
