"""Where a model computes: the processor or what speeds it up, as each runtime finds them."""

import sys

from AcuteFindingsLib.errors import ModelError

CPU = "cpu"

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Devices of ONNX Runtime beside the processor and what it calls them, the one that ``auto`` prefers first."""

DEVICES = ("auto", CPU, "cuda", "cuda:N", *list(PROVIDERS)[1:])
"""What a user may ask for; the N of ``cuda:N`` is the number of a graphics card, from 0."""

_PACKAGES = {"cuda": "onnxruntime-gpu", "directml": "onnxruntime-directml", "openvino": "onnxruntime-openvino"}
# Where a device is part of the system, or its package of ONNX Runtime is made for one system only.
_SYSTEMS = {"coreml": ("darwin", "macOS"), "directml": ("win32", "Windows")}


def is_device(device: str) -> bool:
    """Whether this is one of `DEVICES`, with a number in place of the N."""
    name, colon, number = device.partition(":")
    return number.isdecimal() and name == "cuda" if colon else name in ("auto", CPU, *PROVIDERS)


def require_device(device: str) -> None:
    """Raise `ModelError` for what is not one of `DEVICES`."""
    if not is_device(device):
        raise ModelError(f"There is no device {device!r}; choose one of {', '.join(DEVICES)}.")


def choose_device(device: str) -> str:
    """Return where PyTorch is to compute for what the user asked: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    ModelError
        When the device is unknown or PyTorch does not know it, or a graphics card was asked for and PyTorch finds none.
    """
    require_device(device)
    if device == CPU:
        return CPU
    name, _, number = device.partition(":")
    if name in PROVIDERS and name != "cuda":
        raise ModelError(
            f"The device {device} was requested, but this model runs in PyTorch, which computes on cpu or cuda here; "
            "choose one of these, or auto."
        )
    try:
        import torch
    except ImportError:
        # A provider's own environment may have it. What needs it in this one says so.
        return CPU if device == "auto" else device

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else CPU
    if not torch.cuda.is_available():
        raise ModelError(
            "The device cuda was requested, but PyTorch finds no CUDA graphics card here; choose auto or cpu, or "
            "install PyTorch with CUDA and the card's driver."
        )
    if number and int(number) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ModelError(f"There is no device {device!r}: PyTorch finds {count} CUDA graphics cards here.")
    return device


def only_torch_has(device: str) -> bool:
    """Whether a CUDA card was asked for that PyTorch, which is installed, can use and ONNX Runtime cannot."""
    if device.partition(":")[0] != "cuda" or "cuda" in onnx_devices():
        return False
    try:
        import torch
    except (ImportError, OSError):
        return False
    return bool(torch.cuda.is_available())


def onnx_devices() -> tuple[str, ...]:
    """Return the devices that the installed ONNX Runtime can compute on, the best first and ``"cpu"`` last.

    Raises
    ------
    ModelError
        When ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "This model is computed by ONNX Runtime, which is not installed here: pip install onnxruntime."
        ) from error
    there = onnxruntime.get_available_providers()
    return (*(device for device, provider in PROVIDERS.items() if provider in there), CPU)


def choose_onnx_device(device: str) -> str:
    """Return where ONNX Runtime is to compute for what the user asked: one of `onnx_devices`, or ``"cuda:N"``.

    Raises
    ------
    ModelError
        When ONNX Runtime is not installed, or it does not have the device; says what it has and what to install.
    """
    require_device(device)
    there = onnx_devices()
    if device == "auto":
        return there[0]
    name = device.partition(":")[0]
    if name in there:
        return device
    missing = f"The device {device} was requested, but ONNX Runtime has only {' and '.join(there)} here"
    system, called = _SYSTEMS.get(name, (sys.platform, ""))
    if system != sys.platform:
        raise ModelError(f"{missing}, and {name} only on {called}; choose auto or {CPU}.")
    package = _PACKAGES.get(name)
    how = f"install {package} in place of onnxruntime" if package else "install a newer onnxruntime"
    raise ModelError(f"{missing}; choose auto or {CPU}, or {how}.")
