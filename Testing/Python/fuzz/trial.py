"""One input: where it lies, what was done to it, and how it is tried."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from AcuteFindingsLib.errors import AcuteFindingsError
from fuzz import bases
from fuzz.oracle import Read, difference, read


@dataclass(frozen=True)
class Trial:
    """An input on disk.

    `run` returns what came of it, ``"same"``, ``"told"``, ``"refused"`` or ``"answered"``; a `Wrong` where that breaks
    a promise; every other exception than `AcuteFindingsError` is a fault too.
    """

    told: str
    run: Callable[[], str]


class Wrong(AssertionError):
    """An answer that is neither right nor told."""


def study_trial(path: Path, base: str, told: str, *, equal: bool = False, any_answer: bool = False) -> Trial:
    """Read a study and compare it with its base.

    Parameters
    ----------
    equal
        It is the base, written otherwise: it must be read as that, and nothing more may be said of it.
    any_answer
        Damage that no reader can see may have changed what is read: only that it ends well is asked for.
    """

    def run() -> str:
        known = _base(base)
        try:
            given = read(path, _DETECTORS[base])
        except AcuteFindingsError as error:
            if equal:
                raise Wrong(f"refused although nothing is wrong: {error}") from error
            if not str(error).strip() or len(str(error)) > 2000:
                raise Wrong(f"not one readable sentence: {str(error)[:200]!r}") from error
            return "refused"
        new = given.said - known.said
        differs = difference(known.study, given.study)
        if equal and (differs or new):
            raise Wrong(f"{differs or 'the same'}; said: {sorted(new) or 'nothing'}; it is the same study")
        if differs and not new and not any_answer:
            raise Wrong(f"{differs}, and nothing is said of it")
        return "told" if new else "same" if not differs else "answered"

    return Trial(told, run)


def plain_trial(told: str, run: Callable[[], object]) -> Trial:
    """Do something that may only end in an answer or in a readable error."""

    def tried() -> str:
        try:
            run()
        except AcuteFindingsError as error:
            if not str(error).strip() or len(str(error)) > 3000:
                raise Wrong(f"not one readable sentence: {str(error)[:200]!r}") from error
            return "refused"
        return "answered"

    return Trial(told, tried)


_DETECTORS = {"head": "hemorrhage", "chest": "pneumothorax", "head-volume": "hemorrhage", "picture": "pneumothorax"}


@cache
def _base(name: str) -> Read:
    folder = bases.scratch() / f"base-{name}"
    folder.mkdir()
    if name == "head":
        bases.write_head(folder)
        return read(folder, "hemorrhage")
    if name == "head-volume":
        return read(bases.write_volume(folder / "head.nii"), "hemorrhage")
    if name == "picture":
        return read(bases.write_picture(folder / "chest.png"), "pneumothorax")
    return read(bases.write_chest(folder / "chest.dcm"), "pneumothorax")
