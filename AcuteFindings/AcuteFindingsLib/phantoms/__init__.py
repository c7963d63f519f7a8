"""Procedural studies with truth, so that demo, tests and training need no patient data."""

from typing import Any

from AcuteFindingsLib.phantoms.phantom import Phantom

KINDS = ("head-ct", "ctpa", "chest-xray")


def make_phantom(kind: str, seed: int, *, positive: bool | None = None, **options: Any) -> Phantom:
    """Make one phantom of a kind.

    Parameters
    ----------
    kind
        One of `KINDS`.
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
    if kind == "head-ct":
        from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct

        return make_head_ct(seed, positive=positive, **options)
    if kind == "ctpa":
        from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa

        return make_ctpa(seed, positive=positive, **options)
    if kind == "chest-xray":
        from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray

        return make_chest_xray(seed, positive=positive, **options)
    raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")


__all__ = ["KINDS", "Phantom", "make_phantom"]
