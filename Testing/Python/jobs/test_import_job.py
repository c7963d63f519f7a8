"""The worker makes a model package of weights from elsewhere."""

from pathlib import Path
from typing import Any

import pytest
import torch

from AcuteFindingsLib.errors import CancelledError, ModelError
from AcuteFindingsLib.jobs.messages import Request
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.jobs.worker_jobs import JOBS
from AcuteFindingsLib.models.package import read_package


class Bright(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * (images - 0.5)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    torch.jit.trace(Bright(), torch.rand(1, 1, 32, 32)).save(str(tmp_path / "My lungs.ts"))
    return tmp_path / "My lungs.ts"


def run(tools: Tools, **fields: Any) -> dict[str, Any]:
    return JOBS["import_model"](Request(1, "import_model", {key: str(value) for key, value in fields.items()}), tools)


def test_a_file_is_recognized_imported_and_named_after_itself(script: Path, tmp_path: Path):
    seen: list[float] = []
    tools = Tools(progress=lambda _text, fraction: seen.append(fraction), cancelled=lambda: False)
    first = run(tools, file=script, folder=tmp_path / "cache", task="lungs")
    second = run(tools, file=script, folder=tmp_path / "cache", task="lungs")
    assert (first["id"], second["id"]) == ("my-lungs", "my-lungs-2")
    card = read_package(first["folder"]).card
    assert card.task == "lungs"
    assert card.origin is not None
    assert card.origin.detector_difference is not None
    assert seen == sorted(seen[: len(seen) // 2]) * 2


def test_a_refused_file_says_why_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "x.pth").write_bytes(b"no weights")
    tools = Tools(progress=lambda _text, _fraction: None, cancelled=lambda: False)
    with pytest.raises(ModelError, match=r"x\.pth is not a readable PyTorch weights file"):
        run(tools, file=tmp_path / "x.pth", folder=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_cancel_leaves_nothing(script: Path, tmp_path: Path):
    tools = Tools(progress=lambda _text, _fraction: None, cancelled=lambda: True)
    with pytest.raises(CancelledError):
        run(tools, file=script, folder=tmp_path / "cache", task="lungs")
    assert not (tmp_path / "cache").exists()
