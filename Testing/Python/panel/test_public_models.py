"""Public models in the panel: what is told of them, the license, the import, cancel, and which becomes the default."""

from pathlib import Path

import pytest

from AcuteFindingsLib.models.default_model import chosen_defaults
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.widgets.models import public_models
from AcuteFindingsLib.widgets.models.loader import ModelLoader
from AcuteFindingsLib.widgets.models.public_models import LICENSE, NAME, SIZE, TODAY
from AcuteFindingsLib.widgets.worker.process import WorkerProcess

FIGURES = [f"Dice, set {number}: 0.7{number}0 (60 patients)" for number in range(6)]


def offer(**fields):
    return {
        "id": "public-pe",
        "address": "public-pe",
        "source": "hf:someone/pe",
        "description": "",
        "task": "pe",
        "title": "Emboli of 430 patients",
        "told": "A 3-D network.",
        "megabytes": 409.6,
        "license": "CC-BY-NC-4.0",
        "commercial": False,
        "license_text": "You may not use the material for commercial purposes.",
        "license_address": "https://example.org/license",
        "needs_consent": True,
        "needs": "",
        "torch": False,
        "recommended": True,
        "trained_on": "CT angiograms of 430 patients",
        "phantoms_only": False,
        "limitations": "Misses small emboli.",
        "figures": FIGURES,
        "figures_from": ["https://example.org/paper"],
        **fields,
    }


BLEEDS = offer(
    id="public-bleeds", address="public-bleeds", task="hemorrhage", license="MIT", commercial=True, needs_consent=False
)
EMBOLI = offer()
LATER = offer(id="later-pe", address="later-pe", needs="a reader of its own.", license="MIT", commercial=True)


class Worker:
    """Answers when it is told to."""

    def __init__(self):
        self.asked, self.cancelled = [], []

    def request(self, do, fields, *, done, failed, progress=None, cancelled=None):
        self.asked.append((do, fields, {"done": done, "failed": failed, "progress": progress, "cancelled": cancelled}))
        return len(self.asked)

    def cancel(self, number):
        self.cancelled.append(number)

    def answer(self, what="done", *values):
        self.asked[-1][2][what](*values)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def settings(host):
    import qt

    made = qt.QSettings()
    made.clear()
    yield made
    made.clear()


@pytest.fixture
def open_loader(host, worker, settings):
    made = []

    def open_one(task="pe", models=(EMBOLI, LATER, BLEEDS)):
        loader = ModelLoader(task, downloader=worker, settings=settings)
        made.append(loader)
        loader.widget.resize(520, 900)
        loader.widget.show()
        host.click(loader.public_button)
        worker.answer("done", {"models": list(models)})
        return loader

    yield open_one
    for loader in made:
        loader.close()
        loader.widget.hide()


def listed(public):
    return [public.table.item(row, NAME).text() for row in range(public.table.rowCount)]


def press(host, public, *answers):
    host.dialogs.answer(*answers)
    host.click(public.button)


def test_a_model_is_listed_with_size_license_and_published_figures(open_loader):
    public = open_loader().public
    assert listed(public) == ["public-pe", "later-pe"]
    cells = [public.table.item(0, place).text() for place in (SIZE, LICENSE, TODAY)]
    assert cells == ["410 MB", "CC-BY-NC-4.0 (not for commercial use)", "possible"]
    facts = public.facts.text
    for told in ("Emboli of 430 patients", "hf:someone/pe", "CT angiograms of 430 patients", "Misses small emboli."):
        assert told in facts
    assert "Published by its authors (https://example.org/paper)" in facts
    assert FIGURES[0] in facts
    assert FIGURES[5] not in facts
    assert "2 further figures" in facts


def test_the_manager_lists_the_models_of_all_tasks(open_loader):
    # What cannot be imported yet stands last.
    assert listed(open_loader(None).public) == ["public-pe", "public-bleeds", "later-pe"]


def test_a_detector_lists_its_companions_models_after_its_own(open_loader):
    lungs = offer(id="public-lungs", task="lungs")
    second = offer(id="second", task="pneumothorax", recommended=False)
    best = offer(id="best", task="pneumothorax")
    public = open_loader("pneumothorax", models=(lungs, second, best, EMBOLI)).public
    assert listed(public) == ["best", "second", "public-lungs"]
    assert public.current.id == "best"
    assert not public.table.isColumnHidden(public_models.TASK)


def test_what_cannot_be_imported_today_says_why_and_is_not(host, open_loader):
    public = open_loader().public
    host.click_row(public.table, 1)
    assert "Cannot be imported today: a reader of its own." in public.facts.text
    assert not public.button.enabled
    assert not public.default_box.visible


def test_a_license_that_forbids_commercial_use_is_agreed_to_first(host, open_loader, worker):
    import qt

    public = open_loader().public
    press(host, public, qt.QMessageBox.Cancel)
    assert "not use the material for commercial purposes" in host.dialogs.asked[-1]
    assert len(worker.asked) == 1
    press(host, public, qt.QMessageBox.Ok)
    do, fields, _answers = worker.asked[-1]
    assert (do, fields["address"], fields["agreed"]) == ("import_public", "public-pe", True)
    # Asked once: going on with it does not ask again.
    worker.answer("cancelled")
    press(host, public)
    assert worker.asked[-1][0] == "import_public"
    assert len(worker.asked) == 3


def test_a_license_for_every_use_is_shown_and_not_asked_about(host, open_loader, worker):
    public = open_loader("hemorrhage").public
    assert "License: MIT." in public.facts.text
    press(host, public)
    assert worker.asked[-1][1] == {"address": "public-bleeds", "description": "", "agreed": False}


@pytest.mark.parametrize("yes", [True, False])
def test_another_license_that_the_hub_states_is_asked_about_and_then_the_import_goes_on(host, open_loader, worker, yes):
    import qt

    loader = open_loader("hemorrhage")
    press(host, loader.public)
    host.dialogs.answer(qt.QMessageBox.Ok if yes else qt.QMessageBox.Cancel)
    worker.answer("failed", "The hub states the license CC-BY-NC-4.0, not MIT.", "ConsentError")
    assert "CC-BY-NC-4.0" in host.dialogs.asked[-1]
    assert [fields["agreed"] for do, fields, _answers in worker.asked[1:]] == ([False, True] if yes else [False])
    assert loader.public.running == yes


def test_an_import_can_be_stopped_and_continued(host, open_loader, worker):
    loader = open_loader("hemorrhage")
    public = loader.public
    press(host, public)
    worker.answer("progress", "Downloading", 0.4)
    assert (public.bar.visible, public.bar.value, public.button.text) == (True, 40, "Cancel")
    assert loader.message.text == "Downloading"
    press(host, public)
    assert worker.cancelled == [2]
    worker.answer("cancelled")
    assert "What has arrived is kept" in loader.message.text
    assert (public.bar.visible, public.button.text) == (False, "Continue")
    press(host, public)
    assert worker.asked[-1][0] == "import_public"


def test_why_an_import_failed_is_told_and_it_can_be_tried_again(host, open_loader, worker):
    loader = open_loader("hemorrhage")
    press(host, loader.public)
    worker.answer("failed", "model.safetensors is not the file that the hub states.", "DownloadError")
    assert loader.message.text == "model.safetensors is not the file that the hub states."
    assert loader.public.button.enabled


def imported(worker, write_tiny, task):
    folder = write_tiny(task, models_cache())
    worker.answer("done", {"folder": str(folder), "id": folder.name})
    return folder.name


@pytest.mark.parametrize(("task", "ticked"), [("pe", True), ("hemorrhage", False)])
def test_use_as_default_is_ticked_where_the_default_saw_phantoms_alone(open_loader, task, ticked):
    public = open_loader(task).public
    assert public.default_box.checked == ticked
    assert "small" in public.default_box.text


def test_an_import_becomes_the_default_where_that_was_ticked(host, open_loader, worker, write_tiny):
    loader = open_loader("hemorrhage")
    host.click(loader.public.default_box)
    press(host, loader.public)
    name = imported(worker, write_tiny, "hemorrhage")
    assert chosen_defaults() == {"hemorrhage": name}
    assert (loader.model, loader.used.id) == ("", name)
    assert loader.message.text == f"Added: {name}, now the default for intracranial hemorrhage."


def test_an_import_that_was_not_ticked_leaves_the_default_alone(host, open_loader, worker, write_tiny):
    loader = open_loader("hemorrhage")
    press(host, loader.public)
    name = imported(worker, write_tiny, "hemorrhage")
    assert chosen_defaults() == {}
    assert loader.used.id == "hemorrhage-radnet-small"
    assert loader.message.text == f"Added: {name}."


def test_a_tick_outlives_a_failure(host, open_loader, worker):
    public = open_loader("hemorrhage").public
    host.click(public.default_box)
    press(host, public)
    worker.answer("failed", "No network.", "DownloadError")
    assert public.default_box.checked


def test_an_address_is_listed_first_and_selected(host, open_loader, worker):
    loader = open_loader("hemorrhage")
    loader.add_actions["address"].trigger()
    host.type_text(loader.public.address, "hf:someone/pe@1a2b")
    loader.public.show_address(loader.public.address.text)
    assert worker.asked[-1][:2] == ("public_models", {"address": "hf:someone/pe@1a2b"})
    worker.answer("done", {"models": [offer(address="hf:someone/pe@1a2b", needs_consent=False)]})
    assert listed(loader.public) == ["public-pe", "public-bleeds"]
    press(host, loader.public)
    assert worker.asked[-1][1]["address"] == "hf:someone/pe@1a2b"
    # What the box says is about the model's own task.
    assert "pe-sequence-small" in loader.public.default_box.text


def test_an_address_that_nothing_is_known_of_is_told(open_loader, worker):
    loader = open_loader()
    loader.public.show_address("hf:nobody/nothing")
    worker.answer("failed", "There is no import description of hf:nobody/nothing.", "ModelError")
    assert loader.message.text.startswith("There is no import description")
    assert listed(loader.public) == ["public-pe", "later-pe"]


def test_a_description_of_ones_own_is_added_as_a_file(host, open_loader, worker):
    loader = open_loader()
    loader.add_file("/mine/own.yaml")
    assert worker.asked[-1][:2] == ("public_models", {"description": "/mine/own.yaml"})
    worker.answer("done", {"models": [offer(id="own", address="hf:me/own", description="/mine/own.yaml")]})
    assert listed(loader.public)[0] == "own"


def test_a_description_that_is_added_first_of_all_does_not_keep_the_others_away(host, settings, worker):
    loader = ModelLoader("pe", downloader=worker, settings=settings)
    loader.add_file("/mine/own.yaml")
    assert [fields for _do, fields, _answers in worker.asked] == [{}, {"description": "/mine/own.yaml"}]
    for (_do, _fields, answers), model in zip(worker.asked, (EMBOLI, offer(id="own")), strict=True):
        answers["done"]({"models": [model]})
    assert listed(loader.public) == ["own", "public-pe"]
    loader.close()


def test_what_is_installed_says_so_and_is_not_imported_again(host, open_loader):
    public = open_loader(models=[offer(id="pe-sequence-small")]).public
    assert public.table.item(0, TODAY).text() == "installed"
    assert not public.button.enabled
    assert not public.default_box.visible


def test_long_texts_do_not_make_the_panel_wide(open_loader):
    narrow = open_loader(models=[offer(limitations="It was tested in one hospital alone. " * 30)]).public
    assert narrow.widget.minimumSizeHint.width() < 400


def test_closing_the_panel_gives_the_import_up(host, open_loader, worker):
    loader = open_loader("hemorrhage")
    press(host, loader.public)
    loader.close()
    assert worker.cancelled == [2]
    assert not loader.public.running


def test_missing_packages_are_asked_for_with_their_size(host, settings, worker, monkeypatch):
    import qt

    real = public_models.missing_packages
    monkeypatch.setattr("AcuteFindingsLib.packages.importlib.metadata.version", _without("huggingface-hub"))
    host.dialogs.answer(qt.QMessageBox.Cancel)
    loader = ModelLoader("pe", downloader=worker, settings=settings)
    loader.widget.show()
    host.click(loader.public_button)
    assert real(public_models.PUBLIC)
    assert "huggingface-hub (7 MB)" in host.dialogs.asked[-1]
    assert "huggingface-hub" in loader.message.text
    assert not worker.asked
    loader.close()
    loader.widget.hide()


def _without(name):
    from importlib.metadata import PackageNotFoundError, version

    def look(asked):
        if asked == name:
            raise PackageNotFoundError(asked)
        return version(asked)

    return look


def test_a_model_that_needs_torch_asks_for_it_and_goes_on(host, open_loader, worker, monkeypatch):
    monkeypatch.setattr(public_models, "missing_packages", lambda group: ["torch"] if group else [])
    monkeypatch.setattr(public_models.PublicModels, "_packages_are_there", lambda _self: True)
    monkeypatch.setattr(public_models, "ensure_torch", lambda _what, _parent: True)
    public = open_loader("hemorrhage").public
    press(host, public)
    worker.answer("failed", "This needs PyTorch.", "TorchMissingError")
    assert [do for do, _fields, _answers in worker.asked[1:]] == ["import_public", "import_public"]


@pytest.mark.slow
def test_the_worker_lists_what_ships(host, settings):
    real = WorkerProcess()
    loader = ModelLoader("hemorrhage", downloader=real, settings=settings)
    loader.widget.show()
    host.click(loader.public_button)
    host.wait_until(lambda: loader.public.offers, 120)
    assert "hf:ianpan/ct-head-hemorrhage-detection" in loader.public.facts.text
    assert "AUROC, series, any: 0.980" in loader.public.facts.text
    loader.close()
    loader.widget.hide()
    real.stop()


def test_every_control_has_a_tooltip(open_loader):
    public = open_loader().public
    for control in (public.table, public.facts, public.default_box, public.button, public.bar, public.address):
        assert control.toolTip


def test_screenshot(host, open_loader, worker, tmp_path: Path):
    import qt

    loader = open_loader()
    press(host, loader.public, qt.QMessageBox.Ok)
    worker.answer("progress", "Downloading", 0.4)
    assert host.screenshot(loader.widget, tmp_path / "public_models.png").stat().st_size > 5000
