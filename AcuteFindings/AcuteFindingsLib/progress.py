"""How work that takes long says what it is doing, and how it is asked to stop."""

from collections.abc import Callable, Iterator

from AcuteFindingsLib.errors import CancelledError

Progress = Callable[[str, float], None]
"""Told what is being done and the share of the whole that is done, 0..1."""

Cancelled = Callable[[], bool]
"""Asked between pieces of the work; True stops it."""


def no_progress(text: str, fraction: float) -> None:
    """Tell nobody."""


def never_cancelled() -> bool:
    """Run to the end."""
    return False


def stop_if(cancelled: Cancelled, *, left: str = "nothing was written") -> None:
    """Raise `CancelledError` where the user asked to stop; `left` says what is there of the work."""
    if cancelled():
        raise CancelledError(f"Stopped on request; {left}.")


def part_of(progress: Progress, low: float, high: float) -> Progress:
    """Return the progress of a part of the work that takes the whole from `low` to `high`."""
    return lambda text, fraction: progress(text, low + (high - low) * fraction)


def batches(
    count: int, size: int, *, text: str, progress: Progress, cancelled: Cancelled, span: tuple[float, float]
) -> Iterator[slice]:
    """Yield the slices of `range(count)` in batches, reporting progress over `span` and stopping when asked."""
    low, high = span
    for start in range(0, count, size):
        stop_if(cancelled)
        progress(text, low + (high - low) * start / count)
        yield slice(start, min(start + size, count))
    progress(text, high)
