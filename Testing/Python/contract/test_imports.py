"""Module files and their panels come up in a Slicer that has none of the packages a detector needs."""

import compileall
import subprocess
import sys
from pathlib import Path

import pytest
from extension_files import LIBRARY, MODULES, ROOT, module_file, widget_sources

pytestmark = pytest.mark.slow

LACKING = ("torch", "torchvision", "monai", "timm", "pydantic", "skimage", "jinja2", "matplotlib", "typer", "rich",
           "safetensors", "highdicom", "lightning", "segmentation_models_pytorch")  # fmt: skip

BARE = """
import sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {lacking}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Lacking())
sys.path[:0] = {paths}
import host
host.start()
host.renew(main_window={window})
{body}
assert not host.errors, host.errors
loaded = sorted(name for name in {lacking} if name in sys.modules)
assert not loaded, loaded
print("came up")
"""


def run_bare(body: str, *, window: bool = True, extra: Path | None = None) -> subprocess.CompletedProcess:
    """Run Python code beside the test host, without the packages that Slicer lacks."""
    paths = [str(ROOT / "Testing" / "Host"), *([str(extra)] if extra else [])]
    code = BARE.format(lacking=LACKING, paths=paths, body=body, window=window)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen", "HOME": "/nonexistent"},
        cwd="/",
    )


def test_module_files_and_library_compile(tmp_path):
    for folder in [ROOT / name for name in MODULES] + [ROOT / "Testing" / "Slicer"]:
        assert compileall.compile_dir(folder, quiet=1, force=True, legacy=False, ddir=str(tmp_path))


def test_module_and_widget_files_import_in_a_bare_slicer():
    files = [str(module_file(name)) for name in MODULES]
    places = [path.relative_to(LIBRARY.parent).with_suffix("") for path in widget_sources()]
    names = [".".join(place.parts) for place in places]
    body = (
        f"import importlib\nfor path in {files}: host.load_module(path)\n"
        f"for name in {names}: importlib.import_module(name)"
    )
    ended = run_bare(body, window=False)
    assert "came up" in ended.stdout, ended.stderr


@pytest.mark.parametrize("window", [True, False])
def test_all_panels_open_and_close_in_a_bare_slicer(window):
    body = f"for name in {MODULES}:\n    host.open_panel(name)\n    host.wait(0.2)\nhost.close_panels()"
    ended = run_bare(body, window=window)
    assert "came up" in ended.stdout, ended.stderr


def test_the_library_is_where_modules_find_it():
    assert LIBRARY.parent == module_file("AcuteFindings").parent


def test_a_planted_import_is_found(tmp_path):
    (tmp_path / "Greedy.py").write_text("import torch\n")
    ended = run_bare("import Greedy", extra=tmp_path)
    assert "came up" not in ended.stdout
    assert "No module named 'torch'" in ended.stderr
