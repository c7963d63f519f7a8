import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.evaluate import Request, compare, evaluate
from AcuteFindingsLib.evaluation.predictions import write_runs
from AcuteFindingsLib.evaluation.report import write_comparison, write_evaluation
from AcuteFindingsLib.evaluation.schema import Evaluation
from AcuteFindingsLib.evaluation.subgroups import group_names

pytestmark = pytest.mark.slow

LABELS = ("pneumothorax", "effusion")


@pytest.fixture
def data(table) -> dict:
    generator = np.random.default_rng(8)
    truth = generator.random((150, 2)) < (0.2, 0.4)
    score = 1 / (1 + np.exp(-(truth * 2.5 - 1.5 + generator.normal(0, 1, (150, 2)))))
    names = [f"{number:03d}.png" for number in range(150)]
    ages, views = generator.integers(2, 90, 150), np.where(generator.random(150) < 0.6, "PA", "AP")
    rows = [
        [name, int(t[0]), int(t[1]), number // 3, f"{age:03d}Y", "MF"[number % 2], view]
        for number, (name, t, age, view) in enumerate(zip(names, truth, ages, views, strict=True))
    ]
    header = ["image", *LABELS, "Patient ID", "Patient Age", "Patient Gender", "View Position"]
    return {
        "truth": truth,
        "score": score,
        "predictions": table("p.csv", ["image", *LABELS], [[n, *s] for n, s in zip(names, score, strict=True)]),
        "labels": table("t.csv", header, rows),
        "names": names,
    }


def test_areas_are_those_of_scikit_learn(data) -> None:
    (level,) = evaluate(data["predictions"], Request(truth=data["labels"])).levels
    assert (level.level, level.cases, level.patients, level.grouped_by) == ("image", 150, 50, "Patient ID")
    for number, item in enumerate(level.labels):
        truth, score = data["truth"][:, number], data["score"][:, number]
        assert item.auc.value == pytest.approx(roc_auc_score(truth, score))
        assert item.average_precision.value == pytest.approx(average_precision_score(truth, score))
        assert [span.method.split(",")[0] for span in item.auc.intervals] == ["bootstrap by Patient ID", "DeLong"]
    errors = [item.calibration.error.value for item in level.labels]
    assert level.class_wise_calibration_error.value == pytest.approx(np.mean(errors))


def test_thresholds_are_the_users_then_the_cards_then_one_half(data, small_models: Path) -> None:
    from AcuteFindingsLib.models.find import find_package

    card = find_package(str(small_models / "small-chest")).card
    for request, expected in (
        (Request(truth=data["labels"], thresholds={"effusion": 0.3}, card=card), [0.45, 0.3]),
        (Request(truth=data["labels"], thresholds={"": 0.7}), [0.7, 0.7]),
        (Request(truth=data["labels"]), [0.5, 0.5]),
    ):
        (level,) = evaluate(data["predictions"], request).levels
        assert [item.points[0].threshold for item in level.labels] == expected
        assert [item.points[-1].stated_beforehand for item in level.labels] == [False, False]
    with pytest.raises(EvaluationError, match="--threshold names 'nodule'"):
        evaluate(data["predictions"], Request(truth=data["labels"], thresholds={"nodule": 0.3}))


def test_subgroups_share_out_all_cases(data) -> None:
    request = Request(truth=data["labels"], subgroups=("sex", "age", "view"), labels={"effusion": ""})
    (level,) = evaluate(data["predictions"], request).levels
    assert [group.column for group in level.subgroups] == ["Patient Gender", "Patient Age", "View Position"]
    for group in level.subgroups:
        assert sum(row.cases for row in group.rows) == 150
        assert sum(row.positives for row in group.rows) == data["truth"][:, 1].sum()
    assert [row.group for row in level.subgroups[1].rows] == ["under 18", "18 to 39", "40 to 64", "65 and over"]
    with pytest.raises(EvaluationError, match="no column 'tubes' for subgroups"):
        evaluate(data["predictions"], Request(truth=data["labels"], subgroups=("tubes",)))


def test_ages_are_read_as_dicom_and_data_sets_write_them() -> None:
    import pandas as pd

    ages = pd.Series(["058Y", "17", "011M", "64.5", None, "1950-01-01"])
    assert group_names(ages, age=True) == ["40 to 64", "under 18", "under 18", "40 to 64", "not stated", "not stated"]


def test_runs_are_evaluated_each_and_together(data, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    runs = [np.clip(data["score"] + generator.normal(0, 0.1, (150, 2)), 0, 1) for _ in range(3)]
    predictions = write_runs(tmp_path / "PD_preds.csv", runs)
    result = evaluate(predictions, Request(truth=data["labels"], labels={"pneumothorax": "", "effusion": ""}))
    (level,) = result.levels
    assert [run.name for run in level.runs] == ["Preds_model1", "Preds_model2", "Preds_model3"]
    assert level.runs[1].auc["effusion"] == pytest.approx(roc_auc_score(data["truth"][:, 1], runs[1][:, 1]))
    assert level.labels[1].auc.value == pytest.approx(roc_auc_score(data["truth"][:, 1], np.mean(runs, 0)[:, 1]))
    assert "mean probability of 3 runs" in result.notices[0]


@pytest.mark.parametrize("form", ["a column a reader", "a row a reader"])
def test_a_model_stands_beside_readers(data, table, form: str) -> None:
    truth, names = data["truth"][:, 1], data["names"]
    wrong = np.arange(150) % 10 == 0
    answers = {"Rad. 1": truth, "Rad. 2": truth ^ wrong}
    if form == "a column a reader":
        columns = zip(names, *(a.astype(int) for a in answers.values()), strict=True)
        readers = table("r.csv", ["image", *answers], list(columns)[:100])
    else:
        rows = [[n, who, int(v)] for who, a in answers.items() for n, v in zip(names[:100], a[:100], strict=True)]
        readers = table("r.csv", ["image", "reader", "effusion"], rows)
    request = Request(truth=data["labels"], labels={"effusion": ""}, readers=readers)
    (level,) = evaluate(data["predictions"], request).levels
    (found,) = level.readers
    first, second, model = found.rows
    assert [row.name for row in found.rows][:2] == ["Rad. 1", "Rad. 2"]
    assert (first.cases, model.cases, model.is_model) == (100, 100, True)
    assert first.figures["accuracy"].value == 1
    assert second.figures["accuracy"].value == pytest.approx(0.9)
    called = data["score"][:100, 1] >= 0.5
    assert model.figures["accuracy"].value == pytest.approx((called == truth[:100]).mean())
    assert first.p_value < 0.05


def test_readers_of_nobody_here_are_refused(data, table) -> None:
    readers = table("r.csv", ["image", "Rad. 1"], [["zzz", 1]])
    with pytest.raises(EvaluationError, match="names none of the predicted cases"):
        evaluate(data["predictions"], Request(truth=data["labels"], labels={"effusion": ""}, readers=readers))


def test_slices_become_studies_on_request(table) -> None:
    rows = [[f"{number}.dcm", number // 4, int(number % 8 == 0)] for number in range(80)]
    scores = [[f"{number}.dcm", 0.9 if number % 8 == 0 else 0.1 + number / 1000] for number in range(80)]
    truth = table("t.csv", ["image", "StudyInstanceUID", "pe"], rows)
    predictions = table("p.csv", ["image", "pe"], scores)
    (level,) = evaluate(predictions, Request(truth=truth, level="study")).levels
    assert (level.level, level.cases, level.labels[0].positives, level.labels[0].auc.value) == ("study", 20, 10, 1)
    (slices,) = evaluate(predictions, Request(truth=truth, level="slice")).levels
    assert (slices.level, slices.cases) == ("slice", 80)


def test_labels_that_nobody_gave_are_left_out_and_counted(data, table) -> None:
    rows = [[name, "" if number < 20 else int(data["truth"][number, 0])] for number, name in enumerate(data["names"])]
    (level,) = evaluate(data["predictions"], Request(truth=table("u.csv", ["image", "pneumothorax"], rows))).levels
    assert (level.labels[0].cases, level.labels[0].missing) == (130, 20)


def test_cases_of_one_kind_have_no_area_and_the_report_says_so(data, table, tmp_path: Path) -> None:
    truth = table("u.csv", ["image", "pneumothorax"], [[name, 0] for name in data["names"]])
    result = evaluate(data["predictions"], Request(truth=truth))
    assert result.levels[0].labels[0].auc.value is None
    assert "pneumothorax: all images are negative, so there is no ROC curve." in result.notices
    page = write_evaluation(result, tmp_path)[1].read_text(encoding="utf-8")
    assert "all images are negative" in page


def test_json_comes_back_as_it_was_and_the_page_stands_alone(data, tmp_path: Path) -> None:
    request = Request(truth=data["labels"], subgroups=("sex",))
    result = evaluate(data["predictions"], request)
    as_json, page = write_evaluation(result, tmp_path / "out")
    assert Evaluation.model_validate(json.loads(as_json.read_text(encoding="utf-8"))) == result
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 3 * 2 + 1 + 2
    assert f"{result.levels[0].labels[0].auc.value:.3f}" in text
    assert "Research use only" in text
    assert "150 images, 50 patients (column Patient ID)" in text
    # Figures follow the page's colors and reach for nothing outside it.
    assert "var(--c1)" in text
    assert "#1f5f99" not in text.split("</style>")[1]
    assert all(word not in text for word in ("<script", 'src="http', "@import", "<style type"))
    both = compare(data["predictions"], data["predictions"], request)
    assert "p (DeLong)" in write_comparison(both, tmp_path / "out")[1].read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{kind}.{suffix}" for kind in ("evaluation", "comparison") for suffix in ("json", "html")
    }
