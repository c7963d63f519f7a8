"""The list as a table: sorted by a click on a title, filtered by words; only the rows in sight are filled in.

Thousands of rows at once would hold the window up: a cell costs some 20 µs, and a screen shows thirty rows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.widgets.parts import cell, table
from AcuteFindingsLib.widgets.worklist.rows import Row, headers, matching, sort_keys, texts, utc_now

_NUMBERS = (0, 3)
_WIDER = (0, 44, 24, 18, 14, 16)
"""Pixels by which a column's texts are wider than its title; a narrow panel scrolls sideways."""

_MARGIN = 2
_SHOWN_ROWS = 12


class RowTable:
    """Shows rows of the list.

    Parameters
    ----------
    on_choose
        Called with the row that was chosen; None where there is none.
    on_open
        Called with the row that was double clicked.

    Attributes
    ----------
    rows
        Those that are shown, from top to bottom.
    """

    def __init__(self, *, on_choose: Callable[[Row | None], Any], on_open: Callable[[Row], Any]) -> None:
        self._on_choose, self._on_open = on_choose, on_open
        self._all: Sequence[Row] = ()
        self.rows: list[Row] = []
        self._words = ""
        self._column, self._backwards = -1, False
        self._filled: set[int] = set()
        self._quiet = False
        tip = _("Studies, the most urgent first; a double click shows study, finding and chart")
        self.widget = table(headers(), tip, name="worklistTable")
        self.widget.setMinimumHeight(self.widget.verticalHeader().defaultSectionSize * (_SHOWN_ROWS + 1))
        # Of one height, so that the scroll bar counts rows.
        self.widget.setVerticalScrollMode(qt.QAbstractItemView.ScrollPerItem)
        header = self.widget.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Interactive)
        header.setMinimumSectionSize(20)
        # Wrapped, a text that is cut loses its words, not its letters.
        self.widget.setWordWrap(False)
        for place, wider in enumerate(_WIDER):
            header.resizeSection(place, header.sectionSizeHint(place) + wider)
        header.setStretchLastSection(True)
        header.connect("sectionClicked(int)", self.sort_by)
        self.widget.connect("currentCellChanged(int,int,int,int)", self._on_cell)
        self.widget.connect("cellDoubleClicked(int,int)", lambda place, _column: self._on_open(self.rows[place]))
        self.widget.verticalScrollBar().connect("valueChanged(int)", lambda _value: self.fill())
        # The bar's range changes when the table becomes higher.
        self.widget.verticalScrollBar().connect("rangeChanged(int,int)", lambda _low, _high: self.fill())

    @property
    def current(self) -> Row | None:
        """The chosen row."""
        place = self.widget.currentRow()
        return self.rows[place] if 0 <= place < len(self.rows) else None

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows; the chosen one stays chosen where it is still there."""
        self._all = rows
        self._arrange()

    def filter(self, words: str) -> None:
        """Show only rows in which all words stand."""
        self._words = words
        self._arrange()

    def sort_by(self, column: int) -> None:
        """Sort by a column, backwards the second time, and as the list has it the third time."""
        if column != self._column:
            self._column, self._backwards = column, False
        elif not self._backwards:
            self._backwards = True
        else:
            self._column, self._backwards = -1, False
        header = self.widget.horizontalHeader()
        header.setSortIndicatorShown(self._column >= 0)
        if self._column >= 0:
            order = qt.Qt.AscendingOrder if self._backwards else qt.Qt.DescendingOrder
            header.setSortIndicator(self._column, order)
        self._arrange()

    def step(self, direction: int) -> Row | None:
        """Choose the next (1) or previous (-1) row, and return it; None at the end."""
        place = self.widget.currentRow() + direction
        if not 0 <= place < len(self.rows):
            return None
        self._choose(place)
        return self.rows[place]

    def fill(self) -> None:
        """Write the rows that are in sight."""
        height = self.widget.verticalHeader().defaultSectionSize
        first = max(0, self.widget.verticalScrollBar().value - _MARGIN)
        in_sight = max(self.widget.height // height, _SHOWN_ROWS) + 2 * _MARGIN
        now = utc_now()
        for place in range(first, min(first + in_sight, len(self.rows))):
            if place in self._filled:
                continue
            self._filled.add(place)
            row = self.rows[place]
            shown = texts(row, now)
            # Columns may cut their texts.
            tip = " · ".join(filter(None, (*shown, row.said)))
            for column, text in enumerate(shown):
                self.widget.setItem(place, column, cell(text, tip, number=column in _NUMBERS))

    def _arrange(self) -> None:
        chosen, now = self.current, utc_now()
        rows = matching(self._all, self._words, now)
        if self._column >= 0:
            rows.sort(key=sort_keys(now)[self._column], reverse=self._backwards)
        top = self.widget.verticalScrollBar().value
        self._quiet = True
        self.rows = rows
        self._filled.clear()
        self.widget.clearContents()
        self.widget.setRowCount(len(rows))
        keys = [row.key for row in rows]
        place = keys.index(chosen.key) if chosen is not None and chosen.key in keys else -1
        self.widget.setCurrentCell(place, 0)
        self.widget.verticalScrollBar().setValue(min(top, max(0, len(rows) - 1)))
        self._quiet = False
        self.fill()
        self._on_choose(self.current)

    def _choose(self, place: int) -> None:
        self.widget.setCurrentCell(place, 0)
        self.widget.scrollTo(self.widget.model().index(place, 0))
        self.fill()

    def _on_cell(self, place: int, _column: int, previous: int, _previous_column: int) -> None:
        if not self._quiet and place != previous:
            self._on_choose(self.current)
