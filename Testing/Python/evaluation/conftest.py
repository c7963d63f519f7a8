"""For the tests of the evaluation: tables on disk, and small packages with random weights."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from AcuteFindingsLib.models.default_model import set_default
from AcuteFindingsLib.models.metadata import Card, Label, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.networks import build_network

BLEEDS = ("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
PATHOLOGIES, TUBES = ("pneumothorax", "effusion"), ("chest_drain",)
SMALL: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "hemorrhage": (
        "radnet",
        {"backbone": "regnety_002", "decoder": True},
        {"size": 64, "pixel_mm": 4.0},
        BLEEDS,
        (("slice", "any"), ("mask", "any")),
    ),
    "chest": (
        "chest_classifier",
        {"backbone": "regnety_002", "pathologies": list(PATHOLOGIES), "tubes": list(TUBES)},
        {"size": 64},
        (*PATHOLOGIES, *TUBES),
        tuple(("study", name) for name in (*PATHOLOGIES, *TUBES)),
    ),
    "pneumothorax": (
        "pneumothorax_segmenter",
        {"architecture": "unet", "encoder": "regnety_002", "empty_branch": True},
        {"size": 64},
        ("pneumothorax",),
        (("study", "pneumothorax"), ("mask", "pneumothorax"), ("empty", "pneumothorax")),
    ),
    "pe": (
        "pe",
        {"encoder": {"backbone": "regnety_002", "in_channels": 1, "decoder": True}},
        {"size": 64, "crop": True},
        ("pe",),
        (("study", "pe"), ("slice", "pe")),
    ),
}


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV: `table("truth.csv", ["image", "any"], [["a.png", 1]])`."""

    def write(name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *rows])
        return path

    return write


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of packages with random weights, one a task."""
    folder = tmp_path_factory.mktemp("models")
    for task, (network, arguments, preprocessing, labels, points) in SMALL.items():
        torch.manual_seed(7)
        card = Card(
            id=f"small-{task}",
            task=task,
            title=f"Small {task}",
            network=Network(name=network, arguments=arguments),
            preprocessing=preprocessing,
            labels=[Label(name=name, meaning=name.replace("_", " ").capitalize()) for name in labels],
            operating_points=[
                OperatingPoint(level=level, label=label, threshold=0.45, chosen="for tests") for level, label in points
            ],
            training_data=TrainingData(summary="nothing: random weights", phantoms_only=True, count="0"),
            evaluation=[],
            license="Apache-2.0",
            intended_use="Tests.",
            limitations="Knows nothing.",
        )
        write_package(
            folder / card.id,
            state_dict=build_network(network, arguments).state_dict(),
            card=card,
            version="0.0.1",
            changelog={"0.0.1": "random"},
            description="Random weights.",
            authors="AcuteFindings",
            copyright="AcuteFindings contributors",
            network_data_format={"inputs": {"image": {"num_channels": 1, "spatial_shape": [64, 64]}}, "outputs": {}},
            card_text="",
            license_text="Apache-2.0",
            # Writing graphs takes seconds; `models/` tests them.
            graphs=False,
        )
    return folder


@pytest.fixture(autouse=True)
def no_models_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what a developer has downloaded out of the tests; where they are, the small packages are the default."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for task in SMALL:
        set_default(task, f"small-{task}", file=home / ".config" / "acutefindings" / "models.json")
