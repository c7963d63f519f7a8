"""ONNX files run by ONNX Runtime; torch is not needed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import ModelError


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


def load_onnx(path: Path, *, device: str) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load an ONNX file of one input; nothing but what is in the file itself is read.

    Raises
    ------
    ModelError
        When the file is damaged, takes several inputs, or needs operators or files that are not there.
    """
    import onnxruntime

    choose_onnx_device(device)
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    try:
        # From memory: weights that a file wants to fetch from elsewhere on the disk are then refused.
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=providers)
    except Exception as error:  # ONNX Runtime's own classes have no common base but this.
        raise ModelError(f"{path.name} is no ONNX model that can be run here: {_line(error)}.") from error
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"{path.name} takes {len(inputs)} inputs; one batch of pictures is expected.")
    name = inputs[0].name

    def run(batch: np.ndarray) -> list[np.ndarray]:
        try:
            return session.run(None, {name: batch})
        except Exception as error:
            raise ModelError(
                f"{path.name} could not process a batch of shape {batch.shape}: {_line(error)}."
            ) from error

    return run


def onnx_outputs(path: Path) -> list[str]:
    """Return the names of an ONNX file's outputs, in order."""
    import onnxruntime

    load_onnx(path, device="cpu")
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return [output.name for output in session.get_outputs()]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
