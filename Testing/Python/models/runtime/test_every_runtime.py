"""What holds for a model whatever runs it: PyTorch, its graphs in ONNX Runtime, an ONNX file, a TorchScript file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.metadata import Network

RUNTIMES = ("torch", "graphs", "onnx", "torchscript")
NAMES = ["labels", "mask"]


class Tuple(torch.nn.Module):
    """What programs are: outputs in their order, without names."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return tuple(self.network(images).values())


def write_program(kind: str, network, path: Path) -> Path:
    example, module = torch.rand(2, 1, 12, 16), Tuple(network).eval()
    if kind == "torchscript":
        torch.jit.trace(module, example).save(str(path))
        return path
    axes = {name: {0: "n"} for name in ("images", *NAMES)}
    torch.onnx.export(
        module, (example,), str(path), input_names=["images"], output_names=NAMES, dynamic_axes=axes, dynamo=False
    )
    return path


@pytest.fixture(scope="module")
def kept():
    """Packages by runtime: writing one takes seconds."""
    return {}


@pytest.fixture(params=RUNTIMES)
def predictor(request, kept, network, write, make_card, build, tmp_path_factory):
    kind = request.param
    if kind not in kept:
        folder = tmp_path_factory.mktemp(kind)
        if kind in ("torch", "graphs"):
            kept[kind] = write(folder / "it", network.state_dict(), half=False, graphs=kind == "graphs")
        else:
            ending = {"onnx": ".onnx", "torchscript": ".ts"}[kind]
            part = {"file": f"models/model{ending}", "outputs": NAMES}
            card = make_card(network=Network(name=kind, arguments={"parts": {"": part}}))
            program = write_program(kind, network, folder / f"model{ending}")
            kept[kind] = write(folder / "it", None, programs={part["file"]: program}, card=card)
    return load_predictor(kept[kind], device="cpu", build=build)


@pytest.fixture
def batch():
    return np.random.default_rng(0).random((3, 1, 12, 16), dtype=np.float32)


def test_the_graphs_of_a_package_are_what_runs_it(write, network, build, tmp_path):
    package = write(tmp_path / "it", network.state_dict(), graphs=True)
    assert package.card.graphs.reason == ""
    assert package.card.graphs.largest_difference < 1e-4
    predictor = load_predictor(package, device="cpu", build=build)
    assert type(predictor).__name__ == "GraphPredictor"
    assert type(load_predictor(package, device="cpu", build=build, runtime="torch")).__name__ == "TorchPredictor"


def test_outputs_are_the_networks_own_logits_by_name(predictor, network, batch):
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(batch))
    outputs = predictor.predict(batch)
    assert list(outputs) == NAMES
    for name, value in outputs.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name].numpy(), rtol=1e-4, atol=1e-5)


def test_an_images_answer_does_not_depend_on_those_beside_it(predictor, batch):
    whole = predictor.predict(batch)
    for name, value in predictor.predict(batch[1:2]).items():
        np.testing.assert_allclose(value, whole[name][1:2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", ["frozen", "float64", "columns first"])
def test_arrays_of_any_kind_are_taken_and_left_as_they_are(predictor, batch, form):
    expected = predictor.predict(batch)["labels"]
    given = {"frozen": batch.copy(), "float64": batch.astype(np.float64), "columns first": np.asfortranarray(batch)}[
        form
    ]
    given.flags.writeable = form != "frozen"
    before = given.copy()
    np.testing.assert_allclose(predictor.predict(given)["labels"], expected, rtol=1e-5)
    np.testing.assert_array_equal(given, before)


def test_a_part_that_is_none_is_refused(predictor, batch):
    with pytest.raises(ModelError, match="no part 'nothing'"):
        predictor.predict(batch, part="nothing")


def test_a_batch_of_another_shape_is_a_sentence(predictor):
    with pytest.raises(ModelError, match=r"channels|batch of shape \(1, 3, 12, 16\)"):
        predictor.predict(np.zeros((1, 3, 12, 16), np.float32))


def test_it_says_which_model_it_is_and_where_it_runs(predictor):
    assert (predictor.card.id, predictor.version, predictor.device) == ("tiny-test", "0.1.0", "cpu")
    assert len(predictor.sha256) == 64
    assert predictor.explanation in ("Grad-CAM", "Occlusion map")


def test_where_it_looked_is_a_map_in_0_to_1_at_the_batchs_size(predictor, batch):
    maps = predictor.explain(batch, output="labels", index=0)
    assert (maps.shape, maps.dtype) == ((3, 12, 16), np.float32)
    assert maps.min() >= 0
    assert maps.max() <= 1
