"""A radiograph's gray levels from a volume node: 0..1, bone bright, the patient's right at the picture's left.

The same steps in the same order as `study.dicom_intensity` and `study.dicom_projection`, from values that ITK has
already rescaled (and turned over where the file is MONOCHROME1).
"""

from dataclasses import dataclass

import numpy as np

from AcuteFindingsLib.study.dicom_facts import body_part_of, view_of
from AcuteFindingsLib.study.dicom_frames import Frame, numbers, words
from AcuteFindingsLib.study.dicom_intensity import USABLE_SHARE, by_window, stretch
from AcuteFindingsLib.study.dicom_padding import padding_limits
from AcuteFindingsLib.study.dicom_projection import standing_notices
from AcuteFindingsLib.study.gray_values import make_finite
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.picture_pose import SIDE_ASSUMED, as_positive, pose_notices
from AcuteFindingsLib.study.polarity import looks_negative


@dataclass(frozen=True)
class NodeRadiograph:
    """A radiograph as a detector reads it.

    Attributes
    ----------
    gray
        ``(y, x)`` float32 in 0..1.
    ijk_to_ras
        4×4 of these pixels: where the picture was turned, not that of the node, but for the same places.
    turned
        In words how it was stored, ``""`` where it was upright.
    notices
        What was done to it.
    """

    gray: np.ndarray
    ijk_to_ras: np.ndarray
    turned: str
    notices: tuple[Notice, ...]


def radiograph_of(
    values: np.ndarray, ijk_to_ras: np.ndarray, frame: Frame | None, *, from_dicom: bool
) -> NodeRadiograph:
    """Return a radiograph from a node's values ``(y, x)``, with its header where there is one."""
    notices: list[Notice] = []
    if values.dtype.kind == "f":
        values = values.astype(np.float32)
        notices += make_finite(values)
    if frame is None:
        gray, usable = _without_header(values), True
    else:
        gray, usable = _by_header(values, frame)
    if not usable:
        text = (
            "The header's display window shows almost nothing of this radiograph, so its gray levels were stretched "
            "from the image itself."
        )
        notices.append(Notice("window-unusable", "warn", text))
    if not from_dicom:
        gray, turned_over = as_positive(gray)
        notices += [*turned_over, *pose_notices(gray), SIDE_ASSUMED]
    elif _is_frontal_chest(frame) and looks_negative(gray):
        gray = 1 - gray
        stated = "" if frame is None else f" ({frame.header.get('PhotometricInterpretation', '')}, 0028,0004)"
        text = (
            f"Shown as its header says{stated} the radiograph is a negative, with dark bones and bright lungs; its "
            "gray scale was inverted. Compare the original."
        )
        notices.append(Notice("inverted-grey", "warn", text))
    orientation = () if frame is None else words(frame.header.get("PatientOrientation"))
    upright, matrix, turned = _as_seen(gray, ijk_to_ras, orientation)
    if turned:
        text = (
            f"The stored radiograph is {turned}; it was read with the patient's right on the picture's left and the "
            "head up."
        )
        notices.append(Notice("radiograph-turned", "info", text))
    if from_dicom and _is_frontal_chest(frame):
        notices += standing_notices(upright, orientation)
    return NodeRadiograph(np.ascontiguousarray(upright, np.float32), matrix, turned, tuple(notices))


def states_pixel_size(frame: Frame) -> bool:
    """Whether a header says how large a pixel is."""
    if frame.spacing is not None:
        return True
    found = [numbers(frame.header.get(name), 2) for name in ("ImagerPixelSpacing", "NominalScannedPixelSpacing")]
    return any(spacing is not None and spacing.min() > 0 for spacing in found)


def _without_header(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1:
        return values.astype(np.float32)
    return stretch(values, bits=8 * values.dtype.itemsize if values.dtype.kind in "iu" else 16)


def _by_header(values: np.ndarray, frame: Frame) -> tuple[np.ndarray, bool]:
    """Return gray levels, and whether the header's window was of use."""
    header = frame.header
    inverted = str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1"
    values = _as_stored(values, frame) if inverted else values
    padding = _padding(values, frame)
    shown = by_window(values, frame)
    usable = True
    if shown is not None:
        counted = shown if padding is None else shown[~padding]
        usable = bool(np.mean((counted > 0) & (counted < 1)) >= USABLE_SHARE)
    if shown is None or not usable:
        shown = stretch(values, bits=int(header.get("BitsStored", 16)), ignored=padding)
    if inverted:
        shown = 1 - shown
    if padding is not None:
        shown[padding] = 0
    return shown.astype(np.float32, copy=False), usable


def _as_stored(values: np.ndarray, frame: Frame) -> np.ndarray:
    """Undo what ITK does to a MONOCHROME1 image: it turns the stored values over, and only then rescales them.

    The header's window and padding are about values that were not turned over.
    """
    signed = int(frame.header.get("PixelRepresentation", 0)) == 1
    highest = -1 if signed else 2 ** int(frame.header.get("BitsStored", 16)) - 1
    ends = (frame.slope or 1.0) * highest + 2 * (frame.intercept or 0.0)
    if values.dtype.kind in "iu" and ends == int(ends):
        return int(ends) - values.astype(np.int64)
    return np.float32(ends) - values.astype(np.float32)


def _padding(values: np.ndarray, frame: Frame) -> np.ndarray | None:
    """Return where values are declared padding, rescaled as ITK has rescaled them."""
    limits = padding_limits(frame.header)
    if limits is None:
        return None
    ends = [stored * (frame.slope or 1.0) + (frame.intercept or 0.0) for stored in limits]
    return (values >= min(ends)) & (values <= max(ends))


def _is_frontal_chest(frame: Frame | None) -> bool:
    """Whether nothing in the header speaks against a frontal chest radiograph."""
    if frame is None:
        return True
    part = body_part_of(frame)
    return view_of(frame.header) in ("PA", "AP", "") and (not part or "CHEST" in part or "THORAX" in part)


def _as_seen(
    gray: np.ndarray, ijk_to_ras: np.ndarray, orientation: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Turn a frontal radiograph so that rows run to the patient's left and columns to the feet.

    Patient Orientation names where the rows and the columns run to (PS3.3 C.7.6.1.1.1). The matrix goes along: every
    pixel stays where the node shows it, and so does what is outlined on it.
    """
    if len(orientation) != 2 or not all(orientation):
        return gray, ijk_to_ras, ""
    rows, columns = orientation[0][0], orientation[1][0]
    step, turned = np.eye(4), ""
    if rows in "HF" and columns in "LR":
        gray, rows, columns, turned = gray.T, columns, rows, "turned"
        step = step[:, [1, 0, 2, 3]]
    if rows not in "LR" or columns not in "HF":
        return gray.T if turned else gray, ijk_to_ras, ""
    if rows == "R":
        step = step @ _flipped(0, gray.shape[1])
        gray, turned = gray[:, ::-1], turned or "mirrored"
    if columns == "H":
        step = step @ _flipped(1, gray.shape[0])
        gray, turned = gray[::-1], turned or "upside down"
    return gray, ijk_to_ras @ step, turned


def _flipped(axis: int, count: int) -> np.ndarray:
    """Return the matrix from an index counted from the other end to the index."""
    matrix = np.eye(4)
    matrix[axis, axis], matrix[axis, 3] = -1, count - 1
    return matrix
