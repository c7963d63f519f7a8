"""The table of models: a row a package, with the state of its check."""

from collections.abc import Callable, Iterable

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.models.default_model import Choice
from AcuteFindingsLib.widgets.models.rows import ModelRow

NAME, STATE, DEFAULT, TASK, TRAINED_ON, FIGURES, SIZE, LICENSE, WHERE = range(9)

WIDEST = 260
"""Pixels of the widest column; longer texts are in the tooltip."""


class ModelTable:
    """Shows rows; own `widget` is a `QTableWidget`.

    Parameters
    ----------
    show_task
        Whether there is a column for the task.
    selected
        Called when a person selects a row.
    """

    def __init__(self, *, show_task: bool, selected: Callable[[], None]) -> None:
        self._rows: list[ModelRow] = []
        self._selected = selected
        self._quiet = False
        self.widget = table = qt.QTableWidget()
        table.setObjectName("modelTable")
        table.toolTip = _(
            "The models that are installed, those with the most evidence first: trained on patients before trained on "
            "phantoms. Select a row to use that model and to read about it."
        )
        titles = (
            _("Name"),
            _("State"),
            _("Default"),
            _("Task"),
            _("Trained on"),
            _("Figures"),
            _("Size"),
            _("License"),
            _("Where"),
        )
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(list(titles))
        table.setSelectionBehavior(qt.QTableWidget.SelectRows)
        table.setSelectionMode(qt.QTableWidget.SingleSelection)
        table.setEditTriggers(qt.QTableWidget.NoEditTriggers)
        # Tab leaves the table, so that everything below is reached by keyboard.
        table.setTabKeyNavigation(False)
        table.setColumnHidden(TASK, not show_task)
        table.setMinimumHeight(110)
        table.verticalHeader().hide()
        table.connect("itemSelectionChanged()", self._on_selected)

    @property
    def current(self) -> ModelRow | None:
        """The selected row."""
        number = self.widget.currentRow()
        return self._rows[number] if 0 <= number < len(self._rows) else None

    def show(self, rows: list[ModelRow]) -> None:
        """Show these rows, without their states."""
        self._quiet = True
        self._rows = rows
        self.widget.setRowCount(len(rows))
        places = {
            "shipped": _("came with the extension"),
            "downloaded": _("downloaded"),
            "added": _("added folder"),
            "provider": _("its own package"),
        }
        for number, row in enumerate(rows):
            trained = f"⚠ {row.trained_on}" if row.phantoms_only else row.trained_on
            cells = (
                row.id,
                "",
                "",
                row.task,
                trained,
                row.figures[0] if row.figures else _("none stated"),
                f"{row.size_mb:.1f} MB",
                row.license,
                places[row.place],
            )
            tips = {WHERE: str(row.folder), NAME: row.title, FIGURES: "\n".join(row.figures)}
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(tips.get(column) or text)
                self.widget.setItem(number, column, item)
        self._quiet = False

    def show_states(self, state: Callable[[ModelRow], str | None], used: ModelRow | None) -> None:
        """Show what is known of every row: `state` answers as `ModelChecks.answer` does; `used` is the one in use."""
        for number, row in enumerate(self._rows):
            error = state(row)
            words = _("✗ damaged") if error else _("… checking") if error is None else _("✓ verified")
            if row.place == "provider":
                words = _("asks you before its first use")
            if row is used and not error:
                words = _("in use, {state}").format(state=words)
            item = self.widget.item(number, STATE)
            item.setText(words)
            item.setToolTip(error or words)

    def show_defaults(self, choices: Iterable[Choice[ModelRow]]) -> None:
        """Say which models are used where none is named, and since when."""
        defaults = {choice.model.folder: choice for choice in choices}
        for number, row in enumerate(self._rows):
            choice = defaults.get(row.folder)
            item = self.widget.item(number, DEFAULT)
            item.setText("" if choice is None else self._since(choice))
            item.setToolTip("" if choice is None else choice.reason)

    @staticmethod
    def _since(choice: Choice[ModelRow]) -> str:
        if choice.since:
            return _("default since {day}").format(day=choice.since)
        return _("default as it came") if choice.model.place == "shipped" else _("default")

    def fit_columns(self) -> None:
        """Make the columns as wide as their texts, within reason."""
        self.widget.resizeColumnsToContents()
        for column in (LICENSE, TRAINED_ON, FIGURES, WHERE):
            self.widget.setColumnWidth(column, min(self.widget.columnWidth(column), WIDEST))

    def select(self, row: ModelRow | None) -> None:
        """Select a row without telling anybody."""
        self._quiet = True
        if row is None:
            self.widget.clearSelection()
        else:
            self.widget.selectRow(self._rows.index(row))
        self._quiet = False

    def _on_selected(self) -> None:
        if not self._quiet:
            self._selected()
