"""`acutefindings explore`: what the page and the numbers hold, and what they must not hold."""

import json
import re

import numpy as np
import pytest

from AcuteFindingsLib.training.data import read_data
from AcuteFindingsLib.training.data.look.page import render_look, write_look
from AcuteFindingsLib.training.data.look.sample import open_sample
from AcuteFindingsLib.training.data.look.summary import summarize

pytestmark = pytest.mark.slow


def strict(numbers) -> str:
    return json.dumps(numbers, allow_nan=False)


@pytest.mark.parametrize("kind", ["siim", "nih", "lung-masks", "rsna-pe", "padchest", "corrections"])
def test_page_and_numbers_name_no_patient_and_no_file(native, tmp_path, kind: str) -> None:
    table = read_data(kind, native(kind))
    page, numbers = write_look(table, open_sample(table, count=8, pictures=4), tmp_path)
    text = re.sub(r"base64,[^\"]+", "", page.read_text(encoding="utf-8")) + numbers.read_text(encoding="utf-8")
    assert "Five folds by patient" in text
    names = {*table.rows["key"], *(one for one in table.rows["patient"] if len(one) > 3), *table.rows["source"]}
    assert [name for name in names if name in text] == []
    assert str(native(kind)) not in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_problems_stand_in_the_page_without_the_names_of_images(builders, tmp_path) -> None:
    builders.build_nih(tmp_path, patients=3)
    next(tmp_path.rglob("00000001_000.png")).unlink()
    table = read_data("nih", tmp_path)
    assert "00000001_000.png" in table.problems[0].line
    numbers = summarize(table, open_sample(table, count=4))
    page = render_look(table, open_sample(table, count=4), numbers)
    assert "1 of 6 images are missing" in page
    assert "00000001_000" not in page + strict(numbers)


def test_counts_classes_and_facts_are_right(native) -> None:
    table = read_data("nih", native("nih"))
    numbers = summarize(table, open_sample(table, count=12))
    assert numbers["counts"]["images"] == 12
    assert numbers["counts"]["patients"] == 6
    main = numbers["labels"][0]
    assert (main["label"], main["positive"], main["negative"], main["patients_positive"]) == ("pneumothorax", 6, 6, 3)
    assert numbers["facts"]["sex"]["counts"] == {"M": 6, "F": 6}
    assert (numbers["facts"]["age"]["min"], numbers["facts"]["age"]["max"]) == (30, 65)
    assert sum(row["images"] for row in numbers["folds"]) == 12
    strict(numbers)


def test_a_fact_that_goes_with_the_label_is_caught(builders, tmp_path) -> None:
    builders.build_head_slices(tmp_path, patients=24)
    for number in range(0, 24, 2):  # the positives
        builders.write_picture(tmp_path / "images" / f"{number:03d}.png", np.full((80, 64), 0.4))
    table = read_data("head-slices", tmp_path)
    found = {row["fact"]: row for row in summarize(table, open_sample(table))["shortcuts"]}
    height = found["Image height (px)"]
    assert (height["auc"], height["higher_in"], height["separates"]) == (1.0, "positive", True)
    assert "Image width (px)" not in found  # the same in all


def test_slices_and_masks_are_counted_where_there_are_any(native) -> None:
    heads = read_data("phantoms", native("phantoms/head-ct"))
    numbers = summarize(heads, open_sample(heads, count=20))
    assert numbers["slices"]["per_series"]["count"] == 4
    assert numbers["slices"]["positive_series"] == 2
    assert numbers["masks"]["percent_of_image"]["count"] > 0
    assert numbers["counts"]["with_mask"] == len(heads)
    pictures = open_sample(heads, count=20, pictures=4).pictures
    assert [one.positive for one in pictures] == [True, True, False, False]
    assert all(one.source.startswith("data:image/png") for one in pictures)


def test_header_facts_of_opened_images_fill_what_the_table_lacks(native) -> None:
    table = read_data("rsna-pe", native("rsna-pe"))
    numbers = summarize(table, open_sample(table, count=6))
    assert numbers["facts"]["thickness_mm"]["known"] == 6
    assert numbers["facts"]["thickness_mm"]["median"] == 10


def test_an_image_that_cannot_be_opened_is_counted_and_told(builders, tmp_path) -> None:
    builders.build_nih(tmp_path, patients=3)
    next(tmp_path.rglob("*.png")).write_bytes(b"no picture")
    table = read_data("nih", tmp_path)
    sample = open_sample(table)
    assert sum(sample.unreadable.values()) == 1
    assert "1 of 6 images that were opened cannot be read" in render_look(table, sample, summarize(table, sample))


def test_the_oldest_are_not_told_apart(builders, tmp_path) -> None:
    builders.build_nih(tmp_path, patients=2)
    header, *rows = builders.read_table(tmp_path / "Data_Entry_2017.csv")
    builders.write_table(tmp_path / "Data_Entry_2017.csv", header, [[*row[:4], "97", *row[5:]] for row in rows])
    captions = [one.caption for one in open_sample(read_data("nih", tmp_path)).pictures]
    assert captions
    assert all("90 or older" in one and "97" not in one for one in captions)


def test_the_command_writes_the_page_and_prints_what_is_wrong(builders, tmp_path, capsys, monkeypatch) -> None:
    from AcuteFindingsLib.cli import main

    builders.build_siim(tmp_path / "data", patients=4)
    next((tmp_path / "data").rglob("*.dcm")).unlink()
    out = tmp_path / "out"
    arguments = ["acutefindings", "explore", str(tmp_path / "data"), "--out", str(out), "--cache", str(tmp_path / "c")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "siim: 4 images" in printed
    assert "missing" in printed
    assert (out / "explore.html").is_file()
    assert json.loads((out / "explore.json").read_text())["kind"] == "siim"
