"""The files of a training example: image, the model's mask, the corrected mask, slice labels, and who, when, what."""

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib import __version__
from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.files import sweep_abandoned
from AcuteFindingsLib.names import detector_name
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.scene.node_grid import voxel_grid
from AcuteFindingsLib.scene.segment_voxels import Box, overlap
from AcuteFindingsLib.study.nrrd_writer import write_nrrd

FORMAT_VERSION = 1

IMAGE, AI_MASK, CORRECTED_MASK = "image.nrrd", "ai_mask.nrrd", "corrected_mask.nrrd"
SLICE_LABELS, RECORD = "slice_labels.csv", "correction.json"

_MOST_ATTEMPTS = 1000


@dataclass(frozen=True)
class CorrectedSegment:
    """A segment before and after, both on the grid of the image; None where it was not there."""

    name: str
    ai: Box | None
    corrected: Box | None
    status: str = ""


def write_correction(
    finding: Finding,
    volume: Any,
    segments: Sequence[CorrectedSegment],
    labels: Mapping[int, str],
    folder: Path,
    *,
    annotator: str,
    saved_at: datetime,
) -> Path:
    """Write one training example into a folder of its own; see `corrections.save_correction`.

    A voxel of a mask file holds the sum of the values of the segments it belongs to (1, 2, 4 and so on, as
    ``correction.json`` lists them), so that segments which overlap are kept whole.

    Raises
    ------
    ExportError
        When the folder cannot be written.
    """
    try:
        detector = detector_name(finding.detector)
    except ValueError as error:
        raise ExportError(
            f"The correction cannot be saved: {error}; the scene was not written by this software."
        ) from error
    partial = folder / f".partial-{uuid.uuid4().hex[:8]}"
    sweep_abandoned(folder, r"\.partial-[0-9a-f]{8}")
    try:
        partial.mkdir(parents=True)
        array, ijk_to_ras = voxel_grid(volume)
        # Not compressed: deflating a chest CT takes seconds, during which the window would not answer.
        write_nrrd(partial / IMAGE, array, array.shape, array.dtype, ijk_to_ras, compressed=False)
        for name, masks in (
            (AI_MASK, [one.ai for one in segments]),
            (CORRECTED_MASK, [one.corrected for one in segments]),
        ):
            if segments:
                kind = np.dtype(np.uint8 if len(masks) <= 8 else np.uint32)
                planes = _joined(masks, array.shape, kind)
                write_nrrd(partial / name, planes, array.shape, kind, ijk_to_ras, compressed=True)
        _write_labels(finding, labels, partial / SLICE_LABELS)
        record = _record(finding, segments, labels, annotator=annotator, saved_at=saved_at)
        (partial / RECORD).write_text(json.dumps(record, indent=2, allow_nan=False), encoding="utf-8")
        return _put_in_place(partial, folder, f"{detector}-{saved_at:%Y%m%d-%H%M%S}")
    except OSError as error:
        reason = error.strerror or "is the disk full or the folder read-only?"
        raise ExportError(f"The correction could not be saved in {folder}: {reason}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def dice(pairs: Iterable[tuple[Box | None, Box | None]]) -> float:
    """Return the Dice coefficient of pairs of masks taken together, 0..1.

    Each voxel counts once for each segment that it belongs to. None is an empty mask, and two empty ones agree.
    """
    both = total = 0
    for one, other in pairs:
        total += sum(0 if mask is None else mask.voxels for mask in (one, other))
        both += 0 if one is None or other is None else overlap(one, other)
    return 2 * both / total if total else 1.0


def _joined(masks: Sequence[Box | None], shape: Sequence[int], kind: np.dtype) -> Iterator[np.ndarray]:
    """Yield plane by plane the sum of the values of the masks that mark a voxel."""
    for k in range(shape[0]):
        plane = np.zeros(shape[1:], kind)
        for number, mask in enumerate(masks):
            if mask is not None and mask.first[0] <= k < mask.end[0]:
                (z, y, x), (_, bottom, right) = mask.first, mask.end
                plane[y:bottom, x:right] |= (mask.array[k - z] != 0).astype(kind) << kind.type(number)
        yield plane


def _write_labels(finding: Finding, labels: Mapping[int, str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = CsvWriter(stream)
        writer.writerow(["slice", "sop_instance_uid", "probability", "predicted", "corrected"])
        for item in finding.slices:
            probability = item.probabilities[finding.main_label]
            predicted = "present" if probability >= finding.slice_threshold else "absent"
            corrected = labels.get(item.index, "")
            writer.writerow(
                [slice_number(item), item.sop_instance_uid, f"{probability:.6f}", predicted, corrected],
            )


def _record(
    finding: Finding,
    segments: Sequence[CorrectedSegment],
    labels: Mapping[int, str],
    *,
    annotator: str,
    saved_at: datetime,
) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "detector": finding.detector,
        "annotator": annotator,
        "saved_at": saved_at.isoformat(timespec="seconds"),
        "software": f"AcuteFindings {__version__}",
        "model": asdict(finding.model),
        "series_instance_uid": finding.series_instance_uid,
        "verdict": {"label": finding.verdict.label, "probability": finding.verdict.probability},
        "label": finding.main_label,
        "slice_threshold": finding.slice_threshold,
        "slices_labelled": len(labels),
        "files": {
            "image": IMAGE,
            "ai_mask": AI_MASK if segments else None,
            "corrected_mask": CORRECTED_MASK if segments else None,
            "slice_labels": SLICE_LABELS,
        },
        "segments": [
            {
                "name": one.name,
                "value": 2**number,
                "in_ai_mask": one.ai is not None,
                "in_corrected_mask": one.corrected is not None,
                "ai_voxels": 0 if one.ai is None else one.ai.voxels,
                "corrected_voxels": 0 if one.corrected is None else one.corrected.voxels,
                "dice": dice([(one.ai, one.corrected)]),
                "status": one.status,
            }
            for number, one in enumerate(segments)
        ],
        "dice": dice((one.ai, one.corrected) for one in segments) if segments else None,
    }


def _put_in_place(partial: Path, folder: Path, name: str) -> Path:
    for number in range(1, _MOST_ATTEMPTS):
        target = folder / f"{name}-{number}"
        # Another program may take the name between the question and the move: then the move fails, nothing is lost.
        if target.exists():
            continue
        try:
            return partial.rename(target)
        except OSError:
            if not target.exists():
                raise
    raise ExportError(f"The correction could not be saved: {folder} already holds {_MOST_ATTEMPTS - 1} called {name}.")
