import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import Example, MaskSource
from AcuteFindingsLib.training.data import cache as module
from AcuteFindingsLib.training.data.cache import ArrayCache, code_behind, prefetch
from AcuteFindingsLib.training.data.load import load_image

# Made in processes of their own too, so it has to be a module that they can import.
MAKER = """
import numpy as np
def make(item, *, log, factor=10):
    with open(log, "a") as stream:
        stream.write(",".join(one.key for one in item) + "\\n")
    return {"value": np.array([factor * len(one.source.read_bytes()) for one in item])}
"""


@dataclass
class Setting:
    """A cache of a function that notes what it made."""

    folder: Path
    log: Path
    items: list[list[Example]]
    function: object

    def cache(self, **options) -> ArrayCache:
        by_content = options.pop("by_content", False)
        sources = options.pop("sources", ())
        return ArrayCache(
            self.folder / "cache",
            self.function,
            options={"log": str(self.log), **options},
            by_content=by_content,
            sources=sources,
        )

    def made(self, cache: ArrayCache, items=None) -> tuple[list[str], list[int]]:
        """Return what had to be made, and all values."""
        self.log.write_text("")
        values = [cache.get(item)["value"].tolist() for item in items or self.items]
        return self.log.read_text().split(), [number for one in values for number in one]


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
        items.append([Example(str(number), source=path, labels={"a": 1.0})])
    return Setting(tmp_path, tmp_path / "log.txt", items, make)


def test_what_was_made_once_is_read_ever_after(setting: Setting) -> None:
    assert setting.made(setting.cache()) == (["0", "1", "2"], [10, 20, 30])
    assert setting.made(setting.cache()) == ([], [10, 20, 30])


def test_another_option_makes_anew(setting: Setting) -> None:
    setting.made(setting.cache())
    assert setting.made(setting.cache(factor=7)) == (["0", "1", "2"], [7, 14, 21])
    assert setting.made(setting.cache(factor=7))[0] == []


def test_changed_code_makes_anew(setting: Setting) -> None:
    setting.made(setting.cache())
    path = setting.folder / "maker_of_cached.py"
    path.write_text(path.read_text() + "\n# another line\n", encoding="utf-8")
    assert setting.made(setting.cache())[0] == ["0", "1", "2"]


def test_a_changed_file_makes_its_own_array_anew(setting: Setting) -> None:
    setting.made(setting.cache())
    setting.items[1][0].source.write_bytes(b"longer")
    assert setting.made(setting.cache()) == (["1"], [10, 60, 30])


def test_a_file_changed_under_its_old_time_is_noticed_by_content(setting: Setting) -> None:
    setting.made(setting.cache(by_content=True))
    path = setting.items[1][0].source
    before = path.stat()
    path.write_bytes(b"yy")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert setting.made(setting.cache(by_content=True))[0] == ["1"]


def test_a_changed_example_mask_or_further_file_makes_anew(setting: Setting) -> None:
    setting.made(setting.cache())
    path = setting.items[0][0].source
    assert setting.made(setting.cache(), [[Example("0", source=path, labels={"a": 0.0})]])[0] == ["0"]
    masked = [[Example("0", source=path, labels={"a": 1.0}, masks={"m": MaskSource(runs=("1 2",))})]]
    assert setting.made(setting.cache(), masked)[0] == ["0"]
    weights = setting.folder / "weights"
    for content in ("one", "two"):
        weights.write_text(content)
        assert setting.made(setting.cache(sources=[weights]))[0] == ["0", "1", "2"]


def test_another_version_of_a_library_makes_anew(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.made(setting.cache())
    monkeypatch.setattr(module, "_version", lambda name: "99" if name == "SimpleITK" else "1")
    assert setting.made(setting.cache())[0] == ["0", "1", "2"]


def test_an_array_that_was_cut_short_is_made_again(setting: Setting) -> None:
    cache = setting.cache()
    setting.made(cache)
    kept = cache.path(setting.items[2])
    kept.write_bytes(kept.read_bytes()[:40])
    assert setting.made(cache) == (["2"], [10, 20, 30])
    assert setting.made(cache)[0] == []


def test_an_error_leaves_nothing_behind(setting: Setting) -> None:
    cache = setting.cache()
    setting.items[0][0].source.unlink()
    with pytest.raises(FileNotFoundError):
        cache.get(setting.items[0])
    assert not list(setting.folder.glob("cache/**/*.*"))


def test_workers_fill_the_cache_and_batches_come_ahead(setting: Setting) -> None:
    told: list[float] = []
    items = setting.cache().fill(setting.items, workers=1, progress=lambda text, share: told.append(share))
    assert told == pytest.approx([1 / 3, 2 / 3, 1])
    setting.log.write_text("")
    values = [batch["value"].flatten().tolist() for batch in prefetch(items, workers=0, batch_size=2)]
    assert values == [[10, 20], [30]]
    assert setting.log.read_text() == ""


def test_a_function_without_a_module_of_its_own_and_a_strange_option_are_refused(setting: Setting) -> None:
    with pytest.raises(DataError, match="no function of a module"):
        ArrayCache(setting.folder, lambda item: {})
    with pytest.raises(DataError, match="An option of type object"):
        setting.cache(thing=object()).get(setting.items[0])


def test_the_code_behind_a_function_is_all_that_it_reaches() -> None:
    names = {path.name for path in code_behind(load_image)}
    assert {"load.py", "reader.py", "dicom_volume.py", "rle.py", "geometry.py", "errors.py"} <= names
    assert not {"densenet40.py", "report.py"} & names


def test_keys_differ_for_types_that_read_alike() -> None:
    plain = [module._plain(value) for value in (1, "1", 1.0, True, [1], None)]
    assert len({repr(one) for one in plain}) == len(plain)
    assert module._plain(np.float32(0.5)) == 0.5
    assert module._plain(np.zeros(2)) != module._plain(np.ones(2))
