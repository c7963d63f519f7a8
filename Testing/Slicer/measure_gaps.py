"""Prints how long the window of a 3D Slicer does not answer while phantoms are loaded, detected and shown.

    Slicer --no-splash --additional-module-paths AcuteFindings PEDetect HemorrhageDetect PneumothoraxSeg \
        --python-script Testing/Slicer/measure_gaps.py [MODULE ...]

A timer of 10 ms runs all the while; the time between two of its turns, less the 10 ms, is a gap. For every step the
longest gap is printed, and each above 0.1 s, with the main thread's own time in it: on a busy machine the rest is
waiting for others. CT phantoms have 512² pixels a slice. Each run is made twice, the worker process cold and warm.
"""

import sys
import time
import traceback

import qt
import slicer

PHANTOMS = {
    "PEDetect": ("ctpa", 900_008, {"matrix": 512, "slice_spacing": 3.0}),
    "HemorrhageDetect": ("head-ct", 7, {"matrix": 512, "slice_spacing": 1.6}),
    "PneumothoraxSeg": ("chest-xray", 15, {}),
}
EVERY_MS = 10
WORTH_NAMING = 0.1
MOST_SECONDS = 180


class Gaps:
    """The longest times between two turns of a timer, by the step that was going on."""

    def __init__(self) -> None:
        self.step = "start"
        self.found: dict[str, list[tuple[float, float]]] = {}
        self._last = time.perf_counter(), time.thread_time()
        self._timer = qt.QTimer()
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.setInterval(EVERY_MS)
        self._timer.connect("timeout()", self._turn)
        self._timer.start()

    def begin(self, step: str) -> None:
        """Count what comes to another step; what is going on belongs to the one before."""
        self._turn()
        self.step = step

    def _turn(self) -> None:
        now = time.perf_counter(), time.thread_time()
        gap = max(0.0, now[0] - self._last[0] - EVERY_MS / 1000)
        self.found.setdefault(self.step, []).append((gap, now[1] - self._last[1]))
        self._last = now


def wait(seconds: float) -> None:
    """Run the event loop for a while."""
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec_()


def measure(module: str) -> None:
    """Load a module's phantom, run the detector twice, and print the gaps."""
    from AcuteFindingsLib.widgets.samples.phantom_volume import load_phantom

    gaps = Gaps()
    gaps.begin("open the module")
    slicer.util.selectModule(module)
    wait(1)
    panel = getattr(slicer.modules, f"{module}Widget").panel
    kind, seed, options = PHANTOMS[module]
    gaps.begin("load the phantom")
    volume = load_phantom(kind, seed, positive=True, name=kind, options=options)
    gaps.begin("choose the volume")
    panel.ui.inputSelector.setCurrentNode(volume)
    wait(2)
    for number in ("first", "second"):
        _run(panel, gaps, number)
    print(f"{module}: {volume.GetImageData().GetDimensions()}")
    for step, found in gaps.found.items():
        longest = sorted((gap for gap in found if gap[0] >= WORTH_NAMING), reverse=True)
        named = ", ".join(f"{gap:.2f} ({own:.2f})" for gap, own in longest) or "none"
        most, own = max(found)[0], max(own for _gap, own in found)
        print(f"  {step}: longest gap {most:.3f} s, of the main thread's own {own:.3f} s; all: {named}", flush=True)


def _run(panel, gaps: Gaps, number: str) -> None:
    heard, told = [], panel.controller.on_state

    def on_state(state: str) -> None:
        gaps.begin(f"{number} run, {'shown' if state == 'idle' else state}")
        heard.append(state)
        told(state)

    panel.controller.on_state = on_state
    gaps.begin(f"{number} run, apply")
    panel.apply()
    end = time.monotonic() + MOST_SECONDS
    while "idle" not in heard and time.monotonic() < end:
        wait(0.05)
    wait(2)
    panel.controller.on_state = told


if __name__ == "__main__":
    status = 1
    try:
        for name in [given for given in sys.argv[1:] if given in PHANTOMS] or PHANTOMS:
            measure(name)
        status = 0
    except Exception:
        traceback.print_exc()
    slicer.util.exit(status)
