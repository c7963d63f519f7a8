import json

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.device import choose_device
from AcuteFindingsLib.models.load import PredictorCache, load_predictor
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.study.notice import Notice


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks on busy cores: threads that wait for each other cost more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def predictor(package, build):
    return load_predictor(package, device="cpu", build=build)


@pytest.fixture
def batch():
    return np.random.default_rng(0).random((3, 1, 12, 16), dtype=np.float32)


def test_outputs_are_the_networks_own_logits_by_name(tmp_path, network, write, build, batch):
    predictor = load_predictor(write(tmp_path / "full", network.state_dict(), half=False), device="cpu", build=build)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(batch))
    outputs = predictor.predict(batch)
    assert set(outputs) == {"labels", "mask"}
    for name, value in outputs.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name].numpy(), rtol=1e-5, atol=1e-6)


def test_it_says_which_model_it_is(predictor, package):
    assert (predictor.card, predictor.version, predictor.sha256) == (package.card, "0.1.0", package.sha256)
    assert predictor.device == "cpu"


def test_a_named_part_is_called_and_names_its_output(predictor, batch):
    outputs = predictor.predict(batch, part="encode")
    assert list(outputs) == ["encode"]
    assert outputs["encode"].shape == (3, 4)


@pytest.mark.parametrize("part", ["nothing", "_modules", "gradcam_layer"])
def test_a_part_that_is_none_is_refused(predictor, batch, part):
    with pytest.raises(ModelError, match=f"no part '{part}'"):
        predictor.predict(batch, part=part)


def test_a_batch_of_a_wrong_shape_is_a_sentence(predictor):
    with pytest.raises(ModelError, match=r"batch of shape \(1, 3, 8, 8\)"):
        predictor.predict(np.zeros((1, 3, 8, 8), np.float32))


def test_arrays_that_may_not_be_written_to_and_other_number_types_are_taken(predictor, batch, recwarn):
    expected = predictor.predict(batch)["labels"]
    frozen = batch.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(predictor.predict(frozen)["labels"], expected)
    np.testing.assert_allclose(predictor.predict(batch.astype(np.float64))["labels"], expected)
    assert not [warning for warning in recwarn if "writ" in str(warning.message)]


def test_a_slices_answer_does_not_depend_on_its_neighbors(predictor, batch):
    np.testing.assert_allclose(
        predictor.predict(batch)["labels"][1:2], predictor.predict(batch[1:2])["labels"], rtol=1e-5
    )


def test_a_tampered_package_is_not_loaded(package, build):
    path = package.folder / package.weights
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        load_predictor(package, device="cpu", build=build)


def test_a_cache_loads_once_for_the_same_package_and_belongs_to_its_owner(package, build):
    cache = PredictorCache()
    first = load_predictor(package, device="cpu", cache=cache, build=build)
    assert load_predictor(package, device="cpu", cache=cache, build=build) is first
    assert load_predictor(package, device="cpu", cache=PredictorCache(), build=build) is not first
    cache.clear()
    assert load_predictor(package, device="cpu", cache=cache, build=build) is not first


def test_a_model_whose_device_failed_is_loaded_anew_and_one_whose_device_auto_only_tried_is_not(package, build):
    cache = PredictorCache()
    first = load_predictor(package, device="cpu", cache=cache, build=build)
    first.notices = (Notice("device-not-started", "info", "It was tried."),)
    assert load_predictor(package, device="cpu", cache=cache, build=build) is first
    first.notices = (Notice("device-failed", "warn", "It failed."),)
    second = load_predictor(package, device="cpu", cache=cache, build=build)
    assert second is not first
    assert load_predictor(package, device="cpu", cache=cache, build=build) is second


def test_a_card_that_only_pytorch_can_use_is_used_by_pytorch(monkeypatch):
    shipped = read_package(resource_path("Models") / "lungs-unet-small")
    monkeypatch.setattr("AcuteFindingsLib.models.load.only_torch_has", lambda device: device == "cuda")
    with pytest.raises(ModelError, match="PyTorch finds no CUDA graphics card here"):
        load_predictor(shipped, device="cuda")
    assert load_predictor(shipped, device="cpu").runtime.startswith("ONNX Runtime")


def test_the_same_weights_with_another_card_are_another_predictor(package, network, write, build, make_card, tmp_path):
    other = write(tmp_path / "other", network.state_dict(), card=make_card(id="other"))
    cache = PredictorCache()
    assert other.sha256 == package.sha256
    assert load_predictor(package, device="cpu", cache=cache, build=build).card.id == "tiny-test"
    assert load_predictor(other, device="cpu", cache=cache, build=build).card.id == "other"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA graphics card")
def test_cuda_without_a_graphics_card_is_a_sentence_and_auto_falls_back():
    with pytest.raises(ModelError, match="finds no CUDA graphics card here; choose auto or cpu"):
        choose_device("cuda")
    assert choose_device("auto") == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ModelError, match="choose one of auto, cpu, cuda"):
        choose_device(device)


class OneOutput(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)["labels"]


def test_the_heat_map_is_monais_gradcam_scaled_by_the_probability(predictor, batch, build):
    predictor.network.head.weight.data.abs_()
    copy = build("tiny", {})
    copy.load_state_dict(predictor.network.state_dict())
    # MONAI hooks the block's output, so nothing after it may write in place; the last ReLU is inside the block.
    copy.block[2].inplace = False
    maps = GradCAM(OneOutput(copy.eval()), "network.block", postprocessing=lambda x: x)(
        torch.from_numpy(batch).requires_grad_(True), class_idx=1
    )[:, 0]
    maps = maps.detach().numpy()
    probability = 1 / (1 + np.exp(-predictor.predict(batch)["labels"][:, 1]))
    expected = maps / maps.max(axis=(1, 2), keepdims=True) * probability[:, None, None]
    np.testing.assert_allclose(predictor.explain(batch, output="labels", index=1), expected, rtol=1e-4, atol=1e-6)


def test_a_heat_map_is_0_to_1_at_the_batchs_size_and_dark_for_a_negative_slice(predictor, batch):
    heat = predictor.explain(batch, output="labels", index=0)
    assert heat.shape == (3, 12, 16)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert heat.max() <= 1
    predictor.network.head.bias.data[0] = -20.0
    assert predictor.explain(batch, output="labels", index=0).max() < 1e-6


def test_a_heat_map_with_nothing_positive_is_all_zero(predictor, batch):
    predictor.network.head.weight.data.fill_(-1.0)
    np.testing.assert_array_equal(predictor.explain(batch, output="labels", index=0), 0.0)


def test_a_mask_output_can_be_explained(predictor, batch):
    assert predictor.explain(batch, output="mask", index=0).shape == (3, 12, 16)


def test_explaining_leaves_the_network_as_it_was(predictor, batch):
    before = predictor.predict(batch)["labels"]
    predictor.explain(batch, output="labels", index=0)
    assert not predictor.network.block._forward_hooks
    assert not predictor.network.block._backward_hooks
    assert all(parameter.grad is None for parameter in predictor.network.parameters())
    np.testing.assert_array_equal(predictor.predict(batch)["labels"], before)


@pytest.mark.parametrize(("output", "index"), [("nothing", 0), ("labels", 2), ("labels", -1)])
def test_an_output_that_is_none_cannot_be_explained_and_leaves_no_hook(predictor, batch, output, index):
    with pytest.raises(ModelError, match=rf"no output '{output}' number {index}; it gives labels \(2,\), mask"):
        predictor.explain(batch, output=output, index=index)
    assert not predictor.network.block._forward_hooks


def test_an_output_beside_the_layer_cannot_be_explained(predictor, batch):
    predictor.network.gradcam_layer = "mask"
    with pytest.raises(ModelError, match="does not come through"):
        predictor.explain(batch, output="labels", index=0)
    predictor.network.gradcam_layer = ""
    with pytest.raises(ModelError, match="names no layer"):
        predictor.explain(batch, output="labels", index=0)


REAL_NETWORKS = [
    ("pe", {"encoder": {"backbone": "resnet18", "pretrained": True}}, "encode", "slice"),
    ("radnet", {}, "features", "features"),
    ("pneumothorax_segmenter", {"encoder": "resnet34", "empty_branch": True}, "", "mask"),
    ("chest_classifier", {"backbone": "resnet18"}, "", "pathologies"),
    ("lung_unet", {}, "", "mask"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments", "part", "output"), REAL_NETWORKS)
def test_the_projects_networks_go_through_a_package_and_answer_as_before(
    tmp_path, write, make_card, name, arguments, part, output
):
    torch.manual_seed(0)
    network = build_network(name, stored_arguments(arguments)).eval()
    card = make_card(network=Network(name=name, arguments=arguments))
    package = write(tmp_path / "real", network.state_dict(), card=card, half=False, build=None)
    assert "pretrained" not in json.dumps(package.card.network.arguments)
    predictor = load_predictor(package, device="cpu")
    image = np.random.default_rng(0).random((2, 1, 64, 64), dtype=np.float32)
    with torch.inference_mode():
        expected = (getattr(network, part) if part else network)(torch.from_numpy(image))
    answers = predictor.predict(image, part=part)
    assert set(answers) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(answers[key], value.numpy(), rtol=1e-3, atol=1e-4)
    heat = predictor.explain(image, output=output, index=0, part=part)
    assert heat.shape == (2, 64, 64)
    assert np.isfinite(heat).all()
