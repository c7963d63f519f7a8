"""Packages are written with graphs that are proven; a network without, or that cannot have them, says why."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file, save_file

from AcuteFindingsLib.errors import ModelError, TorchMissingError
from AcuteFindingsLib.models import load, verify
from AcuteFindingsLib.models.files import METADATA
from AcuteFindingsLib.models.graphs import make
from AcuteFindingsLib.models.graphs.whole import write_whole
from AcuteFindingsLib.models.load import PredictorCache, load_predictor
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.models.write import rewrite_package

GRAPH = "models/graphs/forward.onnx"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A place for the one package that most tests read."""
    return tmp_path_factory.mktemp("written")


@pytest.fixture
def proven(written, network, write, tmp_path):
    """The package with graphs, a copy of its own for each test."""
    import shutil

    if not (written / "tiny").exists():
        write(written / "tiny", network.state_dict(), graphs=True)
    shutil.copytree(written / "tiny", tmp_path / "tiny")
    return read_package(tmp_path / "tiny")


def test_a_graph_holds_no_weights_and_names_them_as_the_file_does(proven):
    graph = onnx.load(proven.folder / GRAPH).graph
    assert sum(len(tensor.raw_data) for tensor in graph.initializer) < 100
    used = {name for node in graph.node for name in node.input}
    assert {"block.0.weight", "block.1.running_var", "head.bias", "mask.weight"} <= used
    assert not any("num_batches_tracked" in name for name in used)
    assert (proven.folder / GRAPH).stat().st_size < 20_000


def test_the_card_says_what_was_proven_on_what(proven):
    stated = proven.card.graphs
    assert stated.parts[""].outputs == ["labels", "mask"]
    assert 0 < stated.largest_difference < 1e-4
    assert stated.compared_on
    told = proven.read_card_text()
    assert "## Runtime" in told
    assert "without PyTorch" in told


def test_a_network_that_answers_otherwise_in_its_graph_stays_with_pytorch(network, write, tmp_path, build, monkeypatch):
    monkeypatch.setattr(make, "largest_difference", lambda *_a, **_k: 2e-4)
    package = write(tmp_path / "it", network.state_dict(), graphs=True)
    assert package.card.graphs.parts == {}
    assert "by 2.0e-04" in package.card.graphs.reason
    assert not (package.folder / "models" / "graphs").exists()
    assert "Needs PyTorch" in package.read_card_text()
    assert type(load_predictor(package, device="cpu", build=build)).__name__ == "TorchPredictor"
    with pytest.raises(ModelError, match=r"no graphs for ONNX Runtime: .*by 2.0e-04"):
        load_predictor(package, device="cpu", build=build, runtime="onnx")


class Unwritable(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block = torch.nn.Conv2d(1, 2, 1)

    def forward(self, images):
        # What is computed depends on what is seen, so there is no one graph.
        return {"labels": self.block(images).mean((2, 3)) if float(images.sum()) > 0 else images.mean((2, 3))}


def test_a_network_that_cannot_be_written_stays_with_pytorch_and_its_card_says_why(write, make_card, tmp_path):
    package = write(tmp_path / "it", Unwritable().state_dict(), graphs=True, build=lambda *_: Unwritable())
    assert package.card.graphs.parts == {}
    assert "cannot write it as ONNX" in package.card.graphs.reason


def test_a_package_of_an_earlier_version_gets_graphs_and_keeps_its_weights(network, write, tmp_path, build):
    package = write(tmp_path / "it", network.state_dict())
    assert package.card.graphs is None
    before = package.read_card_text()
    again = rewrite_package(package.folder, build=build)
    assert again.sha256 == package.sha256
    assert list(again.card.graphs.parts) == [""]
    told = again.read_card_text()
    assert told.count("## Runtime") == 1
    assert told.replace(told[told.index("## Runtime") : told.index("## Versions")], "") == before
    assert rewrite_package(package.folder, build=build).checksums == again.checksums


def test_a_package_without_graphs_runs_in_pytorch_and_says_so_where_there_is_none(package, build, monkeypatch):
    assert type(load_predictor(package, device="cpu", build=build)).__name__ == "TorchPredictor"
    monkeypatch.setattr(load, "find_spec", lambda name: None)
    with pytest.raises(TorchMissingError, match=r"no graphs for ONNX Runtime.*acutefindings\[torch\]"):
        load_predictor(package, device="cpu", build=build)


def test_the_same_package_in_another_runtime_is_another_predictor(proven, build):
    cache = PredictorCache()
    first = load_predictor(proven, device="cpu", cache=cache, build=build)
    assert load_predictor(proven, device="cpu", cache=cache, build=build, runtime="onnx") is first
    assert load_predictor(proven, device="cpu", cache=cache, build=build, runtime="torch") is not first


def test_a_graph_that_was_changed_is_not_loaded(proven):
    path = proven.folder / GRAPH
    path.write_bytes(path.read_bytes() + b"\x00")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        load_predictor(proven, device="cpu")


def change_graph(package, reseal, change):
    """Change a graph as one does who writes checksums too."""
    model = onnx.load(package.folder / GRAPH)
    change(model)
    (package.folder / GRAPH).write_bytes(model.SerializeToString())
    reseal(package.folder)
    return read_package(package.folder)


def call_code(model):
    model.graph.node[0].domain = "evil"


def other_shape(model):
    for value in model.graph.value_info:
        if value.name == "head.weight":
            value.type.tensor_type.shape.dim[1].dim_value = 5


def other_name(model):
    for node in model.graph.node:
        node.input[:] = ["other.weight" if name == "head.weight" else name for name in node.input]
    for value in model.graph.value_info:
        value.name = "other.weight" if value.name == "head.weight" else value.name


def other_output(model):
    model.graph.output[0].name = "else"
    for node in model.graph.node:
        node.output[:] = ["else" if name == "labels" else name for name in node.output]


def another_operator(model):
    next(node for node in model.graph.node if node.op_type == "Conv").op_type = "NoSuchOperator"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (call_code, "not one of ONNX"),
        (other_shape, "head.weight is .* expected"),
        (other_name, "other.weight is missing"),
        (other_output, "does not give labels"),
        (another_operator, "not an ONNX model that can be run here"),
    ],
)
def test_a_graph_that_does_not_fit_is_refused_with_whole_checksums(proven, reseal, build, change, told):
    package = change_graph(proven, reseal, change)
    with pytest.raises(ModelError, match=told):
        verify_package(package, build=build)
    # What only ONNX Runtime finds is refused when the graph is opened, which is when it is first asked.
    with pytest.raises(ModelError, match=told):
        load_predictor(package, device="cpu", build=build).predict(np.zeros((1, 1, 12, 16), np.float32))


@pytest.mark.parametrize("file", ["models/model.onnx", "../graphs/forward.onnx", "models/graphs/../x.onnx", "/x.onnx"])
def test_a_graph_elsewhere_is_no_graph_of_the_package(proven, reseal, file):
    told = json.loads((proven.folder / METADATA).read_text())
    told["acutefindings"]["graphs"]["parts"][""]["file"] = file
    (proven.folder / METADATA).write_text(json.dumps(told))
    reseal(proven.folder)
    with pytest.raises(ModelError, match=r"graphs\.parts|named by the card but not"):
        load_predictor(read_package(proven.folder), device="cpu")


def test_a_model_is_exported_as_onnx_files_that_need_no_other(proven, package, build, tmp_path):
    (file,) = write_whole(proven, tmp_path / "out")
    assert file.name == "tiny-test.onnx"
    batch = np.random.default_rng(0).random((2, 1, 12, 16), dtype=np.float32)
    expected = load_predictor(proven, device="cpu", build=build, runtime="torch").predict(batch)
    given = onnxruntime.InferenceSession(file).run(list(expected), {"input": batch})
    for value, theirs in zip(given, expected.values(), strict=True):
        np.testing.assert_allclose(value, theirs, atol=1e-4)
    with pytest.raises(ModelError, match="exists already"):
        write_whole(proven, tmp_path / "out")


def test_a_network_that_takes_no_such_images_stays_with_pytorch(network, write, tmp_path):
    stated = {"inputs": {"image": {"num_channels": 3, "spatial_shape": [12, 16], "value_range": [0, 1]}}}
    package = write(tmp_path / "it", network.state_dict(), graphs=True, network_data_format=stated)
    assert package.card.graphs.parts == {}
    assert "takes no images of the size" in package.card.graphs.reason


def test_a_package_is_verified_without_pytorch_by_what_its_graphs_ask_for(proven, reseal, monkeypatch):
    monkeypatch.setattr(verify, "find_spec", lambda name: None)
    verify_package(proven)
    weights = proven.folder / proven.weights
    tensors = load_file(weights)
    save_file({**tensors, "head.weight": tensors["head.weight"][:, :2].copy()}, weights)
    reseal(proven.folder)
    with pytest.raises(ModelError, match=r"head\.weight is \(2, 2\)"):
        verify_package(read_package(proven.folder))
