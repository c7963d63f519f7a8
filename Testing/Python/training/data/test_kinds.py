"""A data set is known by what its tables hold, not by what they are called."""

from pathlib import Path

import pandas as pd
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import detect_kind
from AcuteFindingsLib.training.data.checks import table_with

TABLES = {
    "siim": {"ImageId": ["1.2.3", "1.2.4"], " EncodedPixels": ["-1", "10 5"]},
    "rsna-hemorrhage": {"ID": ["ID_1_any", "ID_1_epidural"], "Label": [0, 0]},
    "nih": {"Image Index": ["a.png"], "Finding Labels": ["No Finding"], "Patient ID": [1]},
    "padchest": {
        "ImageID": ["a.png"],
        "ImageDir": [0],
        "PatientID": [1],
        "Projection": ["PA"],
        "Labels": ["['normal']"],
    },
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("name", ["stage_2_train.csv", "train-rle.csv", "Data_Entry_2017.csv", "labels_v2.csv"])
def test_the_columns_decide_whatever_the_table_is_called(kind: str, name: str, tmp_path: Path) -> None:
    pd.DataFrame(TABLES[kind]).to_csv(tmp_path / name, index=False)
    (tmp_path / f"._{name}").write_bytes(b"\0\5\x16\7")
    assert detect_kind(tmp_path) == kind


@pytest.mark.parametrize("form", ["semicolon", "utf-16", "sheet", "gzip"])
def test_the_form_of_the_table_does_not_matter(form: str, tmp_path: Path) -> None:
    table = pd.DataFrame(TABLES["siim"])
    if form == "sheet":
        table.to_excel(tmp_path / "train.xlsx", index=False)
    elif form == "gzip":
        table.to_csv(tmp_path / "train.csv.gz", index=False)
    else:
        encoding = "utf-16" if form == "utf-16" else "utf-8"
        table.to_csv(tmp_path / "train.csv", index=False, sep=";", encoding=encoding)
    assert detect_kind(tmp_path) == "siim"


def test_a_folder_that_could_be_two_kinds_asks_which(tmp_path: Path) -> None:
    pd.DataFrame(TABLES["siim"]).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame(TABLES["nih"]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match=r"siim or nih.*--kind"):
        detect_kind(tmp_path)


def test_other_tables_with_common_columns_are_no_challenge(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("ID,Label\nscan7,1\n")
    with pytest.raises(DataError, match="is not a data set in a known layout"):
        detect_kind(tmp_path)


def test_of_several_fitting_tables_the_best_named_and_newest_is_read(tmp_path: Path) -> None:
    for name in ("zz.csv", "train-rle.csv", "stage_2_train.csv"):
        pd.DataFrame(TABLES["siim"]).to_csv(tmp_path / name, index=False)
    found = table_with(tmp_path, ("train-rle.csv", "stage_2_train.csv"), ("ImageId",))
    assert found == tmp_path / "train-rle.csv"
    (tmp_path / "train-rle.csv").unlink()
    assert table_with(tmp_path, ("train-rle.csv", "stage_2_train.csv"), ("ImageId",)) == tmp_path / "stage_2_train.csv"


def test_a_large_table_is_known_by_its_beginning(tmp_path: Path) -> None:
    with (tmp_path / "big.csv").open("w", encoding="utf-16") as stream:
        stream.write("ImageId;EncodedPixels\n")
        stream.writelines(f"1.2.{number};-1\n" for number in range(60_000))
    assert detect_kind(tmp_path) == "siim"
