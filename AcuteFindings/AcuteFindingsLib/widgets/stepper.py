"""Long work in small steps between the events of the window, since a thread would starve in the application."""

from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any

import qt

SLICE_SECONDS = 0.02
"""Steps are taken one after another for this long, then the window has its turn."""


class Stepper:
    """Takes the steps of a generator from a zero-interval timer.

    Parameters
    ----------
    steps
        One step between two yields, each well below 100 ms. What is yielded goes to `progress`.
    done
        Called with the generator's return value after the last step.
    failed
        Called with the error where a step raises one.
    progress
        Called after each turn with the last yielded value.
    """

    def __init__(
        self,
        steps: Generator[Any, None, Any],
        *,
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        progress: Callable[[Any], None] | None = None,
    ) -> None:
        self._steps: Generator[Any, None, Any] | None = steps
        self._done, self._failed, self._progress = done, failed, progress
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._turn)

    @property
    def running(self) -> bool:
        """Whether there are steps left to take."""
        return self._steps is not None

    def start(self) -> None:
        """Begin with the next turn of the event loop."""
        self._timer.start()

    def stop(self) -> None:
        """Take no further step; the generator is closed, so that its `finally` blocks clean up."""
        self._timer.stop()
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _turn(self) -> None:
        if self._steps is None:
            return
        started = perf_counter()
        value = None
        try:
            while perf_counter() - started < SLICE_SECONDS:
                value = next(self._steps)
        except StopIteration as end:
            self._steps = None
            self._done(end.value)
            return
        except Exception as error:  # whatever it is, it is told: nobody stands above a timer
            self._steps = None
            self._failed(error)
            return
        if self._progress is not None:
            self._progress(value)
        if self._steps is not None:
            self._timer.start()
