"""Weights from elsewhere made into a model package, by the worker process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from AcuteFindingsLib.packages import DETECT, IMPORT, TORCH, missing_packages
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.widgets.models.packages import ensure_packages, ensure_torch
from AcuteFindingsLib.widgets.worker.process import WorkerProcess

DESCRIPTIONS = (".yaml", ".yml")
"""Files that tell how a public model is read."""

ENDINGS = "*.zip *.h5 *.hdf5 *.keras *.pt *.pth *.ckpt *.safetensors *.bin *.ts *.onnx *.yaml *.yml"
"""What "Add… > File…" offers: packages, and what can be made into one."""


class ModelImport:
    """One import at a time.

    Parameters
    ----------
    worker
        Gives the process that imports.
    tell
        Called with what is being done and why it failed, in words.
    done
        Called with the folder of the new package.
    """

    def __init__(
        self, *, worker: Callable[[], WorkerProcess], tell: Callable[[str], None], done: Callable[[Path], None]
    ) -> None:
        self._worker, self._tell, self._done = worker, tell, done
        self._request = 0

    def start(self, file: Path, task: str | None) -> None:
        """Import a file for a task; None where the file itself must say what it is for."""
        if self._request:
            self._tell(_("Another model is being imported; try again when it is done."))
            return
        needed = (*DETECT, *IMPORT.get(file.suffix.lower(), ()))
        if not ensure_packages(needed=needed):
            self._tell(_("{file} was not imported: packages are missing.").format(file=file.name))
            return
        self._tell(_("Importing {file}…").format(file=file.name))
        self._request = self._worker().request(
            "import_model",
            {"file": file, "folder": models_cache(), **({"task": task} if task else {})},
            progress=lambda text, share: self._tell(f"{text} ({round(100 * share)} %)"),
            done=self._on_done,
            failed=lambda text, kind: self._on_failed(file, task, text, kind),
            cancelled=lambda: self._end(""),
        )

    def stop(self) -> None:
        """Give the import up; nothing of it stays."""
        if self._request:
            self._worker().cancel(self._request)
        self._request = 0

    def _on_done(self, result: dict[str, Any]) -> None:
        self._end("")
        self._done(Path(str(result["folder"])))

    def _on_failed(self, file: Path, task: str | None, text: str, kind: str) -> None:
        self._end(text)
        what = _("Importing {file}").format(file=file.name)
        # Once: where nothing is missing and it is not found all the same, asking again would not end.
        if kind == "TorchMissingError" and missing_packages(TORCH) and ensure_torch(what):
            self.start(file, task)

    def _end(self, text: str) -> None:
        self._request = 0
        self._tell(text)
