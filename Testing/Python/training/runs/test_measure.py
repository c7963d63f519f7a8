import numpy as np
import pytest
from small_runs import small_recipe

from AcuteFindingsLib.training.runs.measure import choose_points, default_points, measure
from AcuteFindingsLib.training.runs.package import make_card, published_table
from AcuteFindingsLib.training.runs.score import Answers, MaskAnswer, Scored

_EFFUSION_EDEMA = ("pleural effusion", "pulmonary edema")
TRUTH = np.array([0, 0, 0, 1, 1, 1], float)
SCORE = np.array([0.1, 0.2, 0.6, 0.5, 0.8, 0.9])


def answers(truth=TRUTH, score=SCORE) -> Answers:
    keys = np.array([f"case-{n}" for n in range(len(truth))])
    return Answers(keys, keys, np.asarray(truth, float)[:, None], np.asarray(score, float)[:, None])


def mask(soft: float, *, shown: bool = True) -> MaskAnswer:
    truth = np.zeros((1, 8, 8), bool)
    truth[:, 2:6, 2:6] = shown
    drawn = np.zeros((1, 8, 8), np.uint8)
    drawn[:, 2:6, 2:6] = round(255 * soft)
    return MaskAnswer(f"{soft}{shown}", f"{soft}{shown}", drawn, truth, np.ones(1, bool))


def test_thresholds_are_chosen_on_the_validation_part() -> None:
    recipe = small_recipe("pneumothorax-unet")
    points = choose_points(recipe, [Scored({"study": answers()}, [mask(0.4)])], where="the validation part")
    by_level = {point.level: point for point in points}
    assert by_level["study"].threshold == pytest.approx(0.35)
    assert by_level["study"].chosen == "Youden index on the validation part"
    assert by_level["mask"].threshold <= 0.4
    assert by_level["mask"].chosen == "highest Dice on the validation part"
    assert by_level["empty"].threshold == pytest.approx(1 - by_level["study"].threshold)


def test_the_fourth_places_empty_threshold_is_the_published_one() -> None:
    points = choose_points(small_recipe("pneumothorax-fourth-place"), [Scored({"study": answers()})], where="")
    assert [(point.threshold, point.chosen) for point in points if point.level == "empty"] == [(0.4, "as published")]


def test_without_both_classes_half_stands_and_says_so() -> None:
    one_class = Scored({"study": answers(truth=np.zeros(6))})
    for scored in ([], [one_class]):
        points = choose_points(small_recipe("pneumothorax-classifier"), scored, where="")
        assert points[0].threshold == 0.5
        assert "no case of one of the classes" in points[0].chosen


def test_figures_hold_data_count_interval_and_command() -> None:
    recipe = small_recipe("pneumothorax-unet")
    points = default_points(recipe)
    scored = Scored({"study": answers()}, [mask(0.9), mask(0.1), mask(0.0, shown=False)])
    figures = {one.metric: one for one in measure(recipe, scored, points, data="some data", command="the command")}
    assert figures["AUC, study"].value == pytest.approx(8 / 9)
    assert figures["Sensitivity, study"].value == 1
    assert figures["Specificity, study"].value == pytest.approx(2 / 3)
    assert figures["Dice, all images"].value == pytest.approx(2 / 3)
    assert figures["Dice, images with the finding"].value == pytest.approx(1 / 2)
    for figure in figures.values():
        assert figure.low <= figure.value <= figure.high
        assert figure.data.startswith("some data, ")
        assert figure.command == "the command"
    assert figures["AUC, study"].data == "some data, 3 of 6 positive"


def test_figures_at_thresholds_of_the_same_answers_say_so() -> None:
    recipe = small_recipe("pneumothorax-unet")
    points, scored = default_points(recipe), Scored({"study": answers()}, [mask(0.9)])
    for chosen_here in (False, True):
        told = {
            one.metric: one.data
            for one in measure(recipe, scored, points, data="some data", command="", chosen_here=chosen_here)
        }
        assert told["AUC, study"] == "some data, 3 of 6 positive", "an area has no threshold"
        for metric in ("Sensitivity, study", "Dice, images with the finding"):
            assert ("chosen on these answers, so a little too good" in told[metric]) == chosen_here


def test_the_figures_of_a_finding_that_few_people_have_say_so() -> None:
    recipe = small_recipe("chest-both")
    for copies, told in ((1, "3 of 6 positive, of 3 people: too few to tell"), (4, "12 of 24 positive")):
        scored = Scored({"study": answers(np.tile(TRUTH, copies), np.tile(SCORE, copies))})
        assert (
            measure(recipe, scored, default_points(recipe), data="some data", command="")[0].data
            == f"some data, {told}"
        )


def test_a_scan_is_called_by_the_slices_operating_point() -> None:
    recipe = small_recipe("radnet")
    points = [point.model_copy(update={"threshold": 0.85}) for point in default_points(recipe)]
    figures = {one.metric: one for one in measure(recipe, Scored({"study": answers()}), points, data="d", command="c")}
    assert figures["Sensitivity, study"].value == pytest.approx(1 / 3)


def test_unknown_truth_is_left_out() -> None:
    scored = Scored({"study": answers(truth=[0, 0, np.nan, 1, 1, 1])})
    recipe = small_recipe("pneumothorax-classifier")
    figures = measure(recipe, scored, default_points(recipe), data="d", command="c")
    assert figures[0].count == 5
    assert figures[0].value == 1


def test_findings_have_a_mean_area_over_those_that_enough_people_have() -> None:
    recipe = small_recipe("chest-pathologies", "data.labels=[effusion, edema, mass]")
    generator = np.random.default_rng(0)
    truth = np.zeros((60, 3))
    truth[:20, 0], truth[10:30, 1], truth[:4, 2] = 1, 1, 1
    score = np.clip(truth * 0.4 + generator.random((60, 3)) * 0.6, 0, 1)
    people = np.arange(60).astype(str)
    figures = measure(
        recipe, Scored({"study": Answers(people, people, truth, score)}), default_points(recipe), data="d", command="c"
    )
    told = {one.metric: one for one in figures}
    mean = told["AUC, study, mean over the 2 labels that 10 people or more have"]
    assert mean.value == pytest.approx(np.mean([told[f"AUC, study, {name}"].value for name in _EFFUSION_EDEMA]))
    assert mean.low <= mean.value <= mean.high
    assert (told["CWCE, study"].count, told["CWCE, study"].data) == (60, "d, 3 labels")


def test_published_figures_stand_beside_ones_own() -> None:
    recipe = small_recipe("radnet")
    figures = measure(recipe, Scored({"study": answers()}), default_points(recipe), data="d", command="c")
    text = published_table(recipe, figures)
    assert "| Sensitivity, study (77 scans) | 0.886 | 1.000 (" in text
    assert published_table(small_recipe("chest-tubes"), figures) == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pe-slice-cnn", "no verdict for a study"),
        ("pneumothorax-classifier", "no outline"),
        ("chest-both-lungs-removed", "with the lungs black"),
        ("radnet-phantoms", "Never saw a patient"),
    ],
)
def test_the_card_says_what_the_model_cannot_do(name: str, told: str) -> None:
    recipe = small_recipe(name)
    card = make_card(
        recipe, points=default_points(recipe), evaluation=[], trained_on="t", count="c", phantoms_only=True
    )
    assert told in card.limitations
    assert card.limitations.count("Never saw a patient") == 1
