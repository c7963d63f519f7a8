"""What speaks for and against one outline being blood: its density, the skull, the other side, streaks, ventricles."""

from dataclasses import dataclass

from AcuteFindingsLib.detectors.finding import Bearing, Measurement, Reason
from AcuteFindingsLib.detectors.hemorrhage.lesions import DENSE_HU, Lesion
from AcuteFindingsLib.detectors.hemorrhage.where import place_words

SOURCE = "docs/sources.md 9"
HU = "[hnsf'U]"

DENSER_SHARE, DENSER_HU = 0.3, 130.0
"""An outline with so much of it above 90 HU, and its 95th percentile above 130 HU, is no blood: hematocrit limits
clotted blood to about 90 HU, and the noise of a thin slice (10 to 15 HU) lifts the 95th percentile by 25 at most."""

_ACUTE_HU = 45.0
_PARTLY = 0.12
_LEAST_CONTRAST_HU = 8.0
_ALIKE = 0.6
_UNLIKE = 0.35
_CLEAR_OF_SKULL_MM = 6.0
_TOUCHES = 0.25
_FLUID_ML = 0.02


@dataclass(frozen=True)
class Named:
    """A lesion with its name in sentences (``"Outline 1"``) and the slice with most of it."""

    name: str
    lesion: Lesion
    index: int


def is_denser_than_blood(lesion: Lesion) -> bool:
    """Whether an outline is too dense to be blood."""
    return lesion.dense >= DENSER_SHARE and lesion.high > DENSER_HU


def outline_reasons(named: Named, *, measured: bool = True) -> list[Reason]:
    """Return the reasons of one outline, its density first.

    Parameters
    ----------
    measured
        False where the outline is not the model's own but what is brightest where it looked: no size is told.
    """
    found = [_density(named), *_mirror(named), *_bone(named), *_metal(named), *_ventricles(named)]
    return [*found, _size(named)] if measured else found


def _density(named: Named) -> Reason:
    lesion = named.lesion
    said = (
        f"{named.name}: mean {lesion.mean:.0f} HU, 95th percentile {lesion.high:.0f} HU, {lesion.dense:.0%} of it "
        f"above {DENSE_HU:.0f} HU"
    )
    values = (
        Measurement("Mean density", lesion.mean, HU),
        Measurement("95th percentile of density", lesion.high, HU),
        Measurement("Share above 90 HU", 100 * lesion.dense, "%"),
    )

    def reason(code: str, bearing: Bearing, text: str) -> Reason:
        return Reason(code, bearing, f"{said}{text}", SOURCE, values, named.index)

    if is_denser_than_blood(lesion):
        if lesion.dense_near_bone >= 0.5:
            text = (
                f"; {lesion.dense_near_bone:.0%} of that lies at the skull or is joined to it: bone (or a catheter "
                "through it) rather than blood."
            )
            return reason("bone-in-outline", "against", text)
        text = ": the density suggests calcification, a catheter, contrast agent or bone rather than blood."
        return reason("denser-than-blood", "against", text)
    if lesion.dense > _PARTLY:
        near = lesion.dense_near_bone >= 0.5
        text = ", most of that at the skull, where bone adds to it." if near else ": part of it is denser than blood."
        return reason("partly-denser-than-blood", "caution", text)
    if lesion.mean < 0:
        return reason("less-dense-than-water", "against", ": less than water, so fat or air rather than blood.")
    if lesion.mean < _ACUTE_HU:
        return reason("less-dense-than-blood", "caution", ": less than acute blood, so old or thin blood, or none.")
    return reason("as-dense-as-blood", "for", ": as dense as acute blood, which has about 50 to 90 HU.")


def _mirror(named: Named) -> list[Reason]:
    """Compare with the other side; what reaches across the middle, or lies at the skull, has no other side."""
    lesion = named.lesion
    if lesion.around is None or lesion.mean - lesion.around < _LEAST_CONTRAST_HU:
        return []
    values: tuple[Measurement, ...] = (Measurement("Density around it", lesion.around, HU),)
    if 2 * abs(lesion.off_middle) < lesion.across:
        if lesion.across > 12 or lesion.up < 0:
            return []
        text = (
            f"{named.name} lies in the middle plane and is {lesion.across:.0f} mm wide, as the falx and a sinus are, "
            "which may be dense or calcified without blood."
        )
        return [Reason("in-the-middle", "caution", text, SOURCE, values, named.index)]
    if lesion.mirrored is None or lesion.depth < _CLEAR_OF_SKULL_MM:
        return []
    values = (Measurement("Density of the other side", lesion.mirrored, HU), *values)
    alike = (lesion.mirrored - lesion.around) / (lesion.mean - lesion.around)
    said = f"{named.name} has {lesion.mean:.0f} HU and the same place on the other side {lesion.mirrored:.0f} HU"
    if alike >= _ALIKE:
        if is_denser_than_blood(lesion):
            text = f"{said}: calcification on both sides is usual in choroid plexus and basal ganglia."
            return [Reason("alike-on-both-sides", "against", text, SOURCE, values, named.index)]
        text = f"{said}: a normal structure, an artifact, or blood on both sides."
        return [Reason("alike-on-both-sides", "caution", text, SOURCE, values, named.index)]
    if alike <= _UNLIKE and not is_denser_than_blood(lesion):
        text = f"{said}: the sides differ, which normal structures rarely do."
        return [Reason("other-side-differs", "for", text, SOURCE, values, named.index)]
    return []


def _bone(named: Named) -> list[Reason]:
    lesion = named.lesion
    if lesion.near_bone < _TOUCHES or (is_denser_than_blood(lesion) and lesion.dense_near_bone >= 0.5):
        return []
    text = (
        f"{lesion.near_bone:.0%} of {_lower(named.name)} lies within 2 mm or one slice of the skull: bone may share "
        "its voxels (partial volume) and look like blood there."
    )
    values = (Measurement("Share at the skull", 100 * lesion.near_bone, "%"),)
    return [Reason("at-the-skull", "caution", text, SOURCE, values, named.index)]


def _metal(named: Named) -> list[Reason]:
    if not named.lesion.metal:
        return []
    text = (
        f"Something as dense as metal lies within 20 mm of {_lower(named.name)}: streaks from it can look like blood."
    )
    return [Reason("metal-nearby", "caution", text, SOURCE, (), named.index)]


def _ventricles(named: Named) -> list[Reason]:
    lesion = named.lesion
    if lesion.fluid_ml < _FLUID_ML or is_denser_than_blood(lesion):
        return []
    text = (
        f"{named.name} borders on fluid deep in the brain ({lesion.fluid_ml:.2f} mL within 3 mm): it may reach the "
        "ventricles."
    )
    values = (Measurement("Fluid beside it", lesion.fluid_ml, "mL"),)
    return [Reason("borders-on-ventricles", "looked", text, SOURCE, values, named.index)]


def _size(named: Named) -> Reason:
    lesion = named.lesion
    text = (
        f"{named.name}: {_volume(lesion.volume_ml)}, {lesion.length_mm:.0f} mm long in slice {named.index + 1} and "
        f"{lesion.height_mm:.0f} mm high; {place_words(lesion)} (by geometry, without an atlas)."
    )
    values = (
        Measurement("Volume", lesion.volume_ml, "mL"),
        Measurement("Length", lesion.length_mm, "mm"),
        Measurement("Height", lesion.height_mm, "mm"),
    )
    return Reason("size-and-place", "looked", text, SOURCE, values, named.index)


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _volume(ml: float) -> str:
    return f"{ml:.1f} mL" if ml >= 0.95 else f"{ml:.2f} mL" if ml >= 0.005 else "less than 0.01 mL"
