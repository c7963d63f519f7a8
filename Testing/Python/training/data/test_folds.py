from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import DataTable, Example, folds, read_data, split
from AcuteFindingsLib.training.data.folds import inseparable


def table_of(patients, groups=None, labels=None) -> DataTable:
    groups = groups or [""] * len(patients)
    labels = [0.0] * len(patients) if labels is None else labels
    examples = [
        Example(f"{number:05d}", patient=str(patient), group=str(group), labels={"any": float(label)})
        for number, (patient, group, label) in enumerate(zip(patients, groups, labels, strict=True))
    ]
    return DataTable.from_examples("test", "hemorrhage", ["any"], examples, root=Path())


def random_table(seed: int, count: int = 300) -> DataTable:
    generator = np.random.default_rng(seed)
    patients = generator.integers(0, count // 3, count)
    groups = [f"g{generator.integers(0, count // 2)}" if generator.random() < 0.1 else "" for _ in range(count)]
    return table_of(patients, groups, generator.random(count) < 0.05)


def nothing_on_both_sides(one: DataTable, other: DataTable) -> None:
    for column in ("key", "patient", "group"):
        assert not set(one.rows[column]) & set(other.rows[column]), column


@pytest.mark.parametrize("seed", range(10))
def test_no_patient_and_no_near_duplicate_stands_on_both_sides_of_a_fold(seed: int) -> None:
    table = random_table(seed)
    turns = folds(table, count=5, seed=seed)
    for turn in turns:
        nothing_on_both_sides(turn.train, turn.held_out)
        assert len(turn.train) + len(turn.held_out) == len(table)
    held_out = [key for turn in turns for key in turn.held_out.keys]
    assert sorted(held_out) == sorted(table.keys)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_patient_and_no_near_duplicate_stands_in_two_parts_of_a_split(seed: int) -> None:
    table = random_table(seed)
    parts = split(table, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=seed)
    assert sorted(key for part in parts.values() for key in part.keys) == sorted(table.keys)
    for name in parts:
        for other in set(parts) - {name}:
            nothing_on_both_sides(parts[name], parts[other])
    shares = [len(part) / len(table) for part in parts.values()]
    assert np.allclose(shares, [0.7, 0.1, 0.2], atol=0.03)


def test_a_chain_of_patients_and_near_duplicates_stays_together() -> None:
    # A has an image like one of B, B one like one of C, and C one like one of D; E and F stand alone.
    patients = ["A", "A", "B", "B", "C", "C", "D", "E", "E", "F", "F"]
    groups = ["", "x", "x", "y", "y", "z", "z", "", "", "", ""]
    together = inseparable(table_of(patients, groups))
    assert len(set(together[:7])) == 1
    assert len(set(together)) == 3
    for turn in folds(table_of(patients, groups), count=3):
        chain = {"A", "B", "C", "D"} & set(turn.held_out.rows["patient"])
        assert len(chain) in (0, 4)


def test_a_patient_and_a_group_of_the_same_name_are_not_mixed_up() -> None:
    assert len(set(inseparable(table_of(["1", "2"], ["2", "3"])))) == 2


def test_positives_are_spread_over_all_folds() -> None:
    table = table_of(range(200), labels=[number < 10 for number in range(200)])
    assert [turn.held_out.count().positive for turn in folds(table, count=5)] == [2] * 5
    parts = split(table, {"train": 0.5, "test": 0.5})
    assert [part.count().positive for part in parts.values()] == [5, 5]


def test_unknown_labels_are_spread_too() -> None:
    table = table_of(range(100), labels=[float("nan")] * 20 + [0.0] * 60 + [1.0] * 20)
    assert [turn.held_out.count().unknown for turn in folds(table, count=5)] == [4] * 5


def test_the_same_seed_divides_alike_whatever_the_order_of_the_rows() -> None:
    table = random_table(3)
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    for one, other in zip(folds(table, seed=4), folds(shuffled, seed=4), strict=True):
        assert set(one.held_out.keys) == set(other.held_out.keys)
    assert {frozenset(one.held_out.keys) for one in folds(table, seed=4)} != {
        frozenset(one.held_out.keys) for one in folds(table, seed=5)
    }


def test_a_class_smaller_than_the_folds_is_no_obstacle() -> None:
    table = table_of(range(20), labels=[1.0] + [0.0] * 19)
    assert sum(turn.held_out.count().positive for turn in folds(table, count=5)) == 1
    assert all(len(turn.held_out) for turn in folds(table_of(range(5), labels=[0, 0, 1, 1, 1]), count=5))


def test_what_cannot_be_divided_is_told() -> None:
    with pytest.raises(DataError, match=r"2 separable patients .* into 5 parts"):
        folds(table_of(["a", "a", "b"]), count=5)
    with pytest.raises(DataError, match=r"add up to 1; got train 0\.5, test 0\.4"):
        split(table_of(range(9)), {"train": 0.5, "test": 0.4})
    with pytest.raises(DataError, match="1 separable patients cannot be divided into 2 parts"):
        split(table_of(["a", "a"]), {"train": 0.5, "test": 0.5})


def test_every_part_gets_something_however_few_patients_there_are() -> None:
    parts = split(table_of(range(3)), {"train": 0.9, "validation": 0.05, "test": 0.05})
    assert sorted(len(part) for part in parts.values()) == [1, 1, 1]


def test_the_real_near_duplicates_are_kept_together(data_folder) -> None:
    table = read_data("head-slices", data_folder / "head-ct-slices")
    assert len(set(table.rows["group"])) < len(table)
    for turn in folds(table, count=5, seed=1):
        nothing_on_both_sides(turn.train, turn.held_out)
        assert (turn.held_out.count().positive, turn.held_out.count().negative) == (14, 14)
