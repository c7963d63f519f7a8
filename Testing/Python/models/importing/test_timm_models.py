"""Classifiers of timm: any of them, in the wrappings that people save, with softmax and sigmoid heads."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from scipy.special import expit

from AcuteFindingsLib.detectors.importing import import_model, recognize
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.proof import TOLERANCE
from AcuteFindingsLib.models.load import load_predictor

SIZE = 64


def _network(name: str, **options) -> torch.nn.Module:
    torch.manual_seed(5)
    network = timm.create_model(name, **options)
    network.train()
    with torch.no_grad():
        network(torch.randn(4, options.get("in_chans", 3), SIZE, SIZE))
    return network.eval()


def _gray() -> np.ndarray:
    return np.random.default_rng(1).random((2, 1, SIZE, SIZE)).astype(np.float32)


def _probabilities(package, gray: np.ndarray) -> np.ndarray:
    return expit(load_predictor(package, device="cpu").predict(gray)["pathologies"])


def _expected(network: torch.nn.Module, gray: np.ndarray, mean: tuple, std: tuple) -> torch.Tensor:
    shown = (gray - np.reshape(mean, (1, -1, 1, 1))) / np.reshape(std, (1, -1, 1, 1))
    with torch.inference_mode():
        return network(torch.from_numpy(shown.astype(np.float32)))


INCEPTION = ((0.5,) * 3, (0.5,) * 3)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "layout", "options"),
    [
        ("test_resnet", "maps", {}),
        ("test_convnext", "maps", {}),
        ("test_vit", "none", {"img_size": SIZE}),
        ("test_mambaout", "last", {}),
    ],
)
def test_any_network_answers_as_timm_does(tmp_path: Path, name: str, layout: str, options: dict) -> None:
    network = _network(name, num_classes=1, **options)
    torch.save(network.state_dict(), tmp_path / "m.pth")
    given = Options(task="chest", size=SIZE, network=name, labels=("pneumothorax",))
    package = import_model(tmp_path / "m.pth", architecture="timm", out=tmp_path / "m", options=given)
    assert package.card.origin.compared_with == "timm"
    assert package.card.origin.largest_difference <= TOLERANCE
    assert package.card.network.arguments["layout"] == layout
    cfg = timm.get_pretrained_cfg(name)
    gray = _gray()
    expected = _expected(network, gray, cfg.mean, cfg.std).sigmoid().numpy()
    np.testing.assert_allclose(_probabilities(package, gray), expected, atol=1e-5)


def test_maps_say_where_a_network_looked_and_one_of_tokens_is_covered_instead(tmp_path: Path) -> None:
    for name, options in [("test_mambaout", {}), ("test_vit", {"img_size": SIZE})]:
        torch.save(_network(name, num_classes=1, **options).state_dict(), tmp_path / "m.pth")
        given = Options(task="chest", size=SIZE, network=name, labels=("pneumothorax",))
        out = tmp_path / name
        package = import_model(tmp_path / "m.pth", architecture="timm", out=out, options=given, prove=False)
        for graphs in (True, False):
            predictor = load_predictor(package, device="cpu", **({} if graphs else {"runtime": "torch"}))
            told = predictor.predict_explained(_gray(), outputs=["pathologies"])
            assert told.maps["pathologies"].shape[:2] == (2, 1)


def test_a_channel_of_two_is_the_softmax(tmp_path: Path) -> None:
    network = _network("test_resnet", num_classes=2)
    torch.save({"model_state_dict": network.state_dict(), "epoch": 3}, tmp_path / "m.pt")
    options = Options(task="chest", size=SIZE, network="test_resnet", channel=1, mean=(0.5,), std=(0.5,))
    package = import_model(tmp_path / "m.pt", architecture="timm", out=tmp_path / "m", options=options)
    assert [label.name for label in package.card.labels] == ["pneumothorax"]
    gray = _gray()
    logits = _expected(network, gray, *INCEPTION)
    np.testing.assert_allclose(_probabilities(package, gray), logits.softmax(1)[:, 1:].numpy(), atol=1e-5)
    # Said to be independent, it is the sigmoid of that number alone.
    said = Options(**{**vars(options), "head": "sigmoid"})
    package = import_model(tmp_path / "m.pt", architecture="timm", out=tmp_path / "s", options=said)
    np.testing.assert_allclose(_probabilities(package, gray), logits[:, 1:].sigmoid().numpy(), atol=1e-5)


def test_a_checkpoint_of_lightning_with_a_layer_beside_a_bare_network_is_read(tmp_path: Path) -> None:
    body = _network("test_resnet", num_classes=0, in_chans=1)
    layer = torch.nn.Linear(body.num_features, 2)
    state = {f"model.backbone.{name}": value for name, value in body.state_dict().items()}
    state |= {f"model.fc.{name}": value for name, value in layer.state_dict().items()}
    state["criterion.pos_weight"] = torch.ones(1)
    torch.save({"state_dict": state, "hyper_parameters": {"lr": 0.1}, "epoch": 2}, tmp_path / "last.ckpt")
    labels = ("pneumothorax", "effusion")
    options = Options(task="chest", size=SIZE, network="test_resnet", labels=labels, mean=(0.5,), std=(0.25,))
    package = import_model(tmp_path / "last.ckpt", architecture="timm", out=tmp_path / "m", options=options)
    gray = _gray()
    with torch.inference_mode():
        expected = layer(body(torch.from_numpy((gray - 0.5) / 0.25))).sigmoid().numpy()
    np.testing.assert_allclose(_probabilities(package, (gray - 0.5) / 0.25), expected, atol=1e-5)
    assert "only layer beside the network" in package.card.limitations


def test_a_folder_says_its_network_and_labels_itself(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    network = _network("test_efficientnet", num_classes=2)
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "test_efficientnet",
        "num_classes": 2,
        "label_names": ["Normal", "Pneumothorax"],
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "input_size": [3, SIZE, SIZE]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert recognize(folder) == "timm"
    package = import_model(folder, architecture="timm", out=tmp_path / "m", options=Options(task="chest"))
    assert [label.name for label in package.card.labels] == ["normal", "pneumothorax"]
    gray = _gray()
    expected = _expected(network, gray, (0.1, 0.2, 0.3), (0.5,) * 3).softmax(1).numpy()
    np.testing.assert_allclose(_probabilities(package, gray), expected, atol=1e-5)


def test_what_a_file_does_not_say_is_asked_and_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(_network("test_resnet", num_classes=3).state_dict(), path)
    given = {"task": "chest", "size": SIZE, "network": "test_resnet"}
    for changed, told in [
        ({"network": None}, "name it with --network"),
        ({"network": "resnet5O"}, "did you mean"),
        ({"network": "test_vit"}, r"another network|is not in the network"),
        ({}, "--labels a,b,c, or choose one with --channel"),
        ({"channel": 3}, "none of number 3"),
        ({"channel": 1}, "--head softmax"),
        ({"channel": 1, "labels": ("a", "b")}, "--labels names 2"),
    ]:
        with pytest.raises(ModelError, match=told):
            import_model(path, architecture="timm", out=tmp_path / "m", options=Options(**{**given, **changed}))
        assert not (tmp_path / "m").exists()
