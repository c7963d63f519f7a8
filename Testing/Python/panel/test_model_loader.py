"""The model loader as a person uses it: choose, read, verify, add, delete; what is damaged cannot be chosen."""

import runpy
import shutil
import zipfile
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from AcuteFindingsLib import packages
from AcuteFindingsLib.models.default_model import set_default
from AcuteFindingsLib.models.find import default_choice
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.widgets.models import checks as model_checks
from AcuteFindingsLib.widgets.models.loader import ModelLoader
from AcuteFindingsLib.widgets.models.rows import user_folders
from AcuteFindingsLib.widgets.models.table import DEFAULT, FIGURES, NAME, STATE, TASK, TRAINED_ON
from AcuteFindingsLib.widgets.worker.process import WorkerProcess

JOBS = runpy.run_path(str(Path(__file__).parents[1] / "jobs" / "conftest.py"))

SHIPPED = "hemorrhage-radnet-small"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for task in ("hemorrhage", "lungs"):
        JOBS["write_tiny"](task, folder)
    return folder


@pytest.fixture(scope="module")
def worker(_application):
    made = WorkerProcess()
    yield made
    made.stop()


@pytest.fixture
def models(written, tmp_path, monkeypatch):
    """A copy of the small packages that a test may spoil; nothing of the developer's own is seen."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(model_checks, "_answers", {})
    return shutil.copytree(written, tmp_path / "models")


@pytest.fixture
def settings(host, models):
    import qt

    made = qt.QSettings()
    made.clear()
    yield made
    made.clear()


@pytest.fixture
def open_loader(host, settings, worker):
    made = []

    def open_one(task="hemorrhage", worker=worker):
        loader = ModelLoader(task, worker=worker, settings=settings)
        made.append(loader)
        loader.chosen = []
        loader.on_changed = loader.chosen.append
        loader.widget.resize(700, 500)
        loader.widget.show()
        host.process_events()
        return loader

    yield open_one
    for loader in made:
        loader.close()
        loader.widget.hide()


def names(loader):
    """The packages listed, without providers."""
    return [row.id for row in loader.rows if row.place != "provider"]


def number(loader, model):
    """The row of a model in the table."""
    return [loader.table.item(row, NAME).text() for row in range(loader.table.rowCount)].index(model)


def state(loader, model):
    return loader.table.item(number(loader, model), STATE).text()


def checked(loader):
    return not any("checking" in state(loader, name) for name in names(loader))


def select(host, loader, model):
    host.click_row(loader.table, number(loader, model))


def spoil(package):
    """Change one byte of the weights: nothing but the checksum tells."""
    path = package / "models" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def zip_of(package, file, *, top="some-folder/"):
    with zipfile.ZipFile(file, "w") as packed:
        for path in sorted(package.rglob("*")):
            if path.is_file():
                packed.write(path, top + path.relative_to(package).as_posix())
    return file


@pytest.mark.slow
def test_at_first_the_default_is_used_and_everything_is_checked(host, open_loader):
    loader = open_loader()
    assert names(loader) == [SHIPPED]
    assert loader.model == ""
    assert loader.default.id == SHIPPED
    host.wait_until(lambda: checked(loader))
    assert state(loader, SHIPPED) == "in use, ✓ verified"
    assert not loader.delete_button.enabled


@pytest.mark.slow
def test_choosing_a_row_chooses_the_model_and_is_remembered(host, open_loader, models):
    loader = open_loader()
    loader.add_folder(models)
    assert sorted(names(loader)) == [SHIPPED, "tiny-hemorrhage"]
    assert "Added: tiny-hemorrhage, tiny-lungs." in loader.message.text
    assert "tiny-lungs" in loader.message.text.partition("another task")[2]
    # An added model is used because it is chosen, not because it is there.
    assert loader.default.id == loader.used.id == SHIPPED
    select(host, loader, "tiny-hemorrhage")
    host.wait_until(lambda: loader.model)
    assert loader.chosen == ["tiny-hemorrhage"]
    again = open_loader()
    host.wait_until(lambda: again.model)
    assert again.model == "tiny-hemorrhage"
    assert "in use" in state(again, "tiny-hemorrhage")
    assert open_loader("pe").model == ""


def test_models_that_saw_patients_stand_before_those_that_saw_phantoms(open_loader, models):
    loader = open_loader()
    loader.add_folder(models)
    listed = [loader.table.item(row, NAME).text() for row in range(loader.table.rowCount)]
    # A provider's weights saw scans of patients, ours real slices but no whole scan, the small one nothing.
    assert listed[-2:] == [SHIPPED, "tiny-hemorrhage"]
    assert loader.table.item(number(loader, "tiny-hemorrhage"), TRAINED_ON).text().startswith("⚠")


def test_figures_stand_in_the_list_with_their_origin(open_loader):
    loader = open_loader()
    figures = loader.table.item(number(loader, SHIPPED), FIGURES)
    assert figures.text().startswith("AUC, slice")
    assert "140 real head CT slices" in figures.text()
    assert len(figures.toolTip().splitlines()) > 3


def test_the_list_says_which_model_is_the_default_and_since_when(host, open_loader, models):
    loader = open_loader()
    loader.add_folder(models)
    assert loader.table.item(number(loader, SHIPPED), DEFAULT).text() == "default as it came"
    assert loader.table.item(number(loader, "tiny-hemorrhage"), DEFAULT).text() == ""
    select(host, loader, "tiny-hemorrhage")
    assert loader.default_button.enabled
    host.click(loader.default_button)
    default = loader.table.item(number(loader, "tiny-hemorrhage"), DEFAULT).text()
    assert default == f"default since {date.today().isoformat()}"
    assert loader.table.item(number(loader, SHIPPED), DEFAULT).text() == ""
    assert (loader.model, loader.used.id) == ("", "tiny-hemorrhage")
    assert not loader.default_button.enabled
    assert default_choice("hemorrhage", folders=[models]).model.id == "tiny-hemorrhage"


def test_a_default_chosen_elsewhere_is_shown_when_the_panel_is_entered(open_loader, models):
    loader = open_loader()
    loader.add_folder(models)
    set_default("hemorrhage", "tiny-hemorrhage")
    loader.refresh_if_changed()
    assert loader.default.id == "tiny-hemorrhage"


def test_a_damaged_package_cannot_be_chosen_and_says_why(host, open_loader, models):
    spoil(models / "tiny-hemorrhage")
    loader = open_loader()
    loader.model = SHIPPED
    host.wait_until(lambda: loader.model == SHIPPED)
    loader.add_folder(models)
    select(host, loader, "tiny-hemorrhage")
    host.wait_until(lambda: checked(loader))
    assert loader.model == SHIPPED
    assert "cannot be used" in loader.message.text
    assert "model.safetensors" in loader.message.text
    assert "SHA-256" in loader.message.text
    assert f"In use: {SHIPPED}." in loader.message.text
    assert state(loader, "tiny-hemorrhage") == "✗ damaged"
    assert "SHA-256" in loader.table.item(number(loader, "tiny-hemorrhage"), STATE).toolTip()
    select(host, loader, "tiny-hemorrhage")
    assert loader.model == SHIPPED


def test_a_package_with_missing_weights_is_refused_at_once(host, open_loader, models):
    (models / "tiny-hemorrhage" / "models" / "model.safetensors").unlink()
    loader = open_loader()
    loader.add_folder(models)
    loader.model = "tiny-hemorrhage"
    assert loader.model == ""
    assert "missing" in loader.message.text


def test_a_choice_that_is_gone_falls_back_to_the_default(host, open_loader, models):
    loader = open_loader()
    loader.add_folder(models)
    loader.model = "tiny-hemorrhage"
    host.wait_until(lambda: loader.model)
    shutil.rmtree(models)
    loader.refresh()
    assert loader.model == ""
    assert "not installed" in loader.message.text
    assert loader.chosen == ["tiny-hemorrhage", ""]


def test_the_card_is_shown_on_request(host, open_loader):
    loader = open_loader()
    assert not loader.details.visible
    host.click(loader.details_button)
    assert loader.details.visible
    text = loader.details.plainText
    assert "Intended use" in text
    assert "Research use only" in text


@pytest.mark.slow
def test_verify_examines_files_and_tensors(host, open_loader):
    loader = open_loader()
    host.wait_until(lambda: checked(loader))
    host.click(loader.verify_button)
    assert "Verifying" in loader.message.text
    host.wait_until(lambda: "Verifying" not in loader.message.text, 120)
    assert loader.message.text == f"{SHIPPED}: every checksum is right and every tensor fits the network."


def test_verify_finds_what_changed_since(host, open_loader, models):
    loader = open_loader()
    loader.add_folder(models)
    loader.model = "tiny-hemorrhage"
    host.wait_until(lambda: loader.model)
    host.click_row(loader.table, number(loader, "tiny-hemorrhage"))
    spoil(models / "tiny-hemorrhage")
    host.click(loader.verify_button)
    host.wait_until(lambda: "Verifying" not in loader.message.text)
    assert "failed verification" in loader.message.text
    assert loader.model == ""
    assert state(loader, "tiny-hemorrhage") == "✗ damaged"


def test_tensors_that_do_not_fit_make_a_model_unusable(host, open_loader, models):
    strict = WorkerProcess(
        program="import json, sys\nfor line in sys.stdin:\n    print(json.dumps({'id': json.loads(line)['id'],"
        " 'event': 'done', 'result': {'ok': False, 'error': 'head.weight holds NaN.'}}), flush=True)"
    )
    loader = open_loader(worker=strict)
    loader.add_folder(models)
    loader.model = "tiny-hemorrhage"
    host.wait_until(lambda: loader.model)
    host.click_row(loader.table, number(loader, "tiny-hemorrhage"))
    host.click(loader.verify_button)
    host.wait_until(lambda: "failed verification" in loader.message.text, 30)
    strict.stop()
    assert "NaN" in loader.message.text
    assert loader.model == ""
    loader.model = "tiny-hemorrhage"
    assert loader.model == ""
    assert "NaN" in loader.message.text


def test_without_packages_verify_says_what_it_could_do(host, open_loader, monkeypatch):
    loader = open_loader()
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda name: "0.0.1")
    host.click(loader.verify_button)
    host.wait_until(lambda: "every checksum is right" in loader.message.text)
    assert "Press Apply once" in loader.message.text


def test_a_package_whose_tensors_need_torch_says_so_where_there_is_none(host, open_loader, monkeypatch):
    def worker_without_torch(do, fields, *, failed, **_answers):
        failed("This needs PyTorch.", "TorchMissingError")
        return 1

    loader = open_loader()
    worker = SimpleNamespace(request=worker_without_torch, cancel=lambda _number: None)
    monkeypatch.setattr(loader._verification, "_worker", lambda: worker)
    host.click(loader.verify_button)
    host.wait_until(lambda: "every checksum is right" in loader.message.text)
    assert "when PyTorch is installed" in loader.message.text


def test_a_zip_file_is_unpacked_into_the_cache_and_can_be_deleted(host, open_loader, models, tmp_path):
    import qt

    file = zip_of(models / "tiny-hemorrhage", tmp_path / "model.zip")
    loader = open_loader()
    host.dialogs.answer(str(file))
    loader.add_actions["file"].trigger()
    host.wait_until(lambda: "Added: tiny-hemorrhage" in loader.message.text)
    assert (models_cache() / "tiny-hemorrhage" / "LICENSE").is_file()
    assert [path.name for path in models_cache().iterdir()] == ["tiny-hemorrhage"]
    host.click_row(loader.table, number(loader, "tiny-hemorrhage"))
    assert loader.delete_button.enabled
    host.dialogs.answer(qt.QMessageBox.Cancel)
    host.click(loader.delete_button)
    assert (models_cache() / "tiny-hemorrhage").is_dir()
    host.dialogs.answer(qt.QMessageBox.Ok)
    host.click(loader.delete_button)
    assert "tiny-hemorrhage" in host.dialogs.asked[-1]
    assert not (models_cache() / "tiny-hemorrhage").exists()
    assert names(loader) == [SHIPPED]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["no zip", "no package", "outside", "spoilt", "twice"])
def test_a_zip_file_that_will_not_do_leaves_nothing(host, open_loader, models, tmp_path, fault):
    package, file = models / "tiny-hemorrhage", tmp_path / "model.zip"
    if fault == "spoilt":
        spoil(package)
    zip_of(package, file, top="" if fault == "outside" else "folder/")
    if fault == "no zip":
        file.write_text("nothing")
    if fault == "no package":
        zip_of(package / "docs", file)
    if fault == "outside":
        with zipfile.ZipFile(file, "a") as packed:
            packed.writestr("../outside.txt", "x")
    if fault == "twice":
        shutil.copytree(package, models_cache() / "tiny-hemorrhage")
    before = sorted(models_cache().rglob("*"))
    loader = open_loader()
    loader.add_file(file)
    host.wait_until(lambda: loader.message.text and "Unpacking" not in loader.message.text)
    assert "Added" not in loader.message.text
    assert sorted(models_cache().rglob("*")) == before
    assert not (models_cache().parent / "outside.txt").exists()


def test_an_added_folder_is_taken_off_the_list_with_its_files_kept(host, open_loader, models, settings):
    import qt

    loader = open_loader()
    host.dialogs.answer(str(models))
    loader.add_actions["folder"].trigger()
    assert user_folders(settings) == [models]
    host.click_row(loader.table, number(loader, "tiny-hemorrhage"))
    host.dialogs.answer(qt.QMessageBox.Ok)
    host.click(loader.delete_button)
    assert "files" in host.dialogs.asked[-1]
    assert user_folders(settings) == []
    assert (models / "tiny-hemorrhage").is_dir()
    assert names(loader) == [SHIPPED]


def test_a_folder_without_models_and_a_dialog_without_an_answer_change_nothing(host, open_loader, tmp_path, settings):
    loader = open_loader()
    loader.add_folder(tmp_path / "nowhere")
    assert "holds no model package" in loader.message.text
    host.dialogs.answer("", "")
    loader.add_actions["folder"].trigger()
    loader.add_actions["file"].trigger()
    assert user_folders(settings) == []
    assert names(loader) == [SHIPPED]


def test_the_manager_lists_all_tasks_and_chooses_none(host, open_loader):
    loader = open_loader(None)
    tasks = {loader.table.item(row, TASK).text() for row in range(loader.table.rowCount)}
    assert {"pe", "hemorrhage", "pneumothorax", "lungs", "chest"} <= tasks
    select(host, loader, SHIPPED)
    host.wait_until(lambda: checked(loader))
    assert loader.model == ""
    assert state(loader, SHIPPED) == "✓ verified"
    loader.model = SHIPPED
    assert loader.model == ""


def test_every_control_has_a_tooltip_and_is_reached_by_keyboard(host, open_loader):
    import qt

    loader = open_loader()
    for control in (
        loader.table,
        loader.verify_button,
        loader.default_button,
        loader.add_button,
        loader.download_button,
        loader.public_button,
        *loader.add_actions.values(),
        loader.delete_button,
        loader.details_button,
        loader.details,
        loader.message,
    ):
        assert control.toolTip
    for control in (loader.table, loader.verify_button, loader.add_button, loader.details_button):
        assert control.focusPolicy & qt.Qt.TabFocus


def test_screenshot(host, open_loader, models, tmp_path, request):
    loader = open_loader()
    loader.add_folder(models)
    host.click(loader.details_button)
    host.wait_until(lambda: checked(loader))
    loader.widget.resize(760, 520)
    picture = host.screenshot(loader.widget, tmp_path / "model_loader.png")
    assert picture.stat().st_size > 5000
