"""Contact sheets as files of a model package."""

from collections.abc import Sequence

from AcuteFindingsLib.evaluation.contact_sheet import Panel, write_sheet
from AcuteFindingsLib.places import temporary_folder


def sheet_bytes(panels: Sequence[Panel], *, columns: int) -> bytes:
    """Return a contact sheet as the bytes of a PNG."""
    with temporary_folder() as folder:
        return write_sheet(panels, folder / "sheet.png", columns=min(columns, len(panels))).read_bytes()
