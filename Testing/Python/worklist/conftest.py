"""Folders of studies, real and pretended; workers of engines find the pretended reader by its module's name."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a folder of files that the pretended reader reads, by their names."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)

    def make(*names: str) -> Path:
        folder = tmp_path / "studies"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / f"{name}.nii").write_text(name)
        return folder

    return make
