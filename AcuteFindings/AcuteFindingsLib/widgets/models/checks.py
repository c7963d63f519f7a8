"""Every listed package held against its checksums while the window stays alive, and the answers kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from AcuteFindingsLib.widgets.models.rows import ModelRow, check_steps, signature
from AcuteFindingsLib.widgets.stepper import Stepper

# One answer for the whole application: three modules list the same packages.
_answers: dict[tuple[Path, Any], str] = {}


class ModelChecks:
    """Checks packages one after another.

    Parameters
    ----------
    told
        Called with a package's row and what is wrong with it (``""`` where nothing is) for each that has been checked.
    """

    def __init__(self, told: Callable[[ModelRow, str], None]) -> None:
        self._told = told
        self._waiting: list[ModelRow] = []
        self._now: tuple[ModelRow, Any, Stepper] | None = None

    def answer(self, row: ModelRow) -> str | None:
        """Return what is wrong with a package, ``""`` where nothing is, None where it has not been checked yet."""
        return row.error or _answers.get((row.folder, signature(row.folder)))

    def check(self, rows: list[ModelRow]) -> None:
        """Check these packages, and those that were waiting after them."""
        folders = {row.folder for row in rows}
        if self._now is not None:
            folders.add(self._now[0].folder)
        new = [row for row in rows if self._now is None or row.folder != self._now[0].folder]
        self._waiting = new + [row for row in self._waiting if row.folder not in folders]
        if self._now is None:
            self._next()

    def forget(self, row: ModelRow) -> None:
        """Check this package again although its files look untouched."""
        _answers.pop((row.folder, signature(row.folder)), None)

    def record(self, row: ModelRow, error: str) -> None:
        """Keep what another, deeper check has found."""
        _answers[row.folder, signature(row.folder)] = error

    def stop(self) -> None:
        """Check nothing more."""
        self._waiting.clear()
        if self._now is not None:
            self._now[2].stop()
            self._now = None

    def _next(self) -> None:
        while self._waiting:
            row = self._waiting.pop(0)
            if self.answer(row) is None:
                stepper = Stepper(check_steps(row.folder), done=self._done, failed=lambda error: self._done(str(error)))
                self._now = (row, signature(row.folder), stepper)
                stepper.start()
                return

    def _done(self, error: str) -> None:
        if self._now is None:
            return
        row, files, _stepper = self._now
        self._now = None
        _answers[row.folder, files] = error
        self._told(row, error)
        if self._now is None:
            self._next()
