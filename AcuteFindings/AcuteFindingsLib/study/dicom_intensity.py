"""Grey levels of radiographs: from stored values to 0..1 with bone bright, as the header asks to show them."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi

from AcuteFindingsLib.study.dicom_frames import Frame, attribute, number
from AcuteFindingsLib.study.dicom_padding import padding_mask

# Where nothing says how to show a picture deeper than 8 bits, these percentiles become black and white.
_BLACK_PERCENTILE, _WHITE_PERCENTILE = 0.5, 99.5
# A window that shows fewer than this share of the pixels as something other than black or white is of no use.
USABLE_SHARE = 0.05


def radiograph_intensity(stored: np.ndarray, frame: Frame) -> tuple[np.ndarray, bool]:
    """Return a radiograph ``(y, x)`` float32 in 0..1, bone bright, and whether the header's window was of use.

    The header's own order is followed (PS3.4 N.2.1): Modality LUT or rescale, then the first VOI LUT, else the first
    window. Without either, 8-bit values are taken as they are and deeper ones are stretched between the 0.5th and
    99.5th percentile of what is not padding. MONOCHROME1 is inverted last; padding becomes black.
    """
    header = frame.header
    padding = padding_mask(stored, header)
    values = _modality_values(stored, frame)
    usable = True
    grey = by_window(values, frame)
    if grey is not None:
        shown = grey if padding is None else grey[~padding]
        usable = bool(np.mean((shown > 0) & (shown < 1)) >= USABLE_SHARE)
    if grey is None or not usable:
        grey = stretch(values, bits=int(header.get("BitsStored", 16)), ignored=padding)
    if str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        grey = 1 - grey
    if padding is not None:
        grey[padding] = 0
    return np.ascontiguousarray(grey, np.float32), usable


def stretch(values: np.ndarray, *, bits: int, ignored: np.ndarray | None = None) -> np.ndarray:
    """Return grey levels in 0..1 of values that come without a window; see `radiograph_intensity`."""
    if bits <= 8 and values.min() >= 0 and values.max() <= 255:
        return (values / np.float32(2**bits - 1 if values.max() < 2**bits else 255)).astype(np.float32)
    counted = values if ignored is None or ignored.all() else values[~ignored]
    low, high = np.percentile(counted, [_BLACK_PERCENTILE, _WHITE_PERCENTILE])
    if high <= low:
        low, high = float(counted.min()), float(counted.max())
    if high <= low:
        return np.zeros(values.shape, np.float32)
    return np.clip((values.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)


def window(values: np.ndarray, *, level: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Return grey levels in 0..1 by a DICOM window: LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2 and .3)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values.astype(np.float32) - level) / width))
    if function == "LINEAR_EXACT":
        return np.clip((values.astype(np.float32) - level) / width + 0.5, 0, 1)
    if width <= 1:
        return (values > level - 0.5).astype(np.float32)
    return np.clip((values.astype(np.float32) - (level - 0.5)) / (width - 1) + 0.5, 0, 1)


def _modality_values(stored: np.ndarray, frame: Frame) -> np.ndarray:
    if frame.header.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, frame.header)
    slope, intercept = frame.slope or 1.0, frame.intercept or 0.0
    if slope == 1 and intercept == int(intercept):
        return stored.astype(np.int64) + int(intercept)
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def by_window(values: np.ndarray, frame: Frame) -> np.ndarray | None:
    """Return 0..1 by the first VOI LUT or window; None where the header has neither."""
    header: Dataset = frame.header
    tables = header.get("VOILUTSequence")
    if tables and tables[0].get("LUTDescriptor") and tables[0].get("LUTData") is not None:
        levels = apply_voi(np.round(values).astype(np.int64), header)
        return levels.astype(np.float32) / np.float32(2 ** int(tables[0].LUTDescriptor[2]) - 1)
    level = number(attribute(header, "WindowCenter", group="FrameVOILUTSequence", frame=frame.number))
    width = number(attribute(header, "WindowWidth", group="FrameVOILUTSequence", frame=frame.number))
    if level is None or width is None or width <= 0:
        return None
    return window(values, level=level, width=width, function=str(header.get("VOILUTFunction") or "LINEAR").upper())
