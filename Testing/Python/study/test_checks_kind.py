"""Label maps, masks and MR volumes are refused by their values; no real image is taken for one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

SHAPE = (12, 96, 96)
Z, Y, X = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
RADIUS = np.sqrt(X**2 + Y**2 + (Z / 1.5) ** 2)
NOISE = np.random.default_rng(8).normal(0, 1, SHAPE)


def study(array: np.ndarray, intensity: str = "HU") -> Study:
    return Study(
        array=array,
        ijk_to_ras=np.diag([-2.2, -2.2, 8.0, 1.0]),
        modality="CT" if intensity == "HU" else "",
        intensity=intensity,  # type: ignore[arg-type]
        orientation="axial" if intensity != "unit" else "projection",
        sources=(),
    )


def refused(one: Study, detector: str = "hemorrhage") -> set[str]:
    return {notice.code for notice in check_study(one, find_kind(detector).requirements) if notice.severity == "refuse"}


def head_hu() -> np.ndarray:
    hu = np.where(RADIUS < 0.7, 35 + 4 * NOISE, np.where(RADIUS < 0.8, 900, np.where(RADIUS < 0.86, 30, -1000)))
    return hu.astype(np.float32)


def mr() -> np.ndarray:
    """T1 in arbitrary units: dark skull, bright scalp and white matter, noise around."""
    values = np.where(RADIUS < 0.5, 140, np.where(RADIUS < 0.7, 90, np.where(RADIUS < 0.8, 10, 200)))
    values = np.where(RADIUS < 0.86, values, 3) + 8 * NOISE
    return values.clip(0, 255).astype(np.float32)


LABELS = {
    "mask": (RADIUS < 0.2).astype(np.uint8),
    "mask of 255": (RADIUS < 0.2).astype(np.float32) * 255,
    "one voxel": (np.arange(RADIUS.size) == 5000).reshape(SHAPE).astype(np.int16),
    "four": np.where(RADIUS < 0.7, 90, np.where(RADIUS < 0.8, 17, 0)).astype(np.int16),
    "many": ((np.floor(4 * X) + 5) * (RADIUS < 0.8) * (np.floor(4 * Y) + 6)).astype(np.float32),
    "below zero": np.where(RADIUS < 0.7, 2, np.where(RADIUS < 0.8, 1, -1)).astype(np.int8),
    "large": np.where(RADIUS < 0.7, 2035, np.where(RADIUS < 0.8, 1001, 0)).astype(np.int32),
}


@pytest.mark.parametrize("name", list(LABELS))
@pytest.mark.parametrize("intensity", ["HU", "windowed", "unit"])
def test_labels_are_refused_whatever_they_are_given_as(name: str, intensity: str) -> None:
    array = LABELS[name][:1] if intensity == "unit" and name != "one voxel" else LABELS[name]
    array = LABELS[name][5:6] if intensity == "unit" and name != "one voxel" else array
    detector = "pneumothorax" if intensity == "unit" else "hemorrhage"
    assert refused(study(array, intensity), detector) == {"label-map"}


@pytest.mark.parametrize("scale", [1.0, 4.0, 16.0])
def test_an_mr_volume_is_no_head_ct(scale: float) -> None:
    assert "no-skull" in refused(study(scale * mr(), "HU"))
    assert refused(study(mr() / 255, "windowed")) == {"no-skull"}


def test_a_brain_without_its_skull_is_no_head_ct() -> None:
    brain = np.where(RADIUS < 0.7, 35 + 4 * NOISE, 0).astype(np.float32)
    assert refused(study(brain)) == {"no-skull"}
    assert refused(study((brain / 80).clip(0, 1), "windowed")) == {"no-skull"}


@pytest.mark.parametrize("window", [(0, 80), (-40, 160), (-100, 200)])
def test_a_head_ct_in_a_window_keeps_its_skull(window: tuple[float, float]) -> None:
    low, high = window
    windowed = ((head_hu() - low) / (high - low)).clip(0, 1)
    assert refused(study(windowed, "windowed")) == set()
    assert "no-skull" not in refused(study(head_hu().clip(-100, 200)))
    assert refused(study(head_hu())) == set()


@pytest.mark.slow
def test_real_images_are_none_of_these(data_folder: Path) -> None:
    head = read_study(data_folder / "head-ct-dicom", requirements=find_kind("hemorrhage").requirements)
    assert not refused(head) & {"label-map", "no-skull"}
    windowed = (head.array.clip(0, 80) / 80 * 255).round() / np.float32(255)
    assert refused(replace(head, array=windowed, intensity="windowed")) == set()
    files = sorted((data_folder / "head-ct-slices" / "images").glob("*.png"))[::4]
    files += sorted((data_folder / "chest-xray-64").rglob("*.png"))[::16]
    assert len(files) > 60
    for file in files:
        with Image.open(file) as picture:
            for enlarged in (picture, picture.resize((600, 600), Image.Resampling.NEAREST)):
                gray = np.asarray(enlarged.convert("L"), np.float32)[None] / 255
                assert refused(study(gray, "unit"), "pneumothorax") == set()


def test_the_mask_of_an_artery_is_refused_as_ct(data_folder: Path) -> None:
    mask = read_study(
        data_folder / "cta-pulmonary-artery" / "pulmonary_artery.nii.gz", requirements=find_kind("pe").requirements
    )
    assert refused(mask, "pe") == {"label-map"}
