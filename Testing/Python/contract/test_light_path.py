"""The way from a study to its verdict, report and archive loads no torch and nothing that comes with it."""

import subprocess
import sys
from fnmatch import fnmatch

import pytest
from extension_files import LIBRARY

TORCH = ("torch", "torchvision", "monai", "timm", "segmentation_models_pytorch", "lightning", "torchmetrics", "skimage",
         "onnx", "onnxscript", "h5py", "tensorboard", "torchxrayvision")  # fmt: skip
EVALUATE = ("sklearn", "pandas", "openpyxl")

NEED_TORCH = (
    "networks.*",
    "training.*",
    "models.importing.*",
    "models.safe_load",
    "models.graphs.export",
    "models.graphs.prove",
    "models.graphs.explain",
    "models.graphs.make",
    "models.public.torch_proof",
    "models.runtime.gradcam",
    "models.runtime.torch*",
    "detectors.bundle",
    "detectors.importing",
    "detectors.public_importing",
    "detectors.import_proof",
    "detectors.*.import_proof",
    "detectors.pe.keras_models",
    "providers.torchxrayvision.*",
    "providers.children.*",
)
"""Writing, importing and training models, and running those without a graph; what a provider runs apart."""

NEED_EVALUATE = ("evaluation.*", "pages.curves", "trust.calibrate", "trust.calibration_page", "trust.site_results")

LOAD = """
import importlib, sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {lacking}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Lacking())
failed = []
for name in {modules}:
    try:
        importlib.import_module("AcuteFindingsLib." + name)
    except ModuleNotFoundError as error:
        failed.append(name + " needs " + error.name)
assert not failed, failed
print(len({modules}), "imported")
"""


def modules() -> list[str]:
    """Return the library's modules, and not those that only run in Slicer."""
    places = (path.relative_to(LIBRARY).with_suffix("") for path in sorted(LIBRARY.rglob("*.py")))
    names = (".".join(place.parts).removesuffix(".__init__") for place in places)
    return [name for name in names if name != "__init__" and not name.startswith("widgets.")]


def matching(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


def load(names: list[str], lacking: tuple[str, ...]) -> None:
    assert names
    code = LOAD.format(modules=names, lacking=lacking)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert ended.stdout == f"{len(names)} imported\n", ended.stderr


def test_all_but_what_is_named_loads_without_torch_and_without_what_measures() -> None:
    named = matching(modules(), (*NEED_TORCH, *NEED_EVALUATE))
    load([name for name in modules() if name not in named], (*TORCH, *EVALUATE))


def test_explaining_and_reading_tables_load_without_what_measures() -> None:
    load(["evaluation.explain", "evaluation.contact_sheet", "evaluation.table_files"], (*TORCH, *EVALUATE))


def test_measuring_loads_without_torch() -> None:
    load(matching(modules(), NEED_EVALUATE), TORCH)


def test_a_planted_import_is_found() -> None:
    with pytest.raises(AssertionError, match=r"networks\.unet needs torch"):
        load(["networks.unet"], TORCH)
