"""Checkpoints of segmentation-models-pytorch."""

import json

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from AcuteFindingsLib.detectors.importing import import_model, recognize
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.proof import TOLERANCE
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.networks.pneumothorax import ARCHITECTURES

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


OTHERS = sorted({*ARCHITECTURES} - {"unet", "unetplusplus", "deeplabv3plus"})


@pytest.mark.parametrize("architecture", OTHERS)
def test_every_decoder_on_an_encoder_of_timm_answers_as_its_source(tmp_path, architecture):
    network = model(architecture, encoder_name="tu-test_efficientnet", in_channels=1)
    torch.save({"model": network.state_dict()}, tmp_path / "m.pt")
    options = Options(size=128, encoder="test_efficientnet", decoder=architecture)
    package = import_model(tmp_path / "m.pt", architecture="segmentation-model", out=tmp_path / "s", options=options)
    assert package.card.origin.largest_difference <= TOLERANCE
    gray = torch.rand(1, 1, 128, 128)
    with torch.inference_mode():
        expected = network(gray).numpy()
    np.testing.assert_allclose(load_predictor(package, device="cpu").predict(gray.numpy())["mask"], expected, atol=1e-4)


def test_a_network_built_otherwise_than_by_default_is_built_so(tmp_path):
    network = model(
        in_channels=1, decoder_attention_type="scse", decoder_channels=(64, 32, 16, 16, 16), activation="sigmoid"
    )
    network.save_pretrained(str(tmp_path / "hub"))
    package = import_model(
        tmp_path / "hub", architecture="segmentation-model", out=tmp_path / "s", options=Options(size=64)
    )
    assert package.card.origin.largest_difference <= TOLERANCE
    gray = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected = network(gray).numpy()
    given = load_predictor(package, device="cpu").predict(gray.numpy())["mask"]
    np.testing.assert_allclose(1 / (1 + np.exp(-given)), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"activation": "tanh"}, "activation 'tanh'"),
        ({"decoder_magic": 3}, "decoder_magic 3"),
        ({"decoder_channels": [64, 32]}, "does not go on the encoder"),
        ({"decoder_interpolation": "/etc/passwd"}, "is not a name"),
    ],
)
def test_a_network_built_as_none_here_is_refused(tmp_path, changed, told):
    model(in_channels=1).save_pretrained(str(tmp_path / "hub"))
    config = tmp_path / "hub/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changed}))
    with pytest.raises(ModelError, match=told):
        import_model(tmp_path / "hub", architecture="segmentation-model", out=tmp_path / "s", options=Options(size=64))


def test_the_activation_in_the_settings_says_how_classes_are_read(tmp_path):
    for activation, exclusive in [("sigmoid", False), ("softmax2d", True), (None, True)]:
        folder = tmp_path / f"hub-{activation}"
        model(in_channels=1, classes=2).save_pretrained(str(folder))
        config = folder / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "activation": activation}))
        options = Options(size=64, channel=1)
        out = tmp_path / f"m-{activation}"
        package = import_model(folder, architecture="segmentation-model", out=out, options=options, prove=False)
        assert ("classes" in package.card.network.arguments) == exclusive
