import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import AcuteFindingsLib
from AcuteFindingsLib.detectors.finding import (
    Code,
    Finding,
    Heatmap,
    Mask,
    Measurement,
    ModelIdentity,
    SliceResult,
    Verdict,
)
from AcuteFindingsLib.errors import ExportError, StudyError
from AcuteFindingsLib.jobs import arrays
from AcuteFindingsLib.jobs.arrays import StudyWriter, load_result, load_study, save_result, save_study
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

LACKING = ("torch", "monai", "timm", "pydantic", "typer", "rich", "jinja2", "matplotlib", "highdicom", "skimage")


@pytest.fixture
def study() -> Study:
    values = np.random.default_rng(1).integers(-1024, 3000, (5, 4, 3)).astype(np.float32)
    return Study(
        array=values,
        ijk_to_ras=np.array([[-0.5, 0, 0, 10], [0, -0.48, 0.1, 20], [0, 0.1, 2.4, -30], [0, 0, 0, 1.0]]),
        modality="CT",
        intensity="HU",
        orientation="axial",
        sources=(
            SourceSlice(0, Path("/tmp/one.dcm"), 0, "1.2.3", (1.0, 2.0, 3.5), 0.0, 2.4),
            SourceSlice(1, None, 3, "", (1.0, 2.0, 5.9), 1.25, None),
        ),
        dicom=DicomFacts(series_instance_uid="1.2", image_type=("ORIGINAL", "PRIMARY"), patient_orientation=("L", "P")),
        pixel_spacing_known=False,
        regridded="uneven spacing",
        notices=(Notice("missing-slices", "warn", "Two slices are missing."),),
        source_name="series 4",
    )


@pytest.fixture
def finding() -> Finding:
    generator = np.random.default_rng(0)
    altered = Code("SCT", "49755003", "Morphologically Altered Structure")
    mask = (generator.random((4, 6, 5)) > 0.5).astype(np.uint8)
    return Finding(
        detector="pneumothorax",
        model=ModelIdentity("m", "1.0.0", "cd" * 32, "phantoms"),
        verdict=Verdict("positive", 0.8, 0.5, "rule", "it has four"),
        slices=tuple(SliceResult(n, (1.0, 2.0, 3.5 * n), f"1.2.{n}", {"any": 0.1 * n}, float(n)) for n in range(4)),
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=np.diag([-0.5, -0.5, 2.0, 1.0]),
        display_window=(40.0, 80.0),
        positive_runs=((1, 3),),
        masks=(
            Mask("Pneumothorax", mask, altered, Code("SCT", "36118008", "Pneumothorax"), None, (0.8, 0.1, 0.1)),
            Mask("Right lung", 1 - mask, altered, Code("SCT", "3341006", "Right lung"), altered, (0.1, 0.1, 0.9)),
        ),
        heatmap=Heatmap("CAM", generator.integers(0, 255, (4, 3, 3), np.uint8), np.diag([-1.0, -1.0, 2.0, 1.0])),
        measurements=(Measurement("Volume", 12.5, "mL", Code("SCT", "118565006", "Volume")),),
        warnings=(Notice("thick", "warn", "Slices are thick."),),
        timings={"network": 1.5},
        series_instance_uid="1.2.3",
    )


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def assert_same_study(back: Study, study: Study) -> None:
    assert replace(back, array=None, ijk_to_ras=None) == replace(study, array=None, ijk_to_ras=None)
    np.testing.assert_array_equal(back.ijk_to_ras, study.ijk_to_ras)
    np.testing.assert_array_equal(back.array, study.array)
    assert back.array.dtype == np.float32
    assert type(back.array) is np.ndarray


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_a_study_written_in_parts_comes_back_as_it_was(study: Study, dtype: type, tmp_path: Path) -> None:
    writer = StudyWriter(tmp_path / "study", study, dtype=dtype)
    writer.write_planes(3, study.array[3:])
    writer.write_planes(0, study.array[:3])
    assert not (tmp_path / "study" / arrays.STUDY).exists()
    assert writer.close() == tmp_path / "study"
    assert names(tmp_path / "study") == ["array.npy", "study.json"]
    assert np.load(tmp_path / "study" / "array.npy").dtype == dtype
    assert_same_study(load_study(tmp_path / "study"), study)


def test_the_writer_needs_no_array_where_shape_and_type_are_given(study: Study, tmp_path: Path) -> None:
    facts = replace(study, array=np.empty((0, 0, 0), np.int16))
    with StudyWriter(tmp_path, facts, study.array.shape, np.int16) as writer:
        assert writer.plane_bytes == 4 * 3 * 2
        for z, plane in enumerate(study.array):
            writer.write_planes(z, plane[None].astype(np.int16))
    assert_same_study(load_study(tmp_path), study)


def test_float_values_are_rounded_and_held_within_range(study: Study, tmp_path: Path) -> None:
    values = study.array.copy()
    values[0, 0] = (1.6, -1.6, 99_999.0)
    save_study(replace(study, array=values), tmp_path, dtype=np.int16)
    np.testing.assert_array_equal(load_study(tmp_path).array[0, 0], (2, -2, 32_767))


def test_a_reader_cannot_change_the_file(study: Study, tmp_path: Path) -> None:
    save_study(study, tmp_path)
    load_study(tmp_path).array[...] = 0
    assert_same_study(load_study(tmp_path), study)


def test_planes_outside_the_array_are_refused(study: Study, tmp_path: Path) -> None:
    writer = StudyWriter(tmp_path, study)
    for start, planes in ((4, study.array[:2]), (-1, study.array[:1]), (0, study.array[:, :2]), (0, study.array[0])):
        with pytest.raises(ValueError, match="do not lie within"):
            writer.write_planes(start, planes)
    writer.discard()
    assert names(tmp_path) == []


def test_a_study_that_lacks_planes_is_never_complete(study: Study, tmp_path: Path) -> None:
    writer = StudyWriter(tmp_path, study)
    writer.write_planes(0, study.array[:3])
    with pytest.raises(StudyError, match="lacks 2 slices"):
        writer.close()
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path)


def test_an_error_while_writing_leaves_nothing(study: Study, tmp_path: Path) -> None:
    with pytest.raises(KeyError), StudyWriter(tmp_path, study):
        raise KeyError
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StudyError, match=r"file.*make room"):
        StudyWriter(tmp_path / "file", study)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told(study: Study, tmp_path: Path) -> None:
    (tmp_path / "array.npy").symlink_to("/dev/full")
    large = replace(study, array=np.zeros((2, 256, 256), np.float32))
    with pytest.raises(StudyError, match=r"No space left.*make room"):
        save_study(large, tmp_path)


def test_a_cut_array_or_another_version_is_told(study: Study, tmp_path: Path) -> None:
    save_study(study, tmp_path)
    whole = (tmp_path / "array.npy").read_bytes()
    (tmp_path / "array.npy").write_bytes(whole[:-8])
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path)
    (tmp_path / "array.npy").write_bytes(whole)
    data = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    (tmp_path / "study.json").write_text(json.dumps({**data, "shape": [5, 4, 4]}), encoding="utf-8")
    with pytest.raises(StudyError, match=r"\(5, 4, 4\)"):
        load_study(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({**data, "format": 99}), encoding="utf-8")
    with pytest.raises(StudyError, match="'format' is 99"):
        load_study(tmp_path)


def test_a_result_comes_back_as_it_was_on_mapped_arrays(finding: Finding, tmp_path: Path) -> None:
    path = save_result(finding, tmp_path / "out")
    assert path == tmp_path / "out" / "finding.json"
    assert names(tmp_path) == [
        "out/finding.json",
        "out/heatmap.npy",
        "out/masks/pneumothorax.npy",
        "out/masks/right-lung.npy",
    ]
    back = load_result(tmp_path / "out")
    assert back.to_dict() == finding.to_dict()
    for mask, original in zip(back.masks, finding.masks, strict=True):
        assert isinstance(mask.array, np.memmap)
        np.testing.assert_array_equal(mask.array, original.array)
        assert replace(mask, array=None) == replace(original, array=None)
    assert back.heatmap.name == finding.heatmap.name
    np.testing.assert_array_equal(back.heatmap.array, finding.heatmap.array)
    np.testing.assert_array_equal(back.heatmap.ijk_to_ras, finding.heatmap.ijk_to_ras)


def test_a_result_without_arrays_comes_back(finding: Finding, tmp_path: Path) -> None:
    bare = replace(finding, masks=(), heatmap=None)
    save_result(bare, tmp_path / "out")
    back = load_result(tmp_path / "out")
    assert back.to_dict() == bare.to_dict()
    assert (back.masks, back.heatmap) == ((), None)


def test_a_new_result_takes_the_place_of_an_earlier_one(finding: Finding, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    save_result(finding, tmp_path / "out")
    save_result(replace(finding, masks=finding.masks[:1], heatmap=None), tmp_path / "out")
    assert names(tmp_path) == ["out/finding.json", "out/masks/pneumothorax.npy"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_of_the_user_are_left_alone(finding: Finding, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match="holds other files"):
        save_result(finding, tmp_path)
    assert names(tmp_path) == ["notes.txt"]


def test_files_of_the_user_among_an_earlier_result_are_left_alone(finding: Finding, tmp_path: Path) -> None:
    save_result(finding, tmp_path / "out")
    (tmp_path / "out" / "masks" / "mine.npy").write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match="holds other files"):
        save_result(finding, tmp_path / "out")
    assert (tmp_path / "out" / "masks" / "mine.npy").read_text(encoding="utf-8") == "mine"


def test_a_result_that_cannot_be_written_leaves_nothing(
    finding: Finding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ExportError, match=r"out: No space left on device\."):
        save_result(finding, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_lacks_a_mask_is_named(finding: Finding, tmp_path: Path) -> None:
    save_result(finding, tmp_path / "out")
    (tmp_path / "out" / "masks" / "right-lung.npy").unlink()
    with pytest.raises(ExportError, match=r"right-lung\.npy"):
        load_result(tmp_path / "out")


def test_a_result_of_objects_is_not_unpickled(finding: Finding, tmp_path: Path) -> None:
    save_result(finding, tmp_path / "out")
    np.save(tmp_path / "out" / "heatmap.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ExportError, match="cannot be read"):
        load_result(tmp_path / "out")


@pytest.mark.slow
def test_importing_needs_nothing_that_slicer_lacks() -> None:
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({LACKING}))\n"
        f"sys.path.insert(0, {str(Path(AcuteFindingsLib.__file__).parents[1])!r})\n"
        "import AcuteFindingsLib.jobs.arrays\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
