"""What the radiograph models say after an import, compared with their source, on a chest phantom."""

from dataclasses import replace

import numpy as np

from AcuteFindingsLib.detectors.import_proof import SEED, apart, around, between, masks_apart, with_thresholds
from AcuteFindingsLib.detectors.radiograph import two_largest
from AcuteFindingsLib.detectors.radiograph_scorers import LungsScorer
from AcuteFindingsLib.detectors.registry import find_task
from AcuteFindingsLib.models.importing.proof import Source
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.preprocessing.square import fit_square, stretch_square, unfit_square

# A small picture, higher than wide so that it is padded: an import takes little longer for it.
_PICTURE = (160, 128)


def difference(predictor: Predictor, source: Source) -> float:
    """Return the largest difference, probabilities and masks; see `detectors.import_proof.detector_difference`."""
    study = phantom_study(make_chest_xray(SEED, positive=True, size=_PICTURE[0]))
    study = replace(study, array=np.ascontiguousarray(study.array[:, :, : _PICTURE[1]]))
    make = find_task(predictor.card.task).load_scorer(predictor.card.form)
    scorer = make(predictor)
    stretched = scorer.settings.stretch
    said = source.ask("", (stretch_square if stretched else fit_square)(study.array[0], source.size)[None, None])
    if not scorer.mask:
        expected = np.concatenate([said[name] for name in scorer.outputs if name in said], axis=1)
        return apart(expected, scorer.score([study]).probabilities)
    drawn = said["mask"][0, 0].astype(np.float32)
    soft = resize_in_plane(drawn[None], _PICTURE)[0] if stretched else unfit_square(drawn, _PICTURE)
    shape = two_largest if isinstance(scorer, LungsScorer) else np.asarray
    # Parts and holes are large or small by the threshold: the mask nearest half of the picture tells most.
    cuts = [between(soft, share) for share in np.linspace(0.1, 0.9, 9)]
    cut = min(cuts, key=lambda one: abs(shape(soft >= one).mean() - 0.5))
    # No mask is dropped as empty: 1 is passed by no probability.
    scores = make(with_thresholds(predictor, {"mask": cut, "empty": 1.0})).score([study])
    masks = masks_apart(soft, cut, [shape(soft >= near) for near in around(cut)], scores.masks[0])
    if not scorer.labels:
        return masks
    probability = 1 - said["empty"][0, 0] if "empty" in said else said["mask"][0].max()
    return float(np.maximum(apart(np.array([[probability]]), scores.probabilities), masks))
