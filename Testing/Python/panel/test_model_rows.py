"""The list of models that needs no installed package, held against the library's own."""

import json
import shutil
import subprocess
import sys

import pytest

from AcuteFindingsLib.models.find import DamagedPackage, list_packages
from AcuteFindingsLib.widgets.models import rows as model_rows
from AcuteFindingsLib.widgets.models.cards import card_text
from AcuteFindingsLib.widgets.models.rows import check_steps, list_rows, read_row, set_user_folders, user_folders


class Settings(dict):
    """Settings that speak as a QSettings does."""

    def value(self, key, default=None):
        return self.get(key, default)

    def setValue(self, key, value):
        self[key] = value


@pytest.fixture
def models(tiny_models, tmp_path):
    """A copy of the small packages that a test may spoil."""
    return shutil.copytree(tiny_models, tmp_path / "models")


def end_of(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.slow
def test_the_list_is_the_librarys_own(models, tmp_path):
    (models / "tiny-pe" / "configs" / "metadata.json").write_text("{")
    shutil.copytree(models / "tiny-lungs", tmp_path / "cache" / "twice")
    places = {"folders": [models], "cache": tmp_path / "cache"}
    packages = list_packages(**places)
    rows = list_rows(places["folders"], cache=places["cache"])
    assert [(row.id, row.folder, row.version) for row in rows if row.task] == [
        (package.id, package.folder, package.version) for package in packages if not isinstance(package, DamagedPackage)
    ]
    assert [(row.id, bool(row.error)) for row in rows if not row.task] == [
        (package.id, True) for package in packages if isinstance(package, DamagedPackage)
    ]


@pytest.mark.slow
def test_a_row_says_what_the_package_says(models):
    row = read_row(models / "tiny-hemorrhage")
    assert (row.id, row.task, row.title, row.version) == ("tiny-hemorrhage", "hemorrhage", "Tiny hemorrhage", "0.0.1")
    assert (row.license, row.trained_on, row.phantoms_only) == ("Apache-2.0", "nothing: random weights", True)
    assert row.size_mb == pytest.approx((row.folder / "models/model.safetensors").stat().st_size / 1e6)
    assert row.error == ""


def test_a_card_that_spells_license_is_read_like_the_library_reads_it(models):
    file = models / "tiny-hemorrhage" / "configs" / "metadata.json"
    file.write_text(file.read_text().replace('"licence"', '"license"'))
    assert read_row(models / "tiny-hemorrhage").license == "Apache-2.0"


def test_shipped_models_are_listed_last_and_marked(models):
    rows = list_rows([models])
    assert [row.place for row in rows] == sorted(row.place for row in rows)
    assert {row.place for row in rows} == {"added", "shipped"}
    assert all(row.shipped == (row.place == "shipped") for row in rows)


def test_only_the_tasks_own_and_the_unreadable_are_listed_for_a_task(models):
    (models / "tiny-lungs" / "checksums.json").unlink()
    rows = list_rows([models], task="pe", cache=models, shipped=models)
    assert {row.id for row in rows} == {"tiny-pe", "tiny-lungs"}


def test_missing_weights_are_seen_at_once(models):
    (models / "tiny-pe" / "models" / "model.safetensors").unlink()
    row = read_row(models / "tiny-pe")
    assert row.task == "pe"
    assert "model.safetensors is missing" in row.error


def test_weights_cut_short_are_seen_at_once(models):
    path = models / "tiny-pe" / "models" / "model.safetensors"
    assert path.stat().st_size > model_rows.SMALL_BYTES
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 4)
    assert "truncated" in read_row(models / "tiny-pe").error


def test_a_changed_card_is_seen_at_once(models):
    (models / "tiny-pe" / "docs" / "README.md").write_text("Fit for every use.")
    assert "SHA-256 differs" in read_row(models / "tiny-pe").error


def test_one_changed_byte_of_the_weights_is_found_by_the_check(models):
    path = models / "tiny-pe" / "models" / "model.safetensors"
    assert end_of(check_steps(models / "tiny-pe")) == ""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert read_row(models / "tiny-pe").error == ""
    assert "model.safetensors" in end_of(check_steps(models / "tiny-pe"))


def test_a_path_outside_the_package_is_refused(models):
    path = models / "tiny-pe" / "checksums.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "../tiny-lungs/LICENSE": "0" * 64}))
    assert "outside the model package" in read_row(models / "tiny-pe").error


@pytest.mark.parametrize("text", ["[]", "{}", "no JSON", '{"version": "1", "acutefindings": 3}', b"\xff\xfe\x00"])
def test_any_other_metadata_gives_a_row_with_an_error(models, text):
    path = models / "tiny-pe" / "configs" / "metadata.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    row = read_row(models / "tiny-pe")
    assert (row.id, row.task) == ("tiny-pe", "")
    assert row.error
    assert row.error in card_text(row) or "#" in card_text(row)


def test_folders_of_the_user_are_kept_in_the_settings(tmp_path):
    settings = Settings()
    assert user_folders(settings) == []
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.mkdir()
    set_user_folders(settings, [here, gone, here])
    assert json.loads(settings[model_rows.FOLDERS_KEY]) == [str(here), str(gone)]
    assert user_folders(settings) == [here]
    settings[model_rows.FOLDERS_KEY] = "spoilt"
    assert user_folders(settings) == []


def test_the_list_needs_no_package_that_slicer_lacks():
    program = (
        "import sys; from AcuteFindingsLib.widgets.models.rows import list_rows; list_rows();"
        "lacking = {'torch', 'pydantic', 'safetensors', 'monai', 'timm', 'skimage', 'jinja2'} & set(sys.modules);"
        "sys.exit(str(lacking) if lacking else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
