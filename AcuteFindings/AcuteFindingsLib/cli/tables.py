"""Tables for a terminal of any width: no word, name or UID is ever broken."""

import re
import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from AcuteFindingsLib.cli.common import out_console, plain

_GAP = 2
_NARROWEST = 24
# What is set to the right: a number, alone, compared or with a unit, or a dash for none.
_NUMBER = re.compile(r"([<±+−-]\s?)?[\d,]+(\.\d+)?( MB| %)?|–|")


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print rows below a header. Columns that do not fit the width stand below their row, the last ones first.

    Parameters
    ----------
    columns
        The header; nothing is named where it is empty.
    rows
        As many texts each.
    title
        Stands above.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[place]) for row in [columns, *cells]) for place in range(len(columns))]
    beside = len(columns)
    while beside > 1 and sum(widths[:beside]) + _GAP * (beside - 1) > out_console.width:
        beside -= 1
    right = [all(_NUMBER.fullmatch(row[place]) for row in cells) for place in range(beside)]

    def line(row: Sequence[str]) -> str:
        padding = (" " * (width - cell_len(cell)) for cell, width in zip(row, widths[:beside], strict=False))
        parts = zip(row, padding, right, strict=False)
        return (" " * _GAP).join(space + cell if to_right else cell + space for cell, space, to_right in parts).rstrip()

    if title:
        out_console.print(plain(title), style="bold")
    out_console.print(line(columns), style="bold")
    for row in cells:
        out_console.print(line(row))
        print_facts(zip(columns[beside:], row[beside:], strict=True))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values below what they belong to; those without a value are left out."""
    known = [(name, plain(value)) for name, value in facts if value]
    widest = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        lead = f"  {name:<{widest + _GAP}}" if name else "  "
        lines = textwrap.wrap(
            value,
            max(_NARROWEST, out_console.width - len(lead)),
            break_long_words=False,
            break_on_hyphens=False,
        )
        out_console.print(lead + f"\n{' ' * len(lead)}".join(lines))
