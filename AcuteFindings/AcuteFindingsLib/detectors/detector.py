"""What the detectors have in common."""

from typing import Protocol

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding, ModelIdentity, SliceResult
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.progress import Cancelled, Progress
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import SourceSlice, Study


class Detector(Protocol):
    """A study in, a finding out."""

    name: str

    def run(self, study: Study, *, progress: Progress = ..., cancelled: Cancelled = ...) -> Finding:
        """Detect; raises `CancelledError` within one batch of being asked to stop."""
        ...


def identity_of(model: Predictor | ModelPackage) -> ModelIdentity:
    """Return the model's name as a finding states it, and of a predictor what computes it, and where."""
    card = model.card
    return ModelIdentity(
        card.id,
        model.version,
        model.sha256,
        card.training_data.summary,
        never_saw=card.never_saw,
        runtime=getattr(model, "runtime", ""),
        device=getattr(model, "device", ""),
    )


def model_notices(predictor: Predictor) -> tuple[Notice, ...]:
    """Say with every result what a model trained on phantoms cannot claim, and where its device failed."""
    computed: tuple[Notice, ...] = getattr(predictor, "notices", ())
    if not predictor.card.training_data.phantoms_only:
        return computed
    text = (
        f"The model {predictor.card.id} was trained on computer-made phantoms only; "
        "its answer on a patient's study is not evidence."
    )
    return (Notice("model-trained-on-phantoms", "warn", text), *computed)


def analysis_sources(study: Study, axial: Axial) -> tuple[SourceSlice, ...]:
    """Return the slices that an axial analysis speaks of.

    These are the study's own source slices where they are axial. Where they are coronal or sagittal, no source slice
    matches an axial plane: the planes of the reformatted volume stand in, without SOP Instance UID.
    """
    if np.isfinite(axial.source_z).all():
        return study.sources
    _, ny, nx = axial.array.shape
    centers = [axial.ijk_to_ras @ ((nx - 1) / 2, (ny - 1) / 2, z, 1.0) for z in range(len(axial.array))]
    return tuple(
        SourceSlice(z, None, 0, "", (float(c[0]), float(c[1]), float(c[2])), float(z), axial.spacing[0])
        for z, c in enumerate(centers)
    )


def slice_results(
    sources: tuple[SourceSlice, ...], labels: tuple[str, ...], probabilities: np.ndarray
) -> tuple[SliceResult, ...]:
    """Join probabilities ``(sources, labels)`` with the slices they belong to."""
    return tuple(
        SliceResult(
            index=source.index,
            position_ras=source.position_ras,
            sop_instance_uid=source.sop_instance_uid,
            probabilities={label: float(value) for label, value in zip(labels, row, strict=True)},
            k=source.k,
        )
        for source, row in zip(sources, probabilities, strict=True)
    )
