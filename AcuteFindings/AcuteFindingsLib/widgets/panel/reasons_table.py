"""What speaks for and against a verdict, a row a reason; a click on one goes to the slice that it is about."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.finding import Finding, Reason
from AcuteFindingsLib.detectors.verdict_words import BEARINGS, is_unlike, likeness_words
from AcuteFindingsLib.detectors.wording import unit_text, value_text
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.widgets.parts import cell, column, table, text_label

_REASON = 1


class ReasonsTable:
    """Shows the reasons of a finding in full, however wide the panel is, and the study's likeness below them.

    Parameters
    ----------
    on_choose
        Called with the index of the slice that a chosen reason is about.
    """

    def __init__(self, on_choose: Callable[[int], Any]) -> None:
        self._on_choose = on_choose
        self._reasons: tuple[Reason, ...] = ()
        self.widget, layout = column()
        self.table = table(
            ["", _("Reason"), _("Slice")],
            _("What speaks for and against the finding; choose one to see the slice that it is about"),
            name="reasonsTable",
        )
        self.table.setWordWrap(True)
        self.table.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        for place, mode in ((0, "ResizeToContents"), (_REASON, "Stretch"), (2, "ResizeToContents")):
            header.setSectionResizeMode(place, getattr(qt.QHeaderView, mode))
        self._soon = qt.QTimer(self.table)
        self._soon.setSingleShot(True)
        self._soon.connect("timeout()", self._fit)
        header.connect("sectionResized(int,int,int)", self._on_resized)
        self.table.connect("currentCellChanged(int,int,int,int)", self._on_cell)
        self.table.connect("cellClicked(int,int)", self._on_click)
        self.likeness_label = text_label(_("How like the study is to the images that the model was made from"))
        self.likeness_label.setObjectName("likenessLabel")
        layout.addWidget(self.table)
        layout.addWidget(self.likeness_label)

    def show(self, finding: Finding | None) -> None:
        """Show the reasons of a finding; hidden where it has none."""
        self._reasons = finding.reasons if finding is not None else ()
        likeness = finding.likeness if finding is not None else None
        self.widget.setVisible(bool(self._reasons) or likeness is not None)
        self.table.setVisible(bool(self._reasons))
        self.table.setRowCount(0)
        self.table.setRowCount(len(self._reasons))
        numbers = {item.index: slice_number(item) for item in finding.slices} if finding is not None else {}
        for place, reason in enumerate(self._reasons):
            sign, _word = BEARINGS[reason.bearing]
            word = _words()[reason.bearing]
            tip = "\n".join(
                (*(f"{item.name}: {value_text(item)} {unit_text(item.unit)}".rstrip() for item in reason.values),)
                + ((reason.source,) if reason.source else ())
            )
            self.table.setItem(place, 0, cell(f"{sign} {word}", tip))
            self.table.setItem(place, _REASON, cell(reason.text, tip))
            number = numbers.get(reason.index) if reason.index is not None else None
            self.table.setItem(place, 2, cell("" if number is None else str(number), tip, number=True))
        self._fit()
        self.likeness_label.setVisible(likeness is not None)
        if likeness is not None and finding is not None:
            sign = "⚠ " if is_unlike(finding) else ""
            self.likeness_label.setText(sign + likeness_words(likeness))

    def _on_resized(self, place: int, _before: int, _after: int) -> None:
        # The column has its new width only after the signal.
        if place == _REASON:
            self._soon.start()

    def _fit(self) -> None:
        """Make every row as high as its text, and the table as high as its rows."""
        self.table.resizeRowsToContents()
        rows = sum(self.table.rowHeight(place) for place in range(self.table.rowCount))
        self.table.setFixedHeight(rows + self.table.horizontalHeader().height + 2 * self.table.frameWidth + 2)

    def _on_cell(self, place: int, _column: int, previous: int, _previous_column: int) -> None:
        if previous >= 0 and place != previous:
            self._go(place)

    def _on_click(self, place: int, _column: int) -> None:
        self._go(place)

    def _go(self, place: int) -> None:
        index = self._reasons[place].index if 0 <= place < len(self._reasons) else None
        if index is not None:
            self._on_choose(index)


def _words() -> dict[str, str]:
    return {"for": _("For"), "against": _("Against"), "caution": _("Caution"), "looked": _("Looked at")}
