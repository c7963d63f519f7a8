"""What an annotator changed in a result: slice labels and masks, and saving both as a training example.

Slice labels stand in a column of the result's table, so that they are saved with the scene. The masks as the model gave
them stand in the finding's own node; see `show_finding`.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import ExportError, SceneError
from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.chart_nodes import SLICE
from AcuteFindingsLib.scene.correction_files import CorrectedSegment, write_correction
from AcuteFindingsLib.scene.naming import slice_number
from AcuteFindingsLib.scene.node_grid import voxel_grid
from AcuteFindingsLib.scene.packed_mask import packed_box
from AcuteFindingsLib.scene.results import SceneResult, finding_data
from AcuteFindingsLib.scene.segment_voxels import Box, on_grid, same_mask, segment_box

CORRECTED = "Corrected"
"""Title of the table's column that holds the annotator's slice labels."""

LABELS = ("present", "absent", "unsure", "")
"""What an annotator may say about a slice; nothing takes an earlier label back."""

STATUSES = ("not started", "in progress", "completed", "flagged")
"""How far work on a segment is, as Slicer's Segment Editor marks it."""


def set_label(result: SceneResult, index: int, label: str) -> None:
    """Keep what an annotator says about a slice.

    Parameters
    ----------
    result
        Its table is changed.
    index
        `SliceResult.index` of the slice.
    label
        One of `LABELS`.

    Raises
    ------
    ValueError
        For another label, or a slice that the result does not have.
    SceneError
        When the table is gone.
    """
    if label not in LABELS:
        raise ValueError(f"label is {label!r}; expected one of {', '.join(map(repr, LABELS))}")
    node, table = _table(result)
    number = next((slice_number(item) for item in result.finding.slices if item.index == index), None)
    row = None if number is None else _rows(table).get(number)
    if row is None:
        raise ValueError(f"slice index {index} is not in the result")
    column = table.GetColumnByName(CORRECTED) or _add_column(table)
    if column.GetValue(row) == label:
        return
    column.SetValue(row, label)
    column.Modified()
    table.Modified()
    node.Modified()


def labels(result: SceneResult) -> dict[int, str]:
    """Return the annotator's label by `SliceResult.index`, for the slices that have one."""
    table = None if result.table is None else result.table.GetTable()
    column = None if table is None else table.GetColumnByName(CORRECTED)
    if column is None:
        return {}
    rows = _rows(table)
    found = {}
    for item in result.finding.slices:
        row = rows.get(slice_number(item))
        label = "" if row is None else str(column.GetValue(row))
        if label in LABELS and label:
            found[item.index] = label
    return found


def mask_changed(result: SceneResult) -> bool:
    """Whether any segment differs from what the model outlined, or one came or went."""
    if result.segmentation is None:
        return any(box.array.any() for _, _, box in _model_masks(result))
    segmentation = result.segmentation.GetSegmentation()
    known = set()
    for segment_id, _, box in _model_masks(result):
        known.add(segment_id)
        there = segmentation.GetSegment(segment_id) is not None
        now = segment_box(result.segmentation, segment_id) if there else None
        if (now is None and box.array.any()) or (now is not None and not same_mask(now, box)):
            return True
    added = [one for one in _segment_ids(result.segmentation) if one not in known]
    return any(segment_box(result.segmentation, segment_id).array.any() for segment_id in added)


def set_segment_status(segment: Any, status: str) -> None:
    """Mark how far work on a segment is; `status` is one of `STATUSES`.

    Raises
    ------
    ValueError
        For another status.
    """
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}; expected one of {', '.join(map(repr, STATUSES))}")
    slicer, _ = load_slicer()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segment, getattr(logic, "".join(word.capitalize() for word in status.split())))


def segment_status(segment: Any) -> str:
    """Return how far work on a segment is, one of `STATUSES`."""
    slicer, _ = load_slicer()
    return STATUSES[int(slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment))]


def save_correction(result: SceneResult, folder: Path | str, *, annotator: str = "") -> Path:
    """Write a result as an annotator corrected it: a training example in a folder of its own.

    The folder ``<detector>-<date>-<time>-<n>`` below `folder` holds ``image.nrrd``, ``ai_mask.nrrd`` and
    ``corrected_mask.nrrd`` on one grid (the masks where there are any), ``slice_labels.csv`` and ``correction.json``.
    It appears when it is complete, and an earlier one is never touched. Nothing in it names the patient.

    Parameters
    ----------
    result
        Its volume, segmentation and table are read.
    folder
        Made where it does not exist.
    annotator
        As typed; may be empty.

    Raises
    ------
    ExportError
        When the volume is gone, or the folder cannot be written.
    """
    volume = result.volume
    if volume is None or volume.GetImageData() is None:
        raise ExportError("The correction cannot be saved: the volume it is about is no longer in the scene.")
    segments = _segments(result)
    return write_correction(
        result.finding,
        volume,
        segments,
        labels(result),
        Path(folder),
        annotator=annotator,
        saved_at=datetime.now().astimezone(),
    )


def _segments(result: SceneResult) -> list[CorrectedSegment]:
    """Pair what the model outlined with the segments as they are, those that a person added last."""
    node = result.segmentation
    array, ijk_to_ras = voxel_grid(result.volume)
    grid = (array.shape, ijk_to_ras)
    pairs, known = [], set()
    for segment_id, name, box in _model_masks(result):
        known.add(segment_id)
        segment = None if node is None else node.GetSegmentation().GetSegment(segment_id)
        now = None if segment is None else segment_box(node, segment_id)
        pairs.append(_pair(name if segment is None else segment.GetName(), box, now, segment, grid))
    if node is None:
        return pairs
    for segment_id in _segment_ids(node):
        if segment_id not in known:
            segment = node.GetSegmentation().GetSegment(segment_id)
            pairs.append(_pair(segment.GetName(), None, segment_box(node, segment_id), segment, grid))
    return pairs


def _pair(
    name: str, before: Box | None, now: Box | None, segment: Any | None, grid: tuple[Any, Any]
) -> CorrectedSegment:
    return CorrectedSegment(
        name=name,
        ai=None if before is None else on_grid(before, *grid),
        corrected=None if now is None else on_grid(now, *grid),
        status="" if segment is None else segment_status(segment),
    )


def _model_masks(result: SceneResult) -> list[tuple[str, str, Box]]:
    """Return ID and name of each segment that the model gave, and its mask as the model gave it."""
    masks = []
    for entry in finding_data(result).get("segments", []):
        voxels, first = packed_box(entry)
        masks.append((entry["id"], entry["name"], Box(voxels, first, result.finding.ijk_to_ras)))
    return masks


def _segment_ids(node: Any) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(number) for number in range(segmentation.GetNumberOfSegments())]


def _table(result: SceneResult) -> tuple[Any, Any]:
    """Return the table's node and the table itself."""
    table = None if result.table is None else result.table.GetTable()
    if table is None:
        raise SceneError("The slice label cannot be kept: the result's table is no longer in the scene.")
    return result.table, table


def _rows(table: Any) -> dict[int, int]:
    """Return the row of each slice number; rows may have been sorted."""
    return {table.GetValueByName(row, SLICE).ToInt(): row for row in range(table.GetNumberOfRows())}


def _add_column(table: Any) -> Any:
    _, vtk = load_slicer()
    column = vtk.vtkStringArray()
    column.SetName(CORRECTED)
    column.SetNumberOfValues(table.GetNumberOfRows())
    for row in range(table.GetNumberOfRows()):
        column.SetValue(row, "")
    table.AddColumn(column)
    return column
