"""How much memory is free for work that can be cut smaller."""

import contextlib
import ctypes
import os
import sys
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that this process may still take before the system writes memory to a disk.

    Within a container it is what its limit leaves. Where the system does not say, as macOS, it is half of all there is;
    None where that is not known either.
    """
    if sys.platform == "win32":
        return _windows()
    lines = _MEMINFO.read_text().splitlines() if _MEMINFO.exists() else []
    stated = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    if not stated:
        return _half_of_all()
    free = stated[0] * 1024
    # https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, memory.current); "max" is no limit.
    with contextlib.suppress(OSError, ValueError):
        held = int((_CGROUP / "memory.current").read_text())
        cached = _inactive_files((_CGROUP / "memory.stat").read_text())
        free = min(free, int((_CGROUP / "memory.max").read_text()) - held + cached)
    return max(0, free)


def _half_of_all() -> int | None:
    """Return half of the memory that is built in, where the system says how much that is, as macOS does."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _inactive_files(stat: str) -> int:
    """Return the bytes of files that a container only keeps as long as nobody needs the memory."""
    return next((int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file ")), 0)


def _windows() -> int | None:
    # MEMORYSTATUSEX of the Windows API.
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *(
                (name, ctypes.c_ulonglong)
                for name in ("total", "free", "pages", "pages_free", "own", "own_free", "more")
            ),
        )

    status = Status(length=ctypes.sizeof(Status))
    windows = getattr(ctypes, "windll", None)
    if windows is None or not windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.free)
