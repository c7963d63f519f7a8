from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import Box, DataTable, Example, MaskSource, Problem


@pytest.fixture
def table() -> DataTable:
    root = Path("data")
    examples = [
        Example("a", patient="p", series="s", order=2, source=root / "a.dcm", labels={"any": 1}, facts={"sex": "F"}),
        Example("b", patient="p", series="s", order=1, source=root / "b.dcm", labels={"any": 0}, facts={"age": 40}),
        Example("c", source=root / "c.png", masks={"x": MaskSource(runs=("1 2",))}, boxes=(Box("x", 1, 2, 3, 4),)),
        Example("d", labels={"any": 0.5}),
    ]
    return DataTable.from_examples("test", "hemorrhage", ["any"], examples, root=root)


def test_examples_come_back_as_they_were(table: DataTable) -> None:
    first, _, third, last = table.examples
    assert (first.source, first.patient, first.group, first.order) == (Path("data/a.dcm"), "p", "a", 2)
    assert (first.labels, first.facts, first.task) == ({"any": 1}, {"sex": "F"}, "hemorrhage")
    assert (third.mask.runs, third.boxes[0].height, third.patient) == (("1 2",), 4, "c")
    assert np.isnan(third.labels["any"])
    assert last.source is None
    assert last.mask is None
    assert len(table.examples[1:3]) == 2
    assert table.examples[-1].key == "d"


def test_selecting_keeps_masks_and_boxes_with_their_example(table: DataTable) -> None:
    chosen = table.select(["c", "a"])
    assert [one.key for one in chosen.examples] == ["c", "a"]
    assert chosen.examples[0].mask.runs == ("1 2",)
    assert chosen.examples[0].boxes
    assert chosen.examples[1].mask is None
    assert [one.key for one in table.usable().examples] == ["a", "b", "c"]
    assert [one.key for one in table.known().examples] == ["a", "b", "d"]
    with pytest.raises(DataError, match="no example 'z'"):
        table.select(["a", "z"])


def test_labels_are_counted(table: DataTable) -> None:
    counts = table.count()
    assert (counts.positive, counts.negative, counts.unknown) == (2, 1, 1)
    assert counts.share == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="no label 'pe'; it has any"):
        table.label("pe")


def test_series_are_sorted_and_single_images_left_out(table: DataTable) -> None:
    assert [[one.key for one in slices] for slices in table.by_series()] == [["b", "a"]]


def test_an_error_stops_training_and_names_its_place(table: DataTable) -> None:
    from dataclasses import replace

    spoiled = replace(table, problems=(Problem("error", "t.csv", "label", "all wrong."),) * 2)
    with pytest.raises(DataError, match=r"t\.csv, label: all wrong\. \(1 more"):
        spoiled.require_usable()
    with pytest.raises(DataError, match="holds no image"):
        table.select(["d"]).require_usable()


def test_a_million_rows_are_a_table_and_not_a_million_objects() -> None:
    import pandas as pd

    count = 1_000_000
    rows = pd.DataFrame(
        {
            "key": np.arange(count).astype(object), "patient": "p", "group": "g", "series": "", "order": 0.0,
            "source": "x", "frame": 0,
        }
    )  # fmt: skip
    labels = pd.DataFrame({"pe": np.zeros(count, np.float32)})
    table = DataTable("test", "pe", ("pe",), rows, labels, pd.DataFrame(index=rows.index), Path())
    assert len(table.examples) == count
    assert table.examples[999_999].key == 999_999
    assert table.count().negative == count
