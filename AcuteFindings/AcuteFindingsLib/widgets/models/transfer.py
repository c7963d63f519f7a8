"""One download at a time in the worker process: a button that starts and cancels it, and a bar."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.widgets.panel.time_left import TimeLeft, time_left_text
from AcuteFindingsLib.widgets.parts import push_button
from AcuteFindingsLib.widgets.worker.process import WorkerProcess


class Transfer:
    """Runs one job of the worker and shows how far it is.

    Parameters
    ----------
    name
        Of the button and, with "Bar" behind it, of the bar.
    begin
        Called when a person presses the button and nothing is under way.
    worker
        Gives the process that works.
    tell
        Called with what is being done and why it failed, in words.
    changed
        Called when the job has begun or is over.

    Attributes
    ----------
    button, bar
        A `QPushButton` and a `QProgressBar`, for the layout of whoever transfers.
    """

    def __init__(
        self,
        name: str,
        *,
        begin: Callable[[], None],
        worker: Callable[[], WorkerProcess],
        tell: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._begin, self._worker, self._tell, self._changed = begin, worker, tell, changed
        self._request = 0
        self._asked: object | None = None
        self._time_left = TimeLeft()
        self.button = push_button("", "", self.toggle, name=f"{name}Button")
        self.bar = qt.QProgressBar()
        self.bar.setObjectName(f"{name}Bar")
        self.bar.setRange(0, 100)
        self.bar.toolTip = _("How much of the download has arrived.")

    @property
    def running(self) -> bool:
        """Whether the job is under way."""
        return bool(self._request)

    def show(self, text: str, tool_tip: str, *, enabled: bool) -> None:
        """Show the bar while the job runs, and on the button what it does then, or else `text`."""
        self.bar.setVisible(self.running)
        self.button.setText(_("Cancel") if self.running else text)
        stop = _("Stop the download; what has arrived is kept for the next time.")
        self.button.toolTip = stop if self.running else tool_tip
        self.button.enabled = self.running or enabled

    def toggle(self) -> None:
        """Begin, or stop what is under way."""
        if not self.running:
            self._begin()
            return
        self.button.enabled = False
        self._tell(_("Stopping…"))
        self._worker().cancel(self._request)

    def start(
        self,
        job: str,
        fields: dict[str, Any],
        *,
        done: Callable[[dict[str, Any]], None],
        failed: Callable[[str, str], None] | None = None,
    ) -> None:
        """Ask the worker for a job.

        Parameters
        ----------
        done
            Called with the job's result.
        failed
            Called with one sentence and the name of the error's class, after the sentence was told.
        """

        asked = self._asked = object()

        def over(text: str = "") -> bool:
            if self._asked is not asked:
                return False  # abandoned: whoever asked is gone
            self._request, self._asked = 0, None
            self._changed()
            if text:
                self._tell(text)
            return True

        def on_done(result: dict[str, Any]) -> None:
            if over():
                done(result)

        def on_failed(text: str, kind: str) -> None:
            if over(text) and failed is not None:
                failed(text, kind)

        stopped = _("Stopped. What has arrived is kept; the next download continues from there.")
        self._time_left = TimeLeft()
        self._on_progress(_("Starting the download"), 0.0)
        self._request = self._worker().request(
            job,
            fields,
            progress=lambda text, share: self._on_progress(text, share) if self._asked is asked else None,
            done=on_done,
            failed=on_failed,
            cancelled=lambda: on_failed(stopped, "CancelledError"),
        )
        self._changed()

    def abandon(self) -> None:
        """Stop what is under way and tell nobody; what has arrived is kept."""
        request, self._request, self._asked = self._request, 0, None
        if request:
            self._worker().cancel(request)

    def _on_progress(self, text: str, fraction: float) -> None:
        seconds = self._time_left.update(text, fraction)
        self.bar.setValue(round(100 * fraction))
        self._tell(f"{text} ({time_left_text(seconds)})" if seconds else text)
