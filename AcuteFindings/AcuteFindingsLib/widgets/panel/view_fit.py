"""Slice views fitted to a study once the window has given them their sizes."""

from typing import Any

import qt

from AcuteFindingsLib.scene.views import fit_to_study

_AGAIN_MS = 50
_MOST_TURNS = 10
"""A layout that has not come to rest after half a second is being changed by somebody."""


class ViewFit:
    """Fits every slice view that is shown now and, after a layout changed their sizes, again until they rest.

    One view a turn of the event loop: each is drawn anew.
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._fitted: dict[str, tuple[int, int]] = {}
        self._turns = 0
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._turn)
        self._timer.start(0)

    @property
    def running(self) -> bool:
        """Whether views are still looked at."""
        return bool(self._timer.isActive())

    def stop(self) -> None:
        """Leave the views alone from now on."""
        self._timer.stop()

    def _turn(self) -> None:
        for name in self._manager.sliceViewNames():
            widget = self._manager.sliceWidget(name)
            # What the fit reckons with; the widget's own size is told to the node with its next drawing.
            size = widget.mrmlSliceNode().GetDimensions()[:2]
            if widget.mrmlSliceNode().IsMappedInLayout() and self._fitted.get(name) != size:
                self._fitted[name] = size
                fit_to_study(widget.sliceLogic())
                self._timer.start(0)
                return
        self._turns += 1
        if self._turns < _MOST_TURNS:
            self._timer.start(_AGAIN_MS)
