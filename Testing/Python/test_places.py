import sys
from pathlib import Path

import platformdirs
import pytest

from AcuteFindingsLib import places
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.pacs.servers import default_servers_file


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / "caches" / name)
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name, appauthor: tmp_path / "settings" / name)
    return tmp_path / "home"


def test_files_are_kept_where_the_system_has_its_caches_and_settings(home, tmp_path):
    assert places.models_cache() == tmp_path / "caches" / "acutefindings"
    assert places.environments_folder() == tmp_path / "caches" / "acutefindings-providers"
    assert places.settings_folder() == tmp_path / "settings" / "acutefindings"
    assert default_servers_file() == tmp_path / "settings" / "acutefindings" / "servers.toml"


def test_a_folder_of_an_earlier_version_stays_in_use(home, tmp_path):
    (home / ".cache" / "acutefindings").mkdir(parents=True)
    assert places.models_cache() == home / ".cache" / "acutefindings"
    assert places.environments_folder() == tmp_path / "caches" / "acutefindings-providers"
    (home / ".config" / "acutefindings").mkdir(parents=True)
    assert places.settings_folder() == home / ".config" / "acutefindings"


def test_before_the_packages_of_the_first_run_are_there_the_home_folder_serves(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert places.models_cache() == home / ".cache" / "acutefindings"


def test_on_linux_nothing_moves(tmp_path, monkeypatch):
    if not sys.platform.startswith("linux"):
        pytest.skip("the folders of another system lie elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.models_cache() == tmp_path / ".cache" / "acutefindings"
    assert places.environments_folder() == tmp_path / ".cache" / "acutefindings-providers"
    assert places.settings_folder() == tmp_path / ".config" / "acutefindings"


def test_an_account_without_a_home_is_told_what_to_set(monkeypatch):
    def none() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(AcuteFindingsError, match="HOME"):
        places.settings_folder()
