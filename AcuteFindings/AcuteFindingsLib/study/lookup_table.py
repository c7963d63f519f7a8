"""Modality and VOI lookup tables as files in the wild write them (PS3.3 C.11.1 and C.11.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

# Bits of an entry that the standard knows (PS3.3 C.11.1.1.1); other numbers are not believed.
_ENTRY_BITS = range(8, 17)


@dataclass(frozen=True)
class LookupTable:
    """A usable table.

    Attributes
    ----------
    first
        Value that the first entry is for.
    entries
        Whole numbers from 0.
    """

    first: int
    entries: np.ndarray
    bits: int

    @property
    def top(self) -> int:
        """The largest value of the range that the table reaches into."""
        return int(2**self.bits - 1)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the entries float32 for values; those before the first and behind the last get these."""
        places = np.round(values).astype(np.int64) - self.first
        return self.entries[np.clip(places, 0, len(self.entries) - 1)]


def modality_table(header: Dataset) -> LookupTable | None:
    """Return the Modality LUT; None where the header has none that can be used."""
    return _first_table(header, "ModalityLUTSequence")


def voi_table(header: Dataset) -> LookupTable | None:
    """Return the first VOI LUT; None where the header has none that can be used."""
    return _first_table(header, "VOILUTSequence")


def has_unusable_table(header: Dataset, keyword: str) -> bool:
    """Whether a header has a table of this sequence that is empty, incomplete or constant."""
    return bool(header.get(keyword)) and _first_table(header, keyword) is None


def _first_table(header: Dataset, keyword: str) -> LookupTable | None:
    items = header.get(keyword)
    if not items:
        return None
    descriptor = _numbers(items[0].get("LUTDescriptor"))
    if len(descriptor) != 3:
        return None
    count, first, bits = descriptor
    # 0 stands for 2^16, which 16 bits cannot hold; values are met with and without sign.
    count = count % 2**16 or 2**16
    signed = header.get("PixelRepresentation") == 1 or any(
        value < 0 for value in _numbers(header.get("RescaleIntercept"))
    )
    first = (first + 2**15) % 2**16 - 2**15 if signed else first % 2**16
    entries = _entries(items[0].get("LUTData"), count, bits, big_endian=_is_big_endian(header))
    if entries is None or entries.min() == entries.max():
        return None
    used = int(entries.max()).bit_length()
    # Descriptors are met that say 16 bits of a table that ends at 4095: believed only where the top bit is used.
    return LookupTable(first, entries.astype(np.float32), bits if bits in _ENTRY_BITS and used == bits else used)


def _entries(data: Any, count: int, bits: int, *, big_endian: bool) -> np.ndarray | None:
    """Return the entries of a table: one a 16-bit word, or 8-bit ones two a word; None where some lack."""
    if not isinstance(data, bytes):
        words = np.array(_numbers(data), np.int64) % 2**16
        if len(words) >= count:
            return words[:count]
        data, big_endian = words.astype("<u2").tobytes(), False
    if len(data) >= 2 * count:
        return np.frombuffer(data, ">u2" if big_endian else "<u2", count)
    if bits <= 8 and len(data) >= count:
        return np.frombuffer(data, np.uint8, count)
    return None


def _numbers(value: Any) -> list[int]:
    """Return an attribute's whole numbers; none where it holds none."""
    values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    try:
        return [int(one) for one in values]
    except (TypeError, ValueError, OverflowError):
        return []


def _is_big_endian(header: Dataset) -> bool:
    return header.original_encoding[1] is False
