"""Contact sheets as files of a model package."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from AcuteFindingsLib.evaluation.contact_sheet import Panel, write_sheet


def sheet_bytes(panels: Sequence[Panel], *, columns: int) -> bytes:
    """Return a contact sheet as the bytes of a PNG."""
    with TemporaryDirectory() as folder:
        return write_sheet(panels, Path(folder) / "sheet.png", columns=min(columns, len(panels))).read_bytes()
