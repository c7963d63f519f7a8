from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.agreement import agreement, cohen_kappa, fleiss, read_label_sets
from AcuteFindingsLib.evaluation.contact_sheet import disagreement_sheets


def test_cohens_kappa_is_that_of_the_textbook_example() -> None:
    # 20 both yes, 15 both no, 5 and 10 split: observed 0.7, by chance 0.5, kappa 0.4.
    first = np.r_[np.ones(25), np.zeros(25)]
    second = np.r_[np.ones(20), np.zeros(5), np.ones(10), np.zeros(15)]
    kappa = cohen_kappa(first, second)
    assert kappa.value == pytest.approx(0.4)
    assert kappa.intervals[0].low < 0.4 < kappa.intervals[0].high


def test_fleiss_kappa_is_what_its_definition_gives() -> None:
    answers = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])
    present = answers.sum(1)
    within = (present * (present - 1) + (3 - present) * (2 - present)) / 6
    share = present.sum() / answers.size
    by_chance = share**2 + (1 - share) ** 2
    assert fleiss(answers).value == pytest.approx((within.mean() - by_chance) / (1 - by_chance), abs=1e-4)


def test_raters_who_only_ever_say_one_thing_have_no_kappa() -> None:
    assert cohen_kappa(np.zeros(5), np.zeros(5)).value is None
    assert fleiss(np.ones((5, 3))).value is None


@pytest.fixture
def sets(table) -> list[Path]:
    names = [f"{number}.png" for number in range(6)]
    return [
        table("one.csv", ["image", "effusion", "mass"], [[n, int(i < 3), 0] for i, n in enumerate(names)]),
        table("two.csv", ["Image Index", "Effusion"], [[n, int(i < 4)] for i, n in enumerate(names)]),
        table(
            "three.csv",
            ["image", "Finding Labels"],
            [[n, "Effusion|Hernia" if i in (0, 4) else "No Finding"] for i, n in enumerate(names[:5])],
        ),
    ]


def test_every_pair_and_all_sets_are_compared_on_the_cases_they_share(sets) -> None:
    result = agreement(read_label_sets(sets))
    assert [item.label for item in result.labels] == ["effusion"]
    (item,) = result.labels
    assert item.sets == {"one": 3, "two": 4, "three": 2}
    cells = {(p.first, p.second): (p.cases, p.both, p.only_first, p.only_second, p.neither) for p in item.pairs}
    assert cells["one", "two"] == (6, 3, 0, 1, 2)
    assert cells["one", "three"] == (5, 1, 2, 1, 1)
    assert item.fleiss.count == 5
    assert {entry["case"] for entry in item.disagreements} == {"1", "2", "3", "4"}
    assert item.disagreements[0]["votes"].keys() == {"one", "two", "three"}


def test_the_raw_annotations_of_several_readers_in_one_table_are_told_apart(table) -> None:
    rows = [["a", "x", 1], ["a", "y", 0], ["b", "x", 0], ["b", "y", 0]]
    found = read_label_sets([table("raw.csv", ["image", "annotator", "chest_drain"], rows)])
    assert {name: held["chest_drain"] for name, held in found.items()} == {"x": {"a": 1, "b": 0}, "y": {"a": 0, "b": 0}}


def test_one_set_alone_is_refused(sets) -> None:
    with pytest.raises(EvaluationError, match="needs two label sets"):
        read_label_sets(sets[:1])
    with pytest.raises(EvaluationError, match="No label is in two of the sets"):
        agreement(read_label_sets(sets), ["fracture"])


def test_the_images_that_are_disagreed_on_are_drawn(sets, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        picture = np.random.default_rng(number).integers(0, 255, (24, 24)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(folder / f"{number}.png"))
    result = agreement(read_label_sets(sets))
    sheets = disagreement_sheets(result, folder, tmp_path / "out")
    assert list(sheets) == ["effusion"]
    drawn = sitk.GetArrayFromImage(sitk.ReadImage(str(sheets["effusion"])))
    assert drawn[..., :3].std() > 20
    with pytest.raises(EvaluationError, match="holds none of the images"):
        disagreement_sheets(result, tmp_path / "out", tmp_path)
