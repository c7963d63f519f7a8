"""A result of a sequence's frame is about that frame, not about the node that shows all of them."""

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core")

from AcuteFindingsLib.scene.sequence_frame import (  # noqa: E402
    frame_of,
    frame_words,
    is_of_shown_frame,
    set_frame,
    show_frame,
)


@pytest.fixture
def nodes():
    """A scene with a volume that shows the second of three frames, its browser, another volume and a verdict."""
    scene = slicer.vtkMRMLScene()
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Perfusion")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    frame = slicer.vtkMRMLScalarVolumeNode()
    for number in range(3):
        sequence.SetDataNodeAtValue(frame, str(1.5 * number))
    browser = scene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Perfusion")
    browser.AddProxyNode(volume, sequence, False)
    browser.SetSelectedItemNumber(1)
    plain = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Plain")
    return scene, browser, volume, plain, scene.AddNewNodeByClass("vtkMRMLTextNode", "Verdict")


def test_a_volume_that_shows_a_sequence_has_a_frame_and_others_have_none(nodes):
    _scene, browser, volume, plain, _text = nodes
    assert frame_of(volume) == 1
    browser.SetSelectedItemNumber(2)
    assert frame_of(volume) == 2
    assert frame_of(plain) is None
    assert frame_of(None) is None


def test_a_verdict_is_of_its_frame_alone_and_says_which(nodes):
    scene, browser, volume, _plain, text = nodes
    set_frame(text, frame_of(volume))
    assert frame_words(text, volume) == "frame 2 of 3 (time 1.5 s)"
    assert is_of_shown_frame(text, volume)
    browser.SetSelectedItemNumber(0)
    assert not is_of_shown_frame(text, volume)
    show_frame(text, volume)
    assert browser.GetSelectedItemNumber() == 1
    scene.RemoveNode(browser)
    assert not is_of_shown_frame(text, volume)
    assert frame_words(text, volume) == "frame 2"


def test_a_verdict_without_a_frame_is_of_whatever_its_volume_shows(nodes):
    _scene, browser, volume, plain, text = nodes
    set_frame(text, frame_of(plain))
    for image in (plain, volume):
        assert is_of_shown_frame(text, image)
        assert frame_words(text, image) == ""
    show_frame(text, volume)
    assert browser.GetSelectedItemNumber() == 1
