"""From a probability volume on a study's grid to a finding: slices, mask, parts with their volume, verdict."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

import numpy as np

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.detector import analysis_sources, identity_of, slice_results
from AcuteFindingsLib.detectors.finding import Finding, Measurement, Verdict, mask_of
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.rules import consecutive_runs
from AcuteFindingsLib.detectors.volume_rule import Part, Parts, VolumeRule, connected_parts, volume_score
from AcuteFindingsLib.errors import DetectionError, ModelError
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.task import VOLUME_MASK, load_reference
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

MOST_PARTS = 20
"""So many parts are told one by one, the largest first; all of them are drawn and counted."""

Measured = tuple[list[Measurement], tuple[Notice, ...]]

Measure = Callable[[Study, Axial, np.ndarray, Parts], Measured]
"""What measures the parts of a kind (`ModelForm.measure`): study, its axial view, the mask ``(z, y, x)`` uint8 on the
study's own grid, and its parts. Not called where nothing is drawn."""


def refuse_unmeasured(study: Study) -> None:
    """Raise `DetectionError` for a study whose volumes cannot be told in mm³, or that holds no Hounsfield units.

    To be called before a network runs for minutes; `volume_finding` calls it too.
    """
    if study.intensity != "HU":
        raise DetectionError(
            f"{study.source_name} holds no Hounsfield units, which a three-dimensional network needs; give it the "
            "DICOM files."
        )
    if len(study.array) < 2:
        raise DetectionError(f"{study.source_name} holds one slice; a three-dimensional network reads whole series.")
    if not study.pixel_spacing_known:
        raise DetectionError(
            f"The size of a pixel in {study.source_name} is not known, so no volume can be told; give it the DICOM "
            "files."
        )


def volume_finding(
    study: Study,
    probability: np.ndarray,
    *,
    kind: DetectorKind,
    model: Predictor | ModelPackage,
    notices: Sequence[Notice] = (),
    timings: Mapping[str, float] | None = None,
) -> Finding:
    """Turn a probability volume into the finding of a detector.

    A slice's probability is that of the highest voxel in it, and in the planes between slices that lie nearest to it,
    so that slices are positive exactly where something is drawn. All that is drawn is in the mask, also what is too
    small for the rule: it is what has to be looked at then.

    Parameters
    ----------
    probability
        ``(z, y, x)`` of any float, in 0..1, on the grid of `study`. A program that draws masks alone gives 0 and 1.
    kind
        The detector. Its first segment is the mask; its form `VOLUME_MASK` says which rule decides, what a part is
        called and what measures it.
    model
        What computed it. Its card's first label is the one of the verdict; the operating point of that label at the
        level ``"mask"`` says from where on a voxel is drawn; `Card.rule` holds the numbers of the rule.
    notices
        What there is to say of the model, as `detectors.detector.model_notices` returns it.
    timings
        Seconds of what was done before.

    Raises
    ------
    DetectionError
        The study has no volumes in mm³; see `refuse_unmeasured`.
    ModelError
        The volume holds what cannot be a probability, or has another shape.
    KeyError
        The card states no such operating point.
    ValueError
        Models of this kind draw no volumes, or the card's rule is another one.
    """
    refuse_unmeasured(study)
    clock = perf_counter()
    form = kind.task.form(VOLUME_MASK)
    label = model.card.labels[0].name
    threshold = model.card.threshold("mask", label)
    rule = kind.load_rule(VOLUME_MASK).model_validate(model.card.rule)
    axial = to_axial(study)
    if probability.shape != study.array.shape:
        raise ModelError(
            f"The model {model.card.id!r} answers for {probability.shape} voxels, the study has {study.array.shape}."
        )
    levels = axial.view(probability).max(axis=(1, 2))
    if not (np.isfinite(levels).all() and levels.min() >= 0 and levels.max() <= 1):
        raise ModelError(f"The model {model.card.id!r} answers with numbers that are no probabilities (0 to 1).")

    voxel_mm3 = float(np.prod(study.spacing))
    parts = connected_parts(probability, threshold=threshold, voxel_mm3=voxel_mm3)
    score = volume_score(probability, parts.found, rule, voxel_mm3=voxel_mm3)
    mask = parts.mask(probability.shape)
    highest = float(levels.max())
    measurements, seen = [Measurement("Highest slice probability", highest, "1")], tuple[Notice, ...]()
    if parts.found:
        further, seen = load_reference(form.measure)(study, axial, mask, parts)
        measurements += further

    z = axial.source_z if np.isfinite(axial.source_z).all() else np.arange(len(levels), dtype=float)
    by_source = _at_sources(levels, z)
    return Finding(
        detector=kind.id,
        model=identity_of(model),
        verdict=_verdict(parts.found, score, highest, threshold, rule, form.part),
        slices=slice_results(analysis_sources(study, axial), (label,), by_source[:, None]),
        main_label=label,
        slice_threshold=threshold,
        ijk_to_ras=study.ijk_to_ras,
        display_window=kind.window or (0.5, 1.0),
        positive_runs=tuple(consecutive_runs(by_source >= threshold)),
        masks=(mask_of(kind.segments[0], mask),),
        measurements=tuple(measurements),
        warnings=(*notices, *seen),
        timings={**(timings or {}), "postprocess": perf_counter() - clock},
        series_instance_uid=study.dicom.series_instance_uid,
        phantom=study.is_phantom,
    )


def _at_sources(levels: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return for slices at `z` the highest of the ``(planes,)`` levels that lie nearest to each.

    Where planes lie between slices (missing ones, uneven distances) what is drawn there belongs to the nearest slice.
    """
    own: np.ndarray = levels[np.clip(np.rint(z), 0, len(levels) - 1).astype(int)]
    order = np.argsort(z, kind="stable")
    middles = (z[order][1:] + z[order][:-1]) / 2
    np.maximum.at(own, order[np.searchsorted(middles, np.arange(len(levels)))], levels)
    return own


def _verdict(
    parts: Sequence[Part], score: float, highest: float, threshold: float, rule: VolumeRule, word: str
) -> Verdict:
    needed = max(rule.minimum_peak, threshold)
    said = (
        f"Positive where a {word} of {rule.minimum_mm3:g} mm³ or more is drawn and reaches {needed:.2f} at its peak; "
        f"drawn is what reaches {threshold:.2f}."
    )
    if not parts:
        return Verdict("negative", score, needed, said, f"Nothing is drawn; the highest voxel is {highest:.2f}.")
    peak = max(part.peak for part in parts)
    if len(parts) == 1:
        found = f"1 {word} of {volume_text(parts[0].volume_mm3)} is drawn, its peak {peak:.2f}"
    else:
        together = volume_text(sum(part.volume_mm3 for part in parts))
        found = (
            f"{counted(len(parts), word)} of {together} together are drawn, the largest of "
            f"{volume_text(parts[0].volume_mm3)}, the highest peak {peak:.2f}"
        )
    small = sum(not rule.counts(part) for part in parts)
    if small == len(parts):
        text = f"{found}: below the rule's limits, so look at what is drawn."
        return Verdict("indeterminate", score, needed, said, text)
    left = f"; {small} of them {'is' if small == 1 else 'are'} below the rule's limits" if small else ""
    return Verdict("positive", score, needed, said, f"{found}{left}.")


def volume_text(mm3: float) -> str:
    """Return a volume as people read it: ``"13.8 mm³"``, ``"640 mm³"``, from 10,000 mm³ on ``"12.4 mL"``."""
    if mm3 >= 10_000:
        return f"{mm3 / 1000:.1f} mL"
    return f"{mm3:.0f} mm³" if mm3 >= 100 else f"{mm3:.1f} mm³"
