"""What is told of one radiograph, whichever model was asked."""

from collections.abc import Mapping, Sequence

import numpy as np

from AcuteFindingsLib.detectors.detector import slice_results
from AcuteFindingsLib.detectors.finding import Finding, Heatmap, Mask, Measurement, ModelIdentity, Verdict, mask_of
from AcuteFindingsLib.detectors.pneumothorax.kind import KIND
from AcuteFindingsLib.detectors.pneumothorax.scorer import LABEL
from AcuteFindingsLib.detectors.pneumothorax.shortcut import ShortcutCheck
from AcuteFindingsLib.detectors.radiograph import Lungs
from AcuteFindingsLib.models.metadata import Label
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study


def radiograph_finding(
    study: Study,
    verdict: Verdict,
    *,
    model: ModelIdentity,
    lungs: Lungs,
    outline: np.ndarray | None,
    chest: Mapping[str, float],
    labels: Sequence[Label],
    shortcuts: ShortcutCheck,
    sizes: Sequence[Measurement] = (),
    heatmap: Heatmap | None,
    notices: Sequence[Notice],
    timings: dict[str, float],
) -> Finding:
    """Return the finding of a radiograph.

    Parameters
    ----------
    outline
        ``(y, x)`` of the pneumothorax; None where the model draws none.
    chest
        Probabilities of the chest findings that are reported, by label.
    labels
        The labels of the chest model's card, for their meanings.
    shortcuts
        How the probability changes with altered pictures; its notices follow `notices`.
    sizes
        Measurements of the outline, and of the picture as a whole.
    """
    whole = verdict.probability
    probabilities = {LABEL: whole, **{name: value for name, value in chest.items() if name != LABEL}}
    meanings = {label.name: label.meaning for label in labels}
    altered = {"whole picture": whole, **shortcuts.probabilities}
    return Finding(
        detector=KIND.id,
        model=model,
        verdict=verdict,
        slices=slice_results(
            study.sources, tuple(probabilities), np.tile(list(probabilities.values()), (len(study.sources), 1))
        ),
        main_label=LABEL,
        slice_threshold=verdict.threshold,
        ijk_to_ras=study.ijk_to_ras,
        display_window=(0.5, 1.0),
        positive_runs=((0, 0),) if verdict.label == "positive" else (),
        masks=_masks(study, (outline, lungs.right, lungs.left)),
        heatmap=heatmap,
        measurements=(
            *(Measurement(f"Pneumothorax probability, {name}", value, "1") for name, value in altered.items()),
            *sizes,
            *(Measurement(f"Probability: {meanings[name]}", float(value), "1") for name, value in chest.items()),
        ),
        warnings=(*notices, *shortcuts.notices),
        timings=timings,
        series_instance_uid=study.dicom.series_instance_uid,
        phantom=study.is_phantom,
    )


def _masks(study: Study, planes: Sequence[np.ndarray | None]) -> tuple[Mask, ...]:
    masks = []
    for segment, plane in zip(KIND.segments, planes, strict=True):
        if plane is not None:
            volume = np.zeros(study.array.shape, np.uint8)
            volume[len(volume) // 2] = plane
            masks.append(mask_of(segment, volume))
    return tuple(masks)
