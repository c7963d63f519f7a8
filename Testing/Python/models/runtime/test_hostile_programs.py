"""TorchScript and ONNX files that were made to do harm: refused in a sentence, and nothing of them runs."""

import ast
import contextlib
import os
import signal
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from AcuteFindingsLib.budgets import budgets, set_budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.runtime.onnx import load_onnx
from AcuteFindingsLib.models.runtime.torchscript import load_torchscript
from AcuteFindingsLib.models.runtime.torchscript_turns import may_not_end


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


@pytest.mark.slow
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
    with pytest.raises(ModelError, match="its weights are in another file"):
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


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_file_for_so_many_pictures_is_given_so_many(tmp_path, count):
    path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], shape=(count, 1, 4, 4))
    batch = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(load_onnx(path, device="cpu")(batch)["y"], -batch)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (("n", 3, 4, 4), "pictures of 3 channels"),
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
    with pytest.raises(ModelError, match="without a limit on its iterations"):
        load_onnx(path, device="cpu")


class Endless(torch.nn.Module):
    def forward(self, images):
        while bool(images.sum() < 1e30):
            images = images * 1.0
        return images


class Computed(torch.nn.Module):
    """A loop whose turns stand nowhere in the file, nor in one number."""

    def forward(self, images):
        for _ in range(int(images.numel()) * 1000000000):
            images = images + 1
        return images


class Nested(torch.nn.Module):
    def forward(self, images):
        for _ in range(90000):
            for _ in range(90000):
                images = images + 1
        return images


class EndlessAtLoading(AtLoading):
    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        while bool(state[0].sum() < 1):
            self.training = state[1]


class Laughs(torch.nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.inner = Laughs(depth - 1) if depth else torch.nn.Identity()

    def forward(self, images):
        return self.inner(self.inner(images) + 1)


def laughing_files(depth: int, package: str) -> dict[str, ast.Module]:
    """The code of a file in which each of `depth` classes calls the next one twice, one module a class."""
    code = {}
    for number in range(depth):
        inner = f"__torch__.{package}{number + 1}.Laughs"
        code[f"code/__torch__/{package.replace('.', '/')}{number}.py"] = ast.parse(
            f"class Laughs(Module):\n  inner : {inner}\n"
            f"  def forward(self: __torch__.{package}{number}.Laughs, images: Tensor) -> Tensor:\n"
            "    inner = self.inner\n    return (inner).forward((inner).forward(images, ), )\n"
        )
    return code


@pytest.mark.parametrize("package", ["models.m", "Models.M"])
def test_calls_are_counted_whatever_the_case_of_their_modules(package):
    files = laughing_files(30, package)
    for known in (files, {name.lower(): tree for name, tree in files.items()}):
        assert may_not_end(known)
    assert not may_not_end(laughing_files(3, package))


@pytest.mark.parametrize(
    "item", ["def {}(x: Tensor) -> Tensor:\n  return x\n", "class {}(Module):\n  inner : Tensor\n"]
)
def test_what_differs_in_the_case_of_its_name_only_may_not_end(item):
    assert may_not_end({"code/__torch__/m.py": ast.parse(item.format("f") + item.format("F"))})
    assert not may_not_end({"code/__torch__/m.py": ast.parse(item.format("f") + item.format("g"))})


@pytest.fixture
def tight_budgets():
    before = budgets()
    set_budgets(replace(before, program_seconds=8.0, program_bytes=2 << 30))
    yield
    set_budgets(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [Endless, Computed, Nested, EndlessAtLoading, lambda: Laughs(30)],
    ids=["while", "computed", "nested", "load", "calls"],
)
def test_a_program_that_does_not_end_is_ended_and_told(tmp_path, tight_budgets, make):
    torch.jit.script(make()).save(str(tmp_path / "m.ts"))
    begun = monotonic()
    with pytest.raises(ModelError, match=r"was stopped: its program took more than|asks for more memory") as told:
        load_torchscript(tmp_path / "m.ts", device="cpu")(np.zeros((1, 1, 4, 4), np.float32))
    assert monotonic() - begun < 60
    assert str(tmp_path) not in str(told.value)


class Loops(torch.nn.Module):
    def forward(self, images):
        parts = [images, images * 2]
        for part in parts:
            images = images + part
        print("NEGATIVE")
        return {"mask": images, "other": images.mean(dim=0)}


@pytest.mark.slow
def test_a_program_with_a_loop_answers_as_it_does_here_and_prints_nothing(tmp_path, capfd):
    torch.jit.script(Loops()).save(str(tmp_path / "m.ts"))
    batch = np.random.default_rng(0).random((2, 1, 4, 4)).astype(np.float32)
    run = load_torchscript(tmp_path / "m.ts", device="cpu")
    for times in (1, 2):
        outputs = run(batch * times)
        assert list(outputs) == ["mask", "other"]
        np.testing.assert_allclose(outputs["mask"], batch * times * 4, rtol=1e-6)
    assert "NEGATIVE" not in "".join(capfd.readouterr())


class Huge(torch.nn.Module):
    def forward(self, images):
        kept = [images]
        while len(kept) < 1000000:
            kept.append(torch.zeros(1 << 31))
        return kept[-1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_program_that_takes_more_memory_than_a_model_may_is_told(tmp_path, tight_budgets):
    torch.jit.script(Huge()).save(str(tmp_path / "m.ts"))
    run = load_torchscript(tmp_path / "m.ts", device="cpu")
    with pytest.raises(ModelError, match="asks for more memory"):
        run(np.zeros((1, 1, 4, 4), np.float32))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="looks at processes of Linux and macOS")
def test_a_program_ends_with_whoever_asked_it(tmp_path):
    torch.jit.script(Endless()).save(str(tmp_path / "m.ts"))
    code = (
        "import sys, os, threading, numpy as np\n"
        "from pathlib import Path\n"
        "from AcuteFindingsLib.models.runtime.torchscript import load_torchscript\n"
        "run = load_torchscript(Path(sys.argv[1]), device='cpu')\n"
        "print(run._process.pid, flush=True)\n"
        "run(np.zeros((1, 1, 4, 4), np.float32))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "m.ts")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as asking:
        child = int(asking.stdout.readline())
        sleep(0.5)
        asking.kill()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        # Ended and not yet buried by its new parent.
        if Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return
        sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the program went on")


def loop_of(turns):
    """An ONNX file that adds 1 to its input so often as its mean, times `turns`, says."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Add", ["value", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "factor"], ["many"]),
        helper.make_node("Cast", ["many"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body),
    ]
    return nodes, [
        numpy_helper.from_array(np.array(turns, np.float32), "factor"),
        numpy_helper.from_array(np.array(1, np.float32), "one"),
    ]


@pytest.mark.slow
def test_an_onnx_loop_is_run_and_one_that_does_not_end_is_ended(tmp_path, tight_budgets):
    batch = np.ones((2, 1, 4, 4), np.float32)
    run = load_onnx(save_onnx(tmp_path / "m.onnx", *loop_of(3)), device="cpu")
    np.testing.assert_array_equal(run(batch)["y"], batch + 3)
    assert (run.device, run.notices, run.runtime.partition(" 1.")[0]) == ("cpu", (), "ONNX Runtime")
    run = load_onnx(save_onnx(tmp_path / "m.onnx", *loop_of(1e15)), device="cpu")
    for _ in range(2):
        with pytest.raises(ModelError, match="was stopped: its program took more than 8 s for one batch"):
            run(batch)


def test_onnx_functions_that_unfold_without_end_are_refused(tmp_path):
    path = save_onnx(
        tmp_path / "m.onnx", [helper.make_node("f0", ["x"], ["y"], domain="own")], domains=(("", 17), ("own", 1))
    )
    model = onnx.load(path)
    for depth in range(60):
        inner, domain = (f"f{depth + 1}", "own") if depth < 59 else ("Neg", "")
        nodes = [
            helper.make_node(inner, ["a"], ["b"], domain=domain),
            helper.make_node(inner, ["b"], ["c"], domain=domain),
        ]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        model.functions.append(helper.make_function("own", f"f{depth}", ["a"], ["c"], nodes, opsets))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="its functions call each other too often"):
        load_onnx(path, device="cpu")


def packed_anew(source, target, rename):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(rename(entry.filename), old.read(entry))


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("/code/", "/CODE/"),
        lambda name: name.replace(".py", ".PY"),
        lambda name: name.replace("/code/", "//code/"),
        lambda name: name.replace("/code/", "/./code/"),
        lambda name: name.upper() if "/code/" in name else name,
    ],
)
def test_code_under_a_name_that_only_pytorch_finds_is_looked_at_too(tmp_path, monkeypatch, rename):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(FromFile()).save("plain.ts")
    packed_anew("plain.ts", "m.ts", rename)
    with pytest.raises(ModelError, match=r"calls 'from_file'|not a readable TorchScript|not plain"):
        load_torchscript(tmp_path / "m.ts", device="cpu")(np.zeros((1, 1, 4, 4), np.float32))
    assert not (tmp_path / "written.bin").exists()


def test_a_zip_that_shows_pytorch_other_files_than_it_shows_us_is_run_as_it_was_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(FromFile()).save("m.ts")
    torch.jit.script(torch.nn.Identity()).save("harmless.ts")
    harmful, harmless = Path("m.ts").read_bytes(), tmp_path / "shown.zip"
    packed_anew("harmless.ts", harmless, lambda name: name)
    # Python finds the second directory because it lies right before the end; PyTorch goes where the end points to.
    both = bytearray(harmful + harmless.read_bytes())
    with zipfile.ZipFile("m.ts") as first:
        count, start = len(first.infolist()), first.start_dir
    shown = len(both) - 22
    struct.pack_into("<HH", both, shown + 8, count, count)
    struct.pack_into("<I", both, shown + 16, start)
    Path("m.ts").write_bytes(both)
    with contextlib.suppress(ModelError):
        load_torchscript(tmp_path / "m.ts", device="cpu")(np.zeros((1, 1, 4, 4), np.float32))
    assert not (tmp_path / "written.bin").exists()
