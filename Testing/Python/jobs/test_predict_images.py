import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import CancelledError, ExportError, ModelError, StudyError
from AcuteFindingsLib.jobs.image_files import in_table, listed_images, result_names
from AcuteFindingsLib.jobs.predict_images import ImagesRequest, predict_images
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.reader import read_study

SIZES = {"a.png": (96, 80), "b.png": (64, 64), "c.png": (70, 110)}


def save_png(path: Path, shape: tuple[int, int], *, seed: int) -> None:
    """Save a smooth picture with two dark fields, as unlike another seed's as two radiographs are."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    gray = 0.8 - 0.6 * np.exp(-((np.abs(x) - 0.45) ** 2 * 12 + y**2 * (2 + seed))) + 0.05 * generator.random(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray((255 * gray.clip(0, 1)).astype(np.uint8)), str(path))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for seed, (name, shape) in enumerate(SIZES.items()):
        save_png(tmp_path / "pictures" / name, shape, seed=seed)
    return tmp_path / "pictures"


@pytest.fixture
def request_for(tiny_models: Path, pictures: Path) -> Callable[..., ImagesRequest]:
    def make(task: str, out: Path, **fields) -> ImagesRequest:
        return ImagesRequest(
            **{
                "task": task,
                "images": pictures,
                "out": out,
                "model": f"tiny-{task}",
                "model_folders": (tiny_models,),
                **fields,
            }
        )

    return make


def read_table(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def write_list(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert result_names(names) == [Path("a.png.png"), Path("a.jpg.png"), Path("b.png"), Path("sub/b.png")]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 16])
def test_a_bad_image_is_told_of_and_the_others_are_scored(
    batch: int, pictures: Path, request_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_images(request_for("pneumothorax", tmp_path / "alone.csv"))
    expected = {row[0]: row[1:] for row in read_table(tmp_path / "alone.csv")[1:]}
    monkeypatch.setattr("AcuteFindingsLib.jobs.predict_images._BATCH", batch)
    (pictures / "b.png").write_text("no picture", encoding="utf-8")
    (pictures / "aa.png").write_bytes((pictures / "a.png").read_bytes()[:300])
    (pictures / "empty.dcm").write_bytes(b"")
    result = predict_images(request_for("pneumothorax", tmp_path / "out"))
    rows = {row[0]: row[1:] for row in read_table(tmp_path / "out" / "predictions.csv")[1:]}
    assert list(rows) == ["a.png", "c.png"]
    for name, values in rows.items():
        assert float(values[0]) == pytest.approx(float(expected[name][0]), abs=1e-4)
    assert {name for name, _ in result.failed} == {"aa.png", "b.png", "empty.dcm"}
    assert [row[0] for row in read_table(tmp_path / "out" / "not-scored.csv")[1:]] == ["aa.png", "b.png", "empty.dcm"]
    assert sorted(path.name for path in result.masks) == ["a.png", "c.png"]


def test_where_no_image_can_be_scored_nothing_is_written(pictures: Path, request_for, tmp_path: Path) -> None:
    for file in pictures.iterdir():
        file.write_text("no picture", encoding="utf-8")
    with pytest.raises(StudyError, match=r"None of 3 images could be scored\. a\.png: "):
        predict_images(request_for("pneumothorax", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_full_memory_is_no_fault_of_an_image(request_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("AcuteFindingsLib.jobs.predict_images.read_study", full)
    with pytest.raises(MemoryError):
        predict_images(request_for("chest", tmp_path / "table.csv"))


def test_images_are_found_in_folders_by_their_content(pictures: Path, chest_xray: Path, tmp_path: Path) -> None:
    radiograph = next(chest_xray.rglob("*.dcm")).read_bytes()
    places = {"one/IM0001": radiograph, "two/deep/IM0001": radiograph, "two/b.png": (pictures / "b.png").read_bytes()}
    leftovers = {"._one.dcm": b"\0\5\x16\7", "__MACOSX/one.png": b"x", "notes.txt": b"text", "report.pdf": b"%PDF-1.7",
                 "truth.csv": b"image,any\n", "DICOMDIR": radiograph, ".DS_Store": b"x"}  # fmt: skip
    for name, content in {**places, **leftovers}.items():
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(content)
    (pictures / "linked").symlink_to(tmp_path / "elsewhere")
    save_png(tmp_path / "elsewhere" / "a.png", (60, 60), seed=4)
    found = [file.relative_to(pictures).as_posix() for file in listed_images(pictures)]
    assert sorted(found) == sorted([*SIZES, *places, "linked/a.png"])


def test_images_of_one_name_in_two_folders_stay_apart(pictures: Path, request_for, tmp_path: Path) -> None:
    save_png(pictures / "x" / "a.png", (50, 60), seed=7)
    save_png(pictures / "y" / "a.png", (60, 50), seed=8)
    result = predict_images(request_for("pneumothorax", tmp_path / "out"))
    assert [row[0] for row in read_table(tmp_path / "out" / "predictions.csv")[1:]] == [*SIZES, "x/a.png", "y/a.png"]
    assert len(set(result.masks)) == 5
    assert all(path.is_file() for path in result.masks)


def test_a_dicom_image_brings_its_instance_uid(pictures: Path, chest_xray: Path, request_for, tmp_path: Path) -> None:
    (pictures / "d.dcm").write_bytes(next(chest_xray.rglob("*.dcm")).read_bytes())
    predict_images(request_for("chest", tmp_path / "table.csv"))
    header, *rows = read_table(tmp_path / "table.csv")
    assert header[-1] == "sop_instance_uid"
    assert [bool(row[-1]) for row in rows] == [False, False, False, True]


@pytest.mark.slow
def test_results_below_the_images_are_no_images_the_next_time(pictures: Path, request_for) -> None:
    first = predict_images(request_for("pneumothorax", pictures / "out"))
    assert predict_images(request_for("pneumothorax", pictures / "out")).count == first.count == 3


def test_truth_and_earlier_results_below_the_images_are_no_images(pictures: Path, request_for) -> None:
    save_png(pictures / "s1" / "dicom" / "a.png", (50, 50), seed=5)
    for place in ("s1/truth/lungs.png", "old/a.png"):
        save_png(pictures / place, (50, 50), seed=6)
    (pictures / "old" / "acutefindings-files.json").write_text("{}", encoding="utf-8")
    found = [file.relative_to(pictures).as_posix() for file in listed_images(pictures)]
    assert found == [*SIZES, "s1/dicom/a.png"]


def test_a_mask_of_somebody_else_is_never_overwritten(request_for, tmp_path: Path) -> None:
    save_png(tmp_path / "out" / "a.png", (20, 20), seed=1)
    before = (tmp_path / "out" / "a.png").read_bytes()
    with pytest.raises(ExportError, match="in the way"):
        predict_images(request_for("pneumothorax", tmp_path / "out"))
    assert (tmp_path / "out" / "a.png").read_bytes() == before


@pytest.mark.slow
def test_only_a_table_of_predictions_is_overwritten(request_for, tmp_path: Path) -> None:
    table = write_list(tmp_path / "truth.csv", "image,any", "a.png,1")
    with pytest.raises(ExportError, match="not a table of these predictions"):
        predict_images(request_for("chest", table))
    assert table.read_text(encoding="utf-8") == "image,any\na.png,1\n"
    for _ in range(2):
        predict_images(request_for("chest", tmp_path / "out.csv"))


@pytest.mark.parametrize("form", ["semicolon", "utf-16", "sheet"])
def test_a_list_is_read_in_any_form_of_table(form: str, pictures: Path, tmp_path: Path) -> None:
    table = pd.DataFrame({"patient": [1, 2], "Image Index": ["c", "a.png"]})
    path = tmp_path / "list"
    if form == "sheet":
        table.to_excel(tmp_path / "list.xlsx", index=False)
        path = tmp_path / "list.xlsx"
    else:
        path.write_text(table.to_csv(index=False, sep=";"), encoding="utf-16" if form == "utf-16" else "utf-8")
    assert [file.name for file in listed_images(pictures, path)] == ["c.png", "a.png"]


def test_a_name_in_the_table_is_text_whatever_its_bytes() -> None:
    assert in_table(Path("ä b.png")) == "ä b.png"
    assert in_table(Path(os.fsdecode(b"a\xff.png"))).isascii()


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
    result = predict_images(request_for(task, tmp_path / "table.csv"))
    ((name, reason),) = result.failed
    assert name == "volume.nii.gz"
    assert "holds 4 slices" in reason
    assert [row[0] for row in read_table(tmp_path / "table.csv")[1:]] == list(SIZES)


def test_a_model_for_another_task_is_refused(request_for, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="made for 'lungs'"):
        predict_images(request_for("chest", tmp_path / "table.csv", model="tiny-lungs"))


def test_what_a_run_would_refuse_gets_no_score(pictures: Path, chest_xray: Path, request_for, tmp_path: Path) -> None:
    header = pydicom.dcmread(next(chest_xray.rglob("*.dcm")))
    header.ViewPosition = "LL"
    header.save_as(pictures / "lateral.dcm")
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[:, 8:40, 8:40] = 1
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(pictures / "mask.nrrd"))
    chest = predict_images(request_for("chest", tmp_path / "chest.csv"))
    assert {name for name, _ in chest.failed} == {"lateral.dcm", "mask.nrrd"}
    assert chest.count == len(SIZES)
    head = predict_images(request_for("hemorrhage", tmp_path / "head.csv"))
    assert "lateral.dcm" in {name for name, _ in head.failed}, "a radiograph is no head CT"


@pytest.mark.slow
def test_a_slice_without_brain_is_scored_where_the_header_names_no_part(request_for, tmp_path: Path) -> None:
    phantom = make_phantom("head-ct", 3, positive=False, matrix=96, slice_spacing=5.0)
    images = tmp_path / "slices"
    images.mkdir()
    for file in sorted((write_phantom(phantom, tmp_path) / "dicom").iterdir()):
        header = pydicom.dcmread(file)
        for name in ("BodyPartExamined", "ProtocolName", *header.dir("Description"), *header.dir("AnatomicRegion")):
            header.pop(name, None)
        values = np.full((header.Rows, header.Columns), -1000 - int(header.RescaleIntercept), np.int16)
        values[40:50, 40:50] += 1030 + np.arange(10, dtype=np.int16)
        header.PixelData = values.tobytes()
        header.save_as(images / file.name)
    assert "wrong-body-part" in [
        item.code for item in check_study(read_study(images / file.name), find_kind("hemorrhage").requirements)
    ]
    assert predict_images(request_for("hemorrhage", tmp_path / "head.csv", images=images)).failed == ()


def test_noise_is_scored_and_told_of(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    noise = (np.random.default_rng(0).random((256, 256)) * 255).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / "images" / "a.png"))
    result = predict_images(ImagesRequest("chest", tmp_path / "images", tmp_path / "o.csv", device="cpu"))
    assert (result.count, result.failed) == (1, ())
    ((name, reason),) = result.doubted
    assert name == "a.png"
    assert "as in noise" in reason
