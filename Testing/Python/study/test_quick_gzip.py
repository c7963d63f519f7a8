import gzip
import os
import zlib

import numpy as np
import pytest

from AcuteFindingsLib.study import quick_gzip
from AcuteFindingsLib.study.quick_gzip import gzip_pieces

PARTS = [np.random.default_rng(number).integers(0, 9, 50_000).astype(np.int16) for number in range(25)]


def packed(parts: list) -> bytes:
    return b"".join(gzip_pieces(parts, lambda part: part.data))


@pytest.mark.parametrize("count", [0, 1, 25])
def test_what_is_unpacked_is_what_was_packed(count: int) -> None:
    assert gzip.decompress(packed(PARTS[:count])) == b"".join(part.tobytes() for part in PARTS[:count])


def test_it_is_one_member_so_that_readers_that_stop_after_the_first_get_all() -> None:
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert reader.decompress(packed(PARTS)) == b"".join(part.tobytes() for part in PARTS)
    assert (reader.eof, reader.unused_data) == (True, b"")


def test_the_number_of_threads_does_not_change_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    single = packed(PARTS)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert packed(PARTS) == single


def test_without_the_quick_library_the_standard_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_gzip, "_deflate", zlib)
    assert gzip.decompress(packed(PARTS)) == b"".join(part.tobytes() for part in PARTS)


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def fails(part: np.ndarray) -> memoryview:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        list(gzip_pieces(PARTS, fails))
