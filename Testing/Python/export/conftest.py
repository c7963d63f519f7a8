"""Findings made by hand: a positive stack, a negative one, and a radiograph; with the packages they name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from AcuteFindingsLib.detectors.finding import Code, Finding, Mask, Measurement, ModelIdentity, SliceResult, Verdict
from AcuteFindingsLib.models.metadata import Card, Interval, Label, Metadata, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

SHA = "0123456789abcdef" * 4
ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
BLEED = Code("SCT", "50960005", "Hemorrhage")
LABELS = ("any", "epidural", "subdural", "intraparenchymal", "subarachnoid", "intraventricular")
CHEST = {
    "pneumothorax": 0.91,
    "effusion": 0.31,
    "atelectasis": 0.62,
    "chest_drain": 0.83,
    "tracheostomy": 0.02,
    "endotracheal": 0.004,
    "nasogastric": 0.44,
}


@dataclass(frozen=True)
class DrawnPicture:
    path: Path
    caption: str
    kind: str


def make_package(task: Any, labels: tuple[str, ...], *, level: Any = "slice", **changes: Any) -> ModelPackage:
    fields: dict[str, Any] = {
        "id": f"{task}-demo",
        "task": task,
        "title": f"Demo model for {task}",
        "network": Network(name="tiny"),
        "preprocessing": {},
        "labels": [Label(name=name, meaning=name.replace("_", " ").capitalize()) for name in labels],
        "operating_points": [OperatingPoint(level=level, label=n, threshold=0.5, chosen="by hand") for n in labels],
        "training_data": TrainingData(
            summary="Procedural phantoms, seeds 1000 to 1399", phantoms_only=True, count="400 studies"
        ),
        "evaluation": [
            Interval(
                metric="Study AUC", value=0.982, low=0.961, high=0.996, data="Held-out phantoms", count=120, command="x"
            ),
            Interval(
                metric="Mask Dice", value=0.781, low=0.749, high=0.809, data="Held-out phantoms", count=60, command="x"
            ),
        ],
        "license": "Apache-2.0",
        "intended_use": "Showing how the software works, and testing it.",
        "limitations": "Never saw a patient's image; small bleeds and postoperative heads were not among the phantoms.",
        **changes,
    }
    metadata = Metadata(
        version="0.1.0",
        changelog={"0.1.0": "first"},
        monai_version="1.5",
        pytorch_version="2.8",
        numpy_version="2.2",
        task="detection",
        description="A demo model.",
        authors="AcuteFindings",
        copyright="AcuteFindings",
        network_data_format={},
        acutefindings=Card(**fields),
    )
    return ModelPackage(Path("models") / fields["id"], metadata, {"models/model.safetensors": SHA})


def make_study(count: int = 28, *, step: float = 4.0, **changes: Any) -> Study:
    ijk_to_ras = np.diag([-0.43, -0.43, step, 1.0])
    sources = tuple(
        SourceSlice(n, Path("/data/DOE^JANE/im"), 0, f"1.2.826.0.1.{n}", (0.0, 0.0, n * step), float(n), step)
        for n in range(count)
    )
    fields: dict[str, Any] = {
        "array": np.zeros((count, 32, 32), np.float32),
        "ijk_to_ras": ijk_to_ras,
        "modality": "CT",
        "intensity": "HU",
        "orientation": "axial",
        "sources": sources,
        "dicom": DicomFacts(
            study_instance_uid="1.2.826.0.1.3680043.8.498.1",
            series_instance_uid="1.2.826.0.1.3680043.8.498.2",
            body_part="HEAD",
            gantry_tilt_deg=18.5,
            kvp=120.0,
            manufacturer="GE MEDICAL SYSTEMS",
            series_description="Head for JANE DOE",
        ),
        "regridded": "slices resampled to an upright grid because the gantry was tilted by +18.5°, steps 4 and 8 mm",
        "source_name": "DOE^JANE",
    }
    return Study(**{**fields, **changes})


def make_stack(
    study: Study, *, runs: tuple[tuple[int, int], ...] = ((9, 15),), labels: tuple[str, ...] = LABELS, **changes: Any
) -> Finding:
    rng = np.random.default_rng(3)
    count = len(study.sources)
    values = 0.02 + 0.12 * rng.random((count, len(labels)))
    for first, last in runs:
        places = np.arange(count)
        bump = np.exp(-(((places - (first + last) / 2) / max(1.0, (last - first) / 1.5)) ** 2))
        values[:, 0] += 0.86 * bump
        if len(labels) > 3:
            values[:, 3] += 0.8 * bump
        values[first : last + 1, 0] = np.maximum(values[first : last + 1, 0], 0.55)
        outside = np.setdiff1d(places, np.arange(first, last + 1))
        values[outside, 0] = np.minimum(values[outside, 0], 0.44)
    mask = np.zeros(study.array.shape, np.uint8)
    for first, last in runs:
        mask[first : last + 1, 10:20, 12:18] = 1
    positive = bool(runs)
    fields: dict[str, Any] = {
        "detector": "hemorrhage",
        "model": ModelIdentity("hemorrhage-demo", "0.1.0", SHA, "Procedural phantoms"),
        "verdict": Verdict(
            "positive" if positive else "negative",
            0.87 if positive else 0.09,
            0.5,
            "Positive where 3 or more consecutive slices reach 0.50 (in this series 3 slices span 12.0 mm).",
            "The longest run of positive slices is 7 (28.0 mm); 7 slices are positive."
            if positive
            else "No slice reaches the operating point; the highest is 0.14.",
        ),
        "slices": tuple(
            SliceResult(
                s.index, s.position_ras, s.sop_instance_uid, dict(zip(labels, map(float, row), strict=True)), s.k
            )
            for s, row in zip(study.sources, values, strict=True)
        ),
        "main_label": labels[0],
        "slice_threshold": 0.5,
        "ijk_to_ras": study.ijk_to_ras,
        "display_window": (40.0, 80.0),
        "positive_runs": runs,
        "masks": (Mask("Hemorrhage", mask, ALTERED, BLEED, None, (0.85, 0.15, 0.15)),),
        "measurements": (
            Measurement("Hemorrhage volume", 23.41, "mL", Code("SCT", "118565006", "Volume")),
            Measurement("ABC/2 volume of the largest bleed", 25.02, "mL"),
            Measurement("A (largest diameter)", 41.3, "mm"),
            Measurement("Highest slice probability: Any", 0.9968, "1"),
        ),
        "warnings": (
            Notice("model-trained-on-phantoms", "warn", "The model was trained on computer-made phantoms only."),
            Notice("gantry-tilt", "info", "The gantry was tilted by +18.5°; the series was resampled."),
        ),
        "timings": {"read": 1.21, "preprocess": 0.4, "network": 3.2, "postprocess": 0.3, "total": 5.4},
        "series_instance_uid": study.dicom.series_instance_uid,
    }
    return Finding(**{**fields, **changes})


def make_radiograph_study() -> Study:
    study = make_study(1)
    return replace(
        study,
        modality="DX",
        intensity="unit",
        orientation="projection",
        regridded="",
        dicom=DicomFacts(
            series_instance_uid="1.2.3", view_position="AP", photometric_interpretation="MONOCHROME1", body_part="CHEST"
        ),
    )


def make_radiograph(study: Study) -> Finding:
    shares = {"whole picture": 0.91, "lungs only": 0.55, "lungs removed": 0.34, "tubes covered": 0.48}
    return make_stack(
        study,
        runs=((0, 0),),
        detector="pneumothorax",
        main_label="pneumothorax",
        model=ModelIdentity("pneumothorax-demo", "0.1.0", SHA, "Procedural phantoms"),
        display_window=(0.5, 1.0),
        slices=(SliceResult(0, (0.0, 0.0, 0.0), "1.2.826.0.1.0", dict(CHEST)),),
        verdict=Verdict(
            "positive",
            0.91,
            0.5,
            "Positive where the probability that the picture holds a pneumothorax reaches 0.50.",
            "The probability is 0.91 and an outline was drawn.",
        ),
        measurements=(
            *(Measurement(f"Pneumothorax probability, {name}", value, "1") for name, value in shares.items()),
            Measurement("Pneumothorax area, left", 4120.4, "mm2"),
            Measurement("Share of the left hemithorax", 21.3, "%"),
            *(Measurement(f"Probability: {name}", value, "1") for name, value in CHEST.items()),
        ),
        warnings=(
            Notice("model-trained-on-phantoms", "warn", "The model was trained on computer-made phantoms only."),
            Notice("shortcut-chest-drain", "warn", "A chest drain seems to be in; with the tubes covered it is 0.48."),
        ),
    )


@pytest.fixture
def study() -> Study:
    return make_study()


@pytest.fixture
def finding(study: Study) -> Finding:
    return make_stack(study)


@pytest.fixture
def negative(study: Study) -> Finding:
    return make_stack(study, runs=())


@pytest.fixture
def radiograph_study() -> Study:
    return make_radiograph_study()


@pytest.fixture
def radiograph(radiograph_study: Study) -> Finding:
    return make_radiograph(radiograph_study)


@pytest.fixture
def package() -> ModelPackage:
    return make_package("hemorrhage", LABELS)


@pytest.fixture
def chest_packages() -> tuple[ModelPackage, ...]:
    return (
        make_package("pneumothorax", ("pneumothorax",), level="study"),
        make_package("chest", tuple(CHEST), level="study"),
    )


@pytest.fixture(name="make_package")
def make_package_fixture() -> Callable[..., ModelPackage]:
    return make_package


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[DrawnPicture, ...]:
    kinds = ("slice", "slice", "reformat", "chart")
    drawn = []
    for number, kind in enumerate(kinds):
        path = tmp_path / "pictures" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(path)
        drawn.append(DrawnPicture(path, f"Picture {number} of kind {kind}.", kind))
    return tuple(drawn)
