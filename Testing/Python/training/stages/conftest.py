"""The small runs and data sets of the tests of runs serve here too."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
for folder in (HERE.with_name("runs"), HERE.with_name("data")):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from small_runs import native_data  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A folder of small phantoms in the layout of a data set."""

    @cache
    def make(kind: str, phantom_kind: str) -> Path:
        return native_data(kind, phantom_kind, tmp_path_factory.mktemp(kind))

    return make
