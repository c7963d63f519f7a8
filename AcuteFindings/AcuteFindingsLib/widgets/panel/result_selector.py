"""Which of a scene's results is shown."""

from collections.abc import Callable
from typing import Any

import qt
import vtk
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.verdict_words import verdict_words
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.sequence_frame import frame_words


class ResultSelector:
    """A line with every result of the scene; hidden while there is none.

    Parameters
    ----------
    on_choose
        Called with the result that a person chose; answers whether it may be shown.
    on_show
        Called when a person wants to see the shown result in the views.
    on_remove
        Called when a person wants the shown result removed.
    """

    def __init__(
        self, on_choose: Callable[[SceneResult], bool], *, on_show: Callable[[], Any], on_remove: Callable[[], Any]
    ) -> None:
        self._on_choose = on_choose
        self._results: list[SceneResult] = []
        self._shown = -1
        self._observed: list[tuple[Any, int]] = []
        self.widget = qt.QWidget()
        layout = qt.QHBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        self.box = qt.QComboBox()
        self.box.setObjectName("resultComboBox")
        self.box.setToolTip(_("The results in this scene; choose one to see it"))
        # Names are as long as people make them; the panel stays as narrow as it is.
        self.box.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(12)
        self.box.connect("activated(int)", self._on_activated)
        self.show_button = _tool_button(
            _("Show"), _("Arrange the views for this result and go to its most suspicious slice"), on_show
        )
        self.remove_button = _tool_button(
            _("Remove"),
            _("Remove this result from the scene, with its mask, table and chart; the volume stays"),
            on_remove,
        )
        layout.addWidget(self.box, 1)
        layout.addWidget(self.show_button)
        layout.addWidget(self.remove_button)
        self.show([], None)

    def show(self, results: list[SceneResult], shown: SceneResult | None) -> None:
        """List results, `shown` as the current one."""
        self._results = results
        self._watch_names()
        self._shown = results.index(shown) if shown in results else -1
        self.box.blockSignals(True)
        self.box.clear()
        for result in results:
            self.box.addItem(_title(result))
        self.box.setCurrentIndex(self._shown)
        self.box.blockSignals(False)
        self.widget.setVisible(bool(results))
        for button in (self.show_button, self.remove_button):
            button.setEnabled(self._shown >= 0)

    def close(self) -> None:
        """Let go of every node."""
        self._results = []
        self._watch_names()

    def _watch_names(self) -> None:
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        named = {node for result in self._results for node in (result.text, result.volume) if node is not None}
        self._observed = [(node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_modified)) for node in named]

    def _on_modified(self, _caller: Any, _event: str) -> None:
        for place, result in enumerate(self._results):
            title = _title(result)
            if self.box.itemText(place) != title:
                self.box.setItemText(place, title)

    def _on_activated(self, place: int) -> None:
        if place == self._shown or not 0 <= place < len(self._results):
            return
        if not self._on_choose(self._results[place]):
            self.box.setCurrentIndex(self._shown)


def _title(result: SceneResult) -> str:
    volume = result.volume.GetName() if result.volume is not None else _("volume removed")
    words = {"positive": _("positive"), "negative": _("negative"), "indeterminate": _("indeterminate")}
    said = verdict_words(result.finding, word=words[result.finding.verdict.label], short=True)
    frame = frame_words(result.text, result.volume)
    of_frame = f", {frame}" if frame else ""
    return f"{said}, {volume}{of_frame} ({result.text.GetName()})"


def _tool_button(text: str, tool_tip: str, on_click: Callable[[], Any]) -> Any:
    """Return a button no wider than its text: the room is the selector's."""
    button = qt.QToolButton()
    button.setText(text)
    button.setToolTip(tool_tip)
    button.setFocusPolicy(qt.Qt.StrongFocus)
    button.connect("clicked()", on_click)
    return button
