"""Which stored values a header declares to be padding."""

import numpy as np
from pydicom.dataset import Dataset


def padding_mask(stored: np.ndarray, header: Dataset) -> np.ndarray | None:
    """Return where stored values are declared padding (PS3.3 C.7.5.1.1.2), or None where none is declared."""
    limits = padding_limits(header)
    return None if limits is None else (stored >= limits[0]) & (stored <= limits[1])


def padding_limits(header: Dataset) -> tuple[int, int] | None:
    """Return the lowest and the highest stored value that is padding, or None where none is declared."""
    first = _padding_number(header, "PixelPaddingValue")
    if first is None:
        return None
    last = _padding_number(header, "PixelPaddingRangeLimit")
    last = first if last is None else last
    return min(first, last), max(first, last)


def _padding_number(header: Dataset, keyword: str) -> int | None:
    """Return a padding value as the pixels hold it: headers state 63536 for -2000 and the other way round."""
    value = header.get(keyword)
    if not isinstance(value, int):
        return None
    allocated = int(header.get("BitsAllocated", 16))
    signed = int(header.get("PixelRepresentation", 0)) == 1
    value = int(value)
    if signed and value >= 2 ** (allocated - 1):
        return value - 2**allocated
    return value + 2**allocated if not signed and value < 0 else value
