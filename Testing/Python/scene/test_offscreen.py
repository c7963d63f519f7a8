import subprocess
import sys

import pytest

from AcuteFindingsLib.errors import SceneError
from AcuteFindingsLib.scene import application, offscreen


def test_a_missing_slicer_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slicer", None)
    with pytest.raises(SceneError, match=r"pip install acutefindings\[scene\]"):
        application.new_scene()
    assert "pip install" in str(offscreen.offscreen_rendering_problem())
    assert not application.inside_slicer()


def test_a_crash_while_trying_is_no_crash_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offscreen, "_PROBE", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert not offscreen._draws("vtkEGLRenderWindow")


def test_a_window_that_draws_nothing_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offscreen, "_PROBE", "print('wrong [0.0, 0.0, 0.0]')")
    assert not offscreen._draws("vtkEGLRenderWindow")


def test_no_window_is_made_where_nothing_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    monkeypatch.setattr(offscreen, "_working_window_class", lambda: None)
    with pytest.raises(SceneError, match="OpenGL"):
        offscreen.new_window(10, 10)


@pytest.mark.slow
def test_the_modules_import_without_slicer_or_torch() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('slicer', 'vtk', 'torch', 'monai', 'timm', 'highdicom', 'qt')))\n"
        "import AcuteFindingsLib.scene.bundle, AcuteFindingsLib.scene.pictures, AcuteFindingsLib.scene.views\n"
        "import AcuteFindingsLib.scene.slice_picture, AcuteFindingsLib.scene.chart_picture\n"
        "import AcuteFindingsLib.scene.matplotlib_pictures\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))})
