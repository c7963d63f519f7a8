import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import RadiographSettings
from AcuteFindingsLib.models.find import default_package
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.training import first_radiographs, radiograph_sets
from AcuteFindingsLib.training.first_arrays import chest_xray_arrays
from AcuteFindingsLib.training.lesions.radiographs import draw_many, lesion_arrays, read_radiographs
from AcuteFindingsLib.training.real_lesions import app, draw_angiograms, measure_pe, real_row

PEOPLE = ("1", "1", "2", "3", "4", "5", "142")


@pytest.fixture(scope="module")
def lungs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms in the layout of chest-xray-lungs: seven pictures of six people, one of whom is to be left out."""
    data = tmp_path_factory.mktemp("data")
    folder = data / "chest-xray-lungs"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "patient", "view"])
        for number, patient in enumerate(PEOPLE):
            phantom = make_phantom("chest-xray", 30 + number, positive=False, tubes=(), size=96)
            writer.writerow([f"{number}.png", patient, "PA"])
            picture = np.rint(255 * np.clip(phantom.array[0], 0, 1)).astype(np.uint8)
            Image.fromarray(picture[:90]).save(folder / "images" / f"{number}.png")
            Image.fromarray(255 * phantom.masks["lungs"][0][:90]).save(folder / "masks" / f"{number}.png")
    return data


def test_no_patient_is_on_both_sides_and_who_has_a_pneumothorax_is_on_neither(lungs_folder: Path) -> None:
    sides = [read_radiographs(lungs_folder, held_out=held_out) for held_out in (False, True)]
    people = [{one.patient for one in side} for side in sides]
    assert not people[0] & people[1]
    assert people[0] | people[1] == set(PEOPLE) - {"142"}
    assert min(len(side) for side in people) >= 2


def test_a_large_picture_is_made_smaller_with_its_mask(lungs_folder: Path) -> None:
    for one in read_radiographs(lungs_folder, held_out=False, longest=64):
        assert one.image.shape == one.lungs.shape == one.markings.shape == (60, 64)


def test_every_picture_is_drawn_with_and_without_a_pneumothorax(lungs_folder: Path) -> None:
    radiographs = read_radiographs(lungs_folder, held_out=False)
    count = 2 * len(radiographs)
    drawn = draw_many(radiographs, count=count, seed=3)
    assert sorted((one.source.name, one.positive) for one in drawn) == sorted(
        (one.name, positive) for one in radiographs for positive in (True, False)
    )
    again = draw_many(radiographs, count=count, seed=3)
    np.testing.assert_array_equal(drawn[-1].image, again[-1].image)


def test_drawn_pictures_come_as_phantoms_do(lungs_folder: Path) -> None:
    settings = RadiographSettings(size=64, mean=0.5, std=0.25)
    arrays = lesion_arrays(read_radiographs(lungs_folder, held_out=False), settings, count=6)
    phantom = chest_xray_arrays(1, settings={"size": 64}, size=96)
    assert len(arrays) == 6
    for one in arrays:
        assert {name: (part.shape, part.dtype) for name, part in one.items()} == {
            name: (part.shape, part.dtype) for name, part in phantom.items()
        }
        assert one["pneumothorax"].any() == one["pathologies"][0]
        assert not one["pathologies"][1:].any()
        assert one["image"].max() > 100
    assert {int(one["pathologies"][0]) for one in arrays} == {0, 1}


def test_the_command_measures_the_model_that_ships(lungs_folder: Path, tmp_path: Path) -> None:
    arguments = ["pneumothorax", "--data", str(lungs_folder), "--out", str(tmp_path), "--count", "6", "--threads", "1"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    figures = json.loads((tmp_path / "pneumothorax-drawn.json").read_text(encoding="utf-8"))
    assert [one["metric"].split(",")[0] for one in figures] == ["AUC", "Dice of the mask"]
    assert all(one["low"] <= one["value"] <= one["high"] for one in figures)
    assert (tmp_path / "pneumothorax-drawn.png").stat().st_size > 1000
    assert CliRunner().invoke(app, ["bleeds", "--data", ".", "--out", str(tmp_path)]).exit_code != 0


def test_the_real_radiographs_stand_beside_the_readers_outline(data_folder: Path) -> None:
    row = real_row(data_folder, load_predictor(default_package("pneumothorax"), device="cpu"))
    assert [one.title for one in row] == [
        "with pneumothorax:\nthe reader",
        "with pneumothorax:\nthe model",
        "without pneumothorax:\nthe model",
        "without pneumothorax, stored inverted:\nthe model",
    ]
    assert row[0].outline is not None
    assert row[0].outline.any()
    # An inverted file is the same picture.
    assert row[2].note == row[3].note
    assert [bool(one.note) for one in row] == [False, True, True, True]


class _Seer:
    """A detector that sees what was drawn: mean brightness of the artery by slice."""

    def __init__(self, artery: np.ndarray) -> None:
        self.artery = artery

    def run(self, study) -> Finding:
        from types import SimpleNamespace

        low = np.where(self.artery, study.array < 130, False).sum(axis=(1, 2)) / 200
        slices = [SimpleNamespace(probabilities={"pe": float(value)}) for value in np.clip(low, 0, 1)]
        highest = float(low.max())
        verdict = SimpleNamespace(probability=highest, label="positive" if highest > 0.5 else "negative")
        return SimpleNamespace(slices=slices, verdict=verdict)  # type: ignore[return-value]


def test_who_sees_the_drawn_clots_is_given_a_high_figure_that_owns_up_to_one_patient(data_folder: Path) -> None:
    import SimpleITK as sitk

    file = data_folder / "cta-pulmonary-artery" / "pulmonary_artery.nii.gz"
    artery = sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
    figures, panels = measure_pe(
        _Seer(artery).run,
        draw_angiograms(data_folder, count=4),
        artery.any(axis=(1, 2)),
        command="python",
        report=lambda _: None,
    )
    assert [one.count for one in figures] == [4, 4 * len(artery), 4 * int(artery.any(axis=(1, 2)).sum()), 2, 2]
    assert [one.metric.split(",")[0] for one in figures[3:]] == ["Sensitivity", "Specificity"]
    assert figures[1].value > 0.8
    assert all("ONE patient" in one.data for one in figures)
    assert len(panels) == 2


def test_training_with_real_radiographs_says_so_in_the_card(
    lungs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(make, seeds, *, cache: Path, workers: int, sources, **options):
        return [make(seed, settings=options["settings"], size=64) for seed in list(seeds)[:4]]

    monkeypatch.setattr(radiograph_sets, "phantom_arrays", few)
    monkeypatch.setattr(radiograph_sets, "SIZE", 64)
    for module in (radiograph_sets, first_radiographs):
        monkeypatch.setattr(module, "SETTINGS", RadiographSettings(size=64, mean=0.5, std=0.25, flip=True))
    small = [make_phantom("chest-xray", seed, positive=bool(seed % 2), size=96) for seed in range(2)]
    monkeypatch.setattr(first_radiographs, "make_phantom", lambda _kind, seed, **_: small[seed % 2])
    monkeypatch.setattr(
        first_radiographs, "build_network", lambda name, arguments: build_network(name, stored_arguments(arguments))
    )
    monkeypatch.setattr(first_radiographs, "REAL_PICTURES", 8)
    monkeypatch.setitem(first_radiographs.COUNTS, "pneumothorax", 8)
    sizes = {"studies": 4, "steps": 1, "tests": 4, "workers": 1}
    trained = first_radiographs.train_pneumothorax(tmp_path, **sizes, data=lungs_folder, real_steps=1)
    card = trained.card
    assert not card.training_data.phantoms_only
    assert "non-commercial" in card.training_data.restriction
    assert card.license.startswith("CC-BY-NC-SA")
    assert "too few to measure" in card.limitations
    assert card.evaluation[0].metric == "AUC, study"
    drawn = [one for one in card.evaluation if one.metric.endswith("drawn findings")]
    assert len(drawn) == 2
    assert all("not trained on" in one.data for one in drawn)
    assert all(one.command.endswith("real_lesions pneumothorax --data DATA --out OUT --count 8") for one in drawn)
    assert all(one.command.endswith("pneumothorax --data DATA") for one in card.evaluation if one not in drawn)
    assert trained.text.count("after phantoms alone") == 2
    assert "1 steps, 5 of each 16" in card.training_data.count
