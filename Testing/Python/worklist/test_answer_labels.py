"""What readers answered, as the truth that `evaluate` takes."""

import csv
import json
from pathlib import Path

import pytest

from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.worklist.answer_labels import SLICES, STUDIES, finding_present, write_labels
from AcuteFindingsLib.worklist.item import WorklistItem


def _finding(results: Path, key: str, *, label: str = "any", slices: int = 4, runs=((1, 2),), verdict="positive"):
    folder = results / key
    folder.mkdir(parents=True)
    data = {
        "main_label": label,
        "verdict": {"label": verdict, "probability": 0.8, "threshold": 0.5},
        "slices": [
            {"index": place, "sop_instance_uid": f"1.2.{int(key, 36)}.{place}", "probabilities": {label: 0.7}}
            for place in range(slices)
        ],
        "positive_runs": [list(run) for run in runs],
        "model": {"id": "m", "version": "1"},
        "slice_threshold": 0.5,
        "series_instance_uid": "",
    }
    (folder / "finding.json").write_text(json.dumps(data))


def _item(key: str, verdict: str, answer: str, state: str = "done") -> WorklistItem:
    return WorklistItem(key, "hemorrhage", state, verdict=verdict, answer=answer)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("verdict", "answer", "present"),
    [
        ("positive", "agree", True),
        ("positive", "disagree", False),
        ("negative", "agree", False),
        ("negative", "disagree", True),
        ("positive", "unsure", None),
        ("indeterminate", "agree", None),
        ("indeterminate", "disagree", None),
        (None, "agree", None),
    ],
)
def test_an_answer_and_a_verdict_together_say_whether_the_finding_is_there(verdict, answer, present):
    assert finding_present(verdict, answer) is present


def test_slices_are_labeled_only_where_reader_and_model_say_where(tmp_path):
    for key in "abcd":
        _finding(tmp_path, key)
    items = [
        _item("a", "positive", "agree"),
        _item("b", "positive", "disagree"),
        _item("c", "negative", "disagree"),
        _item("d", "positive", "unsure"),
    ]
    written = write_labels(items, tmp_path, tmp_path / "labels")
    assert [(row["study"], row["any"]) for row in _rows(tmp_path / "labels" / STUDIES)] == [
        ("a", "1"),
        ("b", "0"),
        ("c", "1"),
    ]
    by_study: dict[str, list[str]] = {}
    for row in _rows(tmp_path / "labels" / SLICES):
        by_study.setdefault(row["study"], []).append(row["any"])
    assert by_study == {"a": ["1", "1"], "b": ["0"] * 4}
    assert (written.studies, written.slices, written.left_out) == (3, 6, 1)


def test_each_detector_has_its_own_column_and_says_nothing_of_the_others(tmp_path):
    _finding(tmp_path, "a")
    _finding(tmp_path, "b", label="pe")
    write_labels([_item("a", "positive", "agree"), _item("b", "negative", "agree")], tmp_path, tmp_path / "labels")
    assert _rows(tmp_path / "labels" / STUDIES) == [
        {"study": "a", "any": "1", "pe": ""},
        {"study": "b", "any": "", "pe": "0"},
    ]


def test_a_radiograph_is_a_study_without_slices(tmp_path):
    _finding(tmp_path, "a", slices=1, runs=((0, 0),))
    assert write_labels([_item("a", "positive", "agree")], tmp_path, tmp_path / "labels").slices == 0


def test_without_an_answer_that_says_something_nothing_is_written(tmp_path):
    _finding(tmp_path, "a")
    with pytest.raises(WorklistError, match="agree or disagree"):
        write_labels([_item("a", "positive", "unsure"), _item("b", "positive", "agree")], tmp_path, tmp_path / "labels")
    assert not (tmp_path / "labels").exists()


def test_evaluate_takes_the_tables_as_truth(tmp_path):
    from AcuteFindingsLib.evaluation.evaluate import Request, evaluate

    results = tmp_path / "results"
    for key, verdict in (("a", "positive"), ("b", "negative"), ("c", "positive")):
        _finding(results, key, verdict=verdict)
    items = [_item("a", "positive", "agree"), _item("b", "negative", "agree"), _item("c", "positive", "disagree")]
    written = write_labels(items, results, tmp_path / "labels")
    studies = evaluate(results, Request(truth=written.studies_file, level="study"))
    assert [(one.label, one.cases, one.positives) for one in studies.levels[0].labels] == [("any", 3, 1)]
    slices = evaluate(results, Request(truth=written.slices_file, level="slice"))
    assert [(one.label, one.cases, one.positives) for one in slices.levels[0].labels] == [("any", 10, 2)]
