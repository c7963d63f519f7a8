"""Installing a provider's package, and finding the Python that has it.

Most are installed beside what is here. One that would replace packages in use (`Terms.own_environment`) gets an
environment of its own, which shares this one's packages, torch above all, and holds only what it needs otherwise.
"""

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.places import environments_folder, models_cache, temporary_folder
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.providers.own_process import run_to_end
from AcuteFindingsLib.providers.terms import Terms

PROTECTED = ("numpy", "scipy", "SimpleITK", "pydicom", "vtk", "torch", "torchvision", "pandas")
"""Never replaced by another version in this environment."""

_PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input")


def python_of(provider: Terms, *, folder: Path | None = None) -> Path:
    """Return the Python that has the provider's package: its own environment's where there is one, else this one.

    Raises
    ------
    ProviderError
        The package is not installed; says how to install it.
    """
    own = _own_python(provider, folder or environments_folder())
    if own.is_file():
        return own
    if provider.installed_version():
        return Path(sys.executable)
    earlier = models_cache() / "providers" / provider.id
    if folder is None and provider.own_environment and earlier.is_dir():
        raise ProviderError(
            f"An earlier version of AcuteFindings kept {provider.package} in {earlier}, where a model package could "
            f"lie too, so it is no longer run: {how_to_install(provider)} to make it again, then delete that folder."
        )
    raise ProviderError(
        f"The package {provider.package} is not installed: {how_to_install(provider)}, or choose {provider.id} in the "
        "module's model list and press Apply."
    )


def is_installed(provider: Terms, *, folder: Path | None = None) -> bool:
    """Return whether `python_of` finds it."""
    return _own_python(provider, folder or environments_folder()).is_file() or bool(provider.installed_version())


def how_to_install(provider: Terms) -> str:
    """Return in words what a person has to type."""
    command = f"acutefindings providers install {provider.id}"
    return (
        f"run `{command}`"
        if provider.own_environment
        else f"run `{command}` (or `pip install '{provider.requirement}'`)"
    )


def install(
    provider: Terms,
    *,
    folder: Path | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> Path:
    """Install the provider's package with pip and return the Python that has it.

    Parameters
    ----------
    provider
        Its terms must have been agreed to; this is the caller's business.
    folder
        Where environments of their own are made; `environments_folder` when None.

    Raises
    ------
    ProviderError
        pip failed; holds its last line.
    CancelledError
        `cancelled` answered True.
    """
    if is_installed(provider, folder=folder):
        return python_of(provider, folder=folder)
    if provider.own_environment:
        return _install_apart(provider, folder or environments_folder(), progress, cancelled)
    with temporary_folder() as place:
        constraints = place / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in _installed(PROTECTED)), encoding="utf-8")
        _pip(
            Path(sys.executable),
            ["--constraint", str(constraints), provider.requirement],
            provider,
            progress,
            cancelled,
        )
    importlib.invalidate_caches()
    return python_of(provider, folder=folder)


def _install_apart(provider: Terms, folder: Path, progress: Progress, cancelled: Cancelled) -> Path:
    """Make an environment that sees this one's packages after its own, and install there.

    A marker is written last, by renaming: an environment that was broken off is made anew.
    """
    place = _environments(provider, folder)[0]
    progress(f"Making an environment for {provider.package}", 0.02)
    making = run_to_end([sys.executable, "-m", "venv", "--clear", str(place)], cancelled=cancelled)
    if making.status:
        raise ProviderError(f"No environment could be made in {place}: {making.last_line}")
    python = _python_in(place)
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *_packages_on_path()}
    own = run_to_end([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cancelled=cancelled)
    shared = Path(own.last_line) / "acutefindings-shared.pth"
    shared.write_text("".join(f"{line}\n" for line in sorted(places)), encoding="utf-8")
    _pip(python, [provider.requirement], provider, progress, cancelled)
    (place / _DONE).write_text(provider.requirement, encoding="utf-8")
    return python


_DONE = "installed.txt"


def _environments(provider: Terms, folder: Path) -> list[Path]:
    return [folder / name for name in provider.environments or (provider.id,)]


def _own_python(provider: Terms, folder: Path) -> Path:
    places = _environments(provider, folder)
    return next((_python_in(place) for place in places if (place / _DONE).is_file()), places[0] / "none")


def _python_in(place: Path) -> Path:
    return place / "Scripts" / "python.exe" if sys.platform == "win32" else place / "bin" / "python"


def _packages_on_path() -> set[str]:
    return {
        entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages") and Path(entry).is_dir()
    }


def _installed(names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        try:
            lines.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return lines


def _pip(python: Path, arguments: list[str], provider: Terms, progress: Progress, cancelled: Cancelled) -> None:
    seen = 0

    def heard(line: str) -> None:
        nonlocal seen
        step = re.match(r"\s*(Collecting|Downloading|Building|Installing)\s+(\S+)", line)
        if step:
            seen += 1
            # pip does not say how much is left.
            progress(f"{step[1]} {step[2][:40]}", 0.05 + 0.9 * seen / (seen + 20))

    progress(f"Installing {provider.requirement}", 0.05)
    try:
        ended = run_to_end([str(python), *_PIP, *arguments], heard=heard, cancelled=cancelled)
    except subprocess.SubprocessError as error:
        raise ProviderError(f"pip could not be started: {error}") from error
    if ended.status:
        raise ProviderError(f"{provider.requirement} could not be installed: {ended.error_line}")
    progress(f"{provider.package} is installed", 1.0)
