"""TorchScript and ONNX files that were made to do harm: refused in a sentence, and nothing of them runs."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.onnx_program import load_onnx
from AcuteFindingsLib.models.torchscript_program import load_torchscript


class FromFile(torch.nn.Module):
    def forward(self, images):
        return images + torch.from_file("written.bin", shared=True, size=4).sum()


class AtLoading(torch.nn.Module):
    """Runs when the file is loaded, not when it is called."""

    def __init__(self):
        super().__init__()
        self.training = False

    @torch.jit.export
    def __getstate__(self):
        return (torch.zeros(1), self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        self.training = state[1]
        print(torch.from_file("written.bin", shared=True, size=4).sum())

    def forward(self, images):
        return images


class Inside(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.part = FromFile()

    def forward(self, images):
        return images

    @torch.jit.export
    def other(self, images):
        return self.part(images)


class Saves(torch.nn.Module):
    def forward(self, images):
        torch.save(images, "written.bin")
        return images


@pytest.mark.parametrize("network", [FromFile, AtLoading, Inside, Saves])
def test_a_torchscript_file_that_touches_a_file_is_refused_before_it_is_loaded(tmp_path, monkeypatch, network):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(network()).save("m.ts")
    with pytest.raises(ModelError, match=r"refused: its code calls '(from_file|save)'"):
        load_torchscript(tmp_path / "m.ts", device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["m.ts"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.LSTM(3, 4),
        lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Upsample(scale_factor=2)),
        lambda: torch.nn.MultiheadAttention(4, 2),
    ],
)
def test_what_only_computes_is_loaded(tmp_path, make):
    torch.jit.script(make().eval()).save(str(tmp_path / "m.ts"))
    load_torchscript(tmp_path / "m.ts", device="cpu")


def save_onnx(path, nodes, initializers=(), shape=("n", 1, 4, 4), domains=(("", 17),)):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(initializers),
    )
    opsets = [helper.make_opsetid(*domain) for domain in domains]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def external(name="secret.bin"):
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=name)
    return tensor


@pytest.mark.parametrize("place", ["initializer", "constant", "branch"])
@pytest.mark.parametrize("name", ["secret.bin", "/etc/hostname", "../secret.bin"])
def test_an_onnx_file_whose_numbers_lie_elsewhere_is_refused(tmp_path, monkeypatch, place, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    add = helper.make_node("Add", ["x", "w"], ["y"])
    if place == "initializer":
        path = save_onnx(tmp_path / "m.onnx", [add], [external(name)])
    elif place == "constant":
        path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Constant", [], ["w"], value=external(name)), add])
    else:
        branch = helper.make_graph(
            [helper.make_node("Constant", [], ["w"], value=external(name)), add],
            "b",
            [],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )
        yes = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True), "c"))
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
        path = save_onnx(tmp_path / "m.onnx", [yes, node])
    with pytest.raises(ModelError, match="its numbers lie in another file"):
        load_onnx(path, device="cpu")


def test_an_operator_from_elsewhere_is_refused(tmp_path):
    for domain, name in (("evil.ops", "ReadFile"), ("com.microsoft", "EPContext"), ("ai.onnx.contrib", "PyOp")):
        path = save_onnx(
            tmp_path / "m.onnx", [helper.make_node(name, ["x"], ["y"], domain=domain)], domains=(("", 17), (domain, 1))
        )
        with pytest.raises(ModelError, match="refused: its operator"):
            load_onnx(path, device="cpu")


def test_numbers_without_end_are_refused_before_memory_is_taken(tmp_path):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[10**6, 10**6])
    path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [tensor])
    with pytest.raises(ModelError, match="larger than any model here"):
        load_onnx(path, device="cpu")


def test_one_picture_at_a_time_is_how_a_batch_of_one_is_run(tmp_path):
    path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], shape=(1, 1, 4, 4))
    batch = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(load_onnx(path, device="cpu")(batch)[0], -batch)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (("n", 3, 4, 4), "pictures of 3 channels"),
        ((4, 1, 4, 4), "a batch of exactly 4"),
        (("n", 4, 4, 1), "channels last|channels"),
        (("n", 1, 8, 8), "8×8 pixels, not 4×4; choose it with --size"),
    ],
)
def test_what_does_not_fit_is_named_with_its_remedy(tmp_path, shape, told):
    path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], shape=shape)
    with pytest.raises(ModelError, match=told):
        load_onnx(path, device="cpu")(np.zeros((2, 1, 4, 4), np.float32))


class Long(torch.nn.Module):
    def forward(self, images):
        for _ in range(1000000000):
            images = images + 1
        return images


def test_a_loop_without_a_near_end_is_refused(tmp_path):
    torch.jit.script(Long()).save(str(tmp_path / "m.ts"))
    with pytest.raises(ModelError, match="holds a loop of more than"):
        load_torchscript(tmp_path / "m.ts", device="cpu")


def test_an_onnx_loop_without_a_number_of_turns_is_refused(tmp_path):
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [value])
    path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Loop", ["", "c"], ["y"], body=body)])
    with pytest.raises(ModelError, match="without a stated number of turns"):
        load_onnx(path, device="cpu")
