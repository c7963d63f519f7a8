"""A tiny model package: what a real one has, small enough to write in every test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from AcuteFindingsLib.models.files import CHECKSUMS, file_sha256
from AcuteFindingsLib.models.metadata import Card, Interval, Label, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.write import write_package


class TinyNetwork(torch.nn.Module):
    """One block, one linear head, one mask: with batch norm, so that there are integer buffers."""

    def __init__(self, channels: int = 4, labels: int = 2) -> None:
        super().__init__()
        self.block = torch.nn.Sequential(
            torch.nn.Conv2d(1, channels, 3, padding=1), torch.nn.BatchNorm2d(channels), torch.nn.ReLU(inplace=True)
        )
        self.head = torch.nn.Linear(channels, labels)
        self.mask = torch.nn.Conv2d(channels, 1, 1)
        self.gradcam_layer = "block"

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        return self.block(image).mean((2, 3))

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.block(image)
        return {"labels": self.head(features.mean((2, 3))), "mask": self.mask(features)}


def build_tiny(name: str, arguments: dict[str, Any]) -> torch.nn.Module:
    if name != "tiny":
        raise KeyError(name)
    return TinyNetwork(**arguments)


@pytest.fixture
def build() -> Callable[[str, dict[str, Any]], torch.nn.Module]:
    return build_tiny


@pytest.fixture
def network() -> TinyNetwork:
    torch.manual_seed(1)
    return TinyNetwork()


@pytest.fixture(name="make_card")
def make_card_fixture() -> Callable[..., Card]:
    """Make a card, `make_card(id="other")`, with fields of your own."""
    return make_card


def make_card(**changes: Any) -> Card:
    fields: dict[str, Any] = {
        "id": "tiny-test",
        "task": "hemorrhage",
        "title": "Tiny | model",
        "network": Network(name="tiny", arguments={"channels": 4, "labels": 2}),
        "preprocessing": {"window_level": 40, "window_width": 80},
        "labels": [Label(name="any", meaning="Intracranial hemorrhage", code="1386000")],
        "operating_points": [OperatingPoint(level="slice", label="any", threshold=0.5, chosen="Youden on validation")],
        "training_data": TrainingData(summary="40 head phantoms", phantoms_only=True, count="40 studies"),
        "evaluation": [
            Interval(
                metric="AUC", value=0.96, low=0.91, high=0.99, data="phantoms", count=80, command="acutefindings x"
            )
        ],
        "license": "BSD-3-Clause",
        "intended_use": "Research on detection.",
        "limitations": "Sees phantoms only.",
        "sources": ["RADnet (2017)"],
    }
    return Card(**{**fields, **changes})


@pytest.fixture
def write(build: Any) -> Callable[..., ModelPackage]:
    """Write a package: `write(folder, state_dict, card=..., **changes)`."""

    def _write(folder: Path, state_dict: dict[str, torch.Tensor], **changes: Any) -> ModelPackage:
        arguments: dict[str, Any] = {
            "card": make_card(),
            "version": "0.1.0",
            "changelog": {"0.1.0": "first"},
            "description": "A tiny model.",
            "authors": "AcuteFindings",
            "copyright": "Copyright (c) AcuteFindings",
            "network_data_format": {
                "inputs": {"image": {"num_channels": 1, "spatial_shape": [12, 16], "value_range": [0, 1]}},
                "outputs": {"labels": {"type": "probabilities"}},
            },
            "card_text": "A word more.",
            "license_text": "Do as you like.",
            # Writing them takes seconds: only where a test is about them.
            "graphs": False,
            "build": build,
        }
        return write_package(folder, state_dict=state_dict, **{**arguments, **changes})

    return _write


@pytest.fixture
def package(tmp_path: Path, network: TinyNetwork, write: Callable[..., ModelPackage]) -> ModelPackage:
    return write(tmp_path / "tiny-test", network.state_dict())


@pytest.fixture
def reseal() -> Callable[[Path], None]:
    """Bring `checksums.json` up to date after a file was changed on purpose: what a careless author would do."""

    def _reseal(folder: Path) -> None:
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        sums = {name: file_sha256(folder / name) for name in names if name != CHECKSUMS}
        (folder / CHECKSUMS).write_text(json.dumps(sums), encoding="utf-8")

    return _reseal
