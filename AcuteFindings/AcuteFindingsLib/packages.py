"""The packages of others that each part needs, and what they take to download: the one place that says so.

`pyproject.toml` names the same requirements; a test compares them. Read with the standard library alone, because
Slicer's panels ask before any package is there.
"""

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from AcuteFindingsLib.errors import TorchMissingError


@dataclass(frozen=True)
class Package:
    """A package that has to be there.

    Attributes
    ----------
    name, requirement
        Its name, and the requirement for pip.
    download_mb
        Megabytes (10⁶ bytes) of its wheel and of those that it brings along and no other package here does, for this
        system (Python 3.12, November 2026; of a Mac the larger of both kinds).
    others
        Names of builds that take its place.
    """

    name: str
    requirement: str
    download_mb: float
    others: tuple[str, ...] = ()


def _here(*, windows: float, mac: float, linux: float) -> float:
    return {"win32": windows, "darwin": mac}.get(sys.platform, linux)


DETECT = (
    # With protobuf and flatbuffers; on Intel Macs 1.23.2 is the last, 19 MB, and brings SymPy (7 MB).
    Package(
        "onnxruntime",
        "onnxruntime>=1.20",
        _here(windows=17, mac=27, linux=28),
        ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    ),
    Package("safetensors", "safetensors>=0.4", 1),
    Package("pydantic", "pydantic>=2.6", 3),
)
"""What a verdict needs."""

REPORT = (
    Package("jinja2", "jinja2>=3.1", 0.2),
    # With fonttools and others that small.
    Package("matplotlib", "matplotlib>=3.8", _here(windows=13, mac=13, linux=18)),
    Package("pillow", "pillow>=10", 7),
    Package("filelock", "filelock>=3.12", 0.3),
)
"""What a report needs beside it."""

LIGHT = (*DETECT, *REPORT)
"""The way from a study to its report."""

DICOM = (Package("highdicom", "highdicom>=0.24", 2),)
"""What DICOM results need beside both."""

DOWNLOAD = (
    Package("pydantic", "pydantic>=2.6", 3),
    Package("pooch", "pooch>=1.8", 0.1),
    Package("requests", "requests>=2.31", 1),
    Package("filelock", "filelock>=3.12", 0.3),
)
"""What downloading a model needs."""

REMOTE = (
    # With httpcore, h11, anyio and others that small.
    Package("httpx", "httpx>=0.27", 0.5),
)
"""What asking a server needs beside `DETECT`."""

PUBLIC = (
    *DETECT,
    # With hf-xet, httpx and others.
    Package("huggingface-hub", "huggingface-hub>=0.30", 7),
    Package("pyyaml", "pyyaml>=6.0", 1),
    Package("filelock", "filelock>=3.12", 0.3),
)
"""What importing a public model needs."""

IMPORT = {
    **dict.fromkeys((".h5", ".hdf5", ".keras"), (Package("h5py", "h5py>=3.10", 6),)),
    ".onnx": (Package("onnx", "onnx>=1.16", 9),),
}
"""What importing a file needs beside, by the file's ending; see also `TORCH`."""

_CUDA_MB = 2450
"""With Triton, of PyTorch 2.14."""

TORCH = (
    Package("torch", "torch>=2.6", _here(windows=125, mac=130, linux=560)),
    Package("torchvision", "torchvision>=0.21", _here(windows=2, mac=2, linux=8)),
    Package("timm", "timm>=1.0", 3),
    Package("segmentation-models-pytorch", "segmentation-models-pytorch>=0.5", 1),
    Package("monai", "monai>=1.4", 2),
    # A network that was imported or trained is given its ONNX graph, for which ml_dtypes comes along.
    Package("onnx", "onnx>=1.16", 9),
    Package("onnxscript", "onnxscript>=0.1", 2),
)
"""What importing a network's weights, training, and models without an ONNX graph need beside.

torch is the wheel of the Python package index; with the libraries of CUDA it is several times as much.
"""

WORKLIST = (
    # With greenlet and Mako.
    Package("SQLAlchemy", "sqlalchemy>=2.0.30", 6),
    Package("alembic", "alembic>=1.13", 1),
)
"""What the list of many studies needs beside."""

EVALUATE = (
    Package("scikit-learn", "scikit-learn>=1.4", 10),
    Package("pandas", "pandas>=2.0", 12),
    Package("openpyxl", "openpyxl>=3.1", 1),
)
"""What measuring, comparing and exploring tables need beside."""

TRAIN = (
    Package("lightning", "lightning>=2.4", 2),
    Package("scikit-image", "scikit-image>=0.22", 14),
    Package("pyyaml", "pyyaml>=6.0", 1),
    Package("tensorboard", "tensorboard>=2.15", 13),
    Package("torchmetrics", "torchmetrics>=1.3", 1),
)
"""What training needs beside both."""

_EXTRA_MODULES = {
    "sklearn": ("scikit-learn", "evaluate"),
    "pandas": ("pandas", "evaluate"),
    "lightning": ("lightning", "train"),
    "skimage": ("scikit-image", "train"),
    "yaml": ("PyYAML", "train"),
    "tensorboard": ("tensorboard", "train"),
    "torchmetrics": ("torchmetrics", "train"),
    "sqlalchemy": ("SQLAlchemy", "worklist"),
    "alembic": ("alembic", "worklist"),
    "httpx": ("httpx", "web"),
}
"""Package and extra by what is imported."""

_TORCH_MODULES = {package.name.replace("-", "_") for package in TORCH}


def missing_packages(needed: Sequence[Package]) -> list[Package]:
    """Return what is not installed or too old; reads the installed packages' names only and imports none of them."""
    return [package for package in needed if not _satisfied(package)]


def total_mb(packages: Sequence[Package]) -> int:
    """Return what packages take to download together, in megabytes, rounded up."""
    return -int(-sum(package.download_mb for package in packages) // 1)


def torch_exists() -> bool:
    """Whether there is a PyTorch that is new enough for this Python.

    PyTorch 2.2.2 was the last with a wheel for macOS on x86_64 (https://github.com/pytorch/pytorch/issues/114602);
    Slicer for macOS is an x86_64 program, on every Mac.
    """
    return not (sys.platform == "darwin" and platform.machine() == "x86_64")


def torch_missing(error: BaseException | None = None, *, what: str = "This") -> TorchMissingError | None:
    """Return how to get PyTorch where an error says that it, or what comes with it, is not there; else None.

    Parameters
    ----------
    error
        What was raised; None where it is known that PyTorch is missing.
    what
        What needs it, as the sentence begins.
    """
    if error is not None and not (
        isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _TORCH_MODULES
    ):
        return None
    if not torch_exists():
        return TorchMissingError(
            f"{what} needs PyTorch 2.6 or later, which does not exist for Python on Intel Macs (x86_64): 2.2.2 was the "
            "last. Use Linux or Windows, or a Python for Apple silicon (arm64)."
        )
    missing = missing_packages(TORCH) or TORCH
    names = ", ".join("PyTorch" if package.name == "torch" else package.name for package in missing)
    return TorchMissingError(
        f"{what} needs {names}, not installed here: pip install 'acutefindings[torch]' (downloads {_size(missing)})."
    )


def extra_missing(error: BaseException) -> str:
    """Return how to get what an error says is not there, where one of our extras brings it; else an empty text."""
    torch = torch_missing(error)
    if torch is not None or not isinstance(error, ModuleNotFoundError):
        return str(torch or "")
    name, extra = _EXTRA_MODULES.get((error.name or "").partition(".")[0], ("", ""))
    if not extra:
        return ""
    missing = missing_packages(
        {"evaluate": EVALUATE, "worklist": WORKLIST, "web": REMOTE}.get(extra, (*TORCH, *EVALUATE, *TRAIN))
    )
    return (
        f"This needs the Python package {name}, not installed here: pip install 'acutefindings[{extra}]' "
        f"(downloads {_size(missing)})."
    )


def _size(packages: Sequence[Package]) -> str:
    """Return in words what pip downloads: under Linux it always brings the libraries of CUDA along with torch."""
    total = total_mb(packages)
    if sys.platform == "linux" and any(package.name == "torch" for package in packages):
        return f"about {(total + _CUDA_MB) / 1000:.0f} GB, most of it for graphics cards"
    return f"about {max(total, 1)} MB"


def _satisfied(package: Package) -> bool:
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    wanted = Requirement(package.requirement).specifier
    for name in (package.name, *package.others):
        try:
            version = Version(importlib.metadata.version(name))
        except (importlib.metadata.PackageNotFoundError, InvalidVersion, TypeError, KeyError):
            # Not there, or without a version, as an installation that was cut off leaves it.
            continue
        # A build of a coming release (2.6.0a0) counts as what it will be.
        if wanted.contains(version.base_version):
            return True
    return False
