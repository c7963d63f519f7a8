from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.errors import EvaluationError
from AcuteFindingsLib.evaluation.evaluate import Request, compare, evaluate
from AcuteFindingsLib.evaluation.mask_files import find_masks, score_masks
from AcuteFindingsLib.study.rle import encode_runs


def save(path: Path, mask: np.ndarray, spacing: tuple[float, ...] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(mask.astype(np.uint8) * (255 if path.suffix == ".png" else 1))
    if spacing:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


def box(*shape: int, filled: int = 0) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask.reshape(-1)[:filled] = True
    return mask


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    for name, true, mine in (("a", 40, 40), ("b", 40, 20), ("c", 0, 0), ("d", 0, 5), ("e", 10, 0)):
        save(tmp_path / "true" / f"{name}.png", box(20, 10, filled=true))
        save(tmp_path / "mine" / "masks" / f"{name}.png", box(20, 10, filled=mine))
    return tmp_path / "mine" / "masks", tmp_path / "true"


def test_dice_follows_the_stated_convention_for_empty_masks(pictures) -> None:
    (result,) = evaluate(pictures[0], Request(truth=pictures[1])).masks
    assert {row.image: round(row.dice, 4) for row in result.rows} == {"a": 1, "b": 0.6667, "c": 1, "d": 0, "e": 0}
    assert result.dice.value == pytest.approx((1 + 2 / 3 + 1 + 0 + 0) / 5)
    assert result.dice_with_truth.value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert result.empty_kept_empty.value == 0.5
    assert (result.unit, result.images, result.with_truth) == ("pixels", 5, 3)
    assert result.size_error.value == pytest.approx(-10)
    assert "Two empty masks agree fully" in result.convention


def test_findings_and_phantoms_meet_by_study_and_segment_in_ml(tmp_path: Path) -> None:
    for study, true, mine in (("ct-1", 600, 400), ("ct-2", 0, 200)):
        save(tmp_path / "runs" / study / "masks" / "hemorrhage.nrrd", box(10, 10, 10, filled=mine), (1, 1, 5))
        if true:
            save(tmp_path / "set" / study / "truth" / "hemorrhage.nrrd", box(10, 10, 10, filled=true), (1, 1, 5))
        save(tmp_path / "set" / study / "truth" / "brain.nrrd", box(10, 10, 10, filled=900), (1, 1, 5))
    found, notices = score_masks(find_masks(tmp_path / "runs"), find_masks(tmp_path / "set"))
    unit, rows = found["hemorrhage"]
    assert (list(found), unit, notices) == (["hemorrhage"], "mL", [])
    assert [(row.image, row.true_size, row.size, row.dice) for row in rows] == [
        ("ct-1", 3.0, 2.0, pytest.approx(0.8)),
        ("ct-2", 0.0, 1.0, 0.0),
    ]


def test_run_lengths_are_a_truth_for_masks(tmp_path: Path, table) -> None:
    true = np.zeros((1024, 1024), bool)
    true[100:200, 300:350] = True
    save(tmp_path / "mine" / "1.2.3.png", true)
    save(tmp_path / "mine" / "1.2.4.png", np.zeros_like(true))
    runs = table("train-rle.csv", ["ImageId", " EncodedPixels"], [["1.2.3", encode_runs(true)], ["1.2.4", "-1"]])
    (result,) = evaluate(tmp_path / "mine", Request(truth=runs)).masks
    assert (result.segment, [row.dice for row in result.rows]) == ("pneumothorax", [1, 1])


def test_masks_of_two_models_are_compared(pictures, tmp_path: Path) -> None:
    for name in "abcde":
        save(tmp_path / "other" / f"{name}.png", box(20, 10, filled=7))
    (result,) = compare(pictures[0], tmp_path / "other", Request(truth=pictures[1])).masks
    assert result.images == 5
    assert result.dice_a.value > result.dice_b.value


def test_masks_of_another_size_or_name_are_refused(pictures, tmp_path: Path) -> None:
    save(tmp_path / "odd" / "a.png", box(5, 5))
    with pytest.raises(EvaluationError, match="20 × 10 pixels and the true one 5 × 5"):
        evaluate(pictures[0], Request(truth=tmp_path / "odd"))
    save(tmp_path / "named" / "z.png", box(20, 10))
    with pytest.raises(EvaluationError, match="share no image"):
        evaluate(pictures[0], Request(truth=tmp_path / "named"))


def test_true_masks_without_a_predicted_one_are_counted(pictures) -> None:
    (pictures[0] / "a.png").unlink()
    result = evaluate(pictures[0], Request(truth=pictures[1]))
    assert result.notices == ["1 of 5 images with a true mask have no predicted one and are left out: 'a'."]


def test_masks_that_cannot_be_compared_are_listed_and_the_others_are_scored(pictures) -> None:
    mine, true = pictures
    (mine / "a.png").write_bytes(b"no picture")
    names = sorted(file.stem for file in true.glob("*.png"))
    result = evaluate(mine, Request(truth=true))
    assert result.masks[0].images == len(names) - 1
    assert any("cannot be read or is of another size" in notice and "'a'" in notice for notice in result.notices)


def test_predicts_own_folder_names_what_it_outlines_and_meets_a_studys_folder(tmp_path: Path) -> None:
    for study, place in (("s1", "s1/dicom/0001.png"), ("s2", "s2/dicom/0001.png")):
        (tmp_path / "mine" / place).parent.mkdir(parents=True)
        (tmp_path / "true" / study / "truth").mkdir(parents=True)
        mask = sitk.GetImageFromArray(np.eye(8, dtype=np.uint8) * 255)
        sitk.WriteImage(mask, str(tmp_path / "mine" / place))
        for segment in ("pneumothorax", "lungs"):
            sitk.WriteImage(mask, str(tmp_path / "true" / study / "truth" / f"{segment}.nrrd"))
    (tmp_path / "mine" / "predict.json").write_text('{"format": 1, "task": "lungs", "segment": "lungs"}')
    result = evaluate(tmp_path / "mine", Request(truth=tmp_path / "true"))
    assert [(item.segment, item.images, item.dice.value) for item in result.masks] == [("lungs", 2, 1.0)]
