"""DenseNet121 of the four forms in which people have it."""

import re

import numpy as np
import pytest
import timm
import torch
from scipy.special import expit
from torchvision.models import densenet121

from AcuteFindingsLib.detectors.importing import import_model, recognize
from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images
from AcuteFindingsLib.detectors.radiograph_scorers import ChestScorer
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.proof import TOLERANCE
from AcuteFindingsLib.models.load import load_predictor

pytestmark = pytest.mark.slow

SIZE = Options(size=64)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(5)


def randomized(network):
    """Give batch norms statistics of their own, so that none can be swapped unseen."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def save(state, path):
    torch.save(state, path)
    return path


def proven(package):
    assert package.card.origin.largest_difference <= TOLERANCE
    assert package.card.task == "chest"
    return package


def pictures():
    return [np.random.default_rng(1).uniform(0, 1, (50, 64)).astype(np.float32)]


def test_torchvision(tmp_path):
    network = randomized(densenet121(num_classes=14))
    path = save(network.state_dict(), tmp_path / "tv.pth")
    package = proven(import_model(path, architecture="densenet121", out=tmp_path / "tv", options=SIZE))
    assert package.card.origin.compared_with == "torchvision"
    assert [label.name for label in package.card.labels][:2] == ["atelectasis", "cardiomegaly"]
    # The network takes gray pictures and normalizes its three channels as ImageNet's.
    predictor = load_predictor(package, device="cpu")
    gray = torch.rand(1, 1, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = network((gray - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(
        torch.from_numpy(predictor.predict(gray.numpy())["pathologies"]), expected, atol=1e-4, rtol=1e-4
    )


def test_timm_with_one_output_is_a_pneumothorax_classifier(tmp_path):
    network = randomized(timm.create_model("densenet121", num_classes=1, in_chans=1))
    path = save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "timm.ckpt")
    options = Options(size=64, mean=(0.5,), std=(0.25,))
    package = proven(import_model(path, architecture="densenet121", out=tmp_path / "t", options=options))
    assert [label.name for label in package.card.labels] == ["pneumothorax"]
    shown = network_images(pictures(), RadiographSettings(size=64, mean=0.5, std=0.25, equalise=False))
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(shown))).numpy()
    given = ChestScorer(load_predictor(package, device="cpu")).probabilities(pictures())
    assert np.abs(given - expected).max() < TOLERANCE


@pytest.mark.parametrize("with_points", [True, False])
def test_torchxrayvision_with_its_op_norm_and_its_range(tmp_path, with_points):
    xrv = pytest.importorskip("torchxrayvision")
    points = torch.linspace(0.02, 0.7, 18)
    points[5] = float("nan")
    network = randomized(xrv.models.DenseNet(num_classes=18, op_threshs=points if with_points else None))
    path = save(network.state_dict(), tmp_path / "xrv.pt")
    package = proven(import_model(path, architecture="densenet121", out=tmp_path / "xrv", options=SIZE))
    assert package.card.origin.compared_with == "TorchXRayVision"
    assert [label.name for label in package.card.labels] == [name.lower().replace(" ", "_") for name in network.targets]
    settings = RadiographSettings.model_validate(package.card.preprocessing)
    shown = network_images(pictures(), settings)
    plain = network_images(pictures(), RadiographSettings(size=64, equalise=False))
    # As torchxrayvision's `normalize` with a maximum of 1.
    np.testing.assert_allclose(shown, (2 * plain - 1) * 1024, atol=0.01)
    with torch.inference_mode():
        expected = network(torch.from_numpy(shown)).numpy()
    given = ChestScorer(load_predictor(package, device="cpu")).probabilities(pictures())
    if not with_points:
        expected = expit(expected)
    assert np.abs(given - expected).max() < TOLERANCE
    if with_points:
        assert given[0, 5] == pytest.approx(0.5)
        assert "not trained on emphysema" in package.card.limitations


def test_chexnet_with_old_names_below_a_parallel_module(tmp_path):
    network = randomized(densenet121(num_classes=14))
    old = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        name = re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name)
        old["module.densenet121." + name.replace("classifier.", "classifier.0.")] = value
    assert "module.densenet121.features.denseblock1.denselayer1.norm.1.weight" in old
    path = save({"state_dict": old, "best_loss": 0.1, "epoch": 1}, tmp_path / "model.pth.tar")
    assert recognize(path) == "densenet121"
    package = proven(import_model(path, architecture="densenet121", out=tmp_path / "c", options=SIZE))
    assert "CheXNet" in package.card.origin.form
    assert package.card.labels[7].name == "pneumothorax"


def test_imagenet_weights_are_a_part_to_start_from(tmp_path):
    path = save(randomized(densenet121()).state_dict(), tmp_path / "imagenet.pth")
    package = import_model(path, architecture="densenet121", out=tmp_path / "i")
    assert package.card.task == "part"
    assert package.card.network.name == "image_features"
    assert package.card.origin.largest_difference <= TOLERANCE


def test_outputs_that_nobody_named_are_asked_for(tmp_path):
    path = save(densenet121(num_classes=3).state_dict(), tmp_path / "three.pth")
    with pytest.raises(ModelError, match=r"gives 3 numbers, and 0 names are known for them; .* --labels"):
        import_model(path, architecture="densenet121", out=tmp_path / "x", options=SIZE)
    options = Options(size=64, labels=("pneumothorax", "effusion", "edema"))
    package = import_model(path, architecture="densenet121", out=tmp_path / "x", options=options)
    assert [label.code for label in package.card.labels] == ["36118008", "60046008", "19242006"]


def test_wrong_shapes_are_named_the_first_three(tmp_path):
    state = densenet121(num_classes=14).state_dict()
    for number in range(1, 6):
        state[f"features.denseblock1.denselayer{number}.norm1.weight"] = torch.ones(3)
    path = save(state, tmp_path / "wrong.pth")
    with pytest.raises(ModelError) as raised:
        import_model(path, architecture="densenet121", out=tmp_path / "x", options=SIZE)
    text = str(raised.value)
    assert "denselayer1.norm1.weight is (3,), expected (64,)" in text
    assert text.count("expected (") == 3
    assert "and 2 more" in text
    assert not (tmp_path / "x").exists()


def test_missing_layers_are_named(tmp_path):
    state = {
        name: value for name, value in densenet121(num_classes=14).state_dict().items() if "denseblock4" not in name
    }
    path = save(state, tmp_path / "short.pth")
    with pytest.raises(ModelError, match=r"denseblock4.denselayer1.norm1.weight is missing; .*; and \d+ more"):
        import_model(path, architecture="densenet121", out=tmp_path / "x", options=SIZE)


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/acutefindings-evil",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save({"state_dict": densenet121(num_classes=14).state_dict(), "hook": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="refused: it is a pickle that holds more than tensors and could run code"):
        import_model(tmp_path / "evil.pth", architecture="densenet121", out=tmp_path / "x", options=SIZE)
    assert list(tmp_path.iterdir()) == [tmp_path / "evil.pth"]


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(densenet121(num_classes=14), tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="could run code"):
        import_model(tmp_path / "whole.pt", architecture="densenet121", out=tmp_path / "x", options=SIZE)


def test_a_truncated_file_is_refused(tmp_path):
    path = save(densenet121(num_classes=14).state_dict(), tmp_path / "cut.pth")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"cut\.pth is not a readable PyTorch weights file"):
        import_model(path, architecture="densenet121", out=tmp_path / "x", options=SIZE)


def test_another_network_is_refused_with_what_it_begins_with(tmp_path):
    path = save({"conv1.weight": torch.ones(3)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match=r"another network: there is no features\.conv0\.weight .*begins with conv1"):
        import_model(path, architecture="densenet121", out=tmp_path / "x", options=SIZE)


@pytest.mark.parametrize("prefix", ["features.", "backbone.0.", ""])
def test_a_backbone_without_classes_becomes_a_part(tmp_path, prefix):
    network = randomized(densenet121())
    state = {f"{prefix}{name}": value for name, value in network.features.state_dict().items()}
    path = save(state, tmp_path / "rad.pt")
    package = import_model(path, architecture="densenet121", out=tmp_path / "part")
    assert package.card.task == "part"
    assert package.card.origin.largest_difference <= TOLERANCE
