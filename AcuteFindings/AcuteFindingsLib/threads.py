"""On how many threads to compute, work done side by side on them, and memory given back afterwards."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_SET = "OMP_NUM_THREADS"
# What else reads a number of threads of its own when it starts: SimpleITK.
_ALSO = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
_CGROUP = Path("/sys/fs/cgroup")
# More threads than this only wait for each other: between calls into NumPy and SciPy lies work under Python's lock.
_MOST = 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def use_threads(count: int | None) -> None:
    """Let this process, and those that it starts, compute on so many threads; None leaves it as it is.

    It is set as programs commonly are told: by the environment, before PyTorch and SimpleITK are imported.
    """
    if count is None:
        return
    os.environ[_SET] = os.environ[_ALSO] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def thread_count() -> int:
    """Return on how many threads to compute: as `use_threads` or the environment says, else as many as cores."""
    said = os.environ.get(_SET, "").partition(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) > 0 else core_count()


def core_count() -> int:
    """Return how many cores this process may use: those that are not reserved for others, within a container's share.

    Python's own count (`os.process_cpu_count`, 3.13) knows what is reserved but not the share, and a container of two
    cores on a machine of 64 then computes on 64 threads, each stopped most of the time.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _share()
    return max(1, min(cores, round(share))) if share else cores


def side_by_side(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Return `work` of each item, in order, done on several threads.

    Meant for slices of a volume and for work that lets go of Python's lock, as most of NumPy, SciPy and SimpleITK do.
    The first error in the order of the items is raised.
    """
    threads = min(_MOST, thread_count(), len(items))
    if threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _share() -> float | None:
    """Return the cores' worth of time that a container of Linux may use; None without a limit.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max) and cgroup-v1 (cpu.cfs_quota_us).
    """
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((_CGROUP / file).read_text() for file in files).split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):
            continue  # Not there, or "max": no limit.
        if quota > 0 and period > 0:
            return quota / period
    return None


def give_back_memory() -> None:
    """Let the C library return to the system what was freed, where that is glibc; takes 0.04 s."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # Another C library.
            ctypes.CDLL("libc.so.6").malloc_trim(0)
