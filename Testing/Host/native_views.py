"""Views and the layout manager on PySide: genuine view nodes and slice logics, without anything drawn."""

from typing import Any

import native_mrml
import vtk
from native_mrml import qMRMLWidget
from native_selector import qMRMLNodeComboBox
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QWidget,
)


class ctkVTKSliceView(qMRMLWidget):
    """A slice view: its corner annotation; nothing is drawn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._corners = vtk.vtkCornerAnnotation()
        self.renders = 0

    def cornerAnnotation(self) -> Any:
        return self._corners

    def scheduleRender(self) -> None:
        self.renders += 1

    forceRender = scheduleRender


class qMRMLSliceView(ctkVTKSliceView):
    """A slice view that knows its node."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.node: Any = None

    def mrmlSliceNode(self) -> Any:
        return self.node


class qMRMLSliceWidget(qMRMLWidget):
    """A slice view with its controller."""

    def __init__(self, node: Any, logic: Any) -> None:
        super().__init__()
        self._node, self._logic = node, logic
        self._view = qMRMLSliceView(self)
        self._view.node = node

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def mrmlSliceNode(self) -> Any:
        return self._node

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qMRMLPlotView(qMRMLWidget):
    """A plot view with a genuine VTK chart that draws nothing; `host.click_chart` plays a click on a point.

    As in ctkVTKChartView the chart's axes are in pixels of the render window, whose interactor hears the mouse.
    """

    _LEFT, _RIGHT = 50, 550

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._chart, self._context = vtk.vtkChartXY(), vtk.vtkContextScene()
        # As QVTKOpenGLNativeWidget, whose interactor hears what Qt tells it.
        self._window = vtk.vtkGenericOpenGLRenderWindow()
        self._window.SetInteractor(vtk.vtkGenericRenderWindowInteractor())

    def show_chart(self, node: Any) -> None:
        axis = self._chart.GetAxis(vtk.vtkAxis.BOTTOM)
        axis.SetPoint1(self._LEFT, 40)
        axis.SetPoint2(self._RIGHT, 40)
        axis.SetUnscaledRange(*node.GetXAxisRange())

    def click(self, value: float) -> None:
        axis, interactor = self._chart.GetAxis(vtk.vtkAxis.BOTTOM), self._window.GetInteractor()
        low, high = axis.GetUnscaledMinimum(), axis.GetUnscaledMaximum()
        pixel = self._LEFT + (value - low) / (high - low) * (self._RIGHT - self._LEFT)
        interactor.SetEventInformation(round(pixel), 100)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)

    def chart(self) -> Any:
        return self._chart

    def scene(self) -> Any:
        return self._context

    def renderWindow(self) -> Any:
        return self._window

    def fitToContent(self) -> None:
        pass

    def RemovePlotSelections(self) -> None:
        pass


class qMRMLPlotWidget(qMRMLWidget):
    """A plot view with its controller."""

    def __init__(self, node: Any = None) -> None:
        super().__init__()
        self._node, self._view = node, qMRMLPlotView(self)

    def plotView(self) -> qMRMLPlotView:
        return self._view

    def mrmlPlotViewNode(self) -> Any:
        return self._node


class qSlicerLayoutManager(QObject):
    """The layout manager: genuine layout logic; view widgets for the view nodes of the layout that is shown."""

    layoutChanged = Signal(int)

    def __init__(self, scene: Any, application_logic: Any) -> None:
        super().__init__()
        import slicer

        self._scene, self._application_logic = scene, application_logic
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        self._slices: dict[str, qMRMLSliceWidget] = {}
        self._plots: dict[str, qMRMLPlotWidget] = {}
        self._slice_logics = vtk.vtkCollection()
        application_logic.SetSliceLogics(self._slice_logics)
        application_logic.SetViewLogics(vtk.vtkCollection())
        self._viewport = QWidget()
        QHBoxLayout(self._viewport)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._layout_node = self._logic.GetLayoutNode()
        self._tag = self._layout_node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._follow())

    def close(self) -> None:
        """Let go of the scene."""
        self._layout_node.RemoveObserver(self._tag)
        for place in range(self._slice_logics.GetNumberOfItems()):
            self._slice_logics.GetItemAsObject(place).SetMRMLScene(None)
        self._application_logic.SetSliceLogics(vtk.vtkCollection())
        self._logic.SetMRMLScene(None)
        self._slices.clear()
        self._plots.clear()

    def _nodes(self, kind: str) -> list[Any]:
        nodes = self._logic.GetViewNodes()
        found = [nodes.GetItemAsObject(place) for place in range(nodes.GetNumberOfItems())]
        return [node for node in found if node.IsA(kind)]

    def _follow(self) -> None:
        import slicer

        for node in self._nodes("vtkMRMLSliceNode"):
            if node.GetLayoutName() not in self._slices:
                logic = slicer.vtkMRMLSliceLogic()
                logic.SetMRMLApplicationLogic(self._application_logic)
                logic.SetMRMLScene(self._scene)
                logic.SetSliceNode(node)
                self._slice_logics.AddItem(logic)
                self._slices[node.GetLayoutName()] = qMRMLSliceWidget(node, logic)
        # The application's layout manager says it (qMRMLLayoutManager), the logic does not.
        for widget in self._slices.values():
            widget.mrmlSliceNode().SetMappedInLayout(widget.mrmlSliceNode() in self._nodes("vtkMRMLSliceNode"))
        for node in self._nodes("vtkMRMLPlotViewNode"):
            if node.GetID() not in self._plots:
                self._plots[node.GetID()] = qMRMLPlotWidget(node)

    def layoutLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self._scene

    def setLayout(self, layout: int) -> None:
        if layout != self._get_layout():
            self._logic.GetLayoutNode().SetViewArrangement(layout)
        self._follow()
        self.layoutChanged.emit(layout)

    def _get_layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    def sliceViewNames(self) -> list[str]:
        # Of all layouts that were shown: the view factories keep their widgets (qMRMLLayoutViewFactory::viewNodes).
        return list(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    def plotWidget(self, place: int) -> Any:
        shown = self._nodes("vtkMRMLPlotViewNode")
        return self._plots[shown[place].GetID()] if 0 <= place < len(shown) else None

    def mrmlSliceLogics(self) -> Any:
        return self._slice_logics

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def viewport(self) -> QWidget:
        return self._viewport

    layout = Property(int, _get_layout, setLayout)
    plotViewCount = Property(int, lambda self: len(self._nodes("vtkMRMLPlotViewNode")))
    threeDViewCount = Property(int, lambda self: 0)
    tableViewCount = Property(int, lambda self: 0)


CLASSES = {
    cls.__name__: cls
    for cls in (
        native_mrml.qMRMLWidget,
        native_mrml.qMRMLSegmentEditorWidget,
        qMRMLNodeComboBox,
        qMRMLPlotView,
        qMRMLPlotWidget,
        qMRMLSliceView,
    )
}
