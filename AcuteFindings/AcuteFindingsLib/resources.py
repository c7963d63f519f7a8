"""One way to the files that ship beside the code, wherever the extension lives."""

from pathlib import Path

from AcuteFindingsLib.errors import AcuteFindingsError

_PACKAGE = Path(__file__).resolve().parent

# In the order in which a copy may be found: inside an installed wheel; in a source tree, where the extension-wide
# folder stands at the root and the home module's own beside the package; in Slicer's flat qt-scripted-modules folder,
# where every module's resources are merged.
_ROOTS = (_PACKAGE / "Resources", _PACKAGE.parents[1] / "Resources", _PACKAGE.parent / "Resources")


def resource_path(*parts: str) -> Path:
    """Return the path of a file or folder that ships with the extension.

    Parameters
    ----------
    parts
        Path below `Resources`, for example ``("Models",)``.

    Raises
    ------
    AcuteFindingsError
        When none of the known places holds it: the installation is incomplete.
    """
    for root in _ROOTS:
        candidate = root.joinpath(*parts)
        if candidate.exists():
            return candidate
    wanted = "/".join(("Resources", *parts))
    raise AcuteFindingsError(f"The installation is incomplete: {wanted} was not found. Install AcuteFindings again.")
