"""Outputs that exclude each other answer with their softmax."""

from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from AcuteFindingsLib.detectors.importing import import_model
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.heads import is_exclusive
from AcuteFindingsLib.models.importing.import_model import Identity
from AcuteFindingsLib.models.load import load_predictor

FILE = Path("m.pt")
FINDINGS = ("pneumothorax", "effusion", "edema")


@pytest.mark.parametrize("labels", [("normal", "pneumothorax"), ("No Finding", "effusion"), ("edema", "no_edema")])
def test_of_two_labels_one_of_which_is_nothing_one_is_true(labels):
    assert is_exclusive(FILE, labels, None, findings=FINDINGS)


@pytest.mark.parametrize("labels", [("pneumothorax",), ("pneumothorax", "effusion"), tuple("abcde")])
def test_findings_stand_each_for_itself(labels):
    assert not is_exclusive(FILE, labels, None, findings=FINDINGS)


@pytest.mark.parametrize("labels", [("benign", "malignant"), ("class_0", "class_1"), ("normal", "viral", "bacterial")])
def test_what_is_not_plain_is_asked_and_may_be_said(labels):
    with pytest.raises(ModelError, match="--head softmax"):
        is_exclusive(FILE, labels, None, findings=FINDINGS)
    assert is_exclusive(FILE, labels, "softmax", findings=FINDINGS)
    assert not is_exclusive(FILE, labels, "sigmoid", findings=FINDINGS)


def test_a_softmax_of_one_number_is_refused():
    with pytest.raises(ModelError, match="always 1"):
        is_exclusive(FILE, ("pneumothorax",), "softmax", findings=FINDINGS)


@pytest.mark.slow
def test_a_mask_of_several_classes_is_their_softmax_and_the_proof_asks_for_it(tmp_path):
    torch.manual_seed(3)
    source = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=3).eval()
    torch.save(source.state_dict(), tmp_path / "m.pt")
    options = Options(task="lungs", size=64, channel=2, encoder="resnet18", decoder="unet")
    package = import_model(tmp_path / "m.pt", architecture="segmentation-model", out=tmp_path / "m", options=options)
    assert package.card.origin.largest_difference < 1e-4
    batch = np.random.default_rng(1).random((1, 1, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        expected = source(torch.from_numpy(batch)).softmax(dim=1)[:, 2:].numpy()
    logits = load_predictor(package, device="cpu").predict(batch)["mask"]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-5)
    with pytest.raises(ModelError, match="came with AcuteFindings"):
        import_model(
            tmp_path / "m.pt",
            architecture="segmentation-model",
            out=tmp_path / "n",
            options=options,
            identity=Identity(id="lungs-unet-small"),
        )
