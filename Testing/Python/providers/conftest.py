"""Providers with weights of the right shape that know nothing, and studies to show them."""

import os
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.providers.consent import give_consent
from AcuteFindingsLib.providers.registry import list_terms
from AcuteFindingsLib.providers.terms import Terms
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own: consents, caches and weights of the person at the keyboard stay out of tests."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


@pytest.fixture
def providers() -> dict[str, Terms]:
    return {provider.id: provider for provider in list_terms()}


@pytest.fixture
def all_agreed(home: Path, providers: dict[str, Terms]) -> None:
    for provider in providers.values():
        give_consent(provider)


@pytest.fixture(scope="session")
def apart() -> Path:
    """The folder of environments that providers have to themselves; ``make test`` makes it."""
    folder = Path(os.environ.get("ACUTEFINDINGS_PROVIDERS", ROOT / ".venv" / "providers"))
    if not (folder / "totalsegmentator" / "installed.txt").is_file():
        pytest.skip(f"TotalSegmentator has no environment in {folder}: run `make test`")
    return folder


@pytest.fixture
def make_ct():
    """Build a CT study: `make_ct(array, spacing=(z, y, x), flip_z=False)`."""

    def make(array: np.ndarray, *, spacing=(2.0, 1.0, 1.0), flip_z: bool = False, intensity: str = "HU") -> Study:
        matrix = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
        matrix[:3, 3] = (10.0, 20.0, 30.0)
        if flip_z:
            matrix[:3, 2] *= -1
        sources = tuple(
            SourceSlice(k, None, 0, f"1.2.{k}", tuple((matrix @ (0, 0, k, 1))[:3]), float(k), spacing[0])
            for k in range(len(array))
        )
        return Study(
            array=np.asarray(array, np.float32),
            ijk_to_ras=matrix,
            modality="CT",
            intensity=intensity,
            orientation="axial",
            sources=sources,
            dicom=DicomFacts(series_instance_uid="1.2.3"),
            source_name="made",
        )

    return make


@pytest.fixture
def radiograph() -> Study:
    """A picture with two darker fields where lungs are, wider than it is high."""
    picture = np.full((96, 120), 0.7, np.float32)
    picture[20:80, 20:52] = 0.2
    picture[20:80, 68:100] = 0.2
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
    source = SourceSlice(0, None, 0, "1.2.3.4", (0.0, 0.0, 0.0), 0.0)
    return Study(
        picture[None],
        matrix,
        "DX",
        "unit",
        "projection",
        (source,),
        DicomFacts(series_instance_uid="1.2"),
        source_name="x",
    )
