"""A model package verified on request: its files first, then its tensors in the worker process."""

from collections.abc import Callable

from slicer.i18n import tr as _

from AcuteFindingsLib.packages import DETECT, missing_packages
from AcuteFindingsLib.widgets.models.checks import ModelChecks
from AcuteFindingsLib.widgets.models.rows import ModelRow
from AcuteFindingsLib.widgets.worker.process import WorkerProcess


class ModelVerification:
    """One verification at a time; a new one takes the place of the one under way.

    Parameters
    ----------
    checks
        Holds the files against their checksums and keeps what is found out.
    worker
        Gives the process that examines the tensors.
    tell
        Called with what is being done and what was found out, in words.
    failed
        Called with the row and what is wrong when the tensors do not fit.
    """

    def __init__(
        self,
        checks: ModelChecks,
        *,
        worker: Callable[[], WorkerProcess],
        tell: Callable[[str], None],
        failed: Callable[[ModelRow, str], None],
    ) -> None:
        self._checks, self._worker, self._tell, self._failed = checks, worker, tell, failed
        self._row: ModelRow | None = None
        self._request = 0

    def start(self, row: ModelRow) -> None:
        """Verify a package whose list entry has just been read and is without fault."""
        self.stop()
        self._row = row
        self._tell(_("Verifying {model}…").format(model=row.id))
        self._checks.forget(row)
        self._checks.check([row])

    def files_checked(self, row: ModelRow, error: str) -> None:
        """Go on after the checksums; to be called for every package that `checks` has checked."""
        if self._row is None or row.folder != self._row.folder or self._request:
            return
        self._row = row
        if error:
            self._end(_("{model} failed verification: {error}").format(model=row.id, error=error))
        elif missing_packages(DETECT):
            text = _("{model}: every checksum is right. Press Apply once and install what it asks for to examine more.")
            self._end(text.format(model=row.id))
        else:
            self._request = self._worker().request(
                "verify",
                {"folder": row.folder},
                done=lambda result: self._examined(row, "" if result.get("ok") else str(result.get("error"))),
                failed=lambda text, kind: self._on_failed(row, text, kind),
            )

    def stop(self) -> None:
        """Forget the verification under way."""
        if self._request:
            self._worker().cancel(self._request)
        self._row, self._request = None, 0

    def _examined(self, row: ModelRow, error: str) -> None:
        if self._row is not row:
            return
        self._checks.record(row, error)
        if error:
            self._failed(row, error)
            self._end(_("{model} failed verification: {error}").format(model=row.id, error=error))
        else:
            text = _("{model}: every checksum is right and every tensor fits the network.")
            self._end(text.format(model=row.id))

    def _on_failed(self, row: ModelRow, text: str, kind: str) -> None:
        if kind == "TorchMissingError":
            text = _("{model}: every checksum is right. Its tensors can be examined when PyTorch is installed.")
            text = text.format(model=row.id)
        self._end(text)

    def _end(self, text: str) -> None:
        self._row, self._request = None, 0
        self._tell(text)
