"""A tiny public model: its description, its graphs, a repository with random weights, and a hub that serves it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

sys.path.append(str(Path(__file__).parents[3] / "Hub"))

from hub_server import HubServer, serve_hub
from random_repository import write_random_repository
from random_weights import random_network

from AcuteFindingsLib.models.download.fetch import Patience
from AcuteFindingsLib.models.graphs.export import OPSET, export_graphs, graph_file
from AcuteFindingsLib.models.public.hub import Hub
from AcuteFindingsLib.models.public.recommended import read_description

DESCRIPTION: dict[str, Any] = {
    "id": "tiny-lungs",
    "address": "hf:someone/tiny-lungs",
    "task": "lungs",
    "title": "Tiny lungs",
    "told": "A U-Net as small as one can be.",
    "megabytes": 0.1,
    "license": {"name": "MIT", "commercial": True, "text": "Permission is hereby granted."},
    "files": {"model": {"path": ["model.safetensors"], "unused": [r"auxiliary\..*"]}},
    "network": {"name": "lung_unet", "arguments": {"channels": [4, 8]}},
    "image": {"channels": 1, "shape": [32, 32], "value_range": [-2, 2]},
    "preprocessing": {"size": 32, "mean": 0.5, "std": 0.25},
    "labels": [{"name": "lungs", "meaning": "Lung fields", "code": "39607008"}],
    "operating_points": [{"level": "mask", "label": "lungs", "threshold": 0.5, "chosen": "half"}],
    "training_data": {"summary": "Nothing: random weights.", "phantoms_only": False, "count": "0"},
    "published": [
        {"metric": "Dice", "value": 0.9, "data": "nothing", "count": "0 patients", "source": "https://example.org"}
    ],
    "limitations": "Random weights.",
    "sources": ["https://example.org"],
}
QUICK = Patience(connect_s=2, read_s=10, retries=1, pause_s=0.05)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What the tiny description says of its graphs, and the folder with these."""
    folder = tmp_path_factory.mktemp("graphs")
    noise = torch.from_numpy(np.random.default_rng(1).uniform(-2, 2, (2, 1, 32, 32)).astype(np.float32))
    ((part, exported),) = export_graphs(random_network("lung_unet", {"channels": [4, 8]}, noise), noise).items()
    file = graph_file(part)
    (folder / Path(file).name).write_bytes(exported.graph)
    stated = {
        "parts": {part: {"file": file, "outputs": list(exported.outputs)}},
        "opset": OPSET,
        "largest_difference": 1e-6,
        "compared_on": "noise, with random weights",
    }
    return stated, folder


@pytest.fixture
def describe(tmp_path: Path, graphs: tuple[dict[str, Any], Path]):
    """Write the tiny description with fields of your own, and its graphs beside it; returns its file."""

    def write(**changes: Any) -> Path:
        stated = {**DESCRIPTION, "graphs": graphs[0], **changes}
        if "files" not in changes:
            stated["files"] = {"model": {**DESCRIPTION["files"]["model"], "prefix": ""}}
        folder = tmp_path / "descriptions"
        (folder / stated["id"]).mkdir(parents=True, exist_ok=True)
        for graph in graphs[1].iterdir():
            (folder / stated["id"] / graph.name).write_bytes(graph.read_bytes())
        file = folder / f"{stated['id']}.yaml"
        file.write_text(yaml.safe_dump(stated, sort_keys=False), encoding="utf-8")
        return file

    return write


@pytest.fixture
def server(tmp_path: Path, describe) -> Iterator[HubServer]:
    """A hub with the repository of the tiny description."""
    write_random_repository(
        read_description(describe()), tmp_path / "repositories", extra={"model": {"auxiliary.weight": (2, 2)}}
    )
    with serve_hub(tmp_path / "repositories") as running:
        yield running


@pytest.fixture
def hub(server: HubServer, tmp_path: Path) -> Hub:
    return Hub(endpoint=server.endpoint, cache=tmp_path / "cache", offline=False, patience=QUICK)
