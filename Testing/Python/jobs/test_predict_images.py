import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.errors import CancelledError, DetectionError, ExportError, ModelError, StudyError
from AcuteFindingsLib.jobs.predict_images import ImagesRequest, listed_images, mask_names, predict_images

SIZES = {"a.png": (96, 80), "b.png": (64, 64), "c.png": (70, 110)}


def save_png(path: Path, shape: tuple[int, int], *, seed: int) -> None:
    """Save a smooth picture with two dark fields, as unlike another seed's as two radiographs are."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    grey = 0.8 - 0.6 * np.exp(-((np.abs(x) - 0.45) ** 2 * 12 + y**2 * (2 + seed))) + 0.05 * generator.random(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray((255 * grey.clip(0, 1)).astype(np.uint8)), str(path))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for seed, (name, shape) in enumerate(SIZES.items()):
        save_png(tmp_path / "pictures" / name, shape, seed=seed)
    return tmp_path / "pictures"


@pytest.fixture
def request_for(tiny_models: Path, pictures: Path) -> Callable[..., ImagesRequest]:
    def make(task: str, out: Path, **fields) -> ImagesRequest:
        return ImagesRequest(
            **{"task": task, "images": pictures, "out": out, "model_folders": (tiny_models,), **fields}
        )

    return make


def read_table(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def write_list(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        ("hemorrhage", ["any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"]),
        ("pneumothorax", ["pneumothorax"]),
        ("chest", ["pneumothorax", "effusion", "chest_drain", "nasogastric"]),
    ],
)
def test_the_table_has_one_row_an_image_and_one_probability_a_label(
    task: str, columns: list[str], request_for, tmp_path: Path
) -> None:
    result = predict_images(request_for(task, tmp_path / "table.csv"))
    header, *rows = read_table(tmp_path / "table.csv")
    assert header == ["image", *columns]
    assert [row[0] for row in rows] == list(SIZES)
    assert all(0 <= float(value) <= 1 for row in rows for value in row[1:])
    assert (result.table, result.masks, result.count) == (tmp_path / "table.csv", (), 3)


def test_a_list_sets_the_order_with_or_without_suffix(request_for, tmp_path: Path) -> None:
    listing = write_list(tmp_path / "list.csv", "patient,Image Index", "1,c", "2, a.png", "3,b", "4,c")
    predict_images(request_for("chest", tmp_path / "table.csv", listing=listing))
    assert [row[0] for row in read_table(tmp_path / "table.csv")[1:]] == ["c.png", "a.png", "b.png"]


@pytest.mark.parametrize("name", ["missing", "", "../pictures/a.png"])
def test_a_listed_image_that_is_not_in_the_folder_is_named(name: str, request_for, tmp_path: Path) -> None:
    listing = write_list(tmp_path / "list.csv", "id,image", "1,a", f"2,{name}")
    with pytest.raises(StudyError, match=repr(name).replace(".", r"\.")):
        predict_images(request_for("chest", tmp_path / "table.csv", listing=listing))
    assert not (tmp_path / "table.csv").exists()


def test_a_row_cut_short_in_a_list_is_told(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="names ''"):
        listed_images(pictures, write_list(tmp_path / "list.csv", "patient,image", "1"))


def test_a_list_without_a_column_of_names_is_told(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="call it 'image'"):
        listed_images(pictures, write_list(tmp_path / "list.csv", "patient,age", "1,2"))


def test_hidden_files_and_folders_are_no_images(pictures: Path) -> None:
    (pictures / "._a.png").write_bytes(b"left by another system")
    (pictures / "folder.png").mkdir()
    assert [file.name for file in listed_images(pictures, None)] == list(SIZES)


@pytest.mark.parametrize("task", ["lungs", "pneumothorax"])
def test_masks_have_the_size_and_the_name_of_their_image(task: str, request_for, tmp_path: Path) -> None:
    result = predict_images(request_for(task, tmp_path / "out"))
    assert [path.name for path in result.masks] == list(SIZES)
    for path in result.masks:
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert path.parent == tmp_path / "out"
        assert mask.shape == SIZES[path.name]
        assert set(np.unique(mask)) <= {0, 255}
    assert (result.table is None) == (task == "lungs")


def test_masks_of_images_that_differ_in_suffix_or_folder_do_not_overwrite_each_other() -> None:
    names = [Path("a.png"), Path("a.jpg"), Path("b.nii.gz"), Path("sub/b.png")]
    assert mask_names(names) == [Path("a.png.png"), Path("a.jpg.png"), Path("b.png"), Path("sub/b.png")]


def test_a_list_may_name_images_in_subfolders(pictures: Path, request_for, tmp_path: Path) -> None:
    save_png(pictures / "sub" / "a.png", (50, 60), seed=9)
    listing = write_list(tmp_path / "list.csv", "image", "a", "sub/a")
    result = predict_images(request_for("pneumothorax", tmp_path / "out", listing=listing))
    assert [row[0] for row in read_table(tmp_path / "out" / "predictions.csv")[1:]] == ["a.png", "sub/a.png"]
    assert sitk.ReadImage(str(result.masks[1])).GetSize() == (60, 50)


def test_masks_do_not_fit_a_table(request_for, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="masks, not a table"):
        predict_images(request_for("lungs", tmp_path / "table.csv"))


def test_masks_never_overwrite_the_images(pictures: Path, request_for) -> None:
    before = {file.name: file.read_bytes() for file in pictures.iterdir()}
    with pytest.raises(ExportError, match="overwrite"):
        predict_images(request_for("lungs", pictures))
    assert {file.name: file.read_bytes() for file in pictures.iterdir()} == before


@pytest.mark.parametrize("task", ["hemorrhage", "pneumothorax", "chest"])
def test_a_batch_gives_the_same_answers_as_one_image_at_a_time(task: str, request_for, tmp_path: Path) -> None:
    predict_images(request_for(task, tmp_path / "batch.csv"))
    together = read_table(tmp_path / "batch.csv")[1:]
    alone = []
    for name in SIZES:
        listing = write_list(tmp_path / "one.csv", "image", name)
        predict_images(request_for(task, tmp_path / "one-table.csv", listing=listing))
        alone += read_table(tmp_path / "one-table.csv")[1:]
    np.testing.assert_allclose(np.array(together)[:, 1:].astype(float), np.array(alone)[:, 1:].astype(float), atol=1e-5)
    assert len({tuple(row[1:]) for row in alone}) == len(SIZES), "different images have different answers"


def test_an_unreadable_image_in_a_later_batch_stops_the_run_before_anything_is_written(
    pictures: Path, request_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("AcuteFindingsLib.jobs.predict_images._BATCH", 2)
    (pictures / "c.png").write_text("no picture", encoding="utf-8")
    with pytest.raises(StudyError, match=r"c\.png"):
        predict_images(request_for("pneumothorax", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_cancel_between_batches_leaves_no_file(request_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("AcuteFindingsLib.jobs.predict_images._BATCH", 1)
    answers = iter([False, True])
    with pytest.raises(CancelledError):
        predict_images(request_for("pneumothorax", tmp_path / "out"), cancelled=lambda: next(answers))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["hemorrhage", "chest"])
def test_a_volume_is_no_single_image(task: str, pictures: Path, request_for, tmp_path: Path) -> None:
    volume = np.full((4, 32, 32), -1000, np.int16)
    volume[:, 8:24, 8:24] = 40
    sitk.WriteImage(sitk.GetImageFromArray(volume), str(pictures / "volume.nii.gz"))
    with pytest.raises(DetectionError, match=r"volume\.nii\.gz holds 4 slices"):
        predict_images(request_for(task, tmp_path / "table.csv"))


def test_a_model_for_another_task_is_refused(request_for, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="made for 'lungs'"):
        predict_images(request_for("chest", tmp_path / "table.csv", model="tiny-lungs"))
