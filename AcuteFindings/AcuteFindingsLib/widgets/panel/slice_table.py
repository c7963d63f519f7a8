"""The slices of a result as a table: what the model says beside what an annotator says."""

from collections.abc import Callable, Generator
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.scene.corrections import labels
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.widgets.last_resort import told
from AcuteFindingsLib.widgets.parts import cell, fit_height, table, text_label
from AcuteFindingsLib.widgets.stepper import Stepper

NUMBER, PROBABILITY, PREDICTED, CORRECTED = range(4)


class SliceTable:
    """A row a slice; choosing a row calls `on_choose` with the slice's index. Its columns fit any width.

    The rows are filled in by and by: those of a long series at once would hold the window up. What a model says of
    further labels (the types of a hemorrhage) stands in `details_label` for the chosen slice, the most probable first.
    """

    def __init__(self, on_choose: Callable[[int], Any]) -> None:
        self._on_choose = on_choose
        self._result: SceneResult | None = None
        self._rows: dict[int, int] = {}
        self._corrected: dict[int, str] = {}
        self._filled = 0
        self._quiet = False
        self._filling: Stepper | None = None
        self.widget = table([], _("Every slice; choose a row to see it in the slice views"), name="sliceTable")
        self.widget.connect("currentCellChanged(int,int,int,int)", self._on_cell)
        headers = [_("Slice"), _("Probability"), _("Predicted"), _("Corrected")]
        self.widget.setColumnCount(len(headers))
        self.widget.setHorizontalHeaderLabels(headers)
        header = self.widget.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Stretch)
        # As wide as its title, once: fitting the contents again with each row that is filled in takes long.
        header.setSectionResizeMode(NUMBER, qt.QHeaderView.Fixed)
        header.resizeSection(NUMBER, header.sectionSizeHint(NUMBER) + 8)
        header.setMinimumSectionSize(20)
        self.details_label = text_label(_("Probabilities of the types in the slice that the views show"))
        self.details_label.setObjectName("sliceDetailsLabel")

    def show(self, result: SceneResult | None) -> None:
        """Show a result's slices; hidden for a single image."""
        self.stop()
        self._result = result
        slices = result.finding.slices if result else ()
        self._rows = {item.index: place for place, item in enumerate(slices)}
        self.widget.setVisible(len(slices) > 1)
        self._quiet = True
        self.widget.clearContents()
        self.widget.setRowCount(len(slices))
        self.details_label.setVisible(len(slices) > 1 and len(slices[0].probabilities) > 1)
        if result is not None:
            self._set_tips(result.finding)
        self._quiet = False
        self._filled = 0
        self._corrected = labels(result) if result is not None else {}
        fit_height(self.widget, most_rows=10)
        if result is not None:
            self._filling = Stepper(self._fill(result), done=_nothing, failed=_log)
            self._filling.start()

    def select(self, index: int) -> None:
        """Highlight a slice's row without moving the views."""
        place = self._rows.get(index)
        self._show_details(index)
        if place is None or self.widget.currentRow() == place:
            return
        self._quiet = True
        self.widget.setCurrentCell(place, NUMBER)
        self.widget.scrollTo(self.widget.model().index(place, NUMBER))
        self._quiet = False

    def update_corrected(self) -> None:
        """Read the corrected labels again."""
        if self._result is None:
            return
        self._corrected = labels(self._result)
        for index, place in self._rows.items():
            if place < self._filled:
                self.widget.item(place, CORRECTED).setText(_word(self._corrected.get(index, "")))

    def stop(self) -> None:
        """Fill in no further rows."""
        if self._filling is not None:
            self._filling.stop()
            self._filling = None

    def _set_tips(self, finding: Finding) -> None:
        tips = (
            _("Number of the slice, counted from 1"),
            _("Probability of {label}; from {threshold:.2f} on a slice counts as positive").format(
                label=finding.main_label, threshold=finding.slice_threshold
            ),
            _("The model's answer for the slice"),
            _("The annotator's answer for the slice (keys 1, 2, 3)"),
        )
        for place, tip in enumerate(tips):
            self.widget.horizontalHeaderItem(place).setToolTip(tip)

    def _show_details(self, index: int) -> None:
        place = self._rows.get(index)
        if self._result is None or place is None:
            return
        item, main = self._result.finding.slices[place], self._result.finding.main_label
        further = sorted((label for label in item.probabilities if label != main), key=lambda a: -item.probabilities[a])
        said = ", ".join(f"{label} {item.probabilities[label]:.2f}" for label in further)
        self.details_label.setText(_("Slice {number}: {types}").format(number=slice_number(item), types=said))

    def _fill(self, result: SceneResult) -> Generator[None, None, None]:
        finding = result.finding
        words = {True: _("▲ present"), False: _("absent")}
        for place, item in enumerate(finding.slices):
            probability = item.probabilities[finding.main_label]
            texts = [str(slice_number(item)), f"{probability:.2f}"]
            texts += [words[probability >= finding.slice_threshold], _word(self._corrected.get(item.index, ""))]
            for column, text in enumerate(texts):
                number = column not in (PREDICTED, CORRECTED)
                self.widget.setItem(place, column, cell(text, number=number))
            self._filled = place + 1
            yield

    def _on_cell(self, place: int, _column: int, previous: int, _previous_column: int) -> None:
        if self._quiet or self._result is None or place < 0 or place == previous:
            return
        self._on_choose(self._result.finding.slices[place].index)


def _word(label: str) -> str:
    return {"present": _("present"), "absent": _("absent"), "unsure": _("unsure")}[label] if label else ""


def _nothing(_value: Any) -> None:
    """There is nobody to tell that all rows are there."""


def _log(error: Exception) -> None:
    told(error, doing="slice table")
