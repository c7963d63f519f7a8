"""Gray levels of radiographs: from stored values to 0..1 with bone bright, as the header asks to show them."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForProcessing

from AcuteFindingsLib.study.dicom_frames import Frame, attribute, number
from AcuteFindingsLib.study.dicom_padding import padding_mask
from AcuteFindingsLib.study.lookup_table import has_unusable_table, modality_table, voi_table
from AcuteFindingsLib.study.notice import Notice

# Where nothing says how to show a picture deeper than 8 bits, these percentiles become black and white.
_BLACK_PERCENTILE, _WHITE_PERCENTILE = 0.5, 99.5
# A window that shows fewer than this share of the pixels as something other than black or white is of no use.
USABLE_SHARE = 0.05
# A window through which the picture's 1st and 99th percentile lie nearer than this is of no use either; ours.
LEAST_CONTRAST = 0.1


def radiograph_intensity(stored: np.ndarray, frame: Frame) -> tuple[np.ndarray, tuple[Notice, ...]]:
    """Return a radiograph ``(y, x)`` float32 in 0..1, bone bright, and what was found about its header's gray scale.

    The header's own order is followed (PS3.4 N.2.1): Modality LUT or rescale, then the first VOI LUT, else the first
    window. Without either, 8-bit values are taken as they are and deeper ones are stretched between the 0.5th and
    99.5th percentile of what is not padding. What is shown inverted is inverted last; padding becomes black.
    """
    header = frame.header
    if holds_colors(header):
        return (stored / np.float32(255)).astype(np.float32), ()
    notices = list(_table_notices(header))
    padding = padding_mask(stored, header)
    values = _modality_values(stored, frame)
    gray = by_window(values, frame)
    if gray is not None and not _shows_something(gray if padding is None else gray[~padding]):
        gray = None
        text = (
            "The header's display window shows almost nothing of this radiograph, so its gray levels were stretched "
            "from the image itself."
        )
        notices.append(Notice("window-unusable", "warn", text))
    if gray is None:
        gray = stretch(values, bits=int(header.get("BitsStored", 16)), ignored=padding)
    if is_shown_inverted(header):
        gray = 1 - gray
    if padding is not None:
        gray[padding] = 0
    if is_for_processing(header):
        text = (
            "This is the detector's raw image (FOR PROCESSING, 0008,0068), whose gray scale is not the one that "
            "radiographs are read in; choose the image FOR PRESENTATION."
        )
        notices.append(Notice("for-processing", "warn", text))
    return np.ascontiguousarray(gray, np.float32), tuple(notices)


def picture_intensity(stored: np.ndarray, frame: Frame) -> np.ndarray:
    """Return a CT picture with a burned-in window ``(y, x)`` float32 in 0..1, bone bright."""
    header = frame.header
    if holds_colors(header):
        return stored.astype(np.float32) / np.float32(255)
    bits = int(header.get("BitsStored", 8))
    gray = stored.astype(np.float32)
    if header.get("PixelRepresentation") == 1:
        gray += np.float32(2 ** (bits - 1))
    gray /= np.float32(2**bits - 1)
    return np.subtract(1, gray, out=gray) if is_shown_inverted(header) else gray


def holds_colors(header: Dataset) -> bool:
    """Whether the stored values are colors or places in a palette: decoded they are gray levels of 8 bits."""
    meaning = str(header.get("PhotometricInterpretation") or "").strip().upper()
    return meaning == "PALETTE COLOR" or int(header.get("SamplesPerPixel", 1)) > 1


def is_shown_inverted(header: Dataset) -> bool:
    """Whether low values are to be shown white.

    Presentation LUT Shape decides where it is stated (PS3.3 C.11.6), else Photometric Interpretation. Of images FOR
    PROCESSING, which nobody is meant to look at, the sign of the relation between values and X-rays decides
    (0028,1041): where values rise with the X-rays, bone has low ones.
    """
    if is_for_processing(header) and header.get("PixelIntensityRelationshipSign") in (1, -1):
        return bool(header.PixelIntensityRelationshipSign == 1)
    shape = str(header.get("PresentationLUTShape") or "").strip().upper()
    if shape in ("INVERSE", "IDENTITY"):
        return shape == "INVERSE"
    return str(header.get("PhotometricInterpretation") or "").strip().upper() == "MONOCHROME1"


def is_for_processing(header: Dataset) -> bool:
    """Whether a radiograph is the raw image, not the one to look at."""
    intent = str(header.get("PresentationIntentType") or "").strip().upper()
    return intent == "FOR PROCESSING" or header.get("SOPClassUID") == DigitalXRayImageStorageForProcessing


def stretch(values: np.ndarray, *, bits: int, ignored: np.ndarray | None = None) -> np.ndarray:
    """Return gray levels in 0..1 of values that come without a window; see `radiograph_intensity`."""
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
    """Return gray levels in 0..1 by a DICOM window: LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2 and .3)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values.astype(np.float32) - level) / width))
    if function == "LINEAR_EXACT":
        return np.clip((values.astype(np.float32) - level) / width + 0.5, 0, 1)
    if width <= 1:
        return (values > level - 0.5).astype(np.float32)
    return np.clip((values.astype(np.float32) - (level - 0.5)) / (width - 1) + 0.5, 0, 1)


def by_window(values: np.ndarray, frame: Frame) -> np.ndarray | None:
    """Return 0..1 by the first VOI LUT or window; None where the header has neither that can be used."""
    header: Dataset = frame.header
    table = voi_table(header)
    if table is not None:
        return np.clip(table.of(values) / np.float32(table.top), 0, 1)
    level = number(attribute(header, "WindowCenter", group="FrameVOILUTSequence", frame=frame.number))
    width = number(attribute(header, "WindowWidth", group="FrameVOILUTSequence", frame=frame.number))
    if level is None or width is None or width <= 0:
        return None
    return window(values, level=level, width=width, function=str(header.get("VOILUTFunction") or "LINEAR").upper())


def _modality_values(stored: np.ndarray, frame: Frame) -> np.ndarray:
    table = modality_table(frame.header)
    if table is not None:
        return table.of(stored)
    slope, intercept = frame.slope or 1.0, frame.intercept or 0.0
    if slope == 1 and intercept == int(intercept):
        return stored.astype(np.int64) + int(intercept)
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _shows_something(shown: np.ndarray) -> bool:
    """Whether a window leaves enough between black and white, and enough contrast there."""
    if not shown.size or np.mean((shown > 0) & (shown < 1)) < USABLE_SHARE:
        return False
    low, high = np.percentile(shown, [1, 99])
    return bool(high - low >= LEAST_CONTRAST)


def _table_notices(header: Dataset) -> tuple[Notice, ...]:
    return tuple(
        Notice(
            "unusable-table",
            "warn",
            f"The {name} ({tag}) of the header is empty or incomplete and was left out; compare the gray scale with "
            "the original.",
        )
        for keyword, name, tag in (
            ("ModalityLUTSequence", "Modality LUT", "0028,3000"),
            ("VOILUTSequence", "VOI LUT", "0028,3010"),
        )
        if has_unusable_table(header, keyword)
    )
