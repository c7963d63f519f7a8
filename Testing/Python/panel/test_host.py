"""The test host behaves as the application does (`SLICER_FACTS.md`), wherever a panel could tell the difference."""

import enum
import importlib
import os
import pwd
import sys
import threading
import time

import numpy as np
import pytest

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Small</class>
<widget class="qMRMLWidget" name="Small"><layout class="QVBoxLayout" name="verticalLayout">
 <item><widget class="ctkCollapsibleButton" name="inputsButton"><property name="text"><string>Inputs</string></property>
  <layout class="QFormLayout" name="formLayout">
   <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="inputSelector">
     <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
     <property name="noneEnabled"><bool>true</bool></property>
     <property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property></widget></item>
   <item row="1" column="1"><widget class="QComboBox" name="deviceComboBox">
     <property name="SlicerParameterName" stdset="0"><string>device</string></property></widget></item>
   <item row="3" column="1"><widget class="QLineEdit" name="nameEdit">
     <property name="SlicerParameterName" stdset="0"><string>annotator</string></property></widget></item>
   <item row="5" column="1"><widget class="ctkPathLineEdit" name="folderEdit"/></item>
  </layout></widget></item>
 <item><widget class="QPushButton" name="applyButton"><property name="text"><string>Apply</string></property>
 </widget></item>
</layout></widget>
<connections><connection><sender>Small</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
 <receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections>
</ui>"""


class Device(enum.Enum):
    AUTO = "auto"
    CUDA = "cuda"


@pytest.fixture
def ui(host, scene, tmp_path):
    import slicer

    path = tmp_path / "Small.ui"
    path.write_text(UI)
    widget = slicer.util.loadUI(str(path))
    widget.setMRMLScene(scene)
    widget.resize(400, 300)
    widget.show()
    made = slicer.util.childWidgetVariables(widget)
    made.whole = widget
    return made


@pytest.fixture
def parameters(scene):
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Node:
        inputVolume: slicer.vtkMRMLScalarVolumeNode
        device: Device
        annotator: str

    # By this name: the application's modules have nodes of this class in the scene, too.
    return Node(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "HostParameters"))


@pytest.mark.slow
@pytest.mark.stand_in
def test_python_threads_starve_while_the_event_loop_waits(host):
    turns, stop = [0], []

    def work():
        while not stop:
            turns[0] += 1
            time.sleep(0.005)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    loop_turns = []
    import qt

    loop = qt.QEventLoop()
    qt.QTimer.singleShot(500, loop.quit)
    before = turns[0]
    loop.exec_()
    loop_turns.append(turns[0] - before)
    stop.append(1)
    assert loop_turns[0] <= 3  # 100 where Qt lets go of Python's lock


def test_a_process_runs_beside_the_event_loop(host):
    import qt

    process, answered, ended = qt.QProcess(), [], []
    process.connect("readyReadStandardOutput()", lambda: answered.append(bytes(process.readAllStandardOutput().data())))
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.start(sys.executable, ["-u", "-c", "import time; line = input(); time.sleep(0.2); print(line)"])
    process.write("grün\n".encode())
    ticks = [0]
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.__setitem__(0, ticks[0] + 1))
    timer.start(10)
    host.wait_until(lambda: ended)
    assert b"".join(answered) == "grün\n".encode()
    assert ended == [(0, qt.QProcess.NormalExit)]
    assert process.state() == qt.QProcess.NotRunning
    assert ticks[0] > 5


def test_properties_have_no_parentheses_and_methods_do(host):
    import qt

    button = qt.QPushButton("Apply")
    assert button.text == "Apply"
    button.text = "Cancel"
    assert button.text == "Cancel"
    assert button.enabled is True
    assert button.isEnabled() is True
    with pytest.raises(TypeError, match="not callable"):
        button.text()


def test_a_name_that_a_widget_lacks_is_refused_in_the_applications_words(host):
    import ctk
    import qt

    button = qt.QPushButton("Apply")
    with pytest.raises(AttributeError) as raised:
        button.nonsense = 1
    assert (
        str(raised.value)
        == "'nonsense' does not exist on QPushButton and creating new attributes on C++ objects is not allowed"
    )
    with pytest.raises(AttributeError, match="nonsense"):
        _ = button.nonsense
    with pytest.raises(AttributeError):
        _ = button.setTextDirection  # in no version
    with pytest.raises(AttributeError):
        _ = ctk.ctkCollapsibleButton().setCollapsed  # a C++ method that PythonQt does not show; `collapsed` is
    with pytest.raises(AttributeError):
        _ = qt.QNonsense


def test_a_slot_gets_as_much_as_it_takes(host):
    import qt

    button, got = qt.QPushButton("Apply"), []
    button.connect("clicked(bool)", lambda checked: got.append(("string", checked)))
    button.connect("clicked()", lambda: got.append(("nothing",)))
    button.connect("clicked(bool)", lambda: got.append(("takes none",)))
    button.click()
    assert sorted(got) == [("nothing",), ("string", False), ("takes none",)]


def test_a_disconnected_function_is_called_no_more(host):
    import qt

    button, got = qt.QPushButton("Apply"), []
    button.connect("clicked(bool)", got.append)
    assert button.disconnect("clicked(bool)", got.append)
    button.click()
    assert got == []


def test_a_signal_that_does_not_exist_cannot_be_connected(host):
    import qt

    assert qt.QPushButton("Apply").connect("clicked(int)", print) is False
    # The application says no more; the stand-in fails the test that does it.
    host.errors.clear()


def test_what_a_slot_raises_is_kept_for_the_test(host):
    import qt

    button = qt.QPushButton("Apply")
    button.connect("clicked(bool)", lambda: 1 / 0)
    button.click()
    assert [type(error) for error in host.errors] == [ZeroDivisionError]
    host.errors.clear()


def test_a_property_that_holds_an_object_is_read_without_parentheses(host):
    import qt

    table = qt.QTableWidget(3, 2)
    assert table.rowCount == 3
    table.setCurrentCell(1, 1)
    assert table.selectionModel().currentIndex.row() == 1
    with pytest.raises(TypeError):
        table.rowCount()


def test_enums_are_whole_numbers(host):
    import qt

    assert qt.QMessageBox.Ok == 1024
    assert (qt.Qt.AlignLeft | qt.Qt.AlignTop) == 33
    label = qt.QLabel("x")
    label.alignment = qt.Qt.AlignRight | qt.Qt.AlignVCenter
    assert label.alignment == qt.Qt.AlignRight | qt.Qt.AlignVCenter


def test_paths_and_numbers_are_taken_for_text(host, tmp_path):
    import ctk
    import qt

    label, edit = qt.QLabel(), ctk.ctkPathLineEdit()
    for value in (tmp_path, 3):
        label.text = value
        assert label.text == str(value)
    label.setText(tmp_path)
    edit.currentPath = tmp_path
    assert (label.text, edit.currentPath) == (str(tmp_path), str(tmp_path))


def test_lists_come_back_as_tuples(host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)


def test_a_destroyed_widget_cannot_be_used(host):
    import qt

    label = qt.QLabel("x")
    label.deleteLater()
    host.process_events()
    with pytest.raises(ValueError, match="destroyed"):
        _ = label.text


def test_a_widget_found_again_is_the_same(ui):
    import qt

    assert ui.whole.findChild(qt.QPushButton, "applyButton") == ui.applyButton
    assert isinstance(ui.applyButton, qt.QPushButton)
    assert not isinstance(ui.applyButton, qt.QWidget)  # PythonQt's classes do not know their bases
    assert type(ui.deviceComboBox) is qt.QComboBox


def test_the_scene_of_a_ui_file_reaches_its_selectors(ui, scene):
    assert ui.inputSelector.mrmlScene() is scene


def test_an_unknown_widget_of_a_ui_file_is_left_out(host, tmp_path):
    import slicer

    path = tmp_path / "Wrong.ui"
    path.write_text(UI.replace("ctkPathLineEdit", "ctkPathEdit"))
    made = slicer.util.childWidgetVariables(slicer.util.loadUI(str(path)))
    assert hasattr(made, "nameEdit")
    assert not hasattr(made, "folderEdit")


def test_the_parameter_node_and_the_widgets_follow_one_another(host, ui, scene, parameters):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    parameters.connectGui(ui)
    assert parameters.inputVolume is None
    host.choose(ui.inputSelector, "CT")
    host.choose(ui.deviceComboBox, "CUDA")
    host.type_text(ui.nameEdit, "reader 1")
    assert parameters.inputVolume is volume
    assert parameters.device is Device.CUDA
    assert parameters.annotator == "reader 1"
    parameters.device = Device.AUTO
    parameters.inputVolume = None
    parameters.annotator = "reader 2"
    assert ui.deviceComboBox.currentText == "AUTO"
    assert ui.inputSelector.currentNode() is None
    assert ui.nameEdit.text == "reader 2"


def test_an_enum_fills_its_combo_box(ui, parameters):
    parameters.connectGui(ui)
    assert [ui.deviceComboBox.itemText(row) for row in range(ui.deviceComboBox.count)] == ["AUTO", "CUDA"]


def test_parameters_are_stored_as_text(parameters):
    parameters.device = Device.CUDA
    assert parameters.parameterNode.GetParameter("device") == "CUDA"


def test_a_value_of_another_type_is_refused(parameters):
    with pytest.raises(TypeError, match="must be of type"):
        parameters.annotator = 3
    with pytest.raises(ValueError, match="Cannot find a param"):
        parameters.setValue("nonsense", 1)


def test_parameters_survive_the_scene_file(host, scene, parameters, tmp_path):
    import slicer

    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(volume, np.zeros((2, 3, 4), np.int16))
    parameters.device, parameters.inputVolume = Device.CUDA, volume
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert slicer.app.coreIOManager().loadScene(str(tmp_path / "scene.mrb"), True, None)
    again = type(parameters)(scene.GetFirstNodeByName("HostParameters"))
    assert again.device is Device.CUDA
    assert again.inputVolume.GetName() == "CT"


def test_a_selector_offers_the_scenes_nodes_of_its_types(host, scene):
    import slicer

    selector, changes = slicer.qMRMLNodeComboBox(), []
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.setMRMLScene(scene)
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: changes.append(node and node.GetName()))
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    scene.AddNewNodeByClass("vtkMRMLTextNode", "note")
    hidden = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    hidden.UnRegister(None)
    hidden.SetHideFromEditors(True)
    scene.AddNode(hidden)
    assert selector.currentNode() is None
    host.choose(selector, "CT")
    volume.SetName("renamed")
    scene.RemoveNode(volume)
    assert selector.currentNode() is None
    assert changes == ["CT", "renamed", None]


@pytest.mark.parametrize("none", [True, False])
@pytest.mark.parametrize(("removed", "next_one"), [("A", "B"), ("B", "C"), ("C", "B")])
def test_a_selector_goes_to_the_neighbor_of_a_node_that_is_removed(scene, none, removed, next_one):
    """That is to say, to another patient's volume, also where "None" could be chosen."""
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes, selector.noneEnabled = ["vtkMRMLScalarVolumeNode"], none
    selector.setMRMLScene(scene)
    nodes = {name: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in "ABC"}
    selector.setCurrentNode(nodes[removed])
    scene.RemoveNode(nodes[removed])
    assert selector.currentNode().GetName() == next_one


def test_a_selector_without_none_takes_a_node_that_was_there_before_it(scene):
    import slicer

    early, late = slicer.qMRMLNodeComboBox(), slicer.qMRMLNodeComboBox()
    for selector in (early, late):
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    early.setMRMLScene(scene)
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    late.setMRMLScene(scene)
    assert early.currentNode() is None
    assert late.currentNode().GetName() == "CT"


def test_custom_layouts_have_plot_widgets_and_slice_widgets(host, scene):
    import slicer
    import vtk

    manager = slicer.app.layoutManager()
    xml = (
        '<layout type="vertical"><item><view class="vtkMRMLSliceNode" singletontag="Red">'
        '<property name="orientation" action="default">Axial</property></view></item>'
        '<item><view class="vtkMRMLPlotViewNode" singletontag="PlotView1">'
        '<property name="viewlabel" action="default">P</property></view></item></layout>'
    )
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(7001, xml)
    manager.setLayout(7001)
    assert manager.layout == 7001
    assert manager.plotViewCount == 1
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    manager.plotWidget(0).mrmlPlotViewNode().SetPlotChartNodeID(chart.GetID())
    view = manager.sliceWidget("Red").sliceView()
    view.cornerAnnotation().SetText(vtk.vtkCornerAnnotation.UpperRight, "positive")
    view.scheduleRender()
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, 1.0, 2.0, 3.0)
    assert manager.sliceWidget("Red").mrmlSliceNode().GetSliceOffset() == pytest.approx(3.0)


def test_without_a_main_window_there_is_no_layout_manager(host):
    import slicer

    host.renew(main_window=False)
    assert slicer.app.layoutManager() is None
    assert slicer.util.mainWindow() is None


def test_the_embedded_segment_editor_keeps_what_it_edits_in_its_node(scene):
    import slicer

    editor, node = slicer.qMRMLSegmentEditorWidget(), scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segment = segmentation.GetSegmentation().AddEmptySegment("", "Hemorrhage")
    editor.setMRMLScene(scene)
    editor.setMRMLSegmentEditorNode(node)
    editor.setSegmentationNode(segmentation)
    editor.setCurrentSegmentID(segment)
    assert node.GetSegmentationNode() is segmentation
    assert editor.currentSegmentID() == segment
    assert "Paint" in editor.availableEffectNames()


@pytest.mark.stand_in
def test_packages_are_checked_and_not_installed_in_testing_mode(host):
    import slicer.packaging

    assert slicer.packaging.pip_check("numpy>=1")
    assert not slicer.packaging.pip_check("nothing-of-that-name>=1")
    host.testing(True)
    assert slicer.packaging.pip_ensure(["nothing-of-that-name>=1"]) is None
    assert slicer.packaging.installed == []


def test_samples_need_lists_of_equal_length(host):
    import slicer
    from SampleData import SampleDataLogic

    with pytest.raises(TypeError, match="no len"):
        SampleDataLogic.registerCustomSampleDataSource("Host", sampleName="B", customDownloader=lambda source: 1)
    with pytest.raises(ValueError, match="same length"):
        SampleDataLogic.registerCustomSampleDataSource("Host", uris=["a", "b"], fileNames=["a"], nodeNames=["a"])
    SampleDataLogic.registerCustomSampleDataSource(
        "Host", sampleName="B", uris=[None], fileNames=[None], nodeNames=["b"], customDownloader=lambda source: 1
    )
    assert [source.sampleName for source in slicer.modules.sampleDataSources.pop("Host")] == ["B"]


def test_the_light_theme_is_light(host):
    import slicer

    assert slicer.app.palette().window().color().lightness() == 239


def test_messages_are_answered_by_the_test_and_skipped_in_testing_mode(host):
    import qt
    import slicer

    host.dialogs.answer(qt.QMessageBox.Cancel)
    assert slicer.util.confirmOkCancelDisplay("Really?") is False
    assert host.dialogs.asked == ["Really?"]
    host.testing(True)
    assert slicer.app.testingEnabled()
    # Slicer's own function compares its answer for testing mode, True, with qt.QMessageBox.Ok: nobody may rely on it.
    slicer.util.confirmOkCancelDisplay("Again?")
    assert host.dialogs.asked == ["Really?"]


def test_a_dialog_without_an_answer_fails(host):
    import qt

    assert not qt.QFileDialog.getExistingDirectory(None, "Where?")
    assert "no answer" in str(host.errors.pop())
    assert host.errors == []


def test_a_shortcut_acts_in_its_window(host, ui):
    import qt

    pressed = []
    shortcut = qt.QShortcut(qt.QKeySequence("N"), ui.whole)
    shortcut.connect("activated()", lambda: pressed.append("N"))
    host.press_key(ui.whole, "N")
    host.press_key(ui.whole, "P")
    assert pressed == ["N"]


def test_a_letter_typed_into_a_field_is_no_shortcut(host, ui):
    import qt

    pressed = []
    shortcut = qt.QShortcut(qt.QKeySequence("N"), ui.whole)
    shortcut.connect("activated()", lambda: pressed.append("N"))
    ui.nameEdit.setFocus()
    host.press_key(ui.nameEdit, "N")
    assert ui.nameEdit.text == "n"
    assert pressed == []


def test_settings_last_and_are_not_the_users(host):
    import qt

    qt.QSettings().setValue("AcuteFindings/Tried", "yes")
    assert qt.QSettings().value("AcuteFindings/Tried") == "yes"
    assert pwd.getpwuid(os.getuid()).pw_dir not in qt.QSettings().fileName()
    assert qt.QSettings().value("AcuteFindings/Never") is None


@pytest.mark.stand_in
def test_a_module_is_loaded_shown_left_and_unloaded(host, scene, tmp_path, monkeypatch):
    import slicer

    (tmp_path / "HostProbe.py").write_text(
        "import slicer\n"
        "from slicer.i18n import tr as _\n"
        "from slicer.ScriptedLoadableModule import *\n"
        "from slicer.util import VTKObservationMixin\n"
        "class HostProbe(ScriptedLoadableModule):\n"
        "    def __init__(self, parent):\n"
        "        ScriptedLoadableModule.__init__(self, parent)\n"
        "        self.parent.title = _('Probe')\n"
        "class HostProbeWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):\n"
        "    def __init__(self, parent=None):\n"
        "        ScriptedLoadableModuleWidget.__init__(self, parent)\n"
        "        VTKObservationMixin.__init__(self)\n"
        "        self.told = []\n"
        "    def setup(self):\n"
        "        ScriptedLoadableModuleWidget.setup(self)\n"
        "        self.logic = HostProbeLogic()\n"
        "        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onClose)\n"
        "    def onClose(self, *_): self.told.append('close')\n"
        "    def enter(self): self.told.append('enter')\n"
        "    def exit(self): self.told.append('exit')\n"
        "    def cleanup(self):\n"
        "        self.told.append('cleanup')\n"
        "        self.removeObservers()\n"
        "class HostProbeLogic(ScriptedLoadableModuleLogic): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module = host.load_module(tmp_path / "HostProbe.py")
    assert module.title == "Probe"
    widget = host.open_panel("HostProbe")
    assert slicer.util.getModuleWidget("HostProbe") is widget
    assert slicer.util.getModuleLogic("HostProbe") is widget.logic
    assert slicer.modules.hostprobe.path == str(tmp_path / "HostProbe.py")
    assert widget.resourcePath("UI/HostProbe.ui") == str(tmp_path / "Resources/UI/HostProbe.ui")
    node = widget.logic.getParameterNode()
    assert widget.logic.getParameterNode() is node
    assert node.GetAttribute("ModuleName") == "HostProbe"
    scene.Clear(0)
    host.leave_panel("HostProbe")
    host.close_panels()
    assert widget.told == ["enter", "close", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "hostprobe")
    importlib.invalidate_caches()


def test_a_screenshot_is_written(host, ui, tmp_path):
    assert host.screenshot(ui.whole, tmp_path / "panel.png").stat().st_size > 1000


@pytest.mark.stand_in
def test_the_hosts_widgets_have_properties_where_the_application_has_them_and_methods_where_it_has(host):
    import application
    import native_ctk
    import native_mrml
    import native_selector
    import native_views
    from api_names import known_class, names_of, properties_of
    from PySide6.QtCore import Property

    wrong = []
    for module in (application, native_ctk, native_mrml, native_selector, native_views):
        for name, cls in vars(module).items():
            if not isinstance(cls, type) or cls.__module__ != module.__name__:
                continue
            assert known_class(name), f"{name}: there is no such class"
            properties = {title for title, value in vars(cls).items() if isinstance(value, Property)}
            wrong += [f"{name}.{title} is a property here only" for title in properties - properties_of(name)]
            methods = {title for title, value in vars(cls).items() if callable(value) and title in names_of(name)}
            methods -= properties
            wrong += [f"{name}.{title} is a method here only" for title in methods & properties_of(name)]
    assert wrong == []


def test_flags_of_different_kinds_with_one_number_stay_apart(host) -> None:
    """Flags are numbers too: TabFocus and AlignLeft are both 1, and equal."""
    import qt

    assert int(qt.Qt.TabFocus) == int(qt.Qt.AlignLeft) == 1
    form, button = qt.QFormLayout(), qt.QPushButton()
    form.setLabelAlignment(qt.Qt.AlignLeft)
    button.setFocusPolicy(qt.Qt.TabFocus)
    assert (form.labelAlignment, button.focusPolicy) == (qt.Qt.AlignLeft, qt.Qt.TabFocus)
