"""The model packages that ship: whole, small, honest about what they are, and able to tell blood from none."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from AcuteFindingsLib.detectors.detector import Detector
from AcuteFindingsLib.detectors.load import load_detector
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.models.find import default_package, list_packages
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.resources import resource_path

TASKS = ("pe", "hemorrhage", "pneumothorax", "lungs", "chest")
MODELS = resource_path("Models")
PACKAGES = sorted(folder.name for folder in MODELS.iterdir() if folder.is_dir())
# Measured on findings drawn into real images.
DRAWN = ("pe-sequence-small", "pneumothorax-unet-small")
FITTED_TO_PATIENTS = {"lungs-unet-small", "chest-nih14-64", "hemorrhage-radnet-small", "pneumothorax-unet-small"}
# Its figures come from answers that ship beside it, those of the others from the training itself.
CROSS_VALIDATED = "chest-nih14-64"
# The code that fitted the packages, which recipes have followed since.
FIRST = "python -m AcuteFindingsLib.training.first_models"
LESIONS = "python -m AcuteFindingsLib.training.real_lesions"
COUNTS = {"pe": 24, "pneumothorax": 96}
# What gave the figures of each card.
COMMANDS = {
    "chest-findings-small": {f"{FIRST} chest"},
    "chest-nih14-64": {
        f"{FIRST} chest-64 --data DATA",
        "acutefindings evaluate Resources/Models/chest-nih14-64/docs/cross-validation.csv "
        "--truth DATA/chest-xray-64/Data_Entry.csv",
    },
    "hemorrhage-radnet-small": {
        f"{FIRST} hemorrhage --data DATA",
        *(
            f"acutefindings evaluate Resources/Models/hemorrhage-radnet-small/docs/cross-validation{version}.csv "
            "--truth DATA/head-ct-slices/labels.csv"
            for version in ("", "-neutral", "-baseline")
        ),
        "acutefindings predict --detector hemorrhage --model Resources/Models/hemorrhage-radnet-small "
        "--images DATA/head-ct-slices/images --list DATA/head-ct-slices/labels.csv --out p.csv "
        "&& acutefindings evaluate p.csv --truth DATA/head-ct-slices/labels.csv",
    },
    "lungs-unet-small": {
        f"{FIRST} lungs --data DATA",
        "acutefindings predict --detector lungs --model Resources/Models/lungs-unet-small "
        "--images DATA/chest-xray-lungs/images --out p && acutefindings evaluate p --truth DATA/chest-xray-lungs/masks",
    },
    "pe-sequence-small": {f"{FIRST} pe", f"{LESIONS} pe --data DATA --out OUT --count {COUNTS['pe']}"},
    "pneumothorax-unet-small": {
        f"{FIRST} pneumothorax --data DATA",
        f"{LESIONS} pneumothorax --data DATA --out OUT --count {COUNTS['pneumothorax']}",
    },
}


def shipped(task: str) -> ModelPackage:
    packages = [read_package(folder) for folder in sorted(MODELS.iterdir()) if folder.is_dir()]
    return next(package for package in packages if package.card.task == task)


def detector_of(task: str) -> Detector:
    return load_detector(task, model=str(shipped(task).folder), device="cpu", folders=(MODELS,)).detector


@pytest.mark.parametrize("task", TASKS)
def test_a_package_ships_for_every_task(task: str) -> None:
    assert shipped(task).card.task == task


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_verifies(name: str) -> None:
    verify_package(read_package(MODELS / name))


def test_all_that_ships_is_found_and_none_is_damaged(tmp_path: Path) -> None:
    packages = list_packages(cache=tmp_path)
    assert {package.card.task for package in packages if isinstance(package, ModelPackage)} == set(TASKS)
    assert all(isinstance(package, ModelPackage) for package in packages)


def test_all_packages_together_stay_under_60_mb() -> None:
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert len(files) > len(TASKS)
    assert sum(path.stat().st_size for path in files) < 60e6


@pytest.mark.parametrize("name", PACKAGES)
def test_a_card_says_truthfully_what_the_weights_were_fitted_to(name: str) -> None:
    package = read_package(MODELS / name)
    data = package.card.training_data
    assert data.phantoms_only == (name not in FITTED_TO_PATIENTS)
    assert ("real" in data.summary) != data.phantoms_only
    assert data.summary in package.read_card_text()
    assert ("phantom" in data.summary) == (name != CROSS_VALIDATED)
    if not data.phantoms_only:
        assert data.restriction
    if name == "lungs-unet-small":
        assert "NC" in package.card.license
    assert ("non-commercial" in data.restriction.lower()) == ("NC" in package.card.license)


@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        ("pe-sequence-small", "a patient"),
        ("hemorrhage-radnet-small", "a whole scan of a patient"),
        ("pneumothorax-unet-small", "a real pneumothorax"),
        ("chest-findings-small", "a patient"),
        ("chest-nih14-64", ""),
        ("lungs-unet-small", ""),
    ],
)
def test_a_card_says_what_the_model_never_saw(name: str, unseen: str) -> None:
    package = read_package(MODELS / name)
    assert package.card.never_saw == unseen
    told = f"never saw {unseen}" in package.read_card_text() or package.card.training_data.phantoms_only
    assert told == bool(unseen)


def test_what_was_never_measured_is_not_reported() -> None:
    pe, hemorrhage, chest = (
        read_package(MODELS / name).card
        for name in ("pe-sequence-small", "hemorrhage-radnet-small", "chest-findings-small")
    )
    assert pe.measured_labels() == ("pe",)
    assert hemorrhage.measured_labels() == tuple(label.name for label in hemorrhage.labels)
    assert chest.measured_labels(main=False) == tuple(label.name for label in chest.labels)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_figure_has_its_count_interval_and_command(name: str) -> None:
    card = read_package(MODELS / name).card
    assert card.evaluation
    for figure in card.evaluation:
        assert figure.count > 0
        assert figure.low <= figure.value <= figure.high
        assert figure.data
    assert {figure.command for figure in card.evaluation} == COMMANDS[name]


@pytest.mark.parametrize("name", DRAWN)
def test_where_real_positives_are_too_few_the_card_says_so_and_shows_drawn_ones(name: str) -> None:
    package = read_package(MODELS / name)
    card = package.card
    assert "too few to measure" in card.limitations
    drawn = [figure for figure in card.evaluation if "drawn" in figure.metric]
    assert any(figure.metric.startswith("AUC") and figure.count == COUNTS[card.task] for figure in drawn)
    assert any(figure.data.startswith("held-out") for figure in card.evaluation)
    (picture,) = card.pictures
    assert (package.folder / "docs" / picture.file).read_bytes().startswith(b"\x89PNG")
    assert picture.caption in package.read_card_text()


def test_who_names_no_model_gets_the_one_that_knows_tubes(tmp_path: Path) -> None:
    assert default_package("chest", cache=tmp_path).id == "chest-findings-small"


@pytest.mark.parametrize("task", ["pe", "hemorrhage", "pneumothorax"])
def test_a_detector_tells_held_out_phantoms_apart(task: str) -> None:
    figure = next(item for item in shipped(task).card.evaluation if item.metric == "AUC, study")
    assert "held-out" in figure.data
    assert "positive" in figure.data
    assert figure.value >= 0.95


@pytest.mark.slow
def test_the_heat_map_of_the_pe_model_lies_on_the_emboli() -> None:
    phantom = make_phantom("ctpa", 900_001, positive=True, matrix=320)
    study = phantom_study(phantom)
    heatmap = detector_of("pe").run(study).heatmap
    assert heatmap is not None
    assert heatmap.array.max() > 128
    near = ndimage.binary_dilation(phantom.masks["embolus"], iterations=4)
    lit = np.argwhere(heatmap.array)
    on_study = np.linalg.inv(study.ijk_to_ras) @ heatmap.ijk_to_ras @ np.c_[lit[:, ::-1], np.ones(len(lit))].T
    weights = heatmap.array[tuple(lit.T)].astype(float)
    hit = near[tuple(np.rint(on_study[2::-1]).astype(int))]
    assert weights[hit].sum() > 0.7 * weights.sum()


@pytest.mark.parametrize("task", ["hemorrhage", "pneumothorax", "lungs"])
def test_masks_of_held_out_phantoms_overlap_the_truth(task: str) -> None:
    card = shipped(task).card
    figure = next(item for item in card.evaluation if item.metric.startswith("Dice") and "held-out" in item.data)
    assert figure.value >= 0.7


def test_the_lungs_of_patients_not_trained_on_are_outlined_as_people_do() -> None:
    figure = next(item for item in shipped("lungs").card.evaluation if item.metric == "Dice, cross-validated")
    assert figure.count == 58
    assert figure.value >= 0.955


@pytest.mark.parametrize("version", ["as they are", "neutral version"])
def test_hemorrhage_on_real_slices_is_told_from_what_their_look_gives_away(version: str) -> None:
    figures = {item.metric: item for item in shipped("hemorrhage").card.evaluation}
    figure = figures[f"AUC, slice, cross-validated, {version}"]
    baseline = next(item for metric, item in figures.items() if "baseline" in metric)
    assert figure.count == baseline.count == 140
    assert figure.value >= 0.97
    assert figure.low > baseline.value


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("hemorrhage", "head-ct"), ("pneumothorax", "chest-xray")])
def test_positives_score_above_negatives_on_seeds_that_no_card_knows(name: str, kind: str, tmp_path: Path) -> None:
    detector = detector_of(name)
    scores: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(850_000, 850_003):
        for positive in (True, False):
            finding = detector.run(phantom_study(make_phantom(kind, seed, positive=positive)))
            scores[positive].append(finding.verdict.probability)
    assert np.mean(scores[True]) > np.mean(scores[False])
