from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training import cache as module
from AcuteFindingsLib.training.cache import DiskCache, code_behind, digest_of
from AcuteFindingsLib.training.data import Example, MaskSource
from AcuteFindingsLib.training.data.load import load_image
from AcuteFindingsLib.training.runs.store import units

MAKER = """
def make(number):
    return 10 * number
"""


@dataclass
class Setting:
    """A cache of a function of a module of its own, three examples, and what had to be made."""

    folder: Path
    function: Callable[[int], int]
    items: list[tuple[Example, ...]]

    def cache(self, *made_of) -> DiskCache:
        return DiskCache(self.folder / "cache", self.function, *made_of)

    def made(self, cache: DiskCache, items=None) -> tuple[list[str], list[int]]:
        """Return which were made, and all values."""
        made: list[str] = []

        def make(item) -> dict[str, np.ndarray]:
            made.append(item[0].key)
            return {"value": np.array([self.function(len(item[0].source.read_bytes()))])}

        values = [cache.arrays(item, make=lambda item=item: make(item))["value"] for item in items or self.items]
        return made, [int(one[0]) for one in values]


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    (tmp_path / "maker_of_cached.py").write_text(MAKER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "maker_of_cached", raising=False)
    from maker_of_cached import make

    items = []
    for number in range(3):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(b"x" * (number + 1))
        items.append((Example(str(number), source=path, labels={"a": 1.0}),))
    return Setting(tmp_path, make, items)


def test_what_was_made_once_is_read_ever_after(setting: Setting) -> None:
    assert setting.made(setting.cache()) == (["0", "1", "2"], [10, 20, 30])
    assert setting.made(setting.cache()) == ([], [10, 20, 30])


def test_another_option_makes_anew(setting: Setting) -> None:
    setting.made(setting.cache({"weight": torch.ones(2)}, 180))
    assert setting.made(setting.cache({"weight": torch.ones(2)}, 180))[0] == []
    assert setting.made(setting.cache({"weight": torch.zeros(2)}, 180))[0] == ["0", "1", "2"]
    assert setting.made(setting.cache({"weight": torch.ones(2)}, 181))[0] == ["0", "1", "2"]


def test_changed_code_makes_anew(setting: Setting) -> None:
    setting.made(setting.cache())
    path = setting.folder / "maker_of_cached.py"
    path.write_text(path.read_text() + "\n# another line\n", encoding="utf-8")
    assert setting.made(setting.cache())[0] == ["0", "1", "2"]


def test_a_changed_file_makes_its_own_array_anew(setting: Setting) -> None:
    setting.made(setting.cache())
    setting.items[1][0].source.write_bytes(b"longer")
    assert setting.made(setting.cache()) == (["1"], [10, 60, 30])


def test_a_changed_example_mask_or_further_file_makes_anew(setting: Setting) -> None:
    setting.made(setting.cache())
    path = setting.items[0][0].source
    assert setting.made(setting.cache(), [(Example("0", source=path, labels={"a": 0.0}),)])[0] == ["0"]
    masked = [(Example("0", source=path, labels={"a": 1.0}, masks={"m": MaskSource(runs=("1 2",))}),)]
    assert setting.made(setting.cache(), masked)[0] == ["0"]
    weights = setting.folder / "weights"
    for content in ("one", "other"):
        weights.write_text(content)
        assert setting.made(setting.cache([weights]))[0] == ["0", "1", "2"]


def test_another_version_of_a_library_makes_anew(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.made(setting.cache())
    monkeypatch.setattr(module, "_version", lambda name: "99" if name == "SimpleITK" else "1")
    assert setting.made(setting.cache())[0] == ["0", "1", "2"]


def test_an_array_that_was_cut_short_is_made_again(setting: Setting) -> None:
    cache = setting.cache()
    setting.made(cache)
    kept = cache.path(setting.items[2], suffix=".npz")
    kept.write_bytes(kept.read_bytes()[:40])
    assert setting.made(cache) == (["2"], [10, 20, 30])
    assert setting.made(cache)[0] == []


@pytest.mark.parametrize("error", [FileNotFoundError, KeyboardInterrupt])
def test_an_error_leaves_nothing_behind(setting: Setting, error: type[BaseException]) -> None:
    def broken() -> dict[str, np.ndarray]:
        raise error

    with pytest.raises(error):
        setting.cache().arrays("part", make=broken)
    assert not list(setting.folder.glob("cache/**/*.*"))


def test_a_function_without_a_module_of_its_own_and_a_strange_option_are_refused(setting: Setting) -> None:
    with pytest.raises(DataError, match="not a function of a module"):
        DiskCache(setting.folder, lambda item: {})
    with pytest.raises(DataError, match="A value of type object"):
        setting.cache(object())


def test_the_code_behind_a_function_is_all_that_it_reaches() -> None:
    names = {path.name for path in code_behind(load_image)}
    assert {"load.py", "reader.py", "dicom_volume.py", "rle.py", "geometry.py", "errors.py"} <= names
    assert not {"densenet40.py", "report.py"} & names


def test_digests_tell_apart_what_reads_alike() -> None:
    things = [1, "1", 1.0, True, [1], [[1]], None, np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((2, 3), np.float32)]
    things += [np.zeros(6), np.ones(6), torch.ones(6), "zeros", 0, {"a": [1, 2]}, {"a": [1], "b": 2}, units]
    assert len({digest_of(one) for one in things}) == len(things)
    assert digest_of(["a", "b"], "c") != digest_of(["a"], "b", "c")
    assert digest_of(np.float32(0.5)) == digest_of(0.5)
