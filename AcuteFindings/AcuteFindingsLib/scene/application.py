"""Where the scene comes from: the running Slicer's own, or a new one on the genuine libraries of the wheel."""

import importlib
from contextlib import suppress
from typing import Any

from AcuteFindingsLib.errors import SceneError

# The classes of Slicer's loadable modules that a scene and its pictures are made of, by the files that wrap them.
_MODULE_WRAPPERS = tuple(
    f"vtkSlicer{module}Module{part}Python"
    for module in ("Segmentations", "SubjectHierarchy", "Terminologies")
    for part in ("MRML", "MRMLDisplayableManager", "Logic")
)


def load_slicer() -> tuple[Any, Any]:
    """Return the modules `slicer` and `vtk`, imported when first asked for.

    Both take more than a second to import, and neither is there on every installation; so nothing in `scene` imports
    them at file scope. In ``PythonSlicer``, where no application has loaded the loadable modules, `slicer` holds their
    classes afterwards too, as the wheel's does.

    Raises
    ------
    SceneError
        When they are not installed, or a system library that they need is missing.
    """
    try:
        import slicer
        import vtk
    except ImportError as error:
        raise SceneError(
            f"Slicer's libraries could not be loaded ({error}); run: pip install acutefindings[scene]"
        ) from error
    if not hasattr(slicer, "vtkSlicerSegmentationsModuleLogic") and not hasattr(slicer, "app"):
        _add_module_classes(slicer)
    return slicer, vtk


def inside_slicer() -> bool:
    """Whether this process is the Slicer application, with a scene and views of its own."""
    try:
        slicer, _ = load_slicer()
    except SceneError:
        return False
    return hasattr(slicer, "app") and hasattr(slicer, "mrmlScene")


def current_scene() -> Any:
    """Return the application's scene where there is one, else a new scene.

    Raises
    ------
    SceneError
        When Slicer's libraries are not installed.
    """
    slicer, _ = load_slicer()
    scene = getattr(slicer, "mrmlScene", None)
    return new_scene() if scene is None else scene


def new_scene() -> Any:
    """Return a new `vtkMRMLScene` with what Slicer puts into an empty one: colors, node classes, orientation presets.

    The presets follow the radiological convention: the patient's right is at the left of an axial or coronal view.

    Raises
    ------
    SceneError
        When Slicer's libraries are not installed.
    """
    slicer, _ = load_slicer()
    scene = slicer.vtkMRMLScene()
    slicer.vtkSlicerApplicationLogic().SetMRMLScene(scene)
    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(scene)
    colors.SetMRMLScene(None)  # or it would take its colors along when it goes
    # A module's logic registers its node classes with the scene; without them a saved scene cannot be read back.
    for name in ("Segmentations", "SubjectHierarchy"):
        module_logic = getattr(slicer, f"vtkSlicer{name}ModuleLogic")()
        module_logic.SetMRMLScene(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    return scene


def application_logic(scene: Any) -> Any:
    """Return the application logic that serves `scene`: the running Slicer's, or one made for it."""
    slicer, vtk = load_slicer()
    if inside_slicer() and scene is slicer.mrmlScene:
        return slicer.app.applicationLogic()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    return logic


def _add_module_classes(slicer: Any) -> None:
    for name in _MODULE_WRAPPERS:
        with suppress(ImportError):  # not every module has every part; what is missing in the end is told when needed
            wrapper = importlib.import_module(name)
            for public in (one for one in vars(wrapper) if one.startswith("vtk") and not hasattr(slicer, one)):
                setattr(slicer, public, getattr(wrapper, public))
