"""The commands as a person types them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from AcuteFindingsLib.cli import app

pytestmark = pytest.mark.slow

COMMANDS = ("evaluate", "compare", "agree", "join-runs", "explain")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        generator = np.random.default_rng(number)
        y, x = np.mgrid[-1:1:72j, -1:1:64j]
        gray = 190 - 150 * np.exp(-((np.abs(x) - 0.45) ** 2 * 12 + y**2 * (1 + number % 5))) + generator.normal(0, 6)
        sitk.WriteImage(sitk.GetImageFromArray(gray.clip(0, 255).astype(np.uint8)), str(folder / f"{number:02d}.png"))
    return folder


def test_predict_then_evaluate_gives_the_area_of_the_table(images, table, small_models, tmp_path: Path) -> None:
    labels = table("labels.csv", ["image", "effusion"], [[f"{n:02d}.png", int(n % 3 == 0)] for n in range(12)])
    folder = ("--models-folder", small_models)
    model = ("--model", "small-chest", *folder)
    run("predict", "--detector", "chest", "--images", images, "--list", labels, "--out", tmp_path / "p.csv", *model)
    out = tmp_path / "out"
    found = json.loads(run("evaluate", tmp_path / "p.csv", "--truth", labels, "--out", out, "--json", *model))
    with (tmp_path / "p.csv").open(newline="") as stream:
        scores = [float(row["effusion"]) for row in csv.DictReader(stream)]
    (label,) = found["levels"][0]["labels"]
    assert label["auc"]["value"] == pytest.approx(roc_auc_score([n % 3 == 0 for n in range(12)], scores))
    assert label["points"][0]["threshold"] == 0.45
    assert json.loads((out / "evaluation.json").read_text()) == found
    assert "effusion" in (out / "evaluation.html").read_text(encoding="utf-8")


def test_compare_agree_and_join_runs_print_what_they_found(table, tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(20)]
    truth = table("truth.csv", ["image", "any"], [[name, int(n < 8)] for n, name in enumerate(names)])
    first = table("a.csv", ["image", "any"], [[name, 1 - n / 20] for n, name in enumerate(names)])
    second = table("b.csv", ["image", "any"], [[name, (n * 7 % 20) / 20] for n, name in enumerate(names)])
    said = run("compare", first, second, "--truth", truth, "--out", tmp_path / "out")
    assert "DeLong" in said
    assert (tmp_path / "out" / "comparison.html").is_file()
    run("join-runs", first, second, "--out", tmp_path / "preds.csv", "--order", truth)
    joined = json.loads(run("evaluate", tmp_path / "preds.csv", "--truth", truth, "--json"))
    assert [item["name"] for item in joined["levels"][0]["runs"]] == ["Preds_model1", "Preds_model2"]
    other = table("other.csv", ["image", "any"], [[name, int(n < 10)] for n, name in enumerate(names)])
    assert "0.80" in run("agree", truth, other)


def test_explain_shows_a_folder_of_images(images, small_models, tmp_path: Path) -> None:
    out = tmp_path / "ex"
    said = run("explain", "--detector", "chest", "--images", images, "--out", out, "--count", 2, "--model",
               "small-chest", "--models-folder", small_models)  # fmt: skip
    assert "2 of 12 images shown" in said
    assert (out / "contact-sheet.png").is_file()


@pytest.mark.parametrize("threshold", ["effusion=2", "effusion=high", "=0.5"])
def test_an_impossible_threshold_is_named(threshold: str, table) -> None:
    path = table("t.csv", ["image", "effusion"], [["a", 1]])
    with pytest.raises(Exception, match="LABEL=NUMBER"):
        CliRunner().invoke(
            app, ["evaluate", str(path), "--truth", str(path), "--threshold", threshold], catch_exceptions=False
        )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(command: str) -> None:
    assert "--" in run(command, "--help")
