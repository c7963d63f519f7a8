"""What a detector says with an imported model, compared with what the model's source says of the same phantom."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from AcuteFindingsLib.detectors.hemorrhage.detector import (
    HemorrhageDetector,
    HemorrhageSettings,
    head_images,
    remove_small,
)
from AcuteFindingsLib.detectors.pe.detector import PEDetector, PESettings, chest_slices
from AcuteFindingsLib.detectors.radiograph import two_largest
from AcuteFindingsLib.detectors.single_image import image_scorer
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.proof import DETECTOR_TOLERANCE, Source
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.preprocessing.brain import brain_mask
from AcuteFindingsLib.preprocessing.resample import unfit_in_plane
from AcuteFindingsLib.preprocessing.square import fit_square, unfit_square
from AcuteFindingsLib.study.study import Study

_SEED = 3
# Small pictures, higher than wide so that they are padded, and a few slices: an import takes little longer for them.
_PICTURE = (160, 128)
_MATRIX = 64
_PE_SLICES = 6
_PE_STEP_MM = 3.0
_HEAD_SLICES = 12
# Between such values rounding moves no pixel across a threshold.
_CLEAR = 1e-5


def detector_difference(predictor: Predictor, source: Source) -> float:
    """Let the detector of the model's task and the source judge one phantom; return the largest difference.

    The source's side is computed anew from its own answers, as the documentation describes the detectors: radiographs
    padded to a square and normalized as the source states, masks brought back on the picture; slices of a CT as the
    detector prepares them. The detector of radiographs speaks as in `acutefindings predict`.

    Thresholds are set into the middle of the source's numbers, so that every mask has pixels in and out. Masks differ
    by how far the source's probability lies from the threshold, where one has a pixel and the other has not.

    Raises
    ------
    ModelError
        The detector cannot use the model, or source and package differ.
    SourceMissingError
        The source cannot be asked here.
    """
    judge = {"pe": _pe, "hemorrhage": _hemorrhage}.get(predictor.card.task, _radiograph)
    try:
        return judge(predictor, source)
    except (ValueError, KeyError) as error:
        raise ModelError(f"The model does not fit the detector for {predictor.card.task}: {error}.") from error


def _radiograph(predictor: Predictor, source: Source) -> float:
    study = phantom_study(make_chest_xray(_SEED, positive=True, size=_PICTURE[0]))
    study = replace(study, array=np.ascontiguousarray(study.array[:, :, : _PICTURE[1]]))
    picture, task = study.array[0], predictor.card.task
    said = source.ask("", fit_square(picture, source.size)[None, None])
    if task == "chest":
        scores = image_scorer(task, predictor).score([study])
        expected = np.concatenate([said[name] for name in ("pathologies", "tubes") if name in said], axis=1)
        return _apart(expected, scores.probabilities)
    soft = unfit_square(said["mask"][0, 0].astype(np.float32), _PICTURE)
    shape = two_largest if task == "lungs" else np.asarray
    # Parts and holes are large or small by the threshold: the mask nearest half of the picture tells most.
    cuts = [_between(soft, share) for share in np.linspace(0.1, 0.9, 9)]
    cut = min(cuts, key=lambda one: abs(shape(soft >= one).mean() - 0.5))
    # No mask is dropped as empty: 1 is passed by no probability.
    moved = _with_thresholds(predictor, {"mask": cut, "empty": 1.0})
    scores = image_scorer(task, moved).score([study])
    if scores.masks is None:
        raise ModelError(f"The model for {task} draws no mask.")
    masks = _masks_apart(soft, cut, [shape(soft >= near) for near in _around(cut)], scores.masks[0])
    if task == "lungs":
        return masks
    probability = 1 - said["empty"][0, 0] if "empty" in said else said["mask"][0].max()
    return float(np.maximum(_apart(np.array([[probability]]), scores.probabilities), masks))


def _pe(predictor: Predictor, source: Source) -> float:
    settings = PESettings.model_validate(predictor.card.preprocessing)
    count = min(_PE_SLICES, settings.window)
    study = _slab(make_ctpa(_SEED, positive=True, matrix=_MATRIX, slice_spacing=_PE_STEP_MM), count)
    encodings = source.ask("encode", chest_slices(study, settings).read(slice(0, count)))["encoding"]
    window = np.zeros((1, settings.window, encodings.shape[1]), np.float32)
    window[0, :count] = encodings
    said = source.ask("sequence", window)
    # Heat maps are drawn of slices above the threshold, and are not compared.
    finding = PEDetector(_with_thresholds(predictor, {"slice": 1.0})).run(study)
    exam = [item.value for item in finding.measurements if item.name.startswith("Probability: ")]
    given = [*(item.probabilities["pe"] for item in finding.slices), finding.verdict.probability, *exam]
    expected = [*said["slice"][0, :count], said["stack"][0, 0], *said.get("exam", np.empty((1, 0)))[0]]
    return _apart(np.array(expected), np.array(given))


def _hemorrhage(predictor: Predictor, source: Source) -> float:
    settings = HemorrhageSettings.model_validate(predictor.card.preprocessing)
    study = _slab(make_head_ct(_SEED, positive=True, matrix=_MATRIX, slice_spacing=5.0), _HEAD_SLICES)
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
    cut = _between(soft[inside & (soft > 0)])
    detector = HemorrhageDetector(_with_thresholds(predictor, {"slice": 0.0, "mask": cut}))
    finding = detector.run(study)
    given = np.array([list(item.probabilities.values()) for item in finding.slices])
    drawn = [
        remove_small(((soft >= near) & inside).astype(np.uint8), axial.spacing, detector.rule.minimum_mask_mm3)
        for near in _around(cut)
    ]
    expected_masks = [axial.restore(mask) > 0 for mask in drawn]
    masks = _masks_apart(axial.restore(soft), cut, expected_masks, finding.masks[0].array > 0)
    return float(np.maximum(_apart(expected, given), masks))


def _slab(phantom: Phantom, count: int) -> Study:
    """Return the middle slices of a phantom as a study."""
    start = (len(phantom.array) - count) // 2
    return phantom_study(replace(phantom, array=np.ascontiguousarray(phantom.array[start : start + count])))


def _with_thresholds(predictor: Predictor, thresholds: Mapping[str, float]) -> Predictor:
    """Return the model with other operating points, by their level."""
    moved = copy(predictor)
    points = [
        point.model_copy(update={"threshold": thresholds.get(point.level, point.threshold)})
        for point in predictor.card.operating_points
    ]
    moved.card = predictor.card.model_copy(update={"operating_points": points})
    return moved


def _between(values: np.ndarray, share: float = 0.5) -> float:
    """Return the threshold nearest a quantile that lies clear of each value; where all are alike, clear of all."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    clear = np.flatnonzero(np.diff(ordered) >= _CLEAR)
    if not len(clear):
        ordered = np.array([0.0, *ordered, 1.0])
        clear = np.array([np.argmax(np.diff(ordered))])
    at = clear[np.argmin(np.abs(clear - share * len(ordered)))]
    return float(ordered[at : at + 2].mean())


def _apart(expected: np.ndarray, given: np.ndarray) -> float:
    if expected.shape != given.shape:
        raise ModelError(f"The source says {expected.shape} probabilities, the detector {given.shape}.")
    return float(np.abs(expected.astype(np.float64) - given).max())


def _around(cut: float) -> tuple[float, float, float]:
    return cut - DETECTOR_TOLERANCE, cut, cut + DETECTOR_TOLERANCE


def _masks_apart(soft: np.ndarray, cut: float, expected: Sequence[np.ndarray], given: np.ndarray) -> float:
    """Return how far masks differ; rounding may join or part regions, so a pixel may follow any threshold `_around`."""
    other = np.all([mask != given for mask in expected], axis=0)
    return float(np.abs(soft.astype(np.float64) - cut)[other].max(initial=0.0))
