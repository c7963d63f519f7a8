"""Builders shared by every test."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real images, read in place; `ACUTEFINDINGS_DATA` overrides where it is."""
    folder = Path(os.environ.get("ACUTEFINDINGS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real images are not here: {folder} (set ACUTEFINDINGS_DATA)")
    return folder
