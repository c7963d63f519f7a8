import json
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.predictions import (
    join_tables,
    read_predictions,
    read_runs,
    study_scores,
    write_runs,
)


def finding(verdict: float, slices: list[float], *, label: str = "any", verdict_label: str = "positive") -> dict:
    return {
        "main_label": label,
        "model": {"id": "radnet-small", "version": "1.0"},
        "verdict": {"label": verdict_label, "probability": verdict, "threshold": 0.3},
        "slice_threshold": 0.2,
        "series_instance_uid": "",
        "slices": [
            {"index": number, "sop_instance_uid": f"1.2.{number}", "probabilities": {label: value, "subdural": 0.1}}
            for number, value in enumerate(slices)
        ],
    }


def test_the_table_of_predict_is_read(table) -> None:
    found = read_predictions(table("p.csv", ["image", "any", "subdural"], [["a.png", 0.25, 0.5], ["b.png", 1, 0]]))
    (scores,) = found.levels
    assert (scores.labels, scores.keys, scores.level) == (("any", "subdural"), (("a.png",), ("b.png",)), "image")
    assert scores.values.tolist() == [[0.25, 0.5], [1, 0]]


def test_runs_come_back_as_they_were_written(tmp_path: Path) -> None:
    runs = [np.random.default_rng(seed).random((7, 5)) for seed in range(3)]
    path = write_runs(tmp_path / "preds.csv", runs)
    again = read_runs(path)
    assert list(again) == ["Preds_model1", "Preds_model2", "Preds_model3"]
    for (back,), run in zip(again.values(), runs, strict=True):
        assert (back == run).all()
    (scores,) = read_predictions(path).levels
    assert scores.values == pytest.approx(np.mean(runs, axis=0))
    assert list(scores.runs) == list(again)


def test_runs_as_pandas_writes_a_frame_of_lists_are_read(tmp_path: Path) -> None:
    import pandas as pd

    runs = {f"Preds_model{number}": [[[0.125, 0.5], [0.75, number / 8]]] for number in (1, 2, 3)}
    pd.DataFrame(runs).to_csv(tmp_path / "TD_preds.csv")
    again = read_runs(tmp_path / "TD_preds.csv")
    assert {name: rows[0].tolist() for name, rows in again.items()} == {name: rows[0] for name, rows in runs.items()}


def test_a_file_with_a_row_a_model_keeps_every_row(table) -> None:
    path = table(
        "p.csv", ["model", "Preds_model1", "Preds_model2"], [["x", "[[0.1]]", "[[0.3]]"], ["y", "[[0.5]]", ""]]
    )
    assert {name: len(rows) for name, rows in read_runs(path).items()} == {"Preds_model1": 2, "Preds_model2": 1}
    (scores,) = read_predictions(path).levels
    assert scores.values[0, 0] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("cell", "words"),
    [("[0.1, 0.2]", "one list of probabilities per image"), ("[[0.1], [", "list of lists"), ("[[7.5]]", "0..1")],
)
def test_a_cell_that_is_no_list_of_lists_of_probabilities_is_refused(table, cell: str, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        read_runs(table("p.csv", ["Preds_model1"], [[cell]]))


def test_tables_of_runs_are_joined_in_the_order_of_the_truth(table) -> None:
    one = table("1.csv", ["image", "a", "b"], [["x.png", 0.1, 0.2], ["y.png", 0.3, 0.4]])
    two = table("2.csv", ["image", "b", "a"], [["y.png", 0.8, 0.7], ["x.png", 0.6, 0.5]])
    joined = join_tables([one, two], order=table("t.csv", ["Image Index", "a"], [["y.png", 1], ["x.png", 0]]))
    assert joined.labels == ("a", "b")
    assert [run.tolist() for run in joined.runs] == [[[0.3, 0.4], [0.1, 0.2]], [[0.7, 0.8], [0.5, 0.6]]]
    with pytest.raises(EvaluationError, match="lacks 1 of 2 images"):
        join_tables([one, table("3.csv", ["image", "a", "b"], [["x.png", 0, 0]])])


def test_findings_give_studies_and_slices(tmp_path: Path) -> None:
    for name, item in (
        ("s1", finding(0.9, [0.1, 0.8])),
        ("s2", finding(0.2, [0.2, 0.3, 0.1], verdict_label="indeterminate")),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "finding.json").write_text(json.dumps(item))
    found = read_predictions(tmp_path)
    study, slices = found.levels
    assert study.labels == ("any",)
    assert study.values[:, 0].tolist() == [0.9, 0.2]
    assert [keys[0] for keys in study.keys] == ["s1", "s2"]
    assert (study.thresholds, slices.thresholds) == ({"any": 0.3}, {"any": 0.2})
    assert slices.groups == ("s1", "s1", "s2", "s2", "s2")
    assert slices.keys[2] == ("1.2.0", "s2#1")
    assert found.model == "radnet-small 1.0"
    assert "1 of 2 verdicts are indeterminate" in found.notices[0]


def test_a_radiographs_finding_gives_its_labels_with_the_verdicts_probability(tmp_path: Path) -> None:
    (tmp_path / "finding.json").write_text(json.dumps(finding(0.7, [0.6], label="pneumothorax")))
    (study,) = read_predictions(tmp_path).levels
    assert dict(zip(study.labels, study.values[0], strict=True)) == {"pneumothorax": 0.7, "subdural": 0.1}


def test_a_study_is_as_probable_as_its_highest_slice(table) -> None:
    (scores,) = read_predictions(table("p.csv", ["image", "pe"], [["a", 0.1], ["b", 0.9], ["c", 0.3]])).levels
    study = study_scores(scores, ["s1", "s1", "s2"])
    assert (study.keys, study.values[:, 0].tolist()) == ((("s1",), ("s2",)), [0.9, 0.3])


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (["patient", "any"], [["a", 0.5]], "no column that names the images"),
        (["image", "any"], [["a", 0.5], ["a", 0.6]], "must name every image once"),
        (["image", "any"], [["a", "high"]], "no column of probabilities"),
    ],
)
def test_a_table_that_is_none_of_predictions_says_why(table, header, rows, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        read_predictions(table("p.csv", header, rows))
