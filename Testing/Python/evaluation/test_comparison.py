import numpy as np
import pytest

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.comparison import compare_masks, holm, mcnemar
from AcuteFindingsLib.evaluation.evaluate import Request, compare
from AcuteFindingsLib.evaluation.schema import MaskRow


def test_mcnemar_is_the_binomial_test_of_who_alone_is_right() -> None:
    # Ten cases that only the second has right, two that only the first has: 2 * P(X <= 2 of 12) = 0.0386.
    truth = np.ones(20, bool)
    first, second = np.r_[[True] * 10, [False] * 10], np.r_[[True] * 8, [False] * 2, [True] * 10]
    test = mcnemar("all", truth, first, second)
    assert (test.only_a, test.only_b) == (2, 10)
    assert test.p_value == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar("all", truth, first, first).p_value == 1


def test_holm_multiplies_the_smallest_p_most_and_keeps_the_order() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])


def masks(*scores: float) -> list[MaskRow]:
    return [MaskRow(image=str(number), dice=score, true_size=1, size=1) for number, score in enumerate(scores)]


def test_masks_are_compared_pair_by_pair() -> None:
    found = compare_masks("lungs", masks(0.9, 0.8, 0.7, 0.95, 0.6, 0.5), masks(0.8, 0.75, 0.6, 0.9, 0.5, 0.2))
    assert found is not None
    assert found.difference.value == pytest.approx(np.mean([0.1, 0.05, 0.1, 0.05, 0.1, 0.3]))
    assert found.p_value == pytest.approx(0.03125)
    assert compare_masks("lungs", masks(0.5), []) is None


@pytest.fixture
def two(table):
    generator = np.random.default_rng(3)
    truth = generator.random(120) < 0.4
    names = [f"{number:03d}.png" for number in range(120)]
    good, poor = (1 / (1 + np.exp(-(truth * 2 - 1 + generator.normal(0, spread, 120)))) for spread in (0.8, 2.0))
    patients = np.arange(120) // 2
    return (
        table("a.csv", ["image", "any"], list(zip(names, good, strict=True))),
        table("b.csv", ["image", "any"], list(zip(names[::-1][:100], poor[::-1][:100], strict=True))),
        table("t.csv", ["image", "any", "patient"], list(zip(names, truth.astype(int), patients, strict=True))),
    )


def test_two_models_are_compared_on_the_cases_that_both_have(two) -> None:
    result = compare(two[0], two[1], Request(truth=two[2]))
    (level,) = result.levels
    (label,) = level.labels
    assert (level.cases, level.patients, level.grouped_by) == (100, 50, "patient")
    assert "Compared on the 100 images that both hold." in result.notices
    assert label.difference.value == pytest.approx(label.auc_a.value - label.auc_b.value)
    assert label.p_value < 0.01
    assert [span.method for span in label.difference.intervals] == ["bootstrap by patient, 2,000 draws", "DeLong"]
    assert all(span.low < label.difference.value < span.high for span in label.difference.intervals)
    everyone, positive, negative = label.mcnemar
    assert everyone.only_a == positive.only_a + negative.only_a


def test_a_model_does_not_differ_from_itself(two) -> None:
    (level,) = compare(two[0], two[0], Request(truth=two[2])).levels
    assert (level.labels[0].difference.value, level.labels[0].p_value) == (0, None)
    assert level.labels[0].mcnemar[0].p_value == 1


def test_predictions_without_a_common_case_are_refused(two, table) -> None:
    other = table("c.csv", ["image", "any"], [["110.png", 0.5], ["111.png", 0.1]])
    one = table("d.csv", ["image", "any"], [["001.png", 0.5], ["002.png", 0.1]])
    with pytest.raises(EvaluationError, match="no case in common"):
        compare(one, other, Request(truth=two[2]))
