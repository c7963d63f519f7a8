"""How much memory is free, as the system or the container says."""

import ctypes
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from AcuteFindingsLib import memory
from AcuteFindingsLib.memory import free_memory

GIB = 1024**3


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux with 8 GiB free, and no container."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemFree: 5 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    return tmp_path


def limit(folder: Path, most: str, held: int, inactive: int) -> None:
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{held}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_it_is_what_the_system_calls_available(system) -> None:
    assert free_memory() == 8 * GIB


def test_a_container_has_what_is_left_of_its_own_limit_and_the_files_it_only_keeps(system) -> None:
    limit(system, str(4 * GIB), 3 * GIB, GIB)
    assert free_memory() == 2 * GIB
    limit(system, str(64 * GIB), 3 * GIB, 0)
    assert free_memory() == 8 * GIB
    limit(system, "max", 3 * GIB, 0)
    assert free_memory() == 8 * GIB
    limit(system, str(GIB), 2 * GIB, 0)
    assert free_memory() == 0


def test_where_the_system_does_not_say_it_is_half_of_all_there_is(system, monkeypatch) -> None:
    (system / "meminfo").unlink()
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 8 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__, raising=False)
    assert free_memory() == 4 * GIB
    monkeypatch.delattr(os, "sysconf")
    assert free_memory() is None


def test_windows_is_asked_by_its_own_call(monkeypatch) -> None:
    def status(reference) -> int:
        reference._obj.free = 3 * GIB
        return int(reference._obj.length == ctypes.sizeof(type(reference._obj)))

    monkeypatch.setattr(sys, "platform", "win32")
    kernel = SimpleNamespace(GlobalMemoryStatusEx=status)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert free_memory() == 3 * GIB
    monkeypatch.setattr(ctypes, "windll", None)
    assert free_memory() is None
