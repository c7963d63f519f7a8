"""A graph without weights, filled with tensors by name, is a whole model; what does not fit is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from AcuteFindingsLib.budgets import Budgets, set_budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.check import check_graph
from AcuteFindingsLib.models.graphs.fill import StoredTensors, fill_graph
from AcuteFindingsLib.models.runtime.session import open_session

WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2) - 2
BIAS = np.array([0.5, -0.5], np.float32)


def graph(*, nodes=None, stated=None, opset=18, ir=8, domain="", **more) -> bytes:
    """`output = input @ head.weight + head.bias`, of which it holds neither."""
    if nodes is None:
        nodes = [
            helper.make_node("MatMul", ["input", "head.weight"], ["product"]),
            helper.make_node("Add", ["product", "head.bias"], ["output"]),
        ]
    if stated is None:
        stated = {"head.weight": [3, 2], "head.bias": [2]}
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 2])],
        value_info=[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in stated.items()],
        **more,
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=ir).SerializeToString()


def test_a_filled_graph_is_an_onnx_model_that_answers_with_these_weights():
    model = fill_graph(graph(), {"head.weight": WEIGHT, "head.bias": BIAS, "other": BIAS})
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    batch = np.random.default_rng(0).random((4, 3), dtype=np.float32)
    (given,) = open_session(model, device="cpu", name="it").run(["output"], {"input": batch})
    np.testing.assert_allclose(given, batch @ WEIGHT + BIAS, rtol=1e-6)


def test_what_a_graph_lacks_is_read_with_its_shape():
    found = check_graph(graph(), name="it")
    assert (found.inputs, found.outputs) == (("input",), ("output",))
    assert found.lacking == {"head.weight": ((3, 2), 1), "head.bias": ((2,), 1)}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"head.weight": WEIGHT}, "head.bias is missing"),
        ({"head.weight": WEIGHT.T, "head.bias": BIAS}, r"head.weight is \(2, 3\)"),
        ({"head.weight": WEIGHT.astype(np.int64), "head.bias": BIAS}, "head.weight is .* int64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tensors, told):
    with pytest.raises(ModelError, match=told):
        fill_graph(graph(), tensors)


def test_tensors_never_replace_what_a_graph_holds_or_makes():
    held = graph(initializer=[helper.make_tensor("head.bias", TensorProto.FLOAT, [2], [1.0, 2.0])])
    model = fill_graph(held, {"head.weight": WEIGHT, "head.bias": BIAS, "product": BIAS, "input": BIAS})
    (given,) = open_session(model, device="cpu", name="it").run(["output"], {"input": np.zeros((1, 3), np.float32)})
    np.testing.assert_array_equal(given, [[1.0, 2.0]])


def loop():
    body = helper.make_graph([], "body", [], [])
    return [helper.make_node("Loop", ["", ""], ["output"], body=body)]


def external():
    tensor = helper.make_tensor("head.bias", TensorProto.FLOAT, [2], [1.0, 2.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def function():
    model = onnx.load_from_string(graph())
    model.functions.add(name="f", domain="mine")
    return model.SerializeToString()


HOSTILE = {
    "a loop": (graph(nodes=loop()), "a graph of its own|Loop"),
    "another domain": (graph(nodes=[helper.make_node("F", ["input"], ["output"], domain="evil")]), "not one of ONNX"),
    "another operator set": (graph(domain="com.microsoft"), "code from elsewhere"),
    "a later operator set": (graph(opset=24), "operator set up to 23"),
    "a later format": (graph(ir=12), "operator set up to 23"),
    "another file": (graph(initializer=[external()]), "another file"),
    "a function": (function(), "functions of its own"),
    "random numbers": (graph(nodes=[helper.make_node("RandomNormal", [], ["output"], shape=[1])]), "RandomNormal"),
    "a value twice": (
        graph(nodes=[helper.make_node("Relu", ["input"], ["output"]), helper.make_node("Abs", ["input"], ["output"])]),
        "twice",
    ),
    "two graphs": (graph() + graph(), "twice|two graphs"),
    "a tensor of no stated shape": (graph(stated={}), "does not say what"),
    "a tensor larger than any network": (graph(stated={"head.weight": [2**30, 3], "head.bias": [2]}), "does not say"),
    "weights of its own": (
        graph(
            initializer=[helper.make_tensor("head.bias", TensorProto.FLOAT, [5_000_000], bytes(20_000_000), raw=True)]
        ),
        "weights do not belong there",
    ),
    "the half of a file": (graph()[:-20], "cut off|not a protocol buffer|two|no"),
    "nothing": (b"", "no ONNX graph"),
    "a picture": (b"\x89PNG\r\n\x1a\n" * 4, "refused"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_graph_with_what_no_package_needs_is_refused_before_it_is_run(kind):
    data, told = HOSTILE[kind]
    with pytest.raises(ModelError, match=told):
        fill_graph(data, {"head.weight": WEIGHT, "head.bias": BIAS}, name="it")


def test_stored_tensors_are_read_as_float32_and_whole_numbers(tmp_path):
    save_file(
        {"half": WEIGHT.astype(np.float16), "full": WEIGHT, "count": np.array([3], np.int32)},
        tmp_path / "w.safetensors",
    )
    tensors = StoredTensors(tmp_path / "w.safetensors")
    assert {name: tensors[name].dtype.str for name in tensors} == {"half": "<f4", "full": "<f4", "count": "<i8"}
    np.testing.assert_array_equal(tensors["half"], WEIGHT)
    assert "none" not in tensors


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    save_file({"weight": np.array([1, np.nan], np.float16)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="not finite numbers, in weight"):
        StoredTensors(tmp_path / "w.safetensors")["weight"]


def test_a_damaged_file_and_one_that_claims_too_much_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"weight": WEIGHT}, path)
    set_budgets(Budgets(network_values=5))
    try:
        with pytest.raises(ModelError, match="more than"):
            StoredTensors(path)
    finally:
        set_budgets(Budgets())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        StoredTensors(path)
