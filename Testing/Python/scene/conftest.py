"""A made-up head, hemorrhage and all, whose left and right differ: nothing here is a person."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import (
    Code,
    Finding,
    Heatmap,
    Mask,
    Measurement,
    ModelIdentity,
    SliceResult,
    Verdict,
)
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

if str(Path(__file__).parent) not in sys.path:
    # For `dicom_loading`, which tests of several folders use.
    sys.path.insert(0, str(Path(__file__).parent))

BLOOD = Code("SCT", "50960005", "Hemorrhage")
ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
BRAIN = Code("SCT", "12738006", "Brain")
PURE_RED = (1.0, 0.0, 0.0)
"""Of no gray and of no other overlay, so that a test finds the mask in a picture."""


@dataclass(frozen=True)
class Case:
    """A study and the finding about it."""

    study: Study
    finding: Finding


def positions(study_matrix: np.ndarray, shape: tuple[int, int, int]) -> list[tuple[float, float, float]]:
    """Return the center of every plane of a grid, RAS."""
    middle = [(shape[2] - 1) / 2, (shape[1] - 1) / 2]
    return [tuple(float(v) for v in (study_matrix @ [*middle, k, 1.0])[:3]) for k in range(shape[0])]


@pytest.fixture(scope="session")
def head() -> Case:
    """Positive: 24 axial slices of 4 mm, 0.8 mm in plane, a bleed in the patient's right, posterior, superior."""
    shape = (24, 160, 160)
    ijk_to_ras = np.array([[-0.8, 0, 0, 63.6], [0, -0.8, 0, 63.6], [0, 0, 4, -46.0], [0, 0, 0, 1.0]])
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]].astype(np.float32)
    radius = ((y - 80) / 74) ** 2 + ((x - 80) / 60) ** 2 + ((z - 11) / 12) ** 2
    array = np.full(shape, -1000, np.float32)
    array[radius < 1] = 900
    array[radius < 0.85] = 34
    bleed = ((y - 105) ** 2 + (x - 52) ** 2) * 0.64 + ((z - 14) * 4) ** 2 < 15**2
    array[bleed] = 70
    centers = positions(ijk_to_ras, shape)
    probabilities = np.exp(-(((np.arange(shape[0]) - 14) / 4.0) ** 2))
    results = tuple(
        SliceResult(k, centers[k], f"1.2.3.{k}", {"any": float(p), "epidural": float(p) / 3}, float(k))
        for k, p in enumerate(probabilities)
    )
    finding = Finding(
        detector="hemorrhage",
        model=ModelIdentity("test-model", "0.1", "0" * 64, "phantoms"),
        verdict=Verdict("positive", 0.97, 0.5, "three or more consecutive slices", "Slices 12 to 18 are positive."),
        slices=results,
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=ijk_to_ras,
        display_window=(40.0, 80.0),
        positive_runs=((11, 17),),
        masks=(Mask("Hemorrhage", bleed.astype(np.uint8), ALTERED, BLOOD, BRAIN, PURE_RED),),
        heatmap=Heatmap("attention", _smooth(bleed), ijk_to_ras),
        measurements=(Measurement("Volume", 14.2, "mL"),),
        warnings=(Notice("thick-slices", "warn", "The slices are thicker than the model has seen."),),
    )
    sources = tuple(SourceSlice(k, None, 0, f"1.2.3.{k}", centers[k], float(k)) for k in range(shape[0]))
    facts = DicomFacts(study_instance_uid="1.2.3", series_instance_uid="1.2.3.4")
    return Case(Study(array, ijk_to_ras, "CT", "HU", "axial", sources, dicom=facts), finding)


@pytest.fixture(scope="session")
def radiograph() -> Case:
    """Positive: one image of 200 by 160 pixels, brighter in the patient's left half, a mask in the right upper part."""
    shape = (1, 200, 160)
    ijk_to_ras = np.array([[-2.0, 0, 0, 159.0], [0, -2.0, 0, 199.0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    array = np.full(shape, 0.3, np.float32)
    array[:, :, 80:] = 0.7
    mask = np.zeros(shape, np.uint8)
    mask[0, 20:70, 20:60] = 1
    center = positions(ijk_to_ras, shape)[0]
    finding = Finding(
        detector="pneumothorax",
        model=ModelIdentity("test-model", "0.1", "0" * 64, "phantoms"),
        verdict=Verdict("positive", 0.88, 0.5, "the mask is not empty", "The mask covers 40 cm2."),
        slices=(SliceResult(0, center, "1.2.3.0", {"pneumothorax": 0.88, "chest drain": 0.1}, 0.0),),
        main_label="pneumothorax",
        slice_threshold=0.5,
        ijk_to_ras=ijk_to_ras,
        display_window=(0.5, 1.0),
        masks=(Mask("Pneumothorax", mask, ALTERED, Code("SCT", "36118008", "Pneumothorax"), None, PURE_RED),),
        heatmap=Heatmap("Grad-CAM", _smooth(mask), ijk_to_ras),
    )
    source = SourceSlice(0, None, 0, "1.2.3.0", center, 0.0)
    return Case(Study(array, ijk_to_ras, "DX", "unit", "projection", (source,)), finding)


def _smooth(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    sigma = [min(1.5, size / 4) if size > 1 else 0 for size in mask.shape]
    return (255 * ndimage.gaussian_filter(mask.astype(np.float32), sigma)).astype(np.uint8)


@pytest.fixture
def slicer():
    """Slicer's genuine libraries; the test skips where they are not installed."""
    return pytest.importorskip("slicer", reason="slicer-core is not installed: pip install acutefindings[scene]")


@pytest.fixture(scope="session")
def offscreen() -> None:
    """Skip where nothing can be drawn off screen."""
    from AcuteFindingsLib.scene.offscreen import offscreen_rendering_problem

    problem = offscreen_rendering_problem()
    if problem:
        pytest.skip(problem)
