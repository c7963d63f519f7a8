"""Small phantoms, written once."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.with_name("data")):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from small_runs import data, one_thread  # noqa: E402, F401


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared arrays, shared by recipes that prepare alike."""
    return tmp_path_factory.mktemp("cache")
