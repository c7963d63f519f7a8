"""Unpacking gz, zst and deflated bytes within the budgets: what would grow beyond them is refused while it grows."""

import gzip
import zlib
from typing import IO, Protocol

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import GZIP, START_BYTES, ZSTD, FileKind

try:
    from zstandard import ZstdError
except ModuleNotFoundError:  # In Slicer, where no file comes packed so, it need not be there.
    ZSTD_FAILS: tuple[type[Exception], ...] = ()
else:
    ZSTD_FAILS = (ZstdError,)

_STEP = 1 << 20

UNPACKING_FAILS: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, *ZSTD_FAILS)
"""What damaged packed bytes raise."""


class Readable(Protocol):
    """Something bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""


def unpacked_start(stream: IO[bytes], kind: FileKind, size: int = START_BYTES) -> bytes:
    """Return the first `size` bytes that a gz or zst stream unpacks to; fewer where it is shorter.

    Raises
    ------
    EOFError, OSError, zlib.error, zstandard.ZstdError
        Where the stream is damaged.
    """
    return _opened(stream, kind).read(size)


def unpacked(stream: IO[bytes], kind: FileKind, *, packed_bytes: int) -> bytes:
    """Return all that a gz or zst stream unpacks to; `packed_bytes` is the size of its file.

    Raises
    ------
    StudyError
        Where it grows beyond `Budgets.unpacked_bytes` or `Budgets.unpacked_ratio`.
    EOFError, OSError, zlib.error, zstandard.ZstdError
        Where the stream is damaged.
    """
    data = within_budget(_opened(stream, kind), packed_bytes=packed_bytes)
    if kind == ZSTD:
        import zstandard

        # The library ends a frame that is cut short as if it were whole.
        stream.seek(0)
        stated = zstandard.frame_content_size(stream.read(32))
        if stated > len(data):
            raise EOFError("the zstd data end early")
    return data


def within_budget(source: Readable, *, packed_bytes: int) -> bytes:
    """Return all that comes from `source`, which unpacks `packed_bytes`.

    Raises
    ------
    StudyError
        Where it grows beyond `Budgets.unpacked_bytes` or `Budgets.unpacked_ratio`.
    """
    data = bytearray()
    while step := source.read(_STEP):
        data += step
        check_growth(len(data), packed_bytes)
    return bytes(data)


def check_deflated(packed: bytes) -> None:
    """Unpack raw deflate, as the Deflated transfer syntax has it, without keeping it.

    Raises
    ------
    StudyError
        Where it grows beyond the budgets.
    EOFError, zlib.error
        Where it is damaged or cut short.
    """
    machine, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, packed
    while not machine.eof:
        step = machine.decompress(rest, _STEP)
        rest = machine.unconsumed_tail
        size += len(step)
        check_growth(size, len(packed))
        if not step and not rest:
            raise EOFError("the deflated data end early")


def check_growth(unpacked_bytes: int, packed_bytes: int) -> None:
    """Stop where packed bytes unpack to more than the budgets allow.

    Raises
    ------
    StudyError
        Says which budget.
    """
    limits = budgets()
    if unpacked_bytes > limits.unpacked_bytes:
        raise StudyError(
            f"A packed file unpacks to more than {limits.unpacked_bytes / 1024**3:.3g} GB and was not read; "
            "no medical image is as large."
        )
    if unpacked_bytes > limits.ratio_counts_from and unpacked_bytes > limits.unpacked_ratio * max(packed_bytes, 1):
        raise StudyError(
            f"A packed file unpacks to more than {limits.unpacked_ratio:.0f} times its size and was not read; no "
            "medical image packs as well."
        )


def _opened(stream: IO[bytes], kind: FileKind) -> Readable:
    if kind == ZSTD:
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
    if kind == GZIP:
        return gzip.GzipFile(fileobj=stream)
    raise ValueError(f"{kind.name} is not packed")
