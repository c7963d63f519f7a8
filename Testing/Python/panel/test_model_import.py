"""Weights added in the model loader are imported by the worker; what comes of it is told."""

from pathlib import Path

import pytest

from AcuteFindingsLib.widgets.models import importing as model_import
from AcuteFindingsLib.widgets.models.importing import ModelImport


class Worker:
    def __init__(self):
        self.asked, self.cancelled = [], []

    def request(self, do, fields, **answers):
        self.asked.append((do, fields, answers))
        return len(self.asked)

    def cancel(self, number):
        self.cancelled.append(number)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def told():
    return []


@pytest.fixture
def importing(worker, told, monkeypatch, host):
    monkeypatch.setattr(model_import, "ensure_packages", lambda **_needed: True)
    folders = []
    made = ModelImport(worker=lambda: worker, tell=told.append, done=folders.append)
    made.folders = folders
    return made


def test_a_file_is_imported_for_the_panels_task_and_listed(importing, worker, told):
    importing.start(Path("/x/lungs.onnx"), "pneumothorax")
    do, fields, answers = worker.asked[0]
    assert (do, fields["file"], fields["task"]) == ("import_model", Path("/x/lungs.onnx"), "pneumothorax")
    answers["progress"]("Comparing with ONNX Runtime", 0.35)
    assert told[-1] == "Comparing with ONNX Runtime (35 %)"
    answers["done"]({"folder": "/cache/lungs", "id": "lungs"})
    assert importing.folders == [Path("/cache/lungs")]


def test_why_a_file_was_refused_is_told_and_another_can_be_tried(importing, worker, told):
    importing.start(Path("/x/evil.pth"), None)
    importing.start(Path("/x/other.pth"), None)
    assert told[-1].startswith("Another model is being imported")
    worker.asked[0][2]["failed"]("evil.pth was refused: it is a pickle that could run code.", "ModelError")
    assert told[-1].startswith("evil.pth was refused")
    importing.start(Path("/x/other.pth"), None)
    assert len(worker.asked) == 2


def test_closing_the_panel_gives_the_import_up(importing, worker):
    importing.start(Path("/x/lungs.onnx"), None)
    importing.stop()
    assert worker.cancelled == [1]


def test_a_file_that_needs_torch_asks_for_it_and_is_imported_once_it_is_there(importing, worker, told, monkeypatch):
    asked = []
    monkeypatch.setattr(model_import, "missing_packages", lambda _group: ["torch"])
    monkeypatch.setattr(model_import, "ensure_torch", lambda what: asked.append(what) or True)
    importing.start(Path("/x/lungs.pt"), "lungs")
    worker.asked[0][2]["failed"]("This needs PyTorch.", "TorchMissingError")
    assert asked == ["Importing lungs.pt"]
    do, fields, _answers = worker.asked[1]
    assert (do, fields["file"], fields["task"]) == ("import_model", Path("/x/lungs.pt"), "lungs")


def test_where_torch_stays_away_the_reason_is_told_and_nothing_is_tried_again(importing, worker, told, monkeypatch):
    monkeypatch.setattr(model_import, "missing_packages", lambda _group: ["torch"])
    monkeypatch.setattr(model_import, "ensure_torch", lambda what: False)
    importing.start(Path("/x/lungs.pt"), None)
    worker.asked[0][2]["failed"]("This needs PyTorch.", "TorchMissingError")
    assert told[-1] == "This needs PyTorch."
    assert len(worker.asked) == 1


def test_a_torch_that_is_damaged_is_not_asked_for_without_end(importing, worker, monkeypatch):
    monkeypatch.setattr(model_import, "missing_packages", lambda _group: [])
    importing.start(Path("/x/lungs.pt"), None)
    worker.asked[0][2]["failed"]("This needs PyTorch.", "TorchMissingError")
    assert len(worker.asked) == 1


@pytest.mark.parametrize(("file", "package"), [("a.keras", "h5py"), ("a.ONNX", "onnx"), ("a.pt", None)])
def test_what_a_kind_of_file_needs_is_asked_for_first(importing, worker, told, monkeypatch, file, package):
    wanted = []
    monkeypatch.setattr(model_import, "ensure_packages", lambda needed: wanted.extend(needed))
    importing.start(Path("/x") / file, None)
    names = {item.name for item in wanted}
    assert {"onnxruntime", "pydantic"} <= names
    assert ({"h5py", "onnx"} & names) == ({package} if package else set())
    assert not worker.asked
    assert told == [f"{file} was not imported: packages are missing."]
