"""Models run by ONNX Runtime on a device, and by the processor where that device fails."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib.errors import CancelledError, ModelError
from AcuteFindingsLib.models import device as devices
from AcuteFindingsLib.models.runtime import session as sessions
from AcuteFindingsLib.models.runtime.session import devices_of, notices_of, open_session

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

BATCH = np.arange(24, dtype=np.float32).reshape(3, 8)


def doubling(*, first_axis: str | int = "n") -> bytes:
    """A model that gives twice its input, and its square as a second output."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = [first_axis, 8]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["twice"]), helper.make_node("Mul", ["x", "x"], ["square"])],
        "doubling",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, shape) for name in ("twice", "square")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@dataclass
class Device:
    """A real session of ONNX Runtime whose device does what a test says at its n-th run, counted from 1."""

    session: Any
    at_run: int
    does: Callable[[list[np.ndarray]], list[np.ndarray]]
    runs: list[int] = field(default_factory=list)

    def run(self, names: list[str], feeds: dict[str, np.ndarray], options: Any = None) -> list[np.ndarray]:
        self.runs.append(len(feeds["x"]))
        answers = self.session.run(names, feeds, options)
        return self.does(answers) if len(self.runs) >= self.at_run else answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


@pytest.fixture
def second_device(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Device]]:
    """Make ``cuda`` a provider that is here, and let it do what a test says; returns the sessions made on it."""
    other = next(name for name in onnxruntime.get_available_providers() if name != "CPUExecutionProvider")
    monkeypatch.setitem(devices.PROVIDERS, "cuda", other)
    monkeypatch.setattr(sessions, "_OPTIONS", {})
    real = onnxruntime.InferenceSession

    def install(*, at_run: int, does: Callable[[list[np.ndarray]], list[np.ndarray]]) -> list[Device]:
        made: list[Device] = []

        def create(model: bytes, options: Any, *, providers: list[Any], **further: Any) -> Any:
            session = real(model, options, providers=providers, **further)
            if providers == ["CPUExecutionProvider"]:
                return session
            made.append(Device(session, at_run, does))
            return made[-1]

        monkeypatch.setattr(onnxruntime, "InferenceSession", create)
        return made

    return install


def fail(told: str) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    def does(_answers: list[np.ndarray]) -> list[np.ndarray]:
        raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException(told)

    return does


def test_outputs_come_by_name_in_the_order_asked_for() -> None:
    session = open_session(doubling(), device="cpu")
    square, twice = session.run(["square", "twice"], {"x": BATCH})
    np.testing.assert_array_equal(twice, 2 * BATCH)
    np.testing.assert_array_equal(square, BATCH**2)
    assert (session.device, session.notices) == ("cpu", ())
    assert session.runtime == f"ONNX Runtime {onnxruntime.__version__}"
    assert [item.name for item in session.outputs] == ["twice", "square"]


def test_what_is_no_model_is_refused_by_its_name() -> None:
    with pytest.raises(ModelError, match=r"encode of m is not an ONNX model that can be run here: .*[^.]\.$"):
        open_session(b"not a model", device="cpu", name="encode of m")


def test_a_device_that_fails_while_it_computes_leaves_the_same_batch_and_the_rest_to_the_processor(
    second_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = second_device(at_run=3, does=fail("CUDA failure 999 in /secret/place/graph.cc"))
    session = open_session(doubling(), device="cuda", name="m")
    assert (session.device, session.notices) == ("cuda", ())
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            np.testing.assert_array_equal(session.run(["twice"], {"x": BATCH})[0], 2 * BATCH)
    assert made[0].runs == [3, 3, 3]
    assert session.device == "cpu"
    (notice,) = session.notices
    assert (notice.code, notice.severity) == ("device-failed", "warn")
    assert notice.text == "The device cuda failed while it computed; the processor computed the rest of this result."
    assert "CUDA failure 999" in caplog.text


def test_a_full_graphics_card_is_told_as_such_and_the_run_goes_on(second_device: Any) -> None:
    second_device(at_run=1, does=fail("CUDA failure 2: out of memory ; GPU=0"))
    session = open_session(doubling(), device="cuda")
    np.testing.assert_array_equal(session.run(["twice"], {"x": BATCH})[0], 2 * BATCH)
    assert session.notices[0].text.startswith("The memory of the graphics card is full; choose the device cpu")
    assert session.notices[0].text.endswith("the processor computed the rest of this result.")


def test_a_full_card_is_left_to_a_caller_who_can_take_smaller_pieces(second_device: Any) -> None:
    second_device(at_run=2, does=fail("CUDA failure 2: out of memory ; GPU=0"))
    session = open_session(doubling(), device="cuda", keeps_memory=False)
    session.run(["twice"], {"x": BATCH})
    with pytest.raises(Exception, match="out of memory"):
        session.run(["twice"], {"x": BATCH})
    assert (session.device, session.notices) == ("cuda", ())


def test_an_input_that_the_processor_does_not_take_either_is_not_the_devices_fault(second_device: Any) -> None:
    second_device(at_run=99, does=fail("never"))
    session = open_session(doubling(), device="cuda")
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(["twice"], {"x": np.zeros((3, 7), np.float32)})
    assert (session.device, session.notices) == ("cuda", ())


@pytest.mark.parametrize("first_axis", ["n", 3])
@pytest.mark.parametrize("off", [0.1, float("nan")])
def test_a_device_whose_first_answer_differs_from_the_processors_is_not_used(
    second_device: Any, off: float, first_axis: str | int
) -> None:
    second_device(at_run=1, does=lambda answers: [value + np.float32(off) for value in answers])
    session = open_session(doubling(first_axis=first_axis), device="cuda")
    np.testing.assert_array_equal(session.run(["twice"], {"x": BATCH})[0], 2 * BATCH)
    assert (session.device, session.notices[0].code) == ("cpu", "device-differs")


def test_a_device_that_computes_alike_is_compared_once_and_kept(second_device: Any) -> None:
    made = second_device(at_run=1, does=lambda answers: [value * np.float32(1 + 1e-5) for value in answers])
    session = open_session(doubling(), device="cuda")
    for _ in range(3):
        session.run(["twice"], {"x": BATCH})
    assert made[0].runs == [3, 3, 3]
    assert (session.device, session.notices) == ("cuda", ())


@pytest.mark.parametrize(("asked", "severity"), [("cuda", "warn"), ("auto", "info")])
def test_a_device_that_does_not_start_leaves_all_to_the_processor(
    monkeypatch: pytest.MonkeyPatch, asked: str, severity: str
) -> None:
    # As onnxruntime-gpu is without a card: it reports the provider and makes a session that lacks it.
    monkeypatch.setattr(devices, "onnx_devices", lambda: ("cuda", "cpu"))
    session = open_session(doubling(), device=asked)
    np.testing.assert_array_equal(session.run(["twice"], {"x": BATCH})[0], 2 * BATCH)
    assert session.device == "cpu"
    assert [(notice.code, notice.severity) for notice in session.notices] == [("device-not-started", severity)]


def test_the_sessions_of_a_model_say_where_each_computes_and_each_notice_once(second_device: Any) -> None:
    second_device(at_run=2, does=fail("no"))
    one, two, three = (open_session(doubling(), device="cuda") for _ in range(3))
    for session in (one, two):
        for _ in range(2):
            session.run(["twice"], {"x": BATCH})
    assert devices_of([one, two]) == "cpu"
    assert devices_of([one, three]) == "cpu+cuda"
    assert len(notices_of([one, two, three])) == 1


def test_a_session_on_the_processor_keeps_no_copy_of_the_models_file() -> None:
    content = doubling()
    before = sys.getrefcount(content)
    session = open_session(content, device="cpu")
    assert sys.getrefcount(content) == before
    assert session.device == "cpu"


def chain(count: int, side: int) -> bytes:
    """A model that multiplies its input with itself so often, one product after the other."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    names = ["x", *(f"at{number}" for number in range(count))]
    nodes = [helper.make_node("MatMul", [before, "x"], [after]) for before, after in pairwise(names)]
    values = [helper.make_tensor_value_info(name, kind, [side, side]) for name in ("x", names[-1])]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def test_a_run_that_takes_long_is_stopped_within_it() -> None:
    session = open_session(chain(6000, 512), device="cpu", threads=1)
    asked = []

    def cancelled() -> bool:
        asked.append(perf_counter())
        return len(asked) > 2

    with pytest.raises(CancelledError):
        session.run([session.outputs[0].name], {"x": np.zeros((512, 512), np.float32)}, cancelled=cancelled)
    stopped = perf_counter()
    # Before it, and while it runs; the whole chain takes the better part of a minute.
    assert len(asked) == 3
    assert stopped - asked[-1] < 5


def test_a_run_that_nobody_stops_gives_its_answers_and_raises_its_errors() -> None:
    session = open_session(doubling(), device="cpu")
    given = session.run(["twice"], {"x": BATCH}, cancelled=lambda: False)
    np.testing.assert_array_equal(given[0], 2 * BATCH)
    with pytest.raises(Exception, match="x"):
        session.run(["twice"], {"y": BATCH}, cancelled=lambda: False)
