"""Takes the README's pictures in the application, which it ends; they go to Resources/Screenshots or a given folder.

    Slicer --no-splash --additional-module-paths AcuteFindings PEDetect HemorrhageDetect PneumothoraxSeg \
        --python-script Testing/Slicer/take_screenshots.py [FOLDER]

Each detector is run on its positive sample study with the model that ships, as a user does: choose, check, Apply. Then
the window is taken as it stands, and the panel alone in its whole height. Look at the pictures before they are kept.
"""

import sys
import tempfile
import time
import traceback
from pathlib import Path

import qt
import slicer

OUT = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"
SIZE = (1280, 860)
MOST_SECONDS = 400
WINDOWS = {
    "PEDetect": ("CTPA phantom, embolism", "pe-chart"),
    "HemorrhageDetect": ("Head CT phantom, hemorrhage", "hemorrhage-slice"),
    "PneumothoraxSeg": ("Chest phantom, pneumothorax", "pneumothorax-outline"),
}


def wait(seconds):
    """Run the event loop for a while."""
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec_()


def wait_until(ready, what):
    """Run the event loop until `ready()`; raises TimeoutError when it is never so."""
    end = time.monotonic() + MOST_SECONDS
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {MOST_SECONDS} s: {what}")
        wait(0.05)


def save(widget, path):
    """Write a widget's picture with 80 colors, a fifth of the size: enough for gray images, two masks and a chart."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    if not widget.grab().save(str(path)):
        raise OSError(f"{path} could not be written")
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(80, dither=Image.Dither.NONE, kmeans=1)
    small.save(path, optimize=True)
    print(f"{path} ({path.stat().st_size / 1000:.0f} kB)", flush=True)


def open_module(name):
    """Show a module with an empty scene in a window of the pictures' size; returns its Widget."""
    slicer.mrmlScene.Clear(0)
    slicer.util.mainWindow().resize(*SIZE)
    slicer.util.selectModule(name)
    wait(1)
    return getattr(slicer.modules, f"{name}Widget")


def run_detector(widget, sample_name):
    """Run a module's detector on a sample, from choosing the volume to the result in the views."""
    from AcuteFindingsLib.widgets.samples.sample_data import load_sample, samples

    volume = load_sample(next(sample for sample in samples() if sample.name == sample_name))
    widget.ui.inputSelector.setCurrentNode(volume)
    wait(1)
    wait_until(lambda: "…" not in widget.ui.checkLabel.text, "the check of the series")
    widget.ui.applyButton.click()
    wait_until(lambda: widget.panel.result is not None, "the result")
    wait(3)
    slicer.util.forceRenderAllViews()
    wait(0.5)


def show_worklist(widget, folder):
    """Read a few phantoms through the worklist of the home module, and open the most urgent."""
    from AcuteFindingsLib.detectors.phantoms import make_phantom
    from AcuteFindingsLib.phantoms.write_dicom import write_phantom

    files = []
    for number, (kind, positive) in enumerate((("head-ct", False), ("chest-xray", True), ("head-ct", True))):
        made = write_phantom(make_phantom(kind, 20 + number, positive=positive), folder / "studies" / str(number))
        files += map(str, sorted((made / "dicom").rglob("*.dcm")))
    home = widget.panel
    for name in ("startCollapsibleButton", "studyCollapsibleButton", "modelsCollapsibleButton"):
        getattr(widget.ui, name).collapsed = True
    widget.ui.worklistCollapsibleButton.collapsed = False
    wait(1)
    home.worklist.folder_edit.currentPath = str(folder / "results")
    home.worklist.add({"files": files})
    wait_until(lambda: len(home.worklist.table.rows) == 3, "the studies on the list")
    wait_until(lambda: not home.worklist.queue.reading and not home.worklist.queue.rows, "the list to be read")
    wait(2)
    home.worklist.step(1)
    home.worklist.open(home.worklist.table.current)
    wait_until(lambda: home.worklist.opened.key, "the study")
    wait(4)
    slicer.util.forceRenderAllViews()
    wait(0.5)


def main(out):
    """Take all pictures."""
    slicer.util.setPythonConsoleVisible(False)
    slicer.util.setDataProbeVisible(False)
    slicer.util.setApplicationLogoVisible(False)
    slicer.util.setModuleHelpSectionVisible(False)
    save(open_module("AcuteFindings").parent, out / "panel-AcuteFindings.png")
    for name, (sample, window) in WINDOWS.items():
        widget = open_module(name)
        run_detector(widget, sample)
        save(slicer.util.mainWindow(), out / f"{window}.png")
        save(widget.parent, out / f"panel-{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        show_worklist(open_module("AcuteFindings"), Path(folder))
        save(slicer.util.mainWindow(), out / "worklist.png")


if __name__ == "__main__":
    status = 1
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
        status = 0
    except BaseException:  # whatever it is, the application has to end with a status
        traceback.print_exc(file=sys.stdout)
    slicer.util.exit(status)
