"""A radiograph's grey levels from a volume node: 0..1, bone bright, the patient's right at the picture's left.

The same steps in the same order as `study.dicom_intensity` and `study.dicom_projection`, from values that ITK has
already rescaled (and turned over where the file is MONOCHROME1), and without the packages for unpacking files that
those need and Slicer lacks.
"""

from dataclasses import dataclass

import numpy as np
from pydicom.pixels import apply_voi

from AcuteFindingsLib.study.dicom_facts import body_part_of, view_of
from AcuteFindingsLib.study.dicom_frames import Frame, attribute, number, numbers, words
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.polarity import looks_negative

# As `study.dicom_intensity`: black and white where nothing says how to show the picture, and the share of pixels that
# a window of any use shows as something else.
_BLACK_PERCENTILE, _WHITE_PERCENTILE = 0.5, 99.5
_USABLE_SHARE = 0.05


@dataclass(frozen=True)
class NodeRadiograph:
    """A radiograph as a detector reads it.

    Attributes
    ----------
    grey
        ``(y, x)`` float32 in 0..1.
    ijk_to_ras
        4×4 of these pixels: where the picture was turned, not that of the node, but for the same places.
    turned
        In words how it was stored, ``""`` where it was upright.
    notices
        What was done to it.
    """

    grey: np.ndarray
    ijk_to_ras: np.ndarray
    turned: str
    notices: tuple[Notice, ...]


def radiograph_of(
    values: np.ndarray, ijk_to_ras: np.ndarray, frame: Frame | None, *, from_dicom: bool
) -> NodeRadiograph:
    """Return a radiograph from a node's values ``(y, x)``, with its header where there is one."""
    notices = []
    if frame is None:
        grey, usable = _without_header(values), True
    else:
        grey, usable = _by_header(values, frame)
    if not usable:
        text = (
            "The header's display window shows almost nothing of this radiograph, so its grey levels were stretched "
            "from the image itself."
        )
        notices.append(Notice("window-unusable", "warn", text))
    if from_dicom and _is_frontal_chest(frame) and looks_negative(grey):
        grey = 1 - grey
        stated = "" if frame is None else f" ({frame.header.get('PhotometricInterpretation', '')}, 0028,0004)"
        text = (
            f"Shown as its header says{stated} the radiograph is a negative, with dark bones and bright lungs; its "
            "grey scale was inverted. Compare the original."
        )
        notices.append(Notice("inverted-grey", "warn", text))
    orientation = () if frame is None else words(frame.header.get("PatientOrientation"))
    upright, matrix, turned = _as_seen(grey, ijk_to_ras, orientation)
    if turned:
        text = (
            f"The stored radiograph is {turned}; it was read with the patient's right on the picture's left and the "
            "head up."
        )
        notices.append(Notice("radiograph-turned", "info", text))
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
    return _stretch(values, bits=8 * values.dtype.itemsize if values.dtype.kind in "iu" else 16)


def _by_header(values: np.ndarray, frame: Frame) -> tuple[np.ndarray, bool]:
    """Return grey levels, and whether the header's window was of use."""
    header = frame.header
    inverted = str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1"
    values = _as_stored(values, frame) if inverted else values
    padding = _padding(values, frame)
    shown = _by_window(values, frame)
    usable = True
    if shown is not None:
        counted = shown if padding is None else shown[~padding]
        usable = bool(np.mean((counted > 0) & (counted < 1)) >= _USABLE_SHARE)
    if shown is None or not usable:
        shown = _stretch(values, bits=int(header.get("BitsStored", 16)), ignored=padding)
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


def _by_window(values: np.ndarray, frame: Frame) -> np.ndarray | None:
    """Return 0..1 by the first VOI LUT or window (PS3.3 C.11.2.1); None where the header has neither."""
    header = frame.header
    tables = header.get("VOILUTSequence")
    if tables and tables[0].get("LUTDescriptor") and tables[0].get("LUTData") is not None:
        levels = apply_voi(np.round(values).astype(np.int64), header)
        return levels.astype(np.float32) / np.float32(2 ** int(tables[0].LUTDescriptor[2]) - 1)
    level = number(attribute(header, "WindowCenter", group="FrameVOILUTSequence", frame=frame.number))
    width = number(attribute(header, "WindowWidth", group="FrameVOILUTSequence", frame=frame.number))
    if level is None or width is None or width <= 0:
        return None
    values = values.astype(np.float32)
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - level) / width))
    if function == "LINEAR_EXACT":
        return np.clip((values - level) / width + 0.5, 0, 1)
    if width <= 1:
        return (values > level - 0.5).astype(np.float32)
    return np.clip((values - (level - 0.5)) / (width - 1) + 0.5, 0, 1)


def _stretch(values: np.ndarray, *, bits: int, ignored: np.ndarray | None = None) -> np.ndarray:
    """Return 0..1: 8-bit values as they are, deeper ones between percentiles of what is not padding."""
    if bits <= 8 and values.min() >= 0 and values.max() <= 255:
        return (values / np.float32(2**bits - 1 if values.max() < 2**bits else 255)).astype(np.float32)
    counted = values if ignored is None or ignored.all() else values[~ignored]
    low, high = np.percentile(counted, [_BLACK_PERCENTILE, _WHITE_PERCENTILE])
    if high <= low:
        low, high = float(counted.min()), float(counted.max())
    if high <= low:
        return np.zeros(values.shape, np.float32)
    return np.clip((values.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)


def _padding(values: np.ndarray, frame: Frame) -> np.ndarray | None:
    """Return where values are declared padding (PS3.3 C.7.5.1.1.2), rescaled as ITK has rescaled them."""
    limits = [frame.header.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    known = [int(value) for value in limits if isinstance(value, int)]
    if not known or limits[0] is None:
        return None
    bits = int(frame.header.get("BitsAllocated", 16))
    signed = int(frame.header.get("PixelRepresentation", 0)) == 1
    # Headers state 63536 for -2000 and the other way round.
    stored = [
        one - 2**bits if signed and one >= 2 ** (bits - 1) else one + 2**bits if not signed and one < 0 else one
        for one in known
    ]
    ends = [one * (frame.slope or 1.0) + (frame.intercept or 0.0) for one in stored]
    return (values >= min(ends)) & (values <= max(ends))


def _is_frontal_chest(frame: Frame | None) -> bool:
    """Whether nothing in the header speaks against a frontal chest radiograph."""
    if frame is None:
        return True
    part = body_part_of(frame)
    return view_of(frame.header) in ("PA", "AP", "") and (not part or "CHEST" in part or "THORAX" in part)


def _as_seen(
    grey: np.ndarray, ijk_to_ras: np.ndarray, orientation: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Turn a frontal radiograph so that rows run to the patient's left and columns to the feet.

    Patient Orientation names where the rows and the columns run to (PS3.3 C.7.6.1.1.1). The matrix goes along: every
    pixel stays where the node shows it, and so does what is outlined on it.
    """
    if len(orientation) != 2 or not all(orientation):
        return grey, ijk_to_ras, ""
    rows, columns = orientation[0][0], orientation[1][0]
    step, turned = np.eye(4), ""
    if rows in "HF" and columns in "LR":
        grey, rows, columns, turned = grey.T, columns, rows, "turned"
        step = step[:, [1, 0, 2, 3]]
    if rows not in "LR" or columns not in "HF":
        return grey.T if turned else grey, ijk_to_ras, ""
    if rows == "R":
        step = step @ _flipped(0, grey.shape[1])
        grey, turned = grey[:, ::-1], turned or "mirrored"
    if columns == "H":
        step = step @ _flipped(1, grey.shape[0])
        grey, turned = grey[::-1], turned or "upside down"
    return grey, ijk_to_ras @ step, turned


def _flipped(axis: int, count: int) -> np.ndarray:
    """Return the matrix from an index counted from the other end to the index."""
    matrix = np.eye(4)
    matrix[axis, axis], matrix[axis, 3] = -1, count - 1
    return matrix
