"""A run that is killed goes on after its last whole epoch, and comes to what it would have come to."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from builders import build_padchest
from safetensors.torch import load_file
from small_runs import silent, small_recipe, small_request

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.training.runs import checkpoints
from AcuteFindingsLib.training.runs.checkpoints import WholeCheckpoints
from AcuteFindingsLib.training.runs.experiment import RunRequest, run_recipe

NAME = "chest-tubes"
EPOCHS = 4
LIMIT_S = 280
CHANGES = (f"stages.findings.epochs={EPOCHS}", "stages.findings.patience=null", "stages.findings.sampler.examples=6")

# Trains as the command does, and stands still in the middle of the third epoch.
STAND_STILL = """
import sys, time
from pathlib import Path
import torch
sys.path[:0] = {paths}
from small_runs import silent, small_recipe, small_request
from AcuteFindingsLib.training.runs.experiment import run_recipe
from AcuteFindingsLib.training.runs.module import StageModule

torch.set_num_threads(1)
plain = StageModule.training_step

def training_step(module, batch, index):
    if (module.current_epoch, index) == (2, 1):
        Path({marker!r}).touch()
        time.sleep(600)
    return plain(module, batch, index)

StageModule.training_step = training_step
recipe = small_recipe({name!r}, *{changes!r})
run_recipe(small_request(recipe, Path({folder!r}), data=Path({data!r})), progress=silent)
"""


def request(folder: Path, data: Path, told: list[str], **options) -> RunRequest:
    return small_request(small_recipe(NAME, *CHANGES), folder, told=told, data=data, **options)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "run" / "model" / "models" / "model.safetensors")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, data) -> tuple[Path, Path]:
    """A run that was killed in its third epoch, and its data."""
    folder = tmp_path_factory.mktemp("killed")
    marker, source = folder / "marker", data("padchest", "chest-xray")
    code = STAND_STILL.format(
        paths=[path for path in sys.path if path],
        marker=str(marker),
        name=NAME,
        changes=CHANGES,
        folder=str(folder),
        data=str(source),
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        limit = time.monotonic() + LIMIT_S
        while not marker.exists():
            if process.poll() is not None:
                assert process.stdout is not None
                pytest.fail(process.stdout.read().decode())
            assert time.monotonic() < limit
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return folder, source


@pytest.mark.slow
def test_a_killed_run_goes_on_after_its_last_whole_epoch_and_ends_as_if_never_killed(
    killed: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, source = killed
    assert not (folder / "run" / "model").exists()
    told: list[str] = []
    run_recipe(request(folder, source, told, resume=True), progress=silent)
    epochs = [line.split(",")[0] for line in told if "epoch" in line]
    assert epochs == [f"findings: epoch {number} of {EPOCHS}" for number in (3, 4)]

    whole: list[str] = []
    run_recipe(request(tmp_path, source, whole), progress=silent)
    assert [line for line in told if "epoch" in line] == [line for line in whole if "epoch" in line][2:]
    resumed, straight = weights(folder), weights(tmp_path)
    assert resumed.keys() == straight.keys()
    assert all(torch.equal(resumed[name], straight[name]) for name in resumed)

    stage = json.loads((folder / "run" / "run-0" / "fold-0" / "findings" / "stage.json").read_text())
    assert stage["epochs"] == EPOCHS

    again: list[str] = []
    run_recipe(request(folder, source, again, resume=True), progress=silent)
    assert not [line for line in again if "epoch" in line]


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("id: other\n")
    with pytest.raises(TrainingError, match="holds a run already; add --resume"):
        run_recipe(request(tmp_path, tmp_path, []), progress=silent)
    with pytest.raises(TrainingError, match="holds a run of another recipe, or of this one with other values"):
        run_recipe(request(tmp_path, tmp_path, [], resume=True), progress=silent)


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_data(killed: tuple[Path, Path], tmp_path: Path) -> None:
    other = build_padchest(tmp_path / "other", patients=8)
    with pytest.raises(TrainingError, match="holds a run on other images, patients, labels or corrections"):
        run_recipe(request(killed[0], other, [], resume=True), progress=silent)


def test_a_checkpoint_that_is_cut_off_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, target)

    def cut_off(_what, path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints.torch, "save", cut_off)
    with pytest.raises(OSError, match="no space left"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, target)
    monkeypatch.undo()
    assert torch.load(target, weights_only=True) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
