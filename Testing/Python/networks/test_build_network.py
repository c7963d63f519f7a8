"""Networks are found by name, with arguments that JSON can hold, and mistakes are named."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import AcuteFindingsLib
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks import build_network, list_networks, stored_arguments


def test_the_package_is_imported_without_importing_torch():
    code = "import sys, AcuteFindingsLib.networks as n; n.list_networks(); sys.exit('torch' in sys.modules)"
    path = str(Path(AcuteFindingsLib.__file__).parents[1])
    assert subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": path}).returncode == 0


def test_every_source_has_its_networks():
    assert list_networks() == [
        "chest_classifier",
        "densenet40",
        "image_features",
        "lung_unet",
        "monai",
        "pe",
        "pe_sequence",
        "pe_slice_cnn",
        "pe_slice_encoder",
        "pneumothorax_classifier",
        "pneumothorax_segmenter",
        "radiograph_unet",
        "radnet",
        "residual_unet",
        "slab_reader",
        "slab_sequence",
        "timm_classifier",
    ]


def test_another_package_brings_an_architecture_but_takes_no_name_of_ours(monkeypatch):
    import AcuteFindingsLib.networks as networks

    brought = [EntryPoint(name, "torch.nn:Linear", networks.GROUP) for name in ("strangers", "radnet")]
    monkeypatch.setattr(networks, "entry_points", lambda *, group: brought if group == networks.GROUP else [])
    networks._known.cache_clear()
    try:
        built = build_network("strangers", {"in_features": 3, "out_features": 2})
        assert (built.in_features, built.out_features) == (3, 2)
        assert type(build_network("radnet", {"backbone": "resnet10t", "taps": [4, 8, 16]})).__name__ == "RADnet"
    finally:
        networks._known.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("pe", {"encoder": {"backbone": "resnet10t"}, "sequence": {"length": 8, "dense": [32, 16]}}),
        ("pe_slice_cnn", {"filters": [8, 4], "dense": [16], "size": 32}),
        ("radnet", {"backbone": "resnet10t", "taps": [4, 8, 16], "decoder": True}),
        ("pneumothorax_segmenter", {"encoder": "tf_efficientnet_lite0", "empty_branch": True}),
        ("chest_classifier", {"backbone": "resnet10t", "pathologies": ["pneumothorax"], "tubes": []}),
        ("lung_unet", {"channels": [8, 16, 32]}),
    ],
)
def test_arguments_that_went_through_json_build_the_same_network(name, arguments):
    network = build_network(name, arguments)
    again = build_network(name, json.loads(json.dumps(arguments)))
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }


def test_an_unknown_network_is_refused_with_the_choices():
    with pytest.raises(ModelError, match=r"no network 'radnett' \(did you mean 'radnet'\?\); choose chest_classifier"):
        build_network("radnett", {})


def test_an_unknown_argument_is_refused_with_the_choices():
    with pytest.raises(ModelError, match=r"takes no argument 'grow' \(did you mean 'growth'\?\); choose backbone"):
        build_network("radnet", {"grow": 12})


def test_an_argument_of_a_wrong_kind_is_refused_by_name():
    with pytest.raises(ModelError, match="'lung_unet' cannot be built from the arguments"):
        build_network("lung_unet", {"channels": "wide"})


def test_an_unknown_argument_of_a_part_is_refused():
    with pytest.raises(ModelError, match="'pe' cannot be built"):
        build_network("pe", {"encoder": {"backbon": "resnet10t"}})


def test_a_model_package_stores_no_wish_for_imagenet_weights():
    given = {"encoder": {"backbone": "resnet10t", "pretrained": True}, "pretrained": True, "sequence": {"length": 8}}
    assert stored_arguments(given) == {"encoder": {"backbone": "resnet10t"}, "sequence": {"length": 8}}
    assert given["pretrained"]
