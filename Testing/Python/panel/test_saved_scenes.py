"""A scene saved while the extension's layout is shown opens with views everywhere."""

import json
import os
import runpy
import subprocess
import zipfile
from pathlib import Path

import pytest

from AcuteFindingsLib.scene.layouts import RADIOGRAPH_LAYOUT, STACK_LAYOUT
from AcuteFindingsLib.scene.nodes import add_volume, show_finding
from AcuteFindingsLib.scene.results import result_of

CASES = runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))
LAYOUTS = {"head": ("HemorrhageDetect", STACK_LAYOUT), "radiograph": ("PneumothoraxSeg", RADIOGRAPH_LAYOUT)}

SECOND = """
import json, slicer
slicer.util.loadScene({scene!r})
slicer.app.processEvents()
manager = slicer.app.layoutManager()
shown = [name for name in manager.sliceViewNames() if manager.sliceWidget(name).isVisible()]
logics = [manager.sliceWidget(name).sliceLogic() for name in shown]
volumes = [logic.GetBackgroundLayer().GetVolumeNode() for logic in logics]
said = dict(extension=hasattr(slicer.modules, "hemorrhagedetect"), layout=manager.layout, views=shown,
            volumes=[None if one is None else one.GetName() for one in volumes])
with open({told!r}, "w") as file:
    json.dump(said, file)
slicer.util.exit(0)
"""


@pytest.fixture
def show(host, scene):
    """Show the result of a case in its module's layout, without a run."""

    def show_it(name):
        case = CASES[name].__wrapped__()
        volume = add_volume(scene, case.study, case.finding, name="A volume")
        result = result_of(show_finding(case.finding, case.study, scene=scene, volume_node=volume).text)
        widget = host.open_panel(LAYOUTS[name][0])
        widget.panel.show_result(result)
        host.process_events()
        return widget

    return show_it


def scene_file(bundle):
    with zipfile.ZipFile(bundle) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".mrml"))).decode()


def layout(scene):
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_saved_scene_names_no_layout_that_another_application_lacks(host, scene, show, tmp_path, name):
    import slicer

    show(name)
    assert layout(scene) == LAYOUTS[name][1]
    assert slicer.util.saveScene(str(tmp_path / "kept.mrb"), {})
    assert "currentViewArrangement" not in scene_file(tmp_path / "kept.mrb")
    assert layout(scene) == LAYOUTS[name][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LAYOUTS))
def test_the_layout_comes_back_with_the_scene_whatever_was_shown_meanwhile(host, scene, show, tmp_path, name):
    import slicer

    show(name)
    slicer.util.saveScene(str(tmp_path / "kept.mrb"), {})
    host.leave_panel(LAYOUTS[name][0])
    scene.Clear(0)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    slicer.util.loadScene(str(tmp_path / "kept.mrb"))
    assert layout(scene) == LAYOUTS[name][1]


def test_a_scene_saved_in_a_layout_of_the_application_keeps_that(host, scene, show, tmp_path):
    import slicer

    show("head")
    manager, kinds = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
    manager.setLayout(kinds.SlicerLayoutOneUpRedSliceView)
    slicer.util.saveScene(str(tmp_path / "kept.mrb"), {})
    assert f'currentViewArrangement="{kinds.SlicerLayoutOneUpRedSliceView}"' in scene_file(tmp_path / "kept.mrb")
    manager.setLayout(STACK_LAYOUT)
    slicer.util.loadScene(str(tmp_path / "kept.mrb"))
    assert layout(scene) == kinds.SlicerLayoutOneUpRedSliceView


def test_a_scene_that_names_the_layout_opens_in_it(host, scene, show, tmp_path):
    """As those that earlier versions saved."""
    import slicer

    show("head")
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    node.DisableModifiedEventOn()
    node.SetSaveWithScene(True)
    node.DisableModifiedEventOff()
    slicer.util.saveScene(str(tmp_path / "kept.mrb"), {})
    assert f'currentViewArrangement="{STACK_LAYOUT}"' in scene_file(tmp_path / "kept.mrb")
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    slicer.util.loadScene(str(tmp_path / "kept.mrb"))
    assert layout(scene) == STACK_LAYOUT
    assert sorted(slicer.app.layoutManager().sliceViewNames()) == ["Green", "Red", "Yellow"]


@pytest.mark.in_application
@pytest.mark.parametrize("extension", [False, True], ids=["without-the-extension", "with-the-extension"])
def test_a_fresh_application_opens_the_scene_with_the_image_in_every_view(host, show, tmp_path, extension):
    import slicer

    show("head")
    scene, told, program = tmp_path / "kept.mrb", tmp_path / "told.json", tmp_path / "open.py"
    slicer.util.saveScene(str(scene), {})
    program.write_text(SECOND.format(scene=str(scene), told=str(told)))
    modules = [str(Path(getattr(slicer.modules, name).path).parent) for name in ("acutefindings", "hemorrhagedetect")]
    environment = dict(slicer.util.startupEnvironment(), SLICER_HOME_DIR=str(tmp_path / "home"))
    environment["DISPLAY"] = os.environ["DISPLAY"]
    command = [slicer.app.launcherExecutableFilePath, "--no-splash", "--python-script", str(program)]
    if extension:
        command += ["--additional-module-paths", *modules]
        environment["PYTHONPATH"] = modules[0]
    subprocess.run(command, env=environment, timeout=120, capture_output=True, check=True)
    said = json.loads(told.read_text())
    assert said["extension"] is extension
    assert sorted(said["views"]) == ["Green", "Red", "Yellow"]
    assert said["volumes"] == ["A volume"] * 3
    assert (said["layout"] == STACK_LAYOUT) is extension
