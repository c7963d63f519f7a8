"""The phantoms that show what the detectors look for: each generator with the name of its detector's finding."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.detectors.kind import SamplePhantoms
from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.models.task import load_reference

if TYPE_CHECKING:
    from AcuteFindingsLib.phantoms.phantom import Phantom


def phantom_kinds() -> tuple[str, ...]:
    """Return the kinds of phantoms that can be made."""
    return tuple(_known())


def phantom_variants(kind: str) -> tuple[str, ...]:
    """Return what phantoms of a kind can show beside the finding; raises `ValueError` for an unknown kind."""
    return _find(kind).variants


def find_generator(kind: str) -> "Callable[..., Phantom]":
    """Return the function that draws phantoms of a kind; raises `ValueError` for an unknown kind."""
    return load_reference(_find(kind).make)


def make_phantom(kind: str, seed: int, *, positive: bool | None = None, **options: Any) -> "Phantom":
    """Make one phantom of a kind.

    Parameters
    ----------
    kind
        One of `phantom_kinds`.
    seed
        Fixes every voxel.
    positive
        With or without the finding; None lets the seed decide.
    options
        Further arguments of the kind's own generator, such as ``matrix`` or ``size``.

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    named = {**options, "finding": _find(kind).finding}
    return find_generator(kind)(seed, positive=positive, **named)


def _known() -> dict[str, SamplePhantoms]:
    found: dict[str, SamplePhantoms] = {}
    for kind in kinds():
        if kind.phantoms is not None:
            found.setdefault(kind.phantoms.generator, kind.phantoms)
    return found


def _find(kind: str) -> SamplePhantoms:
    known = _known()
    if kind not in known:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(known)}")
    return known[kind]
