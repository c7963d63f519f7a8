"""Examinations that wait for the worker process, one handed over at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.widgets.models.rows import user_folders
from AcuteFindingsLib.widgets.panel.time_left import TimeLeft, time_left_text
from AcuteFindingsLib.widgets.worker.process import WorkerProcess
from AcuteFindingsLib.widgets.worklist.rows import Row

_DEATHS = 2
"""Studies one after the other at which the worker process died, before the queue stops by itself."""


@dataclass(frozen=True)
class Waiting:
    """One examination: its place in a file of those that were found, and how it is to be read."""

    row: Row
    exams: Path
    place: int
    results: Path
    detector: str


class ReadingQueue:
    """Hands examinations to the worker process.

    Parameters
    ----------
    worker
        Gives the process that reads.

    Attributes
    ----------
    on_changed
        Called when rows or state changed.
    on_read
        Called with the folder of results and the records of an examination that was read.
    on_progress
        Called with what is being done, and the share of all that is done.
    paused
        Whether no further examination is handed over.
    """

    def __init__(self, worker: Callable[[], WorkerProcess]) -> None:
        self._worker = worker
        self.on_changed: Callable[[], Any] = lambda: None
        self.on_read: Callable[[Path, list[dict[str, Any]]], Any] = lambda _folder, _records: None
        self.on_progress: Callable[[str, float], Any] = lambda _text, _share: None
        self.paused = False
        self.text = ""
        self._waiting: list[Waiting] = []
        self._reading: Waiting | None = None
        self._request = 0
        self._done = self._deaths = 0
        self._numbers = count(1)
        self._time_left = TimeLeft()

    @property
    def rows(self) -> list[Row]:
        """What is being read and what waits, in the order in which it is read."""
        reading = [] if self._reading is None else [self._reading.row]
        return reading + [one.row for one in self._waiting]

    @property
    def reading(self) -> bool:
        """Whether the worker has one."""
        return self._reading is not None

    def add(self, found: dict[str, Any], exams: Path, results: Path, detector: str) -> None:
        """Add the examinations that the job `find_exams` wrote into a file."""
        for place, _uid in found["exams"]:
            row = Row(
                f"waiting-{next(self._numbers)}", "" if detector == "auto" else detector, arrived=found["arrived"]
            )
            self._waiting.append(Waiting(row, exams, place, results, detector))
        self._go_on()
        self.on_changed()

    def pause(self) -> None:
        """Hand over no further examination; the one that is being read goes on."""
        self.paused = True
        self._tell(_("Paused after this study.") if self.reading else _("Paused."))
        self.on_changed()

    def resume(self) -> None:
        """Go on where `pause`, `cancel` or an error stopped."""
        self.paused, self._deaths = False, 0
        self._time_left = TimeLeft()
        self._go_on()
        self.on_changed()

    def cancel(self) -> None:
        """Stop the one that is being read, and hand over no other; it waits again, in the first place."""
        self.paused = True
        if self._request:
            self._tell(_("Cancelling"))
            self._worker().cancel(self._request)
        self.on_changed()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._end_if_over()
        self.on_changed()

    def close(self) -> None:
        """Stop everything and call nobody: the panel goes."""
        self.on_changed, self.on_read, self.on_progress = (lambda: None), (lambda *_a: None), (lambda *_a: None)
        self._waiting.clear()
        self.cancel()

    def _go_on(self) -> None:
        if self._reading is not None or self.paused:
            return
        if not self._waiting:
            self._end_if_over()
            return
        one = self._waiting.pop(0)
        self._reading = Waiting(_now_reading(one.row), one.exams, one.place, one.results, one.detector)
        fields = {
            "exams": one.exams,
            "place": one.place,
            "results": one.results,
            "detector": one.detector,
            "folders": [str(folder) for folder in user_folders(qt.QSettings())],
            "retry_failed": True,
        }
        self._request = self._worker().request(
            "read_exam",
            fields,
            progress=self._on_progress,
            done=lambda result: self._on_read(one, result),
            failed=lambda text, kind: self._on_failed(one, text, kind),
            cancelled=lambda: self._on_cancelled(one),
            what=_("the worklist"),
        )

    def _on_progress(self, text: str, share: float) -> None:
        total = self._done + 1 + len(self._waiting)
        done = (self._done + share) / total
        seconds = self._time_left.update("reading", done)
        said = _("Study {number} of {total}: {text}").format(number=self._done + 1, total=total, text=text)
        self._tell(said if not seconds else f"{said} ({time_left_text(seconds)})", done)

    def _on_read(self, one: Waiting, result: dict[str, Any]) -> None:
        self._deaths = 0
        self._end_one()
        records = [outcome["record"] for outcome in result["outcomes"] if outcome["record"]["state"] != "reading"]
        self.on_read(one.results, records)
        self._go_on()
        self.on_changed()

    def _on_failed(self, one: Waiting, text: str, kind: str) -> None:
        self._deaths = self._deaths + 1 if kind == "WorkerStopped" else _DEATHS
        self._end_one()
        if self._deaths >= _DEATHS:
            # What is wrong with a study becomes its row; this is wrong with all of them.
            self.paused = True
            self._waiting.insert(0, one)
            self._done -= 1
        self._tell(_("✖ {reason}").format(reason=text))
        self._go_on()
        self.on_changed()

    def _on_cancelled(self, one: Waiting) -> None:
        self._end_one()
        self._done -= 1
        self._waiting.insert(0, one)
        self._tell(_("Cancelled; this study waits again."))
        self.on_changed()

    def _end_one(self) -> None:
        self._reading, self._request = None, 0
        self._done += 1

    def _end_if_over(self) -> None:
        if self._reading is None and not self._waiting and self._done:
            self._tell(_("Read: {count}.").format(count=self._done), 1.0)
            self._done, self._time_left = 0, TimeLeft()

    def _tell(self, text: str, share: float | None = None) -> None:
        self.text = text
        self.on_progress(text, self._time_left.fraction if share is None else share)


def _now_reading(row: Row) -> Row:
    return Row(row.key, row.detector, "reading", row.arrived)
