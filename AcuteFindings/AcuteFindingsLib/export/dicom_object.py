"""What all DICOM results have in common: who made them, in which series, and how they reach the disk."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from highdicom import UID, AlgorithmIdentificationSequence
from pydicom.dataset import Dataset

from AcuteFindingsLib import __version__
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.errors import AcuteFindingsError, ExportError
from AcuteFindingsLib.export.dicom_codes import FAMILY, ascii_text, concept
from AcuteFindingsLib.export.dicom_source import SourceInstances
from AcuteFindingsLib.files import replace_when_written

MANUFACTURER = "AcuteFindings"

SEGMENTATION, HEATMAP, REPORT, CAPTURE = 1, 2, 3, 4
"""Last digit of the series number of each kind of result: those of source series 3 are 301 to 304."""

_LARGEST_SERIES = 10_000_000

# What highdicom and pydicom raise where a header is not as DICOM wants it.
_REFUSALS: tuple[type[Exception], ...] = (ValueError, TypeError, AttributeError, KeyError, IndexError)


def equipment_and_series(finding: Finding, source: SourceInstances, kind: int, description: str) -> dict[str, Any]:
    """Return the arguments of highdicom's constructors that are the same for all: a new series, and the maker."""
    stated = source.first.get("SeriesNumber")
    number = int(stated) if stated and 0 < int(stated) < _LARGEST_SERIES else 0
    return {
        "series_instance_uid": UID(),
        "series_number": number * 100 + kind,
        "sop_instance_uid": UID(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": [__version__, ascii_text(f"{finding.model.id} {finding.model.version}")[:64]],
        # A segmentation must state one (Enhanced General Equipment); the weights are what tells two devices apart.
        "device_serial_number": finding.model.sha256[:16] or "0",
        "series_description": ascii_text(description)[:64],
    }


def algorithm(finding: Finding) -> AlgorithmIdentificationSequence:
    """Return the identity of the model that gave a finding, with the SHA-256 of its weights."""
    model = finding.model
    return AlgorithmIdentificationSequence(
        name=ascii_text(model.id)[:64],
        family=concept(FAMILY),
        version=ascii_text(model.version)[:64],
        source=MANUFACTURER,
        parameters={"weights SHA-256": model.sha256},
    )


@contextmanager
def making(what: str) -> Iterator[None]:
    """Turn what the libraries raise into one sentence, and keep their remarks, which quote headers, off every log.

    Raises
    ------
    ExportError
        Names what could not be made; never quotes the header, which names the patient.
    """
    log = logging.getLogger("highdicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except AcuteFindingsError:
        raise
    except _REFUSALS as error:
        raise ExportError(
            f"The DICOM {what} could not be made: the headers of the study's files do not fit the standard "
            f"({type(error).__name__}). Export the study from its source again."
        ) from error
    finally:
        log.setLevel(level)


def save_object(dataset: Dataset, target: Path) -> Path:
    """Write a DICOM object; the file is whole or not there.

    Raises
    ------
    ExportError
        When it cannot be written.
    """
    try:
        with replace_when_written(target) as partial, making("file"):
            dataset.save_as(partial, enforce_file_format=True)
    except OSError as error:
        raise ExportError(
            f"{target} could not be written: {error.strerror or error}. Choose another folder or make room."
        ) from error
    return target
