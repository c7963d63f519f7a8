"""The table of what is missing or wrong, for the screen."""

from rich.table import Table

from AcuteFindingsLib.training.data.table import DataTable

_STYLES = {"error": "bold red", "warn": "yellow", "info": "dim"}


def problem_table(table: DataTable) -> Table:
    """Return the problems of a data set as a table that rich prints, the worst first, with a few names each."""
    counts = {name: sum(one.severity == name for one in table.problems) for name in _STYLES}
    title = f"{table.kind}: {counts['error']} errors, {counts['warn']} warnings, {counts['info']} notes"
    shown = Table("severity", "file", "column", "what is missing or wrong", title=title)
    for one in table.problems:
        shown.add_row(one.severity, one.file, one.field, one.line, style=_STYLES[one.severity])
    return shown
