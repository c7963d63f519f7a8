"""Which columns are scored and how names meet, in tables as challenges and hospitals write them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.columns import describes_the_case
from AcuteFindingsLib.evaluation.evaluate import Request, evaluate
from AcuteFindingsLib.evaluation.schema import Evaluation

pytestmark = pytest.mark.slow

NUMBERS = np.random.default_rng(0)
COUNT = 40
NAMES = [f"i{number}.png" for number in range(COUNT)]
SCORES = NUMBERS.random(COUNT).round(3)
TRUE = NUMBERS.integers(0, 2, COUNT)


def judged(folder: Path, predicted: dict, true: dict, **request: object) -> Evaluation:
    pd.DataFrame(predicted).to_csv(folder / "p.csv", index=False)
    pd.DataFrame(true).to_csv(folder / "t.csv", index=False)
    return evaluate(folder / "p.csv", Request(folder / "t.csv", **request))  # type: ignore[arg-type]


def scored(result: Evaluation) -> list[str]:
    return [item.label for item in result.levels[0].labels]


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("fold", np.arange(COUNT) % 5),
        ("fold", np.arange(COUNT) % 2),
        ("kfold", np.arange(COUNT) % 3),
        ("age", np.arange(COUNT) + 20),
        ("Patient Age", (np.arange(COUNT) + 20) / 100),
        ("sex", np.arange(COUNT) % 2),
        ("patient_id", np.arange(COUNT) % 2),
        ("view", np.arange(COUNT) % 2),
        ("study_date", np.arange(COUNT) + 20240101),
        ("Unnamed: 0", np.arange(COUNT)),
        ("hospital", np.arange(COUNT) % 2),
        ("contrast volume", np.arange(COUNT) + 60.5),
        ("smoker", (np.arange(COUNT) % 3 == 0).astype(int)),
    ],
)
def test_a_column_that_is_no_label_is_not_scored_and_that_is_said(name: str, entries: object, tmp_path: Path) -> None:
    result = judged(
        tmp_path, {"image": NAMES, name: entries, "pe": SCORES}, {"image": NAMES, name: entries, "pe": TRUE}
    )
    assert scored(result) == ["pe"]
    assert any("Not scored" in notice and name in notice for notice in result.notices)


@pytest.mark.parametrize("name", ["left", "right", "central", "any", "support devices", "No Finding", "Lung Opacity"])
def test_labels_are_no_descriptions(name: str) -> None:
    assert not describes_the_case(name)


def test_a_column_that_the_user_names_is_scored(tmp_path: Path) -> None:
    sex = np.arange(COUNT) % 2
    result = judged(
        tmp_path,
        {"image": NAMES, "sex": SCORES, "pe": SCORES},
        {"image": NAMES, "sex": sex, "pe": TRUE},
        labels=["sex"],
    )
    assert scored(result) == ["sex"]


def test_odd_entries_of_a_finding_still_stop_it(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="a label is 1 or 0"):
        judged(tmp_path, {"image": NAMES, "pe": SCORES}, {"image": NAMES, "pe": TRUE + 3})


def test_chexpert_is_matched_by_path_grouped_by_patient_and_unsure_entries_are_told(tmp_path: Path) -> None:
    paths = [f"CheXpert-v1.0-small/train/patient{n // 2:05d}/study{n % 2 + 1}/view1_frontal.jpg" for n in range(COUNT)]
    entries = pd.Series(TRUE.astype(float))
    entries[:3], entries[3:8] = -1.0, np.nan
    true = {"Path": paths, "Sex": "Female", "Age": 60, "Frontal/Lateral": "Frontal", "Pneumothorax": entries}
    predicted = {"image": [path.split("/", 2)[2].replace(".jpg", ".png") for path in paths], "pneumothorax": SCORES}
    result = judged(tmp_path, predicted, true)
    level = result.levels[0]
    assert (level.labels[0].cases, level.labels[0].missing, level.patients) == (COUNT - 8, 8, COUNT // 2)
    assert any("3 cases are stated as uncertain (-1) and 5 not at all" in notice for notice in result.notices)


def test_names_meet_by_their_last_folders_and_equal_file_names_stay_apart(tmp_path: Path) -> None:
    places = [f"{number // 10}/scan{number % 10}.png" for number in range(COUNT)]
    predicted = {"image": places, "pe": SCORES}
    result = judged(tmp_path, predicted, {"image": [f"data/v1/{place}" for place in places], "pe": TRUE})
    assert result.levels[0].cases == COUNT
    with pytest.raises(EvaluationError, match="None of the"):
        judged(tmp_path, {"image": [f"x/{place}" for place in places], "pe": SCORES},
               {"image": [place.split("/")[1] for place in places[:10]], "pe": TRUE[:10]})  # fmt: skip


def test_a_submission_to_the_hemorrhage_challenge_is_read_like_its_truth(tmp_path: Path) -> None:
    rows = [(f"ID_{n:06x}_{subtype}", n) for n in range(COUNT) for subtype in ("any", "epidural")]
    ids = [row[0] for row in rows]
    result = judged(
        tmp_path,
        {"ID": ids, "Label": [SCORES[n] for _, n in rows]},
        {"ID": ids, "Label": [TRUE[n] for _, n in rows]},
    )
    assert scored(result) == ["any", "epidural"]
    assert result.levels[0].cases == COUNT


def test_the_pe_challenges_columns_are_scored_by_slice_and_study(tmp_path: Path) -> None:
    true = pd.DataFrame(
        {
            "StudyInstanceUID": [f"s{number // 4}" for number in range(COUNT)],
            "SeriesInstanceUID": [f"r{number // 4}" for number in range(COUNT)],
            "SOPInstanceUID": [f"i{number}" for number in range(COUNT)],
            "pe_present_on_image": TRUE,
            "negative_exam_for_pe": 0,
            "qa_motion": 0,
        }
    )
    predicted = {"image": [f"s{n // 4}/r{n // 4}/i{n}.dcm" for n in range(COUNT)], "pe": SCORES}
    slices = judged(tmp_path, predicted, dict(true.items()), level="slice")
    assert (scored(slices), slices.levels[0].cases) == (["pe"], COUNT)
    studies = judged(tmp_path, predicted, dict(true.items()), level="study")
    assert studies.levels[0].cases == COUNT // 4
