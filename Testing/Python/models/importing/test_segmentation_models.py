"""Checkpoints of segmentation-models-pytorch."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from AcuteFindingsLib.detectors.importing import import_model, recognize
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.proof import TOLERANCE
from AcuteFindingsLib.models.load import load_predictor

pytestmark = pytest.mark.slow


def model(architecture="unet", **changes):
    torch.manual_seed(3)
    arguments = {"encoder_name": "resnet18", "encoder_weights": None, "in_channels": 3, "classes": 1, **changes}
    return smp.create_model(architecture, **arguments).eval()


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "deeplabv3plus"])
def test_a_lightning_checkpoint_becomes_a_pneumothorax_segmenter(tmp_path, architecture):
    network = model(architecture)
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 4}, tmp_path / "best.ckpt")
    assert recognize(tmp_path / "best.ckpt") == "segmentation-model"
    options = Options(size=64, encoder="resnet18", decoder=architecture)
    package = import_model(
        tmp_path / "best.ckpt", architecture="segmentation-model", out=tmp_path / "s", options=options
    )
    assert package.card.origin.compared_with == "segmentation-models-pytorch"
    assert package.card.origin.largest_difference <= TOLERANCE
    assert package.card.task == "pneumothorax"
    gray = torch.rand(1, 1, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = network((gray - mean[:, None, None]) / std[:, None, None]).numpy()
    given = load_predictor(package, device="cpu").predict(gray.numpy())["mask"]
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_a_folder_of_save_pretrained_says_itself_what_it_is(tmp_path):
    model(in_channels=1, classes=3).save_pretrained(str(tmp_path / "hub"))
    with pytest.raises(ModelError, match="draws 3 classes; say which one is meant with --channel 0 to 2"):
        import_model(tmp_path / "hub", architecture="segmentation-model", out=tmp_path / "s", options=Options(size=64))
    options = Options(size=64, task="lungs", channel=2)
    package = import_model(tmp_path / "hub", architecture="segmentation-model", out=tmp_path / "s", options=options)
    assert package.card.task == "lungs"
    assert package.card.threshold("mask", "lungs") == 0.5
    assert package.card.origin.largest_difference <= TOLERANCE


def test_a_checkpoint_that_does_not_say_which_network_it_is_asks(tmp_path):
    torch.save(model().state_dict(), tmp_path / "x.pth")
    with pytest.raises(ModelError, match="with --decoder and its encoder"):
        import_model(tmp_path / "x.pth", architecture="segmentation-model", out=tmp_path / "s")


def test_another_encoder_than_named_is_refused_by_its_shapes(tmp_path):
    torch.save(model().state_dict(), tmp_path / "x.pth")
    options = Options(size=64, encoder="resnet34", decoder="unet")
    with pytest.raises(ModelError, match=r"encoder.layer1.2.conv1.weight is missing"):
        import_model(tmp_path / "x.pth", architecture="segmentation-model", out=tmp_path / "s", options=options)


def test_a_network_built_otherwise_is_refused(tmp_path):
    model(decoder_attention_type="scse").save_pretrained(str(tmp_path / "hub"))
    with pytest.raises(ModelError, match="decoder_attention_type 'scse'"):
        import_model(tmp_path / "hub", architecture="segmentation-model", out=tmp_path / "s", options=Options(size=64))
