"""One phantom as the arrays that the first models train on, through the detectors' own preprocessing."""

from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.pe.detector import PESettings, chest_slices
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.preprocessing.resample import fit_in_plane, resize_in_plane
from AcuteFindingsLib.preprocessing.square import fit_square

BLEEDS = ("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
EXAM = (
    "pe_present",
    "left",
    "right",
    "central",
    "rv_lv_ge_1",
    "rv_lv_lt_1",
    "chronic",
    "acute_and_chronic",
    "indeterminate",
)
PATHOLOGIES = ("pneumothorax", "effusion", "atelectasis", "cardiomegaly", "consolidation")
TUBES = ("chest_drain", "tracheostomy", "endotracheal", "nasogastric")


def head_ct_arrays(seed: int, *, settings: dict[str, Any], matrix: int) -> dict[str, np.ndarray]:
    """Return `images` ``(n, y, x)`` uint8, `mask` likewise 0/1, `labels` ``(n, 6)`` uint8 in the order of `BLEEDS`."""
    chosen = HemorrhageSettings.model_validate(settings)
    phantom = make_phantom("head-ct", seed, matrix=matrix)
    prepared = head_images(phantom_study(phantom), chosen)
    mask = fit_in_plane(
        phantom.masks["hemorrhage"][prepared.planes],
        phantom.spacing[1:],
        target_spacing=chosen.pixel_mm,
        size=chosen.size,
        fill=0.0,
    )
    labels = np.stack([phantom.slice_labels[name][prepared.planes] for name in BLEEDS], axis=1)
    return {
        "images": _bytes(prepared.images),
        "mask": (mask >= 0.5).astype(np.uint8),
        "labels": labels.astype(np.uint8),
    }


def ctpa_arrays(
    seed: int, *, settings: dict[str, Any], matrix: int, burden: str | None = None
) -> dict[str, np.ndarray]:
    """Return `images` ``(m, y, x)``, `slices` ``(m,)``, `exam` ``(9,)`` in the order of `EXAM`, and `where`: uint8.

    `where` ``(m, y/4, x/4)`` marks what the clot touches, on the field of the images. `settings` are those of the
    detector, with one channel: each slice by itself.
    """
    chosen = PESettings.model_validate(settings)
    phantom = make_phantom("ctpa", seed, matrix=matrix, burden=burden, positive=True if burden else None)
    prepared = chest_slices(phantom_study(phantom), chosen)
    images = prepared.read(slice(0, len(prepared.plan)))[:, 0]
    top, left, height, width = prepared.box
    clot = phantom.masks["embolus"][:, top : top + height, left : left + width]
    where = resize_in_plane(prepared.plan.read(clot), (chosen.size // 4, chosen.size // 4)) > 0.1
    share = prepared.plan.weights @ phantom.slice_labels["pe"].astype(np.float32)
    truth = phantom.study_labels
    exam = {**truth, "pe_present": truth["pe"], "rv_lv_lt_1": truth["pe"] * (1 - truth["rv_lv_ge_1"])}
    # The challenge judges the ventricles in studies with embolism only.
    exam["rv_lv_ge_1"] = truth["pe"] * truth["rv_lv_ge_1"]
    return {
        "images": _bytes((images + 1) / 2),
        "slices": (share >= 0.5).astype(np.uint8),
        "where": where.astype(np.uint8),
        "exam": np.array([round(exam[name]) for name in EXAM], np.uint8),
    }


def chest_xray_arrays(seed: int, *, settings: dict[str, Any], size: int) -> dict[str, np.ndarray]:
    """Return `image`, `pneumothorax`, `lungs` ``(y, x)`` uint8, and `pathologies`, `tubes` in the constants' order."""
    chosen = RadiographSettings.model_validate({**settings, "mean": 0.0, "std": 1.0})
    phantom = make_phantom("chest-xray", seed, size=size)
    masks = {
        name: (fit_square(phantom.masks[name][0].astype(np.float32), chosen.size) >= 0.5).astype(np.uint8)
        for name in ("pneumothorax", "lungs")
    }
    return {
        "image": _bytes(network_images([phantom.array[0]], chosen)[0, 0]),
        **masks,
        "pathologies": np.array([phantom.slice_labels[name][0] for name in PATHOLOGIES], np.uint8),
        "tubes": np.array([phantom.slice_labels[name][0] for name in TUBES], np.uint8),
    }


def _bytes(unit: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)
