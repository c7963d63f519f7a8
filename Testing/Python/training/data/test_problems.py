"""What is missing or wrong in a data set stands in its table of problems before anything is trained."""

import json
from pathlib import Path

import pandas as pd
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import read_data
from AcuteFindingsLib.training.data.checks import Problems, plausible_age, read_csv, without_repeats


def told(table, severity: str, *words: str) -> bool:
    """Whether one problem of this severity holds all the words."""
    return any(
        one.severity == severity and all(word in f"{one.file} {one.field} {one.line}" for word in words)
        for one in table.problems
    )


def spoil(builders, table: Path, change) -> None:
    """Rewrite a table after `change(rows)`, which gets all rows but the header."""
    header, *rows = builders.read_table(table)
    builders.write_table(table, header, change(rows))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["siim", "nih", "head-slices", "lung-masks", "rsna-hemorrhage"])
def test_a_missing_image_is_named_and_left_out(builders, tmp_path, kind: str) -> None:
    builders.BUILDERS[kind](tmp_path)
    before = read_data(kind, tmp_path)
    before.examples[0].source.unlink()
    table = read_data(kind, tmp_path)
    assert told(table, "warn", "1 of", "missing")
    assert len(table.require_usable()) == len(before) - 1


@pytest.mark.slow
def test_a_missing_slice_and_a_missing_folder_are_counted(builders, tmp_path) -> None:
    builders.build_pe_study(tmp_path, patients=2)
    table = read_data("pe-study", tmp_path)
    for one in table.examples[:3]:
        one.source.unlink()
    assert told(read_data("pe-study", tmp_path), "warn", "3 of", "images are missing")


def test_without_any_image_training_is_refused(builders, tmp_path) -> None:
    builders.build_nih(tmp_path, patients=2)
    for picture in tmp_path.rglob("*.png"):
        picture.unlink()
    table = read_data("nih", tmp_path)
    assert told(table, "error", "none of the 4 images")
    with pytest.raises(DataError, match="none of the 4 images exists"):
        table.require_usable()


@pytest.mark.slow
def test_a_missing_column_is_named(builders, tmp_path) -> None:
    builders.build_pe_study(tmp_path, patients=1)
    rows = builders.read_table(tmp_path / "train.csv")
    builders.write_table(tmp_path / "train.csv", rows[0][:5] + rows[0][6:], [row[:5] + row[6:] for row in rows[1:]])
    with pytest.raises(DataError, match=r"train\.csv has no column 'label'"):
        read_data("pe-study", tmp_path)


@pytest.mark.slow
def test_labels_that_are_neither_0_nor_1_are_unknown(builders, tmp_path) -> None:
    builders.build_head_slices(tmp_path)
    spoil(
        builders,
        tmp_path / "labels.csv",
        lambda rows: [[row[0], "2" if n == 1 else row[1], row[2]] for n, row in enumerate(rows)],
    )
    table = read_data("head-slices", tmp_path)
    assert told(table, "warn", "hemorrhage", "1 label neither 0 nor 1", "row 3")
    assert table.count().unknown == 1
    assert len(table.known()) == len(table) - 1


@pytest.mark.slow
def test_repeated_rows_are_used_once_and_contradictions_are_unknown(builders, tmp_path) -> None:
    builders.build_rsna_pe(tmp_path, patients=2)
    size = len(read_data("rsna-pe", tmp_path))

    def repeat(rows):
        other = [*rows[0][:3], str(1 - int(rows[0][3])), *rows[0][4:]]
        return [*rows, rows[1], other]

    spoil(builders, tmp_path / "train.csv", repeat)
    table = read_data("rsna-pe", tmp_path)
    assert len(table) == size
    assert told(table, "warn", "2 rows repeat")
    assert told(table, "warn", "1 image with rows that contradict each other")
    assert table.count().unknown == 1


def test_the_public_repeats_of_rsna_hemorrhage_do_no_harm_but_contradictions_are_told(builders, tmp_path) -> None:
    builders.build_rsna_hemorrhage(tmp_path, patients=1)
    assert not [one for one in read_data("rsna-hemorrhage", tmp_path).problems if one.severity != "info"]
    spoil(
        builders,
        tmp_path / "stage_2_train.csv",
        lambda rows: [*rows, [rows[0][0], str(1 - int(rows[0][1]))], ["ID_x_skull", "1"]],
    )
    table = read_data("rsna-hemorrhage", tmp_path)
    assert told(table, "warn", "given both as 0 and as 1")
    assert told(table, "warn", "not of the form ID_…_subtype", "ID_x_skull")


def test_an_any_without_a_subtype_is_told(builders, tmp_path) -> None:
    builders.build_rsna_hemorrhage(tmp_path, patients=2)
    spoil(
        builders,
        tmp_path / "stage_2_train.csv",
        lambda rows: [[row[0], "1" if row[0].endswith("_any") else "0"] for row in rows],
    )
    assert told(read_data("rsna-hemorrhage", tmp_path), "warn", "'any' that the subtypes contradict")


def test_siim_masks_that_do_not_fit_their_image_are_left_out(builders, tmp_path) -> None:
    builders.build_siim(tmp_path)

    def change(rows):
        rows[2][1] = "5000 10"  # behind the last of 64×64 pixels
        rows[4][1] = "1 2 3"
        return [*rows, [rows[0][0], "-1"], rows[1]]

    spoil(builders, tmp_path / "train-rle.csv", change)
    table = read_data("siim", tmp_path)
    assert told(table, "warn", "2 masks not in pairs of whole numbers, or larger than the image")
    assert told(table, "warn", "both a mask and -1")
    assert told(table, "info", "1 row said twice")
    assert table.count().unknown == 2


def test_a_damaged_dicom_file_is_left_out(builders, tmp_path) -> None:
    builders.build_siim(tmp_path, patients=3)
    read_data("siim", tmp_path).examples[0].source.write_bytes(b"nothing")
    table = read_data("siim", tmp_path)
    assert told(table, "warn", "1 file that cannot be read as DICOM")
    assert len(table.usable()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "column"), [("pe-study", "train.csv", 0), ("nih", "Data_Entry_2017.csv", 3)])
def test_rows_without_a_patient_are_left_out_and_all_without_is_an_error(
    builders, tmp_path, kind, name, column
) -> None:
    builders.BUILDERS[kind](tmp_path, patients=2)
    size = len(read_data(kind, tmp_path))

    def one(rows):
        rows[0][column] = ""
        return rows

    spoil(builders, tmp_path / name, one)
    table = read_data(kind, tmp_path)
    assert told(table, "warn", "1 row without a value")
    assert len(table) == size - 1

    def every(rows):
        return [[*row[:column], "", *row[column + 1 :]] for row in rows]

    spoil(builders, tmp_path / name, every)
    assert told(read_data(kind, tmp_path), "error", "images of one patient cannot be kept together")


def test_findings_and_ages_that_nobody_has_are_told(builders, tmp_path) -> None:
    builders.build_nih(tmp_path)

    def change(rows):
        rows[0][1], rows[1][1], rows[2][4], rows[3][4] = "Pneumonitis", "No Finding|Mass", "414", "058Y"
        return rows

    spoil(builders, tmp_path / "Data_Entry_2017.csv", change)
    table = read_data("nih", tmp_path)
    assert told(table, "warn", "none of the 14 findings", "Pneumonitis")
    assert told(table, "warn", "1 image with findings and 'No Finding'")
    assert told(table, "warn", "1 age below 0 or above 115")
    assert "age" not in table.examples[2].facts
    assert table.examples[3].facts["age"] == 58
    assert table.count().unknown == 1


def test_a_lung_mask_of_another_shape_is_left_out(builders, tmp_path) -> None:
    import numpy as np

    builders.build_lung_masks(tmp_path)
    builders.write_picture(tmp_path / "masks" / "radiograph-1.png", np.ones((64, 48)))
    table = read_data("lung-masks", tmp_path)
    assert told(table, "warn", "another shape than their image", "radiograph-1.png")
    assert len(table.usable()) == len(table) - 1


def test_a_phantom_with_a_missing_slice_or_mask_is_told(builders, tmp_path) -> None:
    builders.build_phantoms(tmp_path, "head-ct", patients=3)
    (tmp_path / "head-ct-1000" / "dicom" / "0003.dcm").unlink()
    (tmp_path / "head-ct-1001" / "truth" / "hemorrhage.nrrd").unlink()
    table = read_data("phantoms", tmp_path)
    assert told(table, "warn", "head-ct-1000", "the phantom is left out")
    assert told(table, "warn", "head-ct-1001/truth/hemorrhage.nrrd", "missing")
    assert set(table.rows["patient"]) == {"head-ct-1001", "head-ct-1002"}
    assert table.examples[0].masks == {}


def test_a_correction_with_a_damaged_mask_keeps_its_labels(builders, tmp_path) -> None:
    builders.build_corrections(tmp_path, count=1)
    next(tmp_path.rglob("corrected_mask.nrrd")).write_bytes(b"nothing")
    table = read_data("corrections", tmp_path)
    assert told(table, "warn", "the mask is missing or damaged")
    assert table.examples[1].labels["any"] == 1
    assert table.examples[1].masks == {}


def test_problems_name_no_folder_of_the_machine(builders, tmp_path) -> None:
    builders.build_siim(tmp_path, patients=2)
    next(tmp_path.rglob("*.dcm")).unlink()
    table = read_data("siim", tmp_path)
    assert table.problems
    assert not any(str(tmp_path) in f"{one.file} {one.text}" for one in table.problems)
    assert not any(name in one.text for one in table.problems for name in table.keys)


def test_errors_stand_first() -> None:
    problems = Problems()
    problems.add("info", "a", "", "x")
    problems.add("error", "b", "", "y")
    problems.add("warn", "c", "", "z")
    assert [one.severity for one in problems.sorted()] == ["error", "warn", "info"]


def test_a_table_that_is_none_is_an_error_in_words(tmp_path) -> None:
    (tmp_path / "train.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"train\.csv cannot be read as a table"):
        read_csv(tmp_path / "train.csv", ["label"])


def test_ages_are_read_as_dicom_writes_them() -> None:
    ages = plausible_age(pd.Series(["050Y", "006M", "014D", "61", "", "-3"]), "t", Problems())
    assert ages.round(2).tolist()[:4] == [50, 0.5, 0.04, 61]
    assert ages.isna().tolist()[4:] == [True, True]


def test_a_label_that_is_missing_in_one_of_two_rows_is_a_contradiction() -> None:
    frame = pd.DataFrame({"key": ["a", "a", "b"], "label": [1.0, float("nan"), 0.0]})
    kept = without_repeats(frame, "key", "t.csv", Problems(), labels=["label"])
    assert kept["label"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    "change",
    [
        {"segments": "x"},
        {"segments": [{"name": "Hemorrhage", "value": "many"}]},
        {"files": {"image": 7}},
        {"detector": 3},
    ],
)
def test_a_correction_whose_record_is_damaged_is_left_out_and_named(builders, tmp_path: Path, change: dict) -> None:
    folder = builders.build_corrections(tmp_path)
    record = sorted(folder.glob("*/correction.json"))[0]
    record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    table = read_data("corrections", folder, task="hemorrhage")
    assert told(table, "warn", record.parent.name, "left out")
    assert len(table) == 8


def test_slice_labels_whose_numbers_are_none_are_left_out_and_named(builders, tmp_path: Path) -> None:
    folder = builders.build_corrections(tmp_path, count=1)
    path = next(folder.glob("*/slice_labels.csv"))
    path.write_text(path.read_text().replace("\n2,", "\n2.1.2,"))
    assert told(read_data("corrections", folder, task="hemorrhage"), "warn", "slice_labels.csv", "numbered")
