"""A finding as DICOM objects in a folder: Segmentation of masks and heat map, Structured Report, Secondary Capture."""

import importlib.util
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from AcuteFindingsLib.detectors.code import ALTERED
from AcuteFindingsLib.detectors.finding import Finding, Mask, ModelIdentity, Verdict
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.study import Study

if TYPE_CHECKING:
    from AcuteFindingsLib.export.dicom_source import SourceInstances

SEG, SR, SC = "seg", "sr", "sc"
MASKS_FILE, HEATMAP_FILE, REPORT_FILE, CAPTURE_FILE = "segmentation.dcm", "heatmap.dcm", "report.dcm", "picture.dcm"
FILES = {SEG: (MASKS_FILE, HEATMAP_FILE), SR: (REPORT_FILE,), SC: (CAPTURE_FILE,)}
"""What may be written of each kind."""


@dataclass(frozen=True)
class DicomResults:
    """The files that were written, and in one line each what was not and why."""

    files: tuple[Path, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class CapturedPicture:
    """A PNG or JPEG file to be written as Secondary Capture, and what it shows."""

    path: Path
    caption: str


def require_dicom(study: Study) -> "SourceInstances":
    """Refuse before anything is computed what could not be written as DICOM: results of one voxel are made and dropped.

    Returns
    -------
    SourceInstances
        The headers, for `write_dicom_results`: those of a long chest CT take as long to read as results to write.

    Raises
    ------
    ExportError
        highdicom is not installed, the study was not read from DICOM files, or they cannot carry results: an unknown
        character set, no SOP class, UIDs that are none, headers that do not fit the standard, or a volume that lies
        elsewhere by now.
    """
    _require_highdicom()
    from AcuteFindingsLib.export.dicom_capture import capture_picture
    from AcuteFindingsLib.export.dicom_report import report_finding
    from AcuteFindingsLib.export.dicom_segmentation import segment_masks
    from AcuteFindingsLib.export.dicom_source import read_instances

    source = read_instances(study)
    trial = _trial(study)
    masks = segment_masks(trial, study, source)
    report_finding(trial, source, masks=masks)
    capture_picture(np.zeros((2, 2, 3), np.uint8), "", trial, source)
    return source


def _require_highdicom() -> None:
    if importlib.util.find_spec("highdicom") is None:
        raise ExportError("DICOM results need the package highdicom: pip install 'acutefindings[dicom-export]'.")


def _trial(study: Study) -> Finding:
    """Return a finding of a single voxel, by which a study's headers are tried."""
    mark: np.ndarray = np.zeros(study.array.shape, np.uint8)
    mark[tuple(length // 2 for length in mark.shape)] = 1
    return Finding(
        detector="trial",
        model=ModelIdentity("trial", "0", "0" * 64, ""),
        verdict=Verdict("indeterminate", 0.5, 0.5, "trial", "trial"),
        slices=(),
        main_label="",
        slice_threshold=0.5,
        ijk_to_ras=study.ijk_to_ras,
        display_window=(0.5, 1.0),
        masks=(Mask("Trial", mark, ALTERED, ALTERED, None, (1.0, 0.0, 0.0)),),
        series_instance_uid=study.dicom.series_instance_uid,
    )


def write_dicom_results(
    finding: Finding,
    study: Study,
    folder: Path,
    *,
    kinds: Collection[str] = (SEG, SR),
    picture: CapturedPicture | None = None,
    source: "SourceInstances | None" = None,
    progress: Progress = no_progress,
) -> DicomResults:
    """Write a finding as DICOM objects that belong to the patient and the study of the images it was found in.

    Parameters
    ----------
    finding
        What is written.
    study
        The study it was found in; its voxels are not looked at.
    folder
        Receives ``segmentation.dcm`` and ``heatmap.dcm`` (``"seg"``), ``report.dcm`` (``"sr"``) and ``picture.dcm``
        (``"sc"``). Every object is a series of its own with new UIDs. The report refers to the segmentation where both
        are written.
    kinds
        What to write.
    picture
        The picture for ``"sc"``.
    source
        What `require_dicom` returned for this study; read from its files when None.
    progress
        Told what is being done and the share done; what it raises ends the work before a file is written.

    Raises
    ------
    ExportError
        As `require_dicom`; the source files are gone or changed; a file cannot be written; nothing is left to write.
    """
    _require_highdicom()
    from AcuteFindingsLib.export.dicom_capture import capture_picture
    from AcuteFindingsLib.export.dicom_object import save_object
    from AcuteFindingsLib.export.dicom_report import report_finding
    from AcuteFindingsLib.export.dicom_segmentation import segment_heatmap, segment_masks
    from AcuteFindingsLib.export.dicom_source import read_instances

    if source is None:
        source = read_instances(study, progress=lambda text, share: progress(text, 0.3 * share))
    objects: dict[str, Dataset] = {}
    remarks: list[str] = []
    masks = None
    if SEG in kinds:
        progress("Making the DICOM segmentation", 0.3)
        masks = segment_masks(finding, study, source)
        if masks is not None:
            objects[MASKS_FILE] = masks
        elif finding.masks:
            remarks.append("No DICOM segmentation of the masks was written: they are empty.")
        progress("Making the heat map", 0.5)
        heatmap = segment_heatmap(finding, study, source)
        if heatmap is not None:
            objects[HEATMAP_FILE] = heatmap
    if SR in kinds:
        progress("Making the structured report", 0.7)
        objects[REPORT_FILE] = report_finding(finding, source, masks=masks)
    if SC in kinds and picture is not None:
        progress("Making the secondary capture", 0.85)
        objects[CAPTURE_FILE] = capture_picture(_pixels(picture.path), picture.caption, finding, source)
    if not objects:
        raise ExportError(
            "There is nothing to write as DICOM segmentation: no mask and no heat map holds anything. The structured "
            "report says so."
        )
    progress("Writing the DICOM files", 0.9)
    files = tuple(save_object(made, folder / name) for name, made in objects.items())
    progress("Done", 1.0)
    return DicomResults(files, tuple(remarks))


def _pixels(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise ExportError(f"The picture {path} could not be read for the secondary capture: {error}.") from error
