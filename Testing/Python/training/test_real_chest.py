from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from AcuteFindingsLib.detectors.radiograph import RadiographSettings
from AcuteFindingsLib.evaluation.calibration import calibration_error
from AcuteFindingsLib.networks.chest import ChestClassifier
from AcuteFindingsLib.training.first_chest64 import ENOUGH_PEOPLE, figures
from AcuteFindingsLib.training.real_chest import RealChests, cross_validate, fit_to_chests, read_chests, score_chests

SETTINGS = RadiographSettings(size=32, mean=0.5, std=0.25)
LABEL = "pneumothorax"


@pytest.fixture(scope="module")
def chests(builders, tmp_path_factory: pytest.TempPathFactory) -> RealChests:
    folder = builders.build_nih(tmp_path_factory.mktemp("nih"), patients=2 * ENOUGH_PEOPLE)
    return read_chests(folder, SETTINGS)


def scaled(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.25


def network(chests: RealChests) -> ChestClassifier:
    torch.manual_seed(0)
    return ChestClassifier(backbone="resnet10t", pathologies=chests.names, tubes=[])


def test_radiographs_come_with_fourteen_findings_and_their_patients(chests: RealChests) -> None:
    count = 4 * ENOUGH_PEOPLE
    assert chests.images.shape == (count, 32, 32)
    assert chests.labels.shape == (count, 14)
    assert len(set(chests.patients)) == count / 2
    finding = chests.names.index(LABEL)
    assert chests.patients_with(finding) == ENOUGH_PEOPLE
    assert chests.labels[:, finding].sum() == 2 * ENOUGH_PEOPLE


def test_a_finding_starts_as_probable_as_it_is_often(chests: RealChests) -> None:
    often = chests.labels.mean(axis=0)
    fitted = fit_to_chests(network(chests), chests, np.arange(len(chests.images)), steps=1)
    stated = torch.sigmoid(fitted.pathologies.bias.detach()).numpy()
    finding = chests.names.index(LABEL)
    assert stated[finding] == pytest.approx(often[finding], abs=0.02)
    assert stated[often == 0].max() < 0.1


def test_no_patient_is_scored_by_a_network_that_saw_them(chests: RealChests) -> None:
    found = cross_validate(lambda: network(chests), chests, steps=1)
    assert found["probabilities"].shape == found["often"].shape == chests.labels.shape
    for patient in set(chests.patients):
        assert len(set(found["fold"][chests.patients == patient])) == 1
    for fold in set(found["fold"]):
        held_out = found["fold"] == fold
        assert found["often"][held_out][0] == pytest.approx(chests.labels[~held_out].mean(axis=0))


def test_probabilities_are_those_of_the_network(chests: RealChests) -> None:
    fresh = network(chests).eval()
    scores = score_chests(fresh, chests.images[:3])
    with torch.inference_mode():
        images = scaled(torch.from_numpy(chests.images[:3].astype(np.float32))[:, None])
        assert scores == pytest.approx(fresh(images)["pathologies"].sigmoid().numpy(), abs=1e-6)


def test_figures_of_findings_of_few_people_are_called_too_few(chests: RealChests) -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.random(chests.labels.shape) * 0.5 + 0.4 * chests.labels
    found = {"probabilities": probabilities, "often": np.tile(chests.labels.mean(axis=0), (len(probabilities), 1))}
    labels = chests.labels.copy()
    rare = chests.names.index("hernia")
    labels[:3, rare] = 1
    told = {item.metric: item for item in figures(replace(chests, labels=labels), found)}
    assert "too few people" not in told["AUC, pneumothorax"].data
    assert "too few people" in told["AUC, hernia"].data
    assert "3 with it, of 2 people" in told["AUC, hernia"].data
    finding = chests.names.index(LABEL)
    error = told["CWCE, pneumothorax"]
    assert error.value == pytest.approx(calibration_error(labels[:, finding], probabilities[:, finding]))
    assert error.low <= error.value <= error.high
    assert told["CWCE of one who does not look and states how often each finding occurs"].value < 0.1
    (mean,) = (item for name, item in told.items() if name.startswith("AUC, mean"))
    assert mean.low < mean.value < mean.high
