"""A phantom in the scene: made by the worker process, written as DICOM, read back as a volume node."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.errors import AcuteFindingsError, CancelledError, StudyError, named_error
from AcuteFindingsLib.scene.node_headers import PHANTOM
from AcuteFindingsLib.scene.nodes import add_array
from AcuteFindingsLib.study.study import PHANTOM_MANUFACTURER
from AcuteFindingsLib.widgets.worker.process import WorkerProcess, shared_worker

UIDS = "DICOM.instanceUIDs"
"""The attribute under which Slicer's own DICOM reader keeps a volume's SOP Instance UIDs."""

_FILES_A_TURN = 4
_WAIT_MS = 20


def load_phantom(
    kind: str,
    seed: int,
    *,
    positive: bool,
    name: str = "",
    options: dict[str, Any] | None = None,
    progress: Callable[[str, float], Any] | None = None,
    worker: WorkerProcess | None = None,
) -> Any:
    """Make a phantom and return it as a volume node; events are processed meanwhile.

    Parameters
    ----------
    kind
        ``"ctpa"``, ``"head-ct"`` or ``"chest-xray"``.
    seed
        Fixes every voxel.
    positive
        With or without the finding.
    name
        Of the node; by default the kind.
    options
        Of the kind's generator, for example ``{"matrix": 256}``.
    progress
        Called with what is being done and the share of the whole that is done.
    worker
        The process that makes it; by default the one that all modules share.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        HU or stored gray levels, with its SOP Instance UIDs; shown in its DICOM window.

    Raises
    ------
    AcuteFindingsError
        When the worker could not make it.
    """
    folder = tempfile.mkdtemp(prefix="AcuteFindings-", dir=slicer.app.temporaryPath)
    fields = {"kind": kind, "seed": seed, "positive": positive, "out": folder, "options": options or {}}
    try:
        made = ask(worker or shared_worker(), "phantom", fields, progress=progress)
        return load_series(Path(made["dicom"]), name or kind)
    finally:
        # The node holds the voxels; the scene's own files are written when the scene is saved.
        shutil.rmtree(folder, ignore_errors=True)


def ask(
    worker: WorkerProcess,
    job: str,
    fields: dict[str, Any],
    *,
    progress: Callable[[str, float], Any] | None = None,
) -> dict[str, Any]:
    """Have the worker do a job and return its result; events are processed meanwhile.

    Raises
    ------
    AcuteFindingsError
        Of the class that the worker names, with its sentence.
    """
    ends: list[dict[str, Any] | AcuteFindingsError] = []

    def failed(text: str, kind: str) -> None:
        ends.append(named_error(kind, text))

    worker.request(
        job,
        fields,
        progress=progress,
        done=ends.append,
        failed=failed,
        what=_("a sample study"),
        cancelled=lambda: ends.append(CancelledError(_("Stopped on request."))),
    )
    while not ends:
        slicer.app.processEvents()
        worker.wait(_WAIT_MS)
        if not ends and not worker.busy:  # stopped: nobody will answer
            raise CancelledError(_("The worker process was stopped."))
    if isinstance(ends[0], AcuteFindingsError):
        raise ends[0]
    return ends[0]


def load_series(folder: Path, name: str) -> Any:
    """Return the one uncompressed series of a folder, in the order of its files' names, as a volume node.

    Raises
    ------
    StudyError
        When the folder holds no DICOM file.
    """
    import pydicom

    images, planes = [], []
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        image = pydicom.dcmread(path)
        slope, intercept = float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
        planes.append(np.rint(image.pixel_array * slope + intercept).astype(np.int16))
        images.append(image)
        if number % _FILES_A_TURN == 0:
            slicer.app.processEvents()
    if not images:
        raise StudyError(_("{folder} holds no DICOM file (*.dcm).").format(folder=folder))
    array = np.stack(planes)
    slicer.app.processEvents()
    # Not slicer.util.addVolumeFromArray: it counts all voxels for a window, 0.3 s for 100 slices of 512².
    node = add_array(slicer.mrmlScene, "vtkMRMLScalarVolumeNode", array, _ijk_to_ras(images), name)
    node.SetAttribute(UIDS, " ".join(str(image.SOPInstanceUID) for image in images))
    if images[0].get("Manufacturer") == PHANTOM_MANUFACTURER:
        # The files go, and with them the header that says so.
        node.SetAttribute(PHANTOM, "1")
    _set_window(node, images[0])
    return node


def _ijk_to_ras(images: list[Any]) -> np.ndarray:
    """Return the 4×4 of slices that lie one upon the other; a radiograph, which has no place, lies at the origin."""
    first, last = images[0], images[-1]
    rows_mm, columns_mm = (float(value) for value in first.PixelSpacing)
    along = [float(value) for value in first.get("ImageOrientationPatient", (1, 0, 0, 0, 1, 0))]
    origin = np.array([float(value) for value in first.get("ImagePositionPatient", (0, 0, 0))])
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = np.multiply(along[:3], columns_mm), np.multiply(along[3:], rows_mm)
    lps[:3, 2] = np.cross(along[:3], along[3:])
    if len(images) > 1:
        end = np.array([float(value) for value in last.ImagePositionPatient])
        lps[:3, 2] = (end - origin) / (len(images) - 1)
    lps[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def _set_window(node: Any, image: Any) -> None:
    level, width = (np.atleast_1d(image.get(field)) for field in ("WindowCenter", "WindowWidth"))
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(float(width[0]), float(level[0]))
