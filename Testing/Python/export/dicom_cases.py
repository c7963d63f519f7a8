"""Studies as DICOM files, and findings on them, for the tests of the DICOM results."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.finding import (
    Code,
    Finding,
    Heatmap,
    Likeness,
    Mask,
    Measurement,
    ModelIdentity,
    Reason,
    SliceResult,
    Verdict,
)
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

BUILDERS = runpy.run_path(str(Path(__file__).parents[1] / "study" / "conftest.py"))
write_series, write_radiograph, write_enhanced = (
    BUILDERS[name] for name in ("write_series", "write_radiograph", "write_enhanced")
)

SHA = "0123456789abcdef" * 4
ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
ANATOMICAL = Code("SCT", "123037004", "Anatomical Structure")
BLEED = Mask(
    "Hemorrhage",
    np.zeros(0),
    ALTERED,
    Code("SCT", "50960005", "Hemorrhage"),
    Code("SCT", "12738006", "Brain"),
    (0.85, 0.15, 0.15),
)
LABELS = {"hemorrhage": ("any", "subdural"), "pe": ("pe",), "pneumothorax": ("pneumothorax", "chest_drain")}


REASONS = (
    Reason(
        "density",
        "for",
        "Mean density 62 HU, 95th percentile 81 HU; 1 % is above 90 HU.",
        "docs/sources.md 4",
        (Measurement("Mean density", 62.0, "[hnsf'U]"), Measurement("Share above 90 HU", 1.25, "%")),
        index=0,
    ),
    Reason("not-covered", "caution", "The vertex is not covered: 12 mm are missing above."),
)


def hu(shape: tuple[int, int, int] = (6, 8, 10)) -> np.ndarray:
    """A CT of no particular content."""
    return np.random.default_rng(5).integers(-200, 200, shape).astype(np.float32)


def blob(shape: tuple[int, ...], seed: int = 3, *, share: float = 0.2) -> np.ndarray:
    """A mask that has no symmetry, with empty planes at both ends and one within."""
    mask = (np.random.default_rng(seed).random(shape) < share).astype(np.uint8)
    if len(mask) > 4:
        mask[0] = mask[-1] = mask[len(mask) // 2] = 0
    return mask


def make_mask(name: str, array: np.ndarray, code: str = "50960005", **changes: Any) -> Mask:
    fields = {
        "name": name,
        "array": array,
        "category": ALTERED,
        "type": Code("SCT", code, name),
        "anatomy": None,
        "color": (0.85, 0.15, 0.15),
        **changes,
    }
    return Mask(**fields)


def make_finding(
    study: Study,
    detector: str = "hemorrhage",
    *,
    masks: tuple[Mask, ...] = (),
    heatmap: Heatmap | None = None,
    **changes: Any,
) -> Finding:
    labels = LABELS[detector]
    values = np.random.default_rng(1).random((len(study.sources), len(labels)))
    fields: dict[str, Any] = {
        "detector": detector,
        "model": ModelIdentity(f"{detector}-demo", "0.3.1", SHA, "Procedural phantoms, seeds 1–400"),
        "verdict": Verdict("positive", 0.87, 0.5, "Positive where 3 slices reach 0.50.", "The run spans 12° of tilt."),
        "slices": tuple(
            SliceResult(
                s.index, s.position_ras, s.sop_instance_uid, dict(zip(labels, map(float, row), strict=True)), s.k
            )
            for s, row in zip(study.sources, values, strict=True)
        ),
        "main_label": labels[0],
        "slice_threshold": 0.42,
        "ijk_to_ras": study.ijk_to_ras,
        "display_window": (40.0, 80.0),
        "masks": masks,
        "heatmap": heatmap,
        "measurements": (
            Measurement("Hemorrhage volume", 23.41, "mL", Code("SCT", "118565006", "Volume")),
            Measurement("A (largest diameter)", 41.3, "mm"),
            Measurement("Highest slice probability: Any", 0.9968, "1"),
        ),
        "warnings": (Notice("model-trained-on-phantoms", "warn", "The model was trained on phantoms only."),),
        "series_instance_uid": study.dicom.series_instance_uid,
        "reasons": REASONS,
        "likeness": Likeness("like", 0.4, "1,200 computer-made head CTs"),
    }
    return Finding(**{**fields, **changes})


def on_grid(volume: Any, shape: tuple[int, ...], ijk_to_ras: np.ndarray) -> np.ndarray:
    """Return the voxels of a highdicom Volume on a grid ``(z, y, x)``; fails where they lie between its voxels."""
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(ijk_to_ras, float)
    to_lps = to_lps[:, [2, 1, 0, 3]]
    indices = np.argwhere(volume.array)
    places = np.linalg.inv(to_lps) @ volume.affine @ np.c_[indices, np.ones(len(indices))].T
    rounded = np.rint(places[:3]).astype(int)
    assert np.abs(places[:3] - rounded).max() < 1e-3
    array = np.zeros(shape, volume.array.dtype)
    array[tuple(rounded)] = volume.array[tuple(indices.T)]
    return array
