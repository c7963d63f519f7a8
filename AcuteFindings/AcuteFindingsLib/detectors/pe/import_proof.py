"""What the detector says with an imported model, compared with the model's source, on a chest CT phantom."""

import numpy as np

from AcuteFindingsLib.detectors.import_proof import SEED, apart, slab, with_thresholds
from AcuteFindingsLib.detectors.pe.detector import PEDetector
from AcuteFindingsLib.detectors.pe.scorer import PESettings, chest_slices
from AcuteFindingsLib.models.importing.proof import Source
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa

_MATRIX = 64
_SLICES = 6
_STEP_MM = 3.0


def difference(predictor: Predictor, source: Source) -> float:
    """Return the largest difference of probabilities; see `detectors.import_proof.detector_difference`."""
    settings = PESettings.model_validate(predictor.card.preprocessing)
    count = min(_SLICES, settings.window)
    study = slab(make_ctpa(SEED, positive=True, matrix=_MATRIX, slice_spacing=_STEP_MM), count)
    encodings = source.ask("encode", chest_slices(study, settings)[:])["encoding"]
    window = np.zeros((1, settings.window, encodings.shape[1]), np.float32)
    window[0, :count] = encodings
    said = source.ask("sequence", window)
    # Heat maps are drawn of slices above the threshold, and are not compared.
    finding = PEDetector(with_thresholds(predictor, {"slice": 1.0})).run(study)
    exam = [item.value for item in finding.measurements if item.name.startswith("Probability: ")]
    given = [*(item.probabilities["pe"] for item in finding.slices), finding.verdict.probability, *exam]
    expected = [*said["slice"][0, :count], said["stack"][0, 0], *said.get("exam", np.empty((1, 0)))[0]]
    return apart(np.array(expected), np.array(given))
