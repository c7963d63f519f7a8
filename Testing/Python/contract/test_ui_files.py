"""Every class, property and connection in a .ui file is there in Slicer, and parameters are the node's fields."""

import ast

import pytest
from extension_files import MODULES, module_file, ui_file
from ui_reader import read_ui

GOOD = """<ui version="4.0"><class>A</class><widget class="qMRMLWidget" name="A"><layout class="QVBoxLayout" name="l">
<property name="leftMargin"><number>0</number></property>
<item><widget class="qMRMLNodeComboBox" name="inputSelector">
<property name="toolTip"><string>Study</string></property><property name="noneEnabled"><bool>true</bool></property>
<property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property></widget></item>
<item><widget class="QLabel" name="label"><property name="buddy"><cstring>inputSelector</cstring></property>
<property name="alignment"><set>Qt::AlignLeft|Qt::AlignTop</set></property></widget></item>
</layout></widget>
<customwidgets><customwidget><class>qMRMLWidget</class></customwidget>
<customwidget><class>qMRMLNodeComboBox</class></customwidget></customwidgets>
<connections><connection><sender>A</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


def parameter_fields(source: str) -> set[str]:
    """Return the fields of the class that is a parameter node."""
    for item in ast.walk(ast.parse(source)):
        names = {getattr(decorator, "id", "") for decorator in getattr(item, "decorator_list", ())}
        if isinstance(item, ast.ClassDef) and "parameterNodeWrapper" in names:
            return {line.target.id for line in item.body if isinstance(line, ast.AnnAssign)}
    return set()


@pytest.mark.parametrize("name", MODULES)
def test_everything_in_the_ui_file_is_there_in_slicer(name):
    assert read_ui(ui_file(name)).mistakes == []


@pytest.mark.parametrize("name", MODULES)
def test_every_parameter_name_is_a_field_of_the_parameter_node(name):
    shown = read_ui(ui_file(name)).parameters
    assert shown
    assert set(shown.values()) <= parameter_fields(module_file(name).read_text())


@pytest.mark.parametrize("name", MODULES)
def test_the_scene_reaches_every_node_selector(name):
    text = ui_file(name).read_text()
    for widget, shown in read_ui(ui_file(name)).classes.items():
        if shown.startswith("qMRML") and widget != name:
            assert f"<receiver>{widget}</receiver>" in text


def test_a_good_file_has_no_mistakes(tmp_path):
    path = tmp_path / "A.ui"
    path.write_text(GOOD)
    assert read_ui(path).mistakes == []


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('class="qMRMLNodeComboBox" name', 'class="qMRMLNodeSelector" name', "no class qMRMLNodeSelector"),
        ('name="noneEnabled"', 'name="noneAllowed"', "no property noneAllowed"),
        ('class="QLabel"', 'class="QLable"', "no class QLable"),
        ('name="alignment"', 'name="alinement"', "no property alinement"),
        ("Qt::AlignTop", "Qt::AlignUp", "no value Qt::AlignUp"),
        ("<cstring>inputSelector", "<cstring>inputselector", "buddy of inputselector"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "sceneChanged(vtkMRMLScene*)", "no signal sceneChanged"),
        ("setMRMLScene(vtkMRMLScene*)", "setScene(vtkMRMLScene*)", "no slot setScene"),
        ('<property name="toolTip"><string>Study</string></property>', "", "no tooltip"),
        ("<customwidget><class>qMRMLNodeComboBox</class></customwidget>", "", "not among the custom widgets"),
        ('name="label"', 'name="inputSelector"', "two of that name"),
        ("<class>A</class>", "<class>B</class>", "no widget is called B"),
        ('name="SlicerParameterName"', 'name="SlicerParamName"', "means nothing"),
    ],
)
def test_a_planted_mistake_is_found(tmp_path, was, becomes, said):
    assert was in GOOD
    path = tmp_path / "A.ui"
    path.write_text(GOOD.replace(was, becomes, 1))
    assert any(said in mistake for mistake in read_ui(path).mistakes)


def test_a_parameter_that_is_no_field_would_be_found():
    source = "@parameterNodeWrapper\nclass Node:\n    inputVolume: int\n    device: str\n"
    assert parameter_fields(source) == {"inputVolume", "device"}
