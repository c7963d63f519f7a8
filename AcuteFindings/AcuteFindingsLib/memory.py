"""How much memory is free for work that can be cut smaller."""

import contextlib
import ctypes
import sys
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that this process may still take before the system writes memory to a disk.

    Within a container it is that one's limit. None where the system does not say, as macOS.
    """
    if sys.platform == "win32":
        return _windows()
    if not _MEMINFO.exists():
        return None
    found = {line.partition(":")[0]: line for line in _MEMINFO.read_text().splitlines()}
    free = int(found["MemAvailable"].split()[1]) * 1024
    # https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, memory.current); "max" is no limit.
    with contextlib.suppress(OSError, ValueError):
        held = int((_CGROUP / "memory.current").read_text())
        cached = _inactive_files((_CGROUP / "memory.stat").read_text())
        free = min(free, int((_CGROUP / "memory.max").read_text()) - held + cached)
    return max(0, free)


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
