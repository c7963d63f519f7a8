"""Builders of tiny data sets in their native layouts, for all tests of training."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def builders() -> ModuleType:
    """The module `data/builders.py`: a function a layout, to build one that a test may spoil."""
    name = "training_data_builders"
    if name not in sys.modules:
        path = Path(__file__).parent / "data" / "builders.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def native(builders: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return `native(kind)`: a data set of that kind, built once; read it, never change it.

    Phantoms are ``native("phantoms/ctpa")``, ``"phantoms/head-ct"`` and ``"phantoms/chest-xray"``.
    """
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind.replace("/", "-"))
            if kind.startswith("phantoms/"):
                builders.build_phantoms(folder, kind.removeprefix("phantoms/"))
            else:
                builders.BUILDERS[kind](folder)
            made[kind] = folder
        return made[kind]

    return of
