import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from AcuteFindingsLib import __version__, cli
from AcuteFindingsLib.study.reader import read_study

SHORT = "from AcuteFindingsLib.cli import main; main()"


def command(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess:
    """Run `acutefindings` in a process of its own, as a shell does."""
    return subprocess.run(
        [sys.executable, "-c", SHORT, *map(str, arguments)], capture_output=True, text=True, cwd=folder, check=False
    )


def assert_one_line(run: subprocess.CompletedProcess, *, holds: str) -> None:
    *progress, line = run.stderr.splitlines()
    assert run.returncode == 2
    assert all(told.endswith(" %)") for told in progress), run.stderr
    assert line.startswith("acutefindings: ")
    assert holds in line
    assert run.stdout == ""


@pytest.fixture(scope="module")
def flat_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT volume in which every voxel has the same value: every check refuses it."""
    path = tmp_path_factory.mktemp("flat") / "flat.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 16, 16), -1000, np.int16)), str(path))
    return path


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Run the command in this process: `status, stdout, stderr = in_process("check", ...)`."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["acutefindings", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        # rich writes to the stream of the moment; what it wrote went to the captured ones.
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


def test_help_names_every_command() -> None:
    run = command("--help")
    assert (run.returncode, run.stderr) == (0, "")
    for name in ("run", "check", "predict", "phantom", "models", "demo"):
        assert name in run.stdout
    assert "esearch use only" in run.stdout


def test_the_version_is_printed() -> None:
    run = command("--version")
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, f"acutefindings {__version__}", "")


@pytest.mark.parametrize("arguments", [(), ("models",)])
def test_no_command_shows_the_help(arguments: tuple[str, ...], in_process) -> None:
    status, out, err = in_process(*arguments)
    assert (status, err) == (0, "")
    assert "Usage" in out


@pytest.mark.slow
def test_the_installed_command_is_the_same() -> None:
    script = Path(sys.executable).with_name("acutefindings")
    if not script.is_file():
        pytest.skip("the package is not installed in this environment")
    run = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == f"acutefindings {__version__}"


@pytest.mark.slow
def test_a_missing_study_ends_in_one_line(tmp_path: Path) -> None:
    run = command("run", tmp_path / "nowhere", "--detector", "pe", "--out", tmp_path / "out")
    assert_one_line(run, holds="does not exist")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_text_file_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image\n" * 100, encoding="utf-8")
    assert_one_line(command("check", tmp_path / "notes.txt", "--detector", "pe"), holds="notes.txt")


@pytest.mark.slow
def test_a_refused_study_ends_in_one_line(flat_ct: Path, tmp_path: Path) -> None:
    run = command("run", flat_ct, "--detector", "hemorrhage", "--out", tmp_path / "out")
    assert_one_line(run, holds="[constant-image]")
    assert "--force" in run.stderr
    assert not (tmp_path / "out").exists()


def test_options_by_their_earlier_names_are_understood_and_the_new_name_is_told(in_process, tmp_path: Path) -> None:
    status, _, err = in_process("models", "import", tmp_path / "none.pth", "--licence=CC-BY-4.0")
    told, *_ = err.splitlines()
    assert told == "acutefindings: --licence is called --license now."
    assert status == 2
    assert "--licence" not in err.removeprefix(told)


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        (("run", "x", "--out", "y", "--detector", "appendicitis"), "choose one of pe, hemorrhage, pneumothorax, auto"),
        (("run", "x", "--out", "y", "--device", "toaster"), "choose one of auto, cpu, cuda"),
        (("demo", "--device", "cuda:"), "choose one of auto, cpu, cuda, cuda:N, coreml, directml, openvino"),
        (("explain", "--detector", "chest", "--images", "x", "--out", "y", "--device", "cuda:x"), "choose one of auto"),
        (("train", "x", "--device", "coreml"), "choose one of auto, cpu, cuda, cuda:N"),
        (("demo", "--threads", "0"), "--threads"),
        (("predict", "--detector", "pe", "--images", "x", "--out", "y"), "hemorrhage, pneumothorax, lungs, chest"),
        (("phantom", "leg", "--out", "y"), "choose one of ctpa, head-ct, chest-xray"),
        (("phantom", "head-ct", "--out", "y", "--count", "0"), "--count"),
        (("check", "x"), "--detector"),
        (("run", "x"), "--out"),
        (("run",), "acutefindings run --help tells more"),
        (("jump",), "No such command 'jump'"),
        (("run", "x", "--out", "y", "--colour", "red"), "--colour"),
        (("check", "x", "--detector"), "--detector"),
        (("models", "show"), "ID|FOLDER"),
        (("models", "show", "no-such-model"), "no-such-model"),
        (("models", "verify", "no-such-model"), "no-such-model"),
        (("models", "list", "--models-folder", "nowhere"), "nowhere is not a folder"),
        (("predict", "--detector", "chest", "--images", "nowhere", "--out", "y"), "nowhere is not a folder"),
    ],
)
def test_a_wrong_command_line_ends_in_one_line(
    arguments: tuple[str, ...], holds: str, in_process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = in_process(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("acutefindings: ")
    assert err.count("\n") == 1
    assert holds in err
    assert not list(tmp_path.iterdir())


def test_a_missing_option_ends_in_one_line_in_a_shell() -> None:
    assert_one_line(command("check", "x"), holds="Missing option '--detector'")


def test_a_file_that_may_not_be_read_or_written_ends_in_one_line(in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "study.dcm")

    monkeypatch.setattr("AcuteFindingsLib.study.reader.read_study", refuse)
    status, out, err = in_process("check", "study.dcm", "--detector", "pe")
    assert (status, out, err) == (2, "", "acutefindings: Permission denied: study.dcm.\n")


def test_stopping_on_request_is_said_without_a_traceback(in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("AcuteFindingsLib.study.reader.read_study", stop)
    status, _, err = in_process("check", "study.dcm", "--detector", "pe")
    assert (status, err) == (130, "acutefindings: stopped on request.\n")


def test_check_answers_in_json(flat_ct: Path) -> None:
    answer = CliRunner().invoke(cli.app, ["check", str(flat_ct), "--detector", "hemorrhage", "--json"])
    assert answer.exit_code == 1  # refused
    data = json.loads(answer.stdout)
    assert (data["input"], data["detector"], data["fits"]) == ("flat.nii.gz", "hemorrhage", False)
    assert "constant-image" in [notice["code"] for notice in data["notices"]]
    for notice in data["notices"]:
        assert set(notice) == {"code", "severity", "text"}
        assert notice["severity"] in ("refuse", "warn", "info")
        assert notice["text"].endswith(".")


def test_check_answers_in_words_and_brackets_in_a_name_survive(flat_ct: Path) -> None:
    named = flat_ct.rename(flat_ct.with_name("flat [bold] one.nii.gz"))
    answer = CliRunner().invoke(cli.app, ["check", str(named), "--detector", "hemorrhage"])
    named.rename(flat_ct)
    assert answer.exit_code == 1  # refused
    assert "REFUSED" in answer.stdout
    assert "constant-image" in answer.stdout
    assert "[bold]" in answer.stdout


@pytest.mark.slow
def test_check_of_real_studies_says_what_a_clinician_would(data_folder: Path) -> None:
    def notices(folder: str, detector: str) -> tuple[bool, list[str]]:
        answer = CliRunner().invoke(cli.app, ["check", str(data_folder / folder), "--detector", detector, "--json"])
        data = json.loads(answer.stdout)
        return data["fits"], [notice["text"] for notice in data["notices"] if notice["severity"] == "refuse"]

    fits, refusals = notices("chest-ct-dicom", "pe")
    assert not fits
    assert any("contrast" in text for text in refusals)
    assert notices("head-ct-dicom", "hemorrhage") == (True, [])


@pytest.mark.parametrize("task", ["list", "verify"])
def test_that_there_is_no_model_is_said(task: str, in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("AcuteFindingsLib.models.find.list_packages", lambda **_: [])
    status, out, err = in_process("models", task)
    assert (status, err) == (0, "")
    assert out.startswith("No model package was found; name a folder")


def test_phantom_writes_studies_with_their_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from AcuteFindingsLib.detectors import phantoms

    real = phantoms.make_phantom
    monkeypatch.setattr(phantoms, "make_phantom", lambda kind, seed, **fields: real(kind, seed, size=96, **fields))
    answer = CliRunner().invoke(
        cli.app, ["phantom", "chest-xray", "--out", str(tmp_path), "--count", "2", "--seed", "7", "--negative"]
    )
    assert answer.exit_code == 0
    folders = [tmp_path / "chest-xray-0007", tmp_path / "chest-xray-0008"]
    assert answer.stdout.split() == [str(folder) for folder in folders]
    for folder in folders:
        assert read_study(folder / "dicom").array.shape == (1, 96, 96)
        with (folder / "truth" / "study.csv").open(newline="", encoding="utf-8") as stream:
            assert next(csv.DictReader(stream))["pneumothorax"] == "0"
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "truth" / "pneumothorax.nrrd")))
        assert not mask.any()
