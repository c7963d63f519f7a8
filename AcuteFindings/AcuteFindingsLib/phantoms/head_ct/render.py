"""From levels to Hounsfield units: thresholds at full resolution, one slice at a time, so memory stays small."""

from collections.abc import Iterator, Mapping

import numpy as np

from AcuteFindingsLib.phantoms.head_ct.anatomy import HeadDraw
from AcuteFindingsLib.phantoms.head_ct.bleeds import BLEED_TYPES
from AcuteFindingsLib.phantoms.head_ct.face import FACE_TOP_MM
from AcuteFindingsLib.phantoms.head_ct.space import Space, ramp
from AcuteFindingsLib.phantoms.head_ct.variants import KERF_HU, PLATE_HU, SCAR_HU, SHUNT_HU

AIR_HU, FAT_HU, MUSCLE_HU, SKIN_HU = -1000.0, -95.0, 52.0, 25.0
TABLE_HU, DIPLOE_HU, BASE_HU = 1350.0, 620.0, 900.0
CALCIUM_HU = 260.0
_RIBBON_MM = 2.8
# Solids smaller than the head: where none of one is nearer than this, its level is not lifted at all.
_FACE_SOLIDS = ("wall", "globe", "lens", "eye_muscle", "orbit", "air")
_BRAIN_SOLIDS = ("vent", "fourth", "cistern", "core", "deep", "nuclei", "calc", "infarct")
_SOLIDS = frozenset((*_FACE_SOLIDS, *_BRAIN_SOLIDS, "temporal", "pinna", "shunt", "kerf", "plate"))
_OUT_OF_REACH_MM = 5.0
_FACE = frozenset((*_FACE_SOLIDS, "layers", "bellies", "bulk"))


class Painter:
    """Paints slices of one head.

    Parameters
    ----------
    space
        The lattice.
    levels
        Everything that the anatomy and bleed modules give, by name, each ``(s, h, w)``.
    head
        What was drawn for this head.
    blood_hu
        HU of each bleed present.
    ventricle_swell
        mm added around the ventricles.
    pixel_mm
        Pixel size, over which edges are spread.
    """

    def __init__(
        self,
        space: Space,
        levels: Mapping[str, np.ndarray],
        *,
        head: HeadDraw,
        blood_hu: Mapping[str, float],
        ventricle_swell: float,
        pixel_mm: float,
    ) -> None:
        """Keep what to paint; nothing is computed yet."""
        self.space = space
        self.levels = levels
        self.head = head
        self.blood_hu = blood_hu
        self.swell = ventricle_swell
        self.pixel = pixel_mm
        # The focal spot and the detector blur every edge a little even where pixels are smaller.
        self.soft = max(pixel_mm, 0.7)

    def slices(self, sub_slices: int) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]]:
        """Yield for each slice its HU ``(rows, columns)``, blood shares by type and the intracranial share.

        Each is the mean of `sub_slices` thin ones: partial volume along z.
        """
        for first in range(0, self.space.shape[0], sub_slices):
            parts = {name: level[first : first + sub_slices] for name, level in self.levels.items()}
            if parts["z"].min() > FACE_TOP_MM:
                parts = {name: part for name, part in parts.items() if name not in _FACE}
            used = [name for name, part in parts.items() if name not in _SOLIDS or part.min() < _OUT_OF_REACH_MM]
            lifted = self.space.lift(np.concatenate([parts[name] for name in used]))
            level = dict(zip(used, lifted.reshape(len(used), sub_slices, *lifted.shape[1:]), strict=True))
            hu, shares, inside = self._paint(level)
            yield hu.mean(axis=0), {kind: share.mean(axis=0) for kind, share in shares.items()}, inside.mean(axis=0)

    def _paint(self, level: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        edge = np.hypot(np.maximum(level["edge_mm"], 0.0), self.soft)
        inside = ramp(-level["inner"], edge)
        hu = self._outside(level, edge)
        content, shares = self._content(level)
        hu += inside * (content - hu)
        for kind in shares:
            shares[kind] = shares[kind] * inside
        hu += _share(level, "shunt", self.soft) * (SHUNT_HU - hu)
        return hu, shares, inside

    def _outside(self, level: dict[str, np.ndarray], edge: np.ndarray) -> np.ndarray:
        """Skull, scalp, face and air."""
        head, soft = self.head, self.soft
        vault_skin = level["outer"] - head.skull_mm - head.scalp_mm
        skin = np.minimum(vault_skin, level["pinna"]) if "pinna" in level else vault_skin
        hu = np.full(vault_skin.shape, FAT_HU, dtype=np.float32)
        if "bulk" in level:
            plane = np.minimum(np.abs(level["layers"]), np.abs(level["bellies"]))
            between = ramp(0.4 - plane, 1.6) * ramp(level["bulk"] + 0.3, 0.8) * ramp(30.0 + vault_skin, 12.0)
            muscle = (1.0 - 0.65 * between) * ramp(level["bulk"] + 1.5, 0.4)
            muscle *= ramp(-4.0 - level["z"], 8.0) * ramp(-4.5 - vault_skin, 1.5)
            muscle *= 1.0 - _share(level, "orbit", 1.5)
            np.maximum(muscle, _share(level, "eye_muscle", soft), out=muscle)
            hu += muscle * (MUSCLE_HU + 4.0 * level["mottle"] - hu)
        hu += _share(level, "temporal", 1.0) * (MUSCLE_HU + 4.0 * level["mottle"] - hu)
        if "globe" in level:
            hu += _share(level, "globe", soft) * (12.0 + 35.0 * ramp(level["globe"] + 1.3, 0.8) - hu)
            hu += _share(level, "lens", soft) * (75.0 - hu)
        hu += ramp(skin + 2.2, edge) * (SKIN_HU - hu)
        hu += _share(level, "wall", soft) * (BASE_HU * (0.55 + 0.6 * level["thick"]) - hu)
        bone, share = self._bone(level, edge)
        bone = bone + _share(level, "kerf", soft) * (KERF_HU - bone)
        hu += share * (bone - hu)
        hu += _share(level, "plate", soft) * (PLATE_HU - hu)
        air = ramp(skin, edge)
        if "air" in level:
            np.maximum(air, _share(level, "air", soft) * ramp(level["inner"] - 1.6, soft), out=air)
        hu += air * (AIR_HU - hu)
        return hu

    def _bone(self, level: dict[str, np.ndarray], edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """HU and share of the shell round the brain: two dense tables with marrow between."""
        inner, thick = level["inner"], np.maximum(level["bone_mm"], 2.0)
        place = inner / thick
        marrow = ramp(0.27 - np.abs(place - 0.52), 0.22) * np.clip((thick - 3.5) / 2.0, 0, 1)
        bone = TABLE_HU - marrow * (TABLE_HU - DIPLOE_HU) * (0.6 + 0.6 * level["thick"])
        return bone, ramp(thick - inner, edge) * ramp(inner + 2.0, self.soft)

    def _content(self, level: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """HU inside the skull and the share of each bleed."""
        head, soft = self.head, self.soft
        depth = -level["inner"]
        squeezed = depth
        for kind in ("epidural", "subdural"):
            if kind in level:
                squeezed = np.minimum(squeezed, -level["vault"] - np.maximum(level[kind], 0))
        midline = np.abs(level["brain_x"])
        in_falx = ramp(-level["falx"], 3.0)
        falx_blood = level.get("subdural_falx")
        gap = 0.35 + 0.75 * level["sulcus_mm"] * ramp(-level["falx"] + 7.0, 6.0)
        medial = np.where(level["falx"] < 7.0, midline - gap, 30.0)
        if falx_blood is not None:
            medial = medial - np.maximum(falx_blood, 0)
        cortex = np.minimum(squeezed, 1.8 * medial)

        width = level["sulcus_mm"]
        reach = level["fold_depth"]
        half_sulcus = np.minimum(width * (1.0 - cortex / reach), 0.8 * (reach - cortex))
        fold = np.abs(level["fold"])
        no_fold = ramp(2.0 - level["below"], 4.0)
        np.maximum(no_fold, _share(level, "deep", 7.0), out=no_fold)
        half_sulcus -= 4.0 * no_fold
        sulcus = half_sulcus - fold
        rim = 0.25 + 0.75 * width
        sylvian = self._sylvian(level)
        surface = np.maximum(rim - squeezed, -medial)
        outer_fluid = np.maximum(np.maximum(sulcus, surface), sylvian)
        if "cistern" in level:
            np.maximum(outer_fluid, -level["cistern"], out=outer_fluid)
        vent = self._ventricles(level, midline)

        tissue = self._tissue(level, outer_fluid, no_fold)
        content = tissue
        content += ramp(outer_fluid, soft) * (head.csf_hu + 2.0 - content)
        vent_share = ramp(vent, soft)
        content += vent_share * (head.csf_hu - content)
        self._membranes(content, level, in_falx, depth)
        if "scar" in level:
            content += ramp(level["scar"], soft) * (SCAR_HU - content)
        content += head.cupping_hu * np.exp(-np.maximum(depth, 0) / 5.0) + level["hardening"]
        content += _share(level, "calc", soft) * (CALCIUM_HU - content)
        shares = self._blood(level, outer_fluid, vent, squeezed)
        for kind, share in shares.items():
            content += share * (self.blood_hu[kind] + 2.5 * level["mottle"] - content)
        return content, shares

    def _sylvian(self, level: dict[str, np.ndarray]) -> np.ndarray:
        width = 0.35 + 0.9 * level["sulcus_mm"]
        # Both clefts narrow toward their ends and have no gray ribbon beyond them.
        insula, opercle = (
            np.minimum(width * np.minimum(-level[f"{name}_reach"] / 9.0, 1.0), -level[f"{name}_reach"])
            - np.abs(level[name])
            for name in ("insula", "opercle")
        )
        return np.maximum(insula, opercle)

    def _ventricles(self, level: dict[str, np.ndarray], midline: np.ndarray) -> np.ndarray:
        """Positive inside the ventricles, mm."""
        half_third = 0.6 + 1.6 * self.head.atrophy + 0.5 * self.swell
        third = half_third * np.sqrt(np.clip(-level["third"] / 7.0, 0, 1)) - 0.2 - midline
        for name in ("vent", "fourth"):
            if name in level:
                np.maximum(third, self.swell - level[name], out=third)
        return third

    def _tissue(self, level: dict[str, np.ndarray], outer_fluid: np.ndarray, no_fold: np.ndarray) -> np.ndarray:
        head = self.head
        gray = ramp(_RIBBON_MM + outer_fluid, 2.2) * (1.0 - no_fold)
        np.maximum(gray, 0.85 * _share(level, "nuclei", 2.0), out=gray)
        ribbon = ramp(_RIBBON_MM + 0.5 - np.abs(level["insula"]), 1.6) * ramp(-level["insula_reach"], 3.0)
        np.maximum(gray, ribbon, out=gray)
        tissue = head.white_hu + gray * (head.gray_hu - head.white_hu)
        # Cerebellum: thin folia average out to a gray between the two; brainstem a little darker.
        hind_share = ramp(-level["below"], 3.0)
        if hind_share.any():
            core = _share(level, "core", 5.0)
            folia = ramp(np.cos(level["folia"]) - 0.72, 0.5) * (1.0 - core)
            hindbrain = head.white_hu + 7.0 - (1.0 + 5.0 * head.atrophy) * folia - 2.5 * core
            tissue += hind_share * (hindbrain - tissue)
        tissue += 0.9 * level["mottle"]
        if "vent" in level:
            pale = np.exp(-np.maximum(level["vent"], 0) / 6.0) * head.white_matter_disease
            tissue -= 7.0 * pale * (1.0 - gray)
        tissue += 0.9 * _share(level, "infarct", 2.5) * (head.csf_hu + 7.0 - tissue)
        if "edema" in level:
            tissue -= ramp(level["edema"], 2.5) * (10.0 - 4.0 * gray)
        return tissue

    def _membranes(
        self, content: np.ndarray, level: dict[str, np.ndarray], in_falx: np.ndarray, depth: np.ndarray
    ) -> None:
        """Falx, tentorium and the great sinuses, painted onto `content`."""
        head, soft = self.head, self.soft
        midline = np.abs(level["falx_x"])
        falx = ramp(0.55 - midline, soft) * in_falx * (0.55 + 0.45 * level["thick"])
        tent = ramp(0.8 - np.abs(level["tent"]), soft) * ramp(-level["tent_reach"], 2.0)
        dura = np.maximum(falx, 0.8 * tent)
        content += dura * (head.dura_hu - content)
        corner = level["sinus"] - 0.8 * midline - 0.85 * depth
        sinus = ramp(np.minimum(corner, -level["falx"]), 1.2)
        transverse = ramp(4.2 - np.hypot(level["tent"], depth - 1.5), 1.2) * ramp(-level["tent_reach"] - 20.0, 8.0)
        np.maximum(sinus, transverse, out=sinus)
        content += sinus * (head.sinus_hu - content)

    def _blood(
        self,
        level: dict[str, np.ndarray],
        outer_fluid: np.ndarray,
        vent: np.ndarray,
        squeezed: np.ndarray,
    ) -> dict[str, np.ndarray]:
        soft = self.soft
        shares: dict[str, np.ndarray] = {}
        if "subarachnoid" in level:
            # Clot distends the space it fills.
            shares["subarachnoid"] = ramp(outer_fluid + 0.9, soft) * ramp(level["subarachnoid"], 4.0)
        if "intraventricular" in level:
            shares["intraventricular"] = ramp(vent, soft) * ramp(level["intraventricular"], 1.2)
        if "intraparenchymal" in level:
            shares["intraparenchymal"] = ramp(level["intraparenchymal"], 1.2) * ramp(squeezed - 1.0, soft)
        if "subdural" in level:
            shares["subdural"] = ramp(level["subdural"] + level["vault"], soft)
        if "subdural_falx" in level:
            beside = np.minimum(level["subdural_falx"] - level["blood_x"], level["blood_x"] - 0.3)
            share = ramp(np.minimum(beside, -level["falx"]), soft)
            shares["subdural"] = np.maximum(share, shares["subdural"]) if "subdural" in shares else share
        if "epidural" in level:
            shares["epidural"] = ramp(level["epidural"] + level["vault"], soft)
        # Later kinds displace earlier ones, so that shares never add up to more than one.
        ordered = {kind: shares[kind] for kind in reversed(BLEED_TYPES) if kind in shares}
        free: np.ndarray | float = 1.0
        for kind in reversed(list(ordered)):
            ordered[kind] = ordered[kind] * free
            free = free * (1.0 - ordered[kind])
        return ordered


def _share(level: dict[str, np.ndarray], name: str, width: float) -> np.ndarray | np.float32:
    """Share of each pixel inside the solid `name`; 0 where it is out of reach and was not lifted."""
    return ramp(-level[name], width) if name in level else np.float32(0)
