"""Bytes of volume files, packed or not: read as many as a header promises, checksums and budgets held on the way."""

import bz2
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import shown_name

Packing = Literal["raw", "gzip", "zlib", "bzip2"]

GZIP_MAGIC = b"\x1f\x8b"
# What zlib calls its formats: 31 is gzip alone, 47 zlib or gzip.
_WINDOW_BITS = {"gzip": 31, "zlib": 47}
_CHUNK = 1 << 18
_DAMAGES = (OSError, EOFError, ValueError, zlib.error)


@contextmanager
def open_unpacked(path: Path, packing: Packing, *, start: int = 0) -> Iterator[BinaryIO]:
    """Yield a stream of what a file holds from byte `start` on, unpacked as it is read.

    Raises
    ------
    StudyError
        The file is cut short, its checksum is wrong, or it cannot be opened; also where that shows only inside the
        block, while reading.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            if packing == "raw":
                yield file
            elif packing == "bzip2":
                with bz2.BZ2File(file) as stream:
                    yield stream  # type: ignore[misc]
            else:
                with io.BufferedReader(_Inflated(file, _WINDOW_BITS[packing]), _CHUNK) as stream:
                    yield stream
    except _DAMAGES as error:
        raise StudyError(
            f"{shown_name(path)} is damaged or cut short: its contents do not unpack or their checksum is wrong. Copy "
            "or export it again."
        ) from error


def read_exactly(stream: BinaryIO, buffer: memoryview) -> None:
    """Fill a buffer.

    Raises
    ------
    EOFError
        The stream ends before.
    """
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError("the stream ends early")
        done += count


def skip(stream: BinaryIO, count: int) -> None:
    """Read past some bytes; EOFError where there are fewer."""
    while count:
        piece = stream.read(min(count, _CHUNK))
        if not piece:
            raise EOFError("the stream ends early")
        count -= len(piece)


def holds_more(stream: BinaryIO, padding: int) -> bool:
    """Whether more is left than some zeros to fill a block; at the end of a packed stream checksums are compared."""
    rest = stream.read(padding + 1)
    return len(rest) > padding or any(rest)


def check_budget(path: Path, unpacked: int, *, sparse: bool = False) -> None:
    """Refuse a file that says that it unpacks to more than `budgets` allow, before anything is unpacked.

    Parameters
    ----------
    path
        The packed file.
    unpacked
        Bytes that its header promises.
    sparse
        Whether it may be a mask, of which a thousandth and less is left when packed: the ratio is then not looked at.

    Raises
    ------
    StudyError
        Says how much, and how much is allowed.
    """
    limits = budgets()
    packed = max(1, path.stat().st_size)
    too_much = unpacked > limits.unpacked_bytes
    too_dense = not sparse and unpacked > limits.ratio_counts_from and unpacked > limits.unpacked_ratio * packed
    if too_much or too_dense:
        allowed = limits.unpacked_bytes if too_much else int(limits.unpacked_ratio * packed)
        raise StudyError(
            f"{shown_name(path)} would unpack from {packed / 1e6:.1f} to {unpacked / 1e6:.0f} MB, more than the "
            f"{allowed / 1e6:.0f} MB that are allowed; unpack it first if you trust it."
        )


class _Inflated(io.RawIOBase):
    """A gzip or zlib stream as a file: several gzip members follow one another, what is none after them is ignored."""

    def __init__(self, file: BinaryIO, bits: int) -> None:
        self._file, self._bits = file, bits
        self._unpacker = zlib.decompressobj(bits)
        self._packed = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ended:
            piece = self._unpacker.decompress(self._packed, len(buffer))
            self._packed = self._unpacker.unconsumed_tail
            if self._unpacker.eof:
                self._next_member()
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if not self._ended and not self._packed:
                self._packed = self._file.read(_CHUNK)
                if not self._packed:
                    raise EOFError("the packed stream ends early")
        return 0

    def _next_member(self) -> None:
        """Go on with the next gzip member; zeros between members are padding (RFC 1952, gzip's own reading of it)."""
        self._packed = self._unpacker.unused_data
        while True:
            self._packed = self._packed.lstrip(b"\0")
            if len(self._packed) >= len(GZIP_MAGIC):
                break
            more = self._file.read(_CHUNK)
            if not more:
                break
            self._packed += more
        self._ended = not self._packed.startswith(GZIP_MAGIC)
        self._unpacker = zlib.decompressobj(self._bits)
