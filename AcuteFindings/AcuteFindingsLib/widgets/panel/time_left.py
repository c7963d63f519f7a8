"""How long a run will still take, from how far it has come."""

from collections.abc import Callable
from time import monotonic

from slicer.i18n import tr as _

SURE_SECONDS, SURE_SHARE = 2.0, 0.03
"""Before so much has been seen, a guess would jump about."""


class TimeLeft:
    """Seconds left, taking the speed of the stage that is under way for that of the rest."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._stage: str | None = None
        self._start = (0.0, 0.0)
        self.fraction = 0.0

    def update(self, stage: str, fraction: float) -> float | None:
        """Take note of what is being done and the share of all that is done, 0..1.

        Returns the seconds left, or None while they are unknown.
        """
        self.fraction = fraction
        now = self._clock()
        # Loading a model says nothing about the speed of what follows.
        if stage != self._stage:
            self._stage, self._start = stage, (now, fraction)
        seconds, share = now - self._start[0], fraction - self._start[1]
        if seconds < SURE_SECONDS or share < SURE_SHARE:
            return None
        return max(0.0, 1.0 - fraction) * seconds / share


def time_left_text(seconds: float) -> str:
    """Return a remaining time as a person says it."""
    if seconds < 60:
        return _("about {count} s left").format(count=max(1, round(seconds)))
    return _("about {count} min left").format(count=round(seconds / 60))
