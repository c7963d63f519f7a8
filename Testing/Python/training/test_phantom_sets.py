from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.training import phantom_sets
from AcuteFindingsLib.training.phantom_sets import phantom_arrays

# Made in processes of their own, so it has to be a module that they can import.
MAKER = """
from pathlib import Path
import numpy as np
def make(seed, *, log, factor):
    with Path(log).open("a") as stream:
        stream.write(f"{seed}\\n")
    return {"value": np.array([seed * factor]), "plane": np.full((2, 3), seed, np.uint8)}
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function `make(seeds, **options)` that gives the arrays and the seeds that were made for them."""
    (tmp_path / "maker_of_arrays.py").write_text(MAKER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    library = tmp_path / "library"
    (library / "training").mkdir(parents=True)
    (library / "phantoms").mkdir()
    (library / "phantoms" / "leg.py").write_text("bones = 26\n", encoding="utf-8")
    monkeypatch.setattr(phantom_sets, "__file__", str(library / "training" / "phantom_sets.py"))
    from maker_of_arrays import make as function

    log = tmp_path / "log.txt"

    def run(seeds, *, factor: int = 10):
        log.write_text("", encoding="utf-8")
        sets = phantom_arrays(
            function,
            seeds,
            cache=tmp_path / "cache",
            workers=1,
            report=lambda text: None,
            sources=("phantoms/leg*.py",),
            log=str(log),
            factor=factor,
        )
        return sets, sorted(int(line) for line in log.read_text(encoding="utf-8").split())

    return run


def test_what_was_made_once_is_read_from_the_cache(make, tmp_path: Path) -> None:
    first, made = make(range(3, 6))
    assert made == [3, 4, 5]
    assert [int(item["value"][0]) for item in first] == [30, 40, 50]
    assert first[0]["plane"].dtype == np.uint8
    assert set(first[0]) == {"value", "plane"}
    again, made = make([5, 3])
    assert made == []
    assert [int(item["value"][0]) for item in again] == [50, 30]
    _, made = make(range(4, 8))
    assert made == [6, 7]


def test_another_option_or_a_changed_source_makes_anew(make, tmp_path: Path) -> None:
    make([1])
    sets, made = make([1], factor=7)
    assert (made, int(sets[0]["value"][0])) == ([1], 7)
    (tmp_path / "library" / "phantoms" / "leg.py").write_text("bones = 27\n", encoding="utf-8")
    assert make([1])[1] == [1]
