"""Where models compute, and what is said of a device that is not here."""

import sys

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.device import (
    DEVICES,
    choose_device,
    choose_onnx_device,
    is_device,
    only_torch_has,
    onnx_devices,
)

onnxruntime = pytest.importorskip("onnxruntime")
ALL = ("CUDAExecutionProvider", "CoreMLExecutionProvider", "DmlExecutionProvider", "OpenVINOExecutionProvider")


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch):
    """Let ONNX Runtime report some providers beside the processor's."""

    def report(*providers: str) -> None:
        there = ["AzureExecutionProvider", *providers, "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)

    return report


@pytest.mark.parametrize(
    ("providers", "device"),
    [
        (ALL[::-1], "cuda"),
        (ALL[1:], "coreml"),
        (ALL[2:], "directml"),
        (ALL[3:], "openvino"),
        (("TensorrtExecutionProvider",), "cpu"),
        ((), "cpu"),
    ],
)
def test_auto_takes_the_best_that_onnx_runtime_reports(reported, providers, device) -> None:
    reported(*providers)
    assert choose_onnx_device("auto") == device
    assert onnx_devices()[0] == device
    assert onnx_devices()[-1] == "cpu"


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:11", "coreml", "directml", "openvino"])
def test_a_device_that_is_here_is_taken_by_its_name(reported, device) -> None:
    reported(*ALL)
    assert choose_onnx_device(device) == device


@pytest.mark.parametrize(
    ("device", "system", "told"),
    [
        ("cuda", "linux", "or install onnxruntime-gpu in place of onnxruntime."),
        ("cuda:1", "win32", "or install onnxruntime-gpu in place of onnxruntime."),
        ("openvino", "linux", "or install onnxruntime-openvino in place of onnxruntime."),
        ("directml", "win32", "or install onnxruntime-directml in place of onnxruntime."),
        ("directml", "linux", "and directml only on Windows; choose auto or cpu."),
        ("coreml", "win32", "and coreml only on macOS; choose auto or cpu."),
        ("coreml", "darwin", "or install a newer onnxruntime."),
    ],
)
def test_one_that_is_not_here_is_refused_with_what_is_and_what_to_install(
    reported, monkeypatch, device, system, told
) -> None:
    reported()
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(ModelError) as refused:
        choose_onnx_device(device)
    assert str(refused.value).startswith(f"The device {device} was requested, but ONNX Runtime has only cpu here")
    assert str(refused.value).endswith(told)


@pytest.mark.parametrize(
    "device", ["gpu", "CPU", "", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "coreml:0", "auto:1", ":0"]
)
@pytest.mark.parametrize("choose", [choose_device, choose_onnx_device])
def test_what_is_no_device_is_refused_with_those_there_are(choose, device) -> None:
    assert not is_device(device)
    with pytest.raises(ModelError, match="choose one of auto, cpu, cuda, cuda:N, coreml, directml, openvino"):
        choose(device)


def test_every_device_that_is_told_of_is_one() -> None:
    assert all(is_device(device.replace("N", "3")) for device in DEVICES)


@pytest.mark.parametrize("device", ["coreml", "directml", "openvino"])
def test_a_device_that_pytorch_does_not_know_is_refused_for_a_model_that_runs_in_it(device) -> None:
    with pytest.raises(ModelError, match="runs in PyTorch, which computes on cpu or cuda here; choose one of these"):
        choose_device(device)


def test_without_onnx_runtime_it_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="ONNX Runtime, which is not installed here: pip install onnxruntime"):
        choose_onnx_device("auto")


def test_only_a_card_that_was_asked_for_and_that_onnx_runtime_cannot_use_is_left_to_pytorch(
    reported, monkeypatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    reported("OpenVINOExecutionProvider")
    assert only_torch_has("cuda:1")
    assert not any(only_torch_has(device) for device in ("auto", "cpu", "openvino"))
    reported("CUDAExecutionProvider")
    assert not only_torch_has("cuda")
    reported()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not only_torch_has("cuda")
