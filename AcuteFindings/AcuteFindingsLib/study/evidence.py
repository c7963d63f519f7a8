"""What the header's words say of a series: read once into a few meanings, asked by choosing and by checking alike."""

from collections.abc import Iterable, Sequence

from AcuteFindingsLib.study.study import DicomFacts
from AcuteFindingsLib.study.words import (
    ANGIOGRAM,
    Part,
    agent_given,
    is_bone_kernel,
    is_lung_kernel,
    kinds_of,
    parts_of,
)

INFANT = "infant"
_CONTRAST = frozenset({"plain", "enhanced"})
_KERNEL = frozenset({"lung", "bone"})
_VIEW = frozenset({"lateral", "frontal", "decubitus"})
# What only the series' own name says of the series: a study holds others.
_OF_SERIES = frozenset({"slab", "material map", "lung", "bone", "localizer"})


def meaning_of(texts: Sequence[str], *, image_type: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what descriptions mean.

    Parameters
    ----------
    texts
        Series Description first, then what speaks of more than the series: Protocol Name, Study Description. The first
        that speaks of contrast, or of a view, is believed.
    image_type
        Image Type (0008,0008).
    """
    own = kinds_of(texts[0] if texts else "", *image_type)
    found = set(own & _OF_SERIES)
    kinds = [own, *(kinds_of(text) for text in texts[1:])]
    for group in (_CONTRAST, _VIEW):
        found |= next((said & group for said in kinds if said & group), frozenset())
    if any(ANGIOGRAM in said for said in kinds):
        found.add(ANGIOGRAM)
    return tuple(sorted(found))


def parts_stated(texts: Sequence[str]) -> tuple[Part, ...]:
    """Return the body parts of the first text that names any; order as for `meaning_of`."""
    return next((tuple(sorted(parts)) for text in texts if (parts := parts_of(text))), ())


def stated_parts(facts: DicomFacts) -> frozenset[str]:
    """Return the body parts that Body Part Examined names, else those of the descriptions."""
    return parts_of(facts.body_part) or frozenset(facts.stated_parts) or parts_of(facts.series_description)


def stated_kinds(facts: DicomFacts) -> frozenset[str]:
    """Return what the header says of kind, view, contrast and age, in the words of `study.words`."""
    own = frozenset(meaning_of([facts.series_description], image_type=facts.image_type))
    found = own | frozenset(facts.stated)
    if own & _CONTRAST:
        found = found - _CONTRAST | own & _CONTRAST
    # The kernel itself says it better than the name of a series, which may be that of an organ.
    kernel = facts.convolution_kernel
    return (
        found
        if not kernel
        else found - _KERNEL
        | frozenset(kind for kind, is_kind in (("lung", is_lung_kernel), ("bone", is_bone_kernel)) if is_kind(kernel))
    )


def stated_contrast(facts: DicomFacts) -> bool | None:
    """Return whether contrast was given, by the agent, else by the descriptions; None where the header is silent."""
    given = agent_given(facts.contrast_agent)
    if given is not None:
        return given
    kinds = stated_kinds(facts)
    return False if "plain" in kinds else True if "enhanced" in kinds else None
