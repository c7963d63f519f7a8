"""Where an outline lies, in words and without an atlas: by the skull's middle, largest slice and inner table."""

from AcuteFindingsLib.detectors.hemorrhage.lesions import Lesion

_MIDDLE_MM = 6.0
# Longer than this it lies in several places, and its middle in none of them.
_SPREAD_MM = 80.0
_AT_SURFACE_MM = 7.0
_TOUCHES = 0.08


def side_words(lesion: Lesion) -> str:
    """Return ``"right"``, ``"left"`` or ``"midline"``; of the patient, not of the picture."""
    if abs(lesion.off_middle) < _MIDDLE_MM:
        return "midline"
    return "left" if lesion.off_middle > 0 else "right"


def place_words(lesion: Lesion) -> str:
    """Return where an outline lies, for example ``"right, frontal, along the inner table"``.

    The limits are anatomy of adults in units of the head itself, ours; on phantoms the lobe is right in most bleeds
    (docs/trust.md says in how many). Near the border of two lobes it may be the other one.
    """
    if lesion.length_mm > _SPREAD_MM:
        both = abs(lesion.off_middle) < lesion.across / 4
        return "spread over both sides" if both else f"spread, most of it {side_words(lesion)}"
    words = [side_words(lesion), _lobe(lesion)]
    if lesion.depth < _AT_SURFACE_MM and lesion.near_bone > _TOUCHES:
        words.append("along the inner table")
    return ", ".join(words)


def _lobe(lesion: Lesion) -> str:
    out = abs(lesion.off_middle) / max(lesion.half_width, 1.0)
    front, up = lesion.front, lesion.up
    if up < -12 and front > 0.62:
        return "posterior fossa (cerebellum)"
    if up < -8 and 0.4 < front <= 0.72 and out < 0.25:
        return "posterior fossa (brainstem) or basal cisterns"
    if -12 <= up <= 28 and 0.34 < front < 0.66 and out < 0.55 and lesion.depth > 18:
        return "deep (basal ganglia, thalamus, ventricles)"
    if up < 8 and out > 0.4 and 0.25 < front < 0.68:
        return "temporal"
    if front > 0.84 and up < 30:
        return "occipital"
    # The central sulcus runs backwards on its way up.
    return "frontal" if front < 0.4 + 0.002 * max(up, 0.0) else "parietal"
