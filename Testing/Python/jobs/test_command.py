"""The command `acutefindings` where it needs models, in this process: importing torch again costs seconds."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from AcuteFindingsLib import cli
from AcuteFindingsLib.errors import SceneError
from AcuteFindingsLib.scene import pictures


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Run the command: `status, stdout, stderr = in_process("models", "list")`."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["acutefindings", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


@pytest.fixture
def without_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_, **__):
        raise SceneError("Slicer's libraries could not be loaded")

    monkeypatch.setattr("AcuteFindingsLib.scene.bundle.write_scene", missing)
    monkeypatch.setattr(pictures, "offscreen_rendering_problem", lambda: "Slicer's libraries could not be loaded")


@pytest.mark.slow
@pytest.mark.usefixtures("without_scene")
@pytest.mark.parametrize(("threshold", "label"), [(0.0, "positive"), (1.0, "negative")])
def test_the_exit_status_is_0_whatever_the_verdict(
    threshold: float, label: str, head_ct: Path, write_tiny, in_process, tmp_path: Path
) -> None:
    model = write_tiny("hemorrhage", tmp_path, threshold=threshold)
    out = tmp_path / "out [1]"
    status, stdout, stderr = in_process(
        "run", head_ct, "--detector", "hemorrhage", "--model", model, "--out", out, "--force", "--device", "cpu"
    )
    assert status == 0
    assert all(line.endswith(" %)") for line in stderr.splitlines())
    assert json.loads((out / "finding.json").read_text(encoding="utf-8"))["verdict"]["label"] == label
    assert stdout.startswith(f"hemorrhage: {label.upper()}  probability 0.")
    # Square brackets in a path are part of the path.
    for told in (f"report    {out / 'report.html'}", f"finding   {out / 'finding.json'}", "note: ", "esearch use only"):
        assert told in stdout


@pytest.mark.slow
def test_a_damaged_model_ends_in_one_line(head_ct: Path, write_tiny, in_process, tmp_path: Path) -> None:
    model = write_tiny("hemorrhage", tmp_path)
    weights = model / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    status, stdout, stderr = in_process(
        "run", head_ct, "--detector", "hemorrhage", "--model", model, "--out", tmp_path / "out", "--force"
    )
    assert (status, stdout) == (2, "")
    *progress, line = stderr.splitlines()
    assert all(told.endswith(" %)") for told in progress)
    assert line.startswith("acutefindings: ")
    assert "model.safetensors" in line
    assert not (tmp_path / "out").exists()
    status, stdout, stderr = in_process("models", "verify", model)
    assert (status, stderr.count("\n")) == (2, 1)


def test_models_are_listed_shown_and_verified(tiny_models: Path, in_process) -> None:
    folder = ("--models-folder", tiny_models)
    status, stdout, _ = in_process("models", "list", *folder)
    assert status == 0
    for task in ("pe", "hemorrhage", "pneumothorax", "lungs", "chest"):
        assert f"tiny-{task}" in stdout
    status, stdout, _ = in_process("models", "show", "tiny-lungs", *folder)
    assert status == 0
    assert "Knows nothing." in stdout
    status, stdout, _ = in_process("models", "verify", "tiny-lungs", *folder)
    assert (status, stdout) == (0, "tiny-lungs: files, tensor names and shapes are as stated\n")


def test_predict_writes_the_table(tiny_models: Path, chest_xray: Path, in_process, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    model = ("--models-folder", tiny_models, "--model", "tiny-chest")
    status, stdout, stderr = in_process(
        "predict", "--detector", "chest", "--images", chest_xray, "--out", table, *model
    )
    assert status == 0
    assert all(line.endswith(" %)") for line in stderr.splitlines())
    assert stdout.startswith("1 image scored by PyTorch ")
    assert table.read_text(encoding="utf-8").startswith("image,pneumothorax,effusion,chest_drain,nasogastric")


def test_predict_goes_on_after_a_bad_file_and_ends_with_1(
    tiny_models: Path, chest_xray: Path, in_process, tmp_path: Path
) -> None:
    file = next(chest_xray.rglob("*.dcm"))
    images = tmp_path / "images"
    images.mkdir()
    (images / "good").write_bytes(file.read_bytes())
    (images / "cut.dcm").write_bytes(file.read_bytes()[:3000])
    table = tmp_path / "table.csv"
    status, stdout, stderr = in_process(
        "predict",
        "--detector",
        "chest",
        "--images",
        tmp_path / "images",
        "--out",
        table,
        "--models-folder",
        tiny_models,
    )
    assert status == 1
    assert stdout.startswith("1 image scored by PyTorch ")
    assert "1 image could not be scored" in stderr
    assert "cut.dcm: " in stderr
    assert [line.split(",")[0] for line in table.read_text(encoding="utf-8").splitlines()] == ["image", "good"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_scene", "no_connections")
def test_no_command_that_answers_about_a_study_opens_a_connection(
    tiny_models: Path, chest_xray: Path, in_process, tmp_path: Path
) -> None:
    model = ("--model", tiny_models / "tiny-pneumothorax")
    for command in (
        ("check", chest_xray, "--detector", "pneumothorax"),
        ("run", chest_xray, "--detector", "pneumothorax", *model, "--out", tmp_path / "run"),
        ("predict", "--detector", "pneumothorax", "--images", chest_xray, *model, "--out", tmp_path / "predicted"),
        ("models", "verify", tiny_models / "tiny-pneumothorax"),
    ):
        status, said, complaint = in_process(*command)
        assert status == 0, (command, said, complaint)
