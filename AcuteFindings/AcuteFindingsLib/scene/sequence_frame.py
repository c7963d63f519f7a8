"""Which frame of a sequence a result is about: such a volume node shows one image after another."""

from typing import Any

FRAME = "AcuteFindings.Frame"
"""Attribute of a verdict node: place (from 0) of the frame that was analyzed; none where there is no sequence."""


def frame_of(volume: Any | None) -> int | None:
    """Return the place (from 0) of the sequence's frame that a volume node shows; None where it shows no sequence."""
    browser = _browser(volume)
    return None if browser is None else int(browser.GetSelectedItemNumber())


def set_frame(text: Any, frame: int | None) -> None:
    """Keep with a verdict node which frame it is about."""
    if frame is not None:
        text.SetAttribute(FRAME, str(frame))


def is_of_shown_frame(text: Any, volume: Any | None) -> bool:
    """Whether a verdict is about the frame that its volume node shows now; one without a frame always is."""
    kept = text.GetAttribute(FRAME)
    return kept is None or kept == str(frame_of(volume))


def show_frame(text: Any, volume: Any | None) -> None:
    """Let the volume node show the frame that a verdict is about, as far as its sequence is still there."""
    browser, kept = _browser(volume), text.GetAttribute(FRAME)
    if browser is not None and kept is not None and int(kept) < browser.GetNumberOfItems():
        browser.SetSelectedItemNumber(int(kept))


def frame_words(text: Any, volume: Any | None) -> str:
    """Return the frame that a verdict is about, as people count: ``"frame 2 of 3 (time 1.5 s)"``; ``""`` without."""
    kept, browser = text.GetAttribute(FRAME), _browser(volume)
    if kept is None:
        return ""
    number = int(kept)
    if browser is None or number >= browser.GetNumberOfItems():
        return f"frame {number + 1}"
    sequence = browser.GetSequenceNode(volume)
    value, unit = sequence.GetNthIndexValue(number), sequence.GetIndexUnit() or ""
    index = f"{sequence.GetIndexName() or ''} {value} {unit}".strip()
    return f"frame {number + 1} of {browser.GetNumberOfItems()} ({index})"


def _browser(volume: Any | None) -> Any | None:
    """Return the sequence browser whose frames a volume node shows."""
    scene = None if volume is None else volume.GetScene()
    if scene is None:
        return None
    for place in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(place, "vtkMRMLSequenceBrowserNode")
        if browser.GetSequenceNode(volume) is not None and browser.GetNumberOfItems() > 0:
            return browser
    return None
