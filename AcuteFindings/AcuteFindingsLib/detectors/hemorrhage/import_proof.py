"""What the detector says with an imported model, compared with the model's source, on a head CT phantom."""

import numpy as np

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageDetector, remove_small
from AcuteFindingsLib.detectors.hemorrhage.scorer import HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.import_proof import SEED, apart, around, between, masks_apart, slab, with_thresholds
from AcuteFindingsLib.models.importing.proof import Source
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.preprocessing.brain import brain_mask
from AcuteFindingsLib.preprocessing.resample import unfit_in_plane

_MATRIX = 64
_SLICES = 12


def difference(predictor: Predictor, source: Source) -> float:
    """Return the largest difference, probabilities and masks; see `detectors.import_proof.detector_difference`."""
    settings = HemorrhageSettings.model_validate(predictor.card.preprocessing)
    study = slab(make_head_ct(SEED, positive=True, matrix=_MATRIX, slice_spacing=5.0), _SLICES)
    prepared = head_images(study, settings)
    seen = source.ask("features", prepared.images[:, None])
    expected = source.ask("head", seen["features"][None].astype(np.float32))["slice"][0]
    axial = prepared.axial
    soft = np.stack(
        [
            unfit_in_plane(
                square[None].astype(np.float32),
                axial.spacing[1:],
                (_MATRIX, _MATRIX),
                target_spacing=settings.pixel_mm,
                size=settings.size,
                order=1,
                center_yx=(center[0], center[1]),
            )[0]
            for square, center in zip(seen["mask"][:, 0], prepared.centers, strict=True)
        ]
    )
    inside = brain_mask(axial.array, axial.spacing)
    cut = between(soft[inside & (soft > 0)])
    detector = HemorrhageDetector(with_thresholds(predictor, {"slice": 0.0, "mask": cut}))
    finding = detector.run(study)
    given = np.array([list(item.probabilities.values()) for item in finding.slices])
    drawn = [
        remove_small(((soft >= near) & inside).astype(np.uint8), axial.spacing, detector.rule.minimum_mask_mm3)
        for near in around(cut)
    ]
    expected_masks = [axial.restore(mask) > 0 for mask in drawn]
    masks = masks_apart(axial.restore(soft), cut, expected_masks, finding.masks[0].array > 0)
    return float(np.maximum(apart(expected, given), masks))
