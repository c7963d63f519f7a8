"""Environments of their own for what is compared with and is no part of the project."""

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Keras"))

from make_environment import python_with

# The source's own program asks for these too (docs/sources.md 1); tensorflow-cpu is TensorFlow without CUDA.
PACKAGES = {
    "tensorflow": (
        "tensorflow" if sys.platform == "darwin" else "tensorflow-cpu",
        "opencv-python-headless",
        "pandas",
        "pydicom",
        "scipy",
    ),
    "openvino": ("onnxruntime-openvino", "numpy"),
}


@dataclass(frozen=True)
class Missing:
    """Why there is no such environment."""

    reason: str


@cache
def environment(name: str) -> Path | Missing:
    """Return the interpreter of one of `PACKAGES`, made where there is none yet, or why it cannot be had."""
    try:
        return python_with(name, PACKAGES[name], share=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Missing(f"{PACKAGES[name][0]} could not be installed here ({type(error).__name__})")
