"""Every name that modules and widgets use on Qt, ctk and qMRML objects is there in Slicer, as far as can be told."""

import pytest
from extension_files import DETECTOR_MODULES, panel_sources, short_path, ui_file, widget_sources
from source_reader import read_source, returned_classes
from texts import bare_texts
from ui_reader import read_ui

UI = {"inputSelector": "qMRMLNodeComboBox", "applyButton": "QPushButton", "deviceComboBox": "QComboBox"}


def widgets_for(path):
    """Return the classes of the .ui widgets that a file works on: for the shared panel, what all three modules have."""
    if short_path(path) in ("home/home_panel.py", "home/server_panel.py", "tests/home.py", "AcuteFindings.py"):
        return read_ui(ui_file("AcuteFindings")).classes
    if path.name == "module_parts.py":
        return {}
    first, *others = (read_ui(ui_file(name)).classes for name in DETECTOR_MODULES)
    return {name: kind for name, kind in first.items() if all(other.get(name) == kind for other in others)}


@pytest.fixture(scope="module")
def functions():
    return returned_classes(widget_sources())


@pytest.mark.parametrize("path", panel_sources(), ids=short_path)
def test_every_name_used_is_there_in_slicer(path, functions):
    assert read_source(path, ui=widgets_for(path), functions=functions).mistakes == []


@pytest.mark.parametrize("path", panel_sources(), ids=short_path)
def test_texts_shown_to_people_can_be_translated(path):
    if path.parent.name != "tests":
        assert bare_texts(path.read_text()) == []


def test_the_three_detector_modules_have_the_same_widgets():
    first, *others = (set(read_ui(ui_file(name)).classes) - set(DETECTOR_MODULES) for name in DETECTOR_MODULES)
    assert all(other == first for other in others)


def test_helpers_that_make_widgets_are_understood(functions):
    assert functions["push_button"] == "QPushButton"
    assert functions["column"] == ("QWidget", "QVBoxLayout")


@pytest.mark.parametrize(
    "line",
    [
        "self.ui.applyButton.text = 'x'",
        "self.ui.inputSelector.currentNode()",
        "self.ui.inputSelector.connect('currentNodeChanged(vtkMRMLNode*)', f)",
        "self.button.connect('clicked()', f)",
        "button = qt.QPushButton('x'); button.clicked.connect(f); button.setToolTip('x')",
        "x = slicer.app.layoutManager().sliceWidget('Red').sliceView().cornerAnnotation()",
        "if slicer.app.testingEnabled(): slicer.util.messageBox('x')",
        "self.process.connect('finished(int,QProcess::ExitStatus)', f)",
        "label.alignment = qt.Qt.AlignLeft | qt.Qt.AlignTop",
        "slicer.vtkMRMLSliceNode.JumpAllSlices(scene, 1, 2, 3)",
        "made().enabled = False",
        "other.connect('clicked(bool)', f)",
    ],
)
def test_what_is_right_is_left_alone(line):
    assert in_a_panel(line) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("self.ui.applyButon.enabled = True", "no widget applyButon"),
        ("self.ui.applyButton.text()", "QPushButton.text is a property and cannot be called"),
        ("self.ui.applyButton.setColour(1)", "QPushButton has no setColour"),
        ("self.ui.applyButton.click = 1", "cannot be set"),
        ("self.ui.inputSelector.currentNodeChange.connect(f)", "no currentNodeChange"),
        ("self.ui.inputSelector.connect('currentNodeChanged()x', f)", "signature"),
        ("self.ui.inputSelector.connect('nodeChanged(vtkMRMLNode*)', f)", "no signal nodeChanged"),
        ("self.ui.deviceComboBox.connect('currentIndexChanged(bool)', f)", "no signal currentIndexChanged(bool)"),
        ("self.button.connect('clicked(int)', f)", "no signal clicked(int)"),
        ("other.connect('klicked(bool)', f)", "signal klicked(bool)"),
        ("x = qt.QLable('x')", "no qt.QLable"),
        ("x = qt.Qt.AlignUp", "no qt.Qt.AlignUp"),
        ("x = qt.QMessageBox.Okay", "no qt.QMessageBox.Okay"),
        ("x = ctk.ctkCollapsibleBox()", "no ctk.ctkCollapsibleBox"),
        ("x = slicer.qMRMLNodeSelector()", "no slicer.qMRMLNodeSelector"),
        ("x = slicer.vtkMRMLSlicesNode", "no slicer.vtkMRMLSlicesNode"),
        ("slicer.util.showMessage('x')", "no slicer.util.showMessage"),
        ("slicer.app.processAllEvents()", "no processAllEvents"),
        ("slicer.app.layoutManager().plotWidgets(0)", "no plotWidgets"),
        ("view = slicer.app.layoutManager().plotWidget(0).plotView(); view.redraw()", "qMRMLPlotView has no redraw"),
        ("timer = qt.QTimer(); timer.begin()", "QTimer has no begin"),
        ("made().txt = 'x'", "QPushButton has no txt"),
    ],
)
def test_a_planted_mistake_is_found(line, said):
    assert any(said in mistake for mistake in in_a_panel(line))


def in_a_panel(line):
    text = (
        "import qt, ctk, slicer\n"
        "class Panel:\n"
        "    def __init__(self, ui, other):\n"
        "        self.ui = ui\n"
        "        self.button = qt.QPushButton('x')\n"
        "        self.process = qt.QProcess()\n"
        "        label = qt.QLabel()\n"
        "        scene = f = None\n"
        f"        {line}\n"
    )
    return read_source(text, ui=UI, functions={"made": "QPushButton"}).mistakes


def test_a_text_that_cannot_be_translated_is_found():
    assert bare_texts("label.text = 'Study'\nlabel.toolTip = _('Study')\nlabel.text = f'{n} of {m}'\n") == [
        "1: 'Study'"
    ]
    assert bare_texts("qt.QLabel('Study')\nqt.QLabel(_('Study'))\nqt.QLabel('')\nb.setToolTip('x' + 'why')\n") == [
        "1: 'Study'",
        "4: 'x'",
        "4: 'why'",
    ]
