"""Whether this machine can draw without a screen, and the render window that can."""

import functools
import subprocess
import sys
from typing import Any

from AcuteFindingsLib.errors import SceneError
from AcuteFindingsLib.scene.application import inside_slicer, load_slicer

# EGL and OSMesa draw without a display; the default needs a display, or a desktop that is always there (macOS and
# Windows).
_WINDOW_CLASSES = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow", "vtkRenderWindow")

# Run in a process of its own: without a usable OpenGL library VTK ends the process instead of raising an error.
_PROBE = """
import sys
import vtkmodules.vtkRenderingCore as core
import vtkmodules.vtkRenderingOpenGL2 as opengl
from vtkmodules.vtkCommonCore import vtkLogger
vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
window = (getattr(opengl, sys.argv[1], None) or getattr(core, sys.argv[1]))()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
renderer = core.vtkRenderer()
renderer.SetBackground(0.0, 1.0, 0.0)
window.AddRenderer(renderer)
window.Render()
grab = core.vtkWindowToImageFilter()
grab.SetInput(window)
grab.ReadFrontBufferOff()
grab.Update()
drawn = [grab.GetOutput().GetScalarComponentAsDouble(4, 4, 0, channel) for channel in range(3)]
print("drawn" if drawn == [0.0, 255.0, 0.0] else f"wrong {drawn}")
"""
_PROBE_SECONDS = 60


def offscreen_rendering_problem() -> str | None:
    """Return in one line why Slicer's views cannot be rendered on this machine, or None where they can."""
    try:
        load_slicer()
    except SceneError as error:
        return str(error)
    if inside_slicer() or _working_window_class() is not None:
        return None
    return (
        "No OpenGL library draws without a screen on this machine "
        "(on Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri)"
    )


def new_window(width: int, height: int) -> Any:
    """Return a render window that draws into memory.

    Raises
    ------
    SceneError
        When `offscreen_rendering_problem` has one to tell.
    """
    problem = offscreen_rendering_problem()
    if problem is not None:
        raise SceneError(f"{problem}.")
    _, vtk = load_slicer()
    window_class = "vtkRenderWindow" if inside_slicer() else _working_window_class()
    window = getattr(vtk, str(window_class))()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(width, height)
    return window


@functools.cache
def _working_window_class() -> str | None:
    """Return the first class of render window that really draws; asked once a process, as each try takes a second."""
    candidates = _WINDOW_CLASSES if sys.platform.startswith("linux") else _WINDOW_CLASSES[-1:]
    return next((name for name in candidates if _draws(name)), None)


def _draws(window_class: str) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, window_class],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip().endswith("drawn")
