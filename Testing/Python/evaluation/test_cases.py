import numpy as np
import pytest

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.cases import align, by_study, read_truth
from AcuteFindingsLib.evaluation.predictions import Scores, read_predictions


@pytest.fixture
def scores(table) -> Scores:
    rows = [["a.png", 0.1, 0.9], ["b.png", 0.2, 0.8], ["c.png", 0.3, 0.7]]
    return read_predictions(table("p.csv", ["image", "any", "subdural"], rows)).levels[0]


def test_rows_meet_by_name_whatever_their_order_and_suffix(scores: Scores, table) -> None:
    truth = read_truth(table("t.csv", ["Image Index", "any"], [["c", 1], ["a", 0], ["x", 1]]))
    cases = align(scores, truth)
    assert cases.names == ("a.png", "c.png")
    assert cases.truth[:, 0].tolist() == [0, 1]
    assert cases.values[:, 0].tolist() == [0.1, 0.3]
    assert cases.notices[0] == "1 of 3 predicted images are not in the truth and left out."
    assert "1 of 3 rows of the truth have no prediction." in cases.notices


def test_a_name_with_a_folder_meets_one_without(scores: Scores, table) -> None:
    truth = read_truth(table("t.csv", ["image", "any"], [["set/a.png", 1], ["set/b.png", 0], ["set/c.png", 0]]))
    assert align(scores, truth).truth[:, 0].tolist() == [1, 0, 0]


def test_two_folders_with_the_same_file_names_are_not_confused(scores: Scores, table) -> None:
    truth = read_truth(table("t.csv", ["image", "any"], [["one/a.png", 1], ["two/a.png", 0], ["one/b.png", 0]]))
    with pytest.raises(EvaluationError, match="None of the 3 predicted cases"):
        align(scores, truth)


@pytest.mark.parametrize("column", ["hemorrhage", "ANY", "Intracranial hemorrhage"])
def test_a_label_is_found_under_its_other_names(scores: Scores, table, column: str) -> None:
    truth = read_truth(table("t.csv", ["image", column, "patient"], [["a", 1, "p"], ["b", 0, "p"], ["c", 0, ""]]))
    cases = align(scores, truth)
    assert (cases.labels, cases.columns) == (("any",), (column,))
    assert len(set(cases.patients)) == 2
    assert cases.grouped_by == "patient"
    assert "Without a column in the truth, so left out: subdural." in cases.notices


def test_the_user_says_which_columns_belong_together(scores: Scores, table) -> None:
    truth = read_truth(table("t.csv", ["image", "my_column"], [["a", 1], ["b", 0], ["c", "nan"]]))
    cases = align(scores, truth, labels={"subdural": "my_column"})
    assert cases.values[:, 0].tolist() == [0.9, 0.8, 0.7]
    assert np.isnan(cases.truth[2, 0])
    with pytest.raises(EvaluationError, match=r"no column for 'any'.*--label any=COLUMN"):
        align(scores, truth, labels={"any": ""})


def test_lists_of_findings_are_read(table) -> None:
    truth = read_truth(table("t.csv", ["Image Index", "Finding Labels"], [["a", "Effusion|Mass"], ["b", "No Finding"]]))
    found = read_predictions(table("p.csv", ["image", "effusion", "mass"], [["a", 1, 1], ["b", 0, 0]])).levels[0]
    assert align(found, truth).truth.tolist() == [[1, 1], [0, 0]]


def test_the_rsna_hemorrhage_table_is_read(scores: Scores, table) -> None:
    rows = [[f"ID_{name}_{kind}", int(name == "b")] for name in "abc" for kind in ("any", "subdural")]
    found = Scores("image", tuple((f"ID_{name}",) for name in "abc"), scores.labels, scores.values)
    cases = align(found, read_truth(table("t.csv", ["ID", "Label"], rows)))
    assert cases.truth.tolist() == [[0, 0], [1, 1], [0, 0]]


def test_the_siim_table_is_read_with_several_masks_an_image(table) -> None:
    rows = [["1.2.3", "5 2"], ["1.2.3", "90 4"], ["1.2.4", "-1"]]
    found = read_predictions(table("p.csv", ["image", "pneumothorax"], [["1.2.3.dcm", 0.8], ["1.2.4.dcm", 0.3]]))
    cases = align(found.levels[0], read_truth(table("t.csv", ["ImageId", " EncodedPixels"], rows)))
    assert cases.truth[:, 0].tolist() == [1, 0]


def test_slices_become_studies_where_the_truth_names_them(scores: Scores, table) -> None:
    rows = [["a", "s1", 0], ["b", "s1", 1], ["c", "s2", 0]]
    truth = read_truth(table("t.csv", ["image", "StudyInstanceUID", "any"], rows))
    cases = align(by_study(scores, truth, None), truth)
    assert cases.truth[:, 0].tolist() == [1, 0]
    assert cases.values[:, 0].tolist() == [0.2, 0.3]


def test_phantoms_are_a_truth_of_their_own(table, tmp_path) -> None:
    table("set/ct-1/truth/study.csv", ["name", "any"], [["ct-1", 1]])
    table("set/ct-1/truth/slices.csv", ["slice", "sop_instance_uid", "any"], [[0, "1.9", 0], [1, "1.8", 1]])
    truth = read_truth(tmp_path / "set")
    study = Scores("study", (("ct-1",),), ("any",), np.array([[0.7]]))
    assert align(study, truth).truth.tolist() == [[1]]
    for keys in ((("1.8",), ("1.9",)), (("ct-1#2",), ("ct-1#1",))):
        slices = Scores("slice", keys, ("any",), np.array([[0.7], [0.2]]), groups=("ct-1", "ct-1"))
        assert align(slices, truth).truth.tolist() == [[1], [0]]


def test_predictions_without_names_stand_in_the_order_of_the_truth(table) -> None:
    rows = [["x.png", 1, 0, "M"], ["y.png", 0, 1, "F"]]
    truth = read_truth(table("t.csv", ["image", "effusion", "pneumonia", "sex"], rows))
    found = Scores("image", (), (), np.array([[0.8, 0.1], [0.3, 0.6]]))
    cases = align(found, truth)
    assert (cases.labels, cases.truth.tolist()) == (("effusion", "pneumonia"), [[1, 0], [0, 1]])
    with pytest.raises(EvaluationError, match="has 2 rows and the predictions 3"):
        align(Scores("image", (), (), np.zeros((3, 2))), truth)
    with pytest.raises(EvaluationError, match="hold 3 classes without names"):
        align(Scores("image", (), (), np.zeros((2, 3))), truth)


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (["image", "any"], [["a", "maybe"], ["b", 0]], "column 'any' holds 'maybe'"),
        (["image", "any"], [["a", 1], ["a", 0]], "says both 1 and 0 for one image"),
        (["image", "fracture"], [["a", 1], ["b", 0]], "no column for any of 'any', 'subdural'"),
        (["image", "any"], [["q", 1]], "None of the 3 predicted cases is named"),
    ],
)
def test_a_truth_that_does_not_fit_says_why(scores: Scores, table, header, rows, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        align(scores, read_truth(table("t.csv", header, rows)))


def test_a_missing_or_impossible_probability_is_named(table) -> None:
    truth = read_truth(table("t.csv", ["image", "any"], [["a", 1], ["b", 0]]))
    for entry, words in (("", "no number in 1 rows"), ("-3.5", "reaches from -3.5")):
        found = read_predictions(table("p.csv", ["image", "any"], [["a", entry], ["b", 0.5]])).levels[0]
        with pytest.raises(EvaluationError, match=words):
            align(found, truth)


@pytest.mark.parametrize("written", [["1", "2", "30000"], ["1.0", "2.0", "30000.0"], ["0001", "00002", "30000"]])
def test_numbers_that_a_spreadsheet_changed_name_the_same_cases(table, written: list[str]) -> None:
    found = read_predictions(table("p.csv", ["id", "any"], [["00001", 0.9], ["00002", 0.1], ["30000", 0.2]])).levels[0]
    truth = read_truth(table("t.csv", ["id", "any"], list(zip(written, [1, 0, 0], strict=True))))
    assert align(found, truth).truth[:, 0].tolist() == [1, 0, 0]


def test_names_that_differ_only_by_zeros_or_capitals_are_not_confused(table) -> None:
    found = read_predictions(table("p.csv", ["id", "any"], [["x01", 0.9], ["0012", 0.1]])).levels[0]
    truth = read_truth(table("t.csv", ["id", "any"], [["012", 1], ["12", 0], ["X01", 1], ["x1", 0]]))
    with pytest.raises(EvaluationError, match="None of the 2 predicted cases"):
        align(found, truth)


def test_another_finding_is_not_taken_for_the_truth_without_a_word(table) -> None:
    found = read_predictions(table("p.csv", ["image", "pneumothorax"], [["a", 0.9], ["b", 0.1]])).levels[0]
    remark = "pneumothorax was measured against the truth's column 'smoker'"
    truth = read_truth(table("t.csv", ["image", "smoker"], [["a", 1], ["b", 0]]))
    assert align(found, truth).notices[0].startswith(remark)
    assert align(found, read_truth(table("u.csv", ["image", "Finding"], [["a", 1], ["b", 0]]))).notices == ()
    assert align(found, truth, labels={"pneumothorax": "smoker"}).notices == ()
    with pytest.raises(EvaluationError, match="no column for any of 'pneumothorax'"):
        align(found, read_truth(table("v.csv", ["image", "Pleural Effusion"], [["a", 1], ["b", 0]])))
