"""The panels offer the devices that ONNX Runtime has here; the others say what they would need."""

import pytest

from AcuteFindingsLib.packages import Package


class Worker:
    """Knows what ONNX Runtime has, and answers when told to."""

    def __init__(self):
        self.asked = []

    def request(self, do, fields, *, done):
        self.asked.append((do, done))
        return len(self.asked)

    def answer(self, *devices):
        self.asked[-1][1]({"devices": list(devices)})


@pytest.fixture
def device_choice(host, monkeypatch):
    from AcuteFindingsLib.widgets.panel import device_choice

    monkeypatch.setattr(device_choice, "_known", None)
    return device_choice


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def make(device_choice, worker):
    choices = []

    def make():
        import qt

        from AcuteFindingsLib.widgets.module_parts import Device

        combo = qt.QComboBox()
        for device in Device:
            combo.addItem(device.name)
        choices.append(device_choice.DeviceChoice(combo, worker=lambda: worker))
        return combo, choices[-1]

    yield make
    # Boxes without a window go now, not when Python looks for circles: perhaps while Slicer goes through its windows.
    for choice in choices:
        choice.close()


def offered(combo):
    return [combo.itemText(row) for row in range(combo.count) if combo.model().item(row).isEnabled()]


def tip(combo, device):
    import qt

    (row,) = (row for row in range(combo.count) if combo.itemText(row) == device)
    return combo.itemData(row, qt.Qt.ToolTipRole)


def test_before_it_is_known_what_there_is_only_the_processor_is_offered(make, worker):
    combo, choice = make()
    choice.ask()
    assert [do for do, _done in worker.asked] == ["devices"]
    assert offered(combo) == ["AUTO", "CPU"]
    assert "Not on this computer" not in tip(combo, "CUDA")


def test_what_onnx_runtime_has_is_offered_and_the_rest_says_what_it_needs(make, worker):
    combo, choice = make()
    choice.ask()
    worker.answer("cuda", "openvino", "cpu")
    assert offered(combo) == ["AUTO", "CPU", "CUDA", "OPENVINO"]
    assert tip(combo, "DIRECTML").startswith("Not on this computer.")
    assert "onnxruntime-directml" in tip(combo, "DIRECTML")
    assert "Mac" in tip(combo, "COREML")
    assert "Not on this computer" not in tip(combo, "CUDA")


def test_one_answer_serves_every_panel(make, worker):
    _first, choice = make()
    choice.ask()
    worker.answer("cuda", "cpu")
    second, other = make()
    other.ask()
    assert len(worker.asked) == 1
    assert offered(second) == ["AUTO", "CPU", "CUDA"]


def test_a_device_of_a_scene_from_another_computer_becomes_auto(make, worker):
    combo, choice = make()
    combo.setCurrentIndex([combo.itemText(row) for row in range(combo.count)].index("COREML"))
    choice.ask()
    assert combo.currentText == "COREML"
    worker.answer("cpu")
    assert combo.currentText == "AUTO"


def test_without_packages_no_worker_is_started(make, worker, device_choice, monkeypatch):
    monkeypatch.setattr(device_choice, "missing_packages", lambda _needed: [Package("onnxruntime", "onnxruntime", 28)])
    combo, choice = make()
    choice.ask()
    assert not worker.asked
    assert offered(combo) == ["AUTO", "CPU"]


def test_an_answer_after_the_panel_was_closed_does_no_harm(make, worker):
    combo, choice = make()
    choice.ask()
    choice.close()
    worker.answer("cuda", "cpu")
    assert offered(combo) == ["AUTO", "CPU"]


def test_the_graphics_card_of_an_earlier_scene_is_cuda(host, scene):
    logic = host.open_panel("PEDetect").logic
    logic.getParameterNode().parameterNode.SetParameter("device", "GPU")
    assert logic.getParameterNode().device.value == "cuda"


@pytest.mark.slow
def test_the_worker_says_what_this_computer_has(host, scene, device_choice):
    import onnxruntime

    combo = host.open_panel("PEDetect").ui.deviceComboBox
    host.wait_until(lambda: device_choice._known is not None, 60)
    assert device_choice._known[-1] == "cpu"
    assert ("CUDA" in offered(combo)) == ("CUDAExecutionProvider" in onnxruntime.get_available_providers())
    assert combo.currentText == "AUTO"
