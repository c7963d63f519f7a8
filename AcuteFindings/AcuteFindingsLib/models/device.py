"""Where a model computes: the processor or a graphics card, as each runtime finds them."""

from AcuteFindingsLib.errors import ModelError


def choose_device(device: str) -> str:
    """Return ``"cpu"``, ``"cuda"`` or ``"cuda:N"`` for what the user asked.

    Raises
    ------
    ModelError
        When the device is unknown, or a graphics card was asked for and PyTorch finds none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu"
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdigit()) or device.endswith(":"):
        raise ModelError(f"There is no device {device!r}; choose auto, cpu or cuda.")
    if not torch.cuda.is_available():
        raise ModelError(
            "The device cuda was requested, but PyTorch finds no CUDA graphics card here; choose auto or cpu, or "
            "install PyTorch with CUDA and the card's driver."
        )
    if number and int(number) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ModelError(f"There is no device {device!r}: PyTorch finds {count} CUDA graphics cards here.")
    return device


def choose_onnx_device(device: str) -> str:
    """Return ``"cpu"`` or ``"cuda"`` for what the user asked.

    Raises
    ------
    ModelError
        When ONNX Runtime is not installed, or a graphics card was asked for and it has none.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "This model is an ONNX file, and running it needs ONNX Runtime: pip install 'acutefindings[import]'."
        ) from error
    has_card = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "auto":
        return "cuda" if has_card else "cpu"
    if device == "cpu":
        return "cpu"
    if device.partition(":")[0] != "cuda":
        raise ModelError(f"There is no device {device!r}; choose auto, cpu or cuda.")
    if not has_card:
        raise ModelError(
            "ONNX Runtime finds no CUDA graphics card here; choose auto or cpu, or install onnxruntime-gpu."
        )
    return "cuda"
