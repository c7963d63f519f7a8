"""Packed bytes are unpacked within the budgets, and damage is told from size."""

import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import zstandard

from AcuteFindingsLib import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.file_kinds import GZIP, ZSTD, FileKind
from AcuteFindingsLib.study.unpacking import UNPACKING_FAILS, check_deflated, unpacked, unpacked_start

PLAIN = np.random.default_rng(0).integers(0, 4, 100_000).astype(np.uint8).tobytes()
PACKERS = [(gzip.compress, GZIP), (zstandard.ZstdCompressor().compress, ZSTD)]


@pytest.mark.parametrize(("pack", "kind"), PACKERS)
def test_what_was_packed_comes_back_whole_or_from_its_start(pack: Callable[[bytes], bytes], kind: FileKind) -> None:
    packed = pack(PLAIN)
    assert unpacked(io.BytesIO(packed), kind, packed_bytes=len(packed)) == PLAIN
    assert unpacked_start(io.BytesIO(packed), kind, 10) == PLAIN[:10]


@pytest.mark.parametrize(("pack", "kind"), PACKERS)
@pytest.mark.parametrize("limit", [{"unpacked_bytes": 50_000}, {"unpacked_ratio": 2.0, "ratio_counts_from": 1000}])
def test_growth_beyond_a_budget_is_refused(
    pack: Callable[[bytes], bytes], kind: FileKind, limit: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "_current", replace(budgets.budgets(), **limit))
    packed = pack(PLAIN)
    with pytest.raises(StudyError, match="unpacks to more than"):
        unpacked(io.BytesIO(packed), kind, packed_bytes=len(packed))


@pytest.mark.parametrize(("pack", "kind"), PACKERS)
@pytest.mark.parametrize("damage", [lambda data: data[:-300], lambda data: data[:4] + b"\xff" * 300 + data[304:]])
def test_damaged_packed_bytes_raise_what_is_stated(
    pack: Callable[[bytes], bytes], kind: FileKind, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(UNPACKING_FAILS):
        unpacked(io.BytesIO(damage(pack(PLAIN))), kind, packed_bytes=1000)


def test_deflated_data_are_checked_for_damage_and_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = zlib.compressobj(wbits=-15)
    packed = machine.compress(PLAIN) + machine.flush()
    check_deflated(packed)
    check_deflated(packed + b"\0")
    with pytest.raises(EOFError):
        check_deflated(packed[:-20])
    monkeypatch.setattr(budgets, "_current", replace(budgets.budgets(), unpacked_bytes=50_000))
    with pytest.raises(StudyError):
        check_deflated(packed)
