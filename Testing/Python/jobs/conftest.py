"""For all tests of the jobs: small packages with random weights, small phantom studies as DICOM, the worker process."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import AcuteFindingsLib
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.models.default_model import set_default
from AcuteFindingsLib.models.metadata import Card, Label, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.phantoms.write_dicom import write_phantom

LIBRARY = str(Path(AcuteFindingsLib.__file__).parents[1])
PATIENCE_S = 120
BLEEDS = ("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
PATHOLOGIES = ("pneumothorax", "effusion")
TUBES = ("chest_drain", "nasogastric")
EXAM = tuple(f"exam_{number}" for number in range(9))


@dataclass(frozen=True)
class Tiny:
    """What a small package needs beyond what all of them say."""

    network: str
    arguments: dict[str, Any]
    preprocessing: dict[str, Any]
    labels: tuple[str, ...]
    points: tuple[tuple[str, str], ...]


# The networks of the packages that ship, on the smallest pictures that they take.
TINY = {
    "pe": Tiny(
        "pe",
        {"encoder": {"backbone": "regnety_002", "in_channels": 1}, "sequence": {"exam_head": True}},
        {"size": 64, "crop": True},
        ("pe", *EXAM),
        (("study", "pe"), ("slice", "pe")),
    ),
    "hemorrhage": Tiny(
        "radnet",
        {"backbone": "regnety_002", "attention": True, "recurrent": True, "decoder": True, "labels": len(BLEEDS)},
        {"size": 64, "pixel_mm": 4.0},
        BLEEDS,
        (("slice", "any"), ("mask", "any")),
    ),
    "pneumothorax": Tiny(
        "pneumothorax_segmenter",
        {"architecture": "unet", "encoder": "regnety_002", "empty_branch": True},
        {"size": 64, "flip": True},
        ("pneumothorax",),
        (("study", "pneumothorax"), ("mask", "pneumothorax"), ("empty", "pneumothorax")),
    ),
    "lungs": Tiny("lung_unet", {"channels": [4, 8, 16]}, {"size": 64}, ("lungs",), (("mask", "lungs"),)),
    "chest": Tiny(
        "chest_classifier",
        {"backbone": "regnety_002", "pathologies": list(PATHOLOGIES), "tubes": list(TUBES)},
        {"size": 64},
        (*PATHOLOGIES, *TUBES),
        tuple(("study", name) for name in (*PATHOLOGIES, *TUBES)),
    ),
}


def write_tiny(task: str, folder: Path, *, threshold: float = 0.5) -> Path:
    """Write the small package for a task into `folder`; `threshold` is that of slices and studies."""
    tiny = TINY[task]
    torch.manual_seed(7)
    card = Card(
        id=f"tiny-{task}",
        task=task,
        title=f"Tiny {task}",
        network=Network(name=tiny.network, arguments=tiny.arguments),
        preprocessing=tiny.preprocessing,
        labels=[Label(name=name, meaning=name.replace("_", " ").capitalize()) for name in tiny.labels],
        operating_points=[
            OperatingPoint(
                level=level,
                label=label,
                threshold=threshold if level in ("slice", "study") else 1 - threshold if level == "empty" else 0.5,
                chosen="for tests",
            )
            for level, label in tiny.points
        ],
        training_data=TrainingData(summary="nothing: random weights", phantoms_only=True, count="0"),
        evaluation=[],
        license="Apache-2.0",
        intended_use="Tests.",
        limitations="Knows nothing.",
    )
    write_package(
        folder / card.id,
        state_dict=build_network(tiny.network, tiny.arguments).state_dict(),
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
    return folder / card.id


@pytest.fixture(scope="session", name="write_tiny")
def write_tiny_fixture() -> Callable[..., Path]:
    """Write a small package of your own: `write_tiny("hemorrhage", folder, threshold=0.0)`."""
    return write_tiny


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the five small packages."""
    folder = tmp_path_factory.mktemp("models")
    for task in TINY:
        write_tiny(task, folder)
    return folder


@pytest.fixture(autouse=True)
def no_models_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what a developer has downloaded out of the tests; where they are, the small packages are the default."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    _choose_small_packages(home)


def _choose_small_packages(home: Path) -> None:
    for task in TINY:
        set_default(task, f"tiny-{task}", file=home / ".config" / "acutefindings" / "models.json")


@pytest.fixture(scope="session")
def head_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small head CT as DICOM."""
    phantom = make_phantom("head-ct", 900_001, positive=True, matrix=128, slice_spacing=8)
    return write_phantom(phantom, tmp_path_factory.mktemp("head")) / "dicom"


@pytest.fixture(scope="session")
def ctpa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small CT pulmonary angiogram as DICOM."""
    phantom = make_phantom("ctpa", 900_001, positive=True, matrix=96, slice_spacing=5)
    return write_phantom(phantom, tmp_path_factory.mktemp("chest")) / "dicom"


@pytest.fixture(scope="session")
def chest_xray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small radiograph as DICOM."""
    phantom = make_phantom("chest-xray", 900_001, positive=True, size=256)
    return write_phantom(phantom, tmp_path_factory.mktemp("radiograph")) / "dicom"


@pytest.fixture(scope="session")
def empty_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a CT that every check refuses: all pixels are the same."""
    phantom = make_phantom("head-ct", 900_002, positive=False, matrix=64, slice_spacing=10)
    flat = replace(phantom, array=phantom.array * 0 - 1000)
    return write_phantom(flat, tmp_path_factory.mktemp("flat")) / "dicom"


class Client:
    """Talks to a worker process as the application does."""

    def __init__(self, home: Path, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": LIBRARY, "HOME": str(home)}
        self.process = subprocess.Popen(
            [sys.executable, "-u", *(arguments or ("-m", "AcuteFindingsLib.jobs.worker"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self.lines: list[bytes] = []
        self.errors: list[bytes] = []
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self.ready = self.answer()
        self._number = 0

    def send(self, line: bytes) -> None:
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def request(self, do: str, **fields: Any) -> int:
        self._number += 1
        self.send(json.dumps({"id": self._number, "do": do, **fields}, default=str).encode())
        return self._number

    def cancel(self, number: int) -> None:
        self.send(json.dumps({"cancel": number}).encode())

    def answer(self) -> dict[str, Any]:
        return self._answers.get(timeout=PATIENCE_S)

    def run(self, do: str, *, on_progress: Callable[[int, dict], None] | None = None, **fields: Any) -> dict[str, Any]:
        """Return the last answer to a request; `on_progress` is told of the others."""
        number = self.request(do, **fields)
        while (answer := self.answer())["event"] == "progress":
            assert answer["id"] == number
            if on_progress:
                on_progress(number, answer)
        assert answer["id"] == number
        return answer

    def result(self, do: str, **fields: Any) -> dict[str, Any]:
        answer = self.run(do, **fields)
        assert answer["event"] == "done", answer
        return answer["result"]

    def finish(self) -> tuple[int, str]:
        """Close the input and return exit status and all of stderr."""
        self.process.stdin.close()
        status = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return status, b"".join(self.errors).decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            self._answers.put(json.loads(line))
        self._answers.put({"event": "ended", "id": None})


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One real worker for all tests of a file: each also shows that it survived those before it."""
    home = tmp_path_factory.mktemp("home")
    _choose_small_packages(home)
    client = Client(home)
    yield client
    client.kill()


@pytest.fixture(scope="session", name="start_worker")
def start_worker_fixture() -> type[Client]:
    """Start a worker of your own: `start_worker(home, "-c", program)`; kill it in the end."""
    return Client
