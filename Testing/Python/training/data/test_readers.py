import numpy as np
import pydicom
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import KINDS, detect_kind, read_data
from AcuteFindingsLib.training.data.load import load_image, load_mask

LAYOUTS = (
    "rsna-pe", "pe-study", "rsna-hemorrhage", "siim", "nih", "padchest", "corrections", "head-slices", "lung-masks",
    "phantoms/head-ct", "phantoms/ctpa", "phantoms/chest-xray",
)  # fmt: skip


def severities(table, worst: str = "warn") -> list[str]:
    order = ["error", "warn", "info"]
    return [one.text for one in table.problems if order.index(one.severity) <= order.index(worst)]


def test_every_kind_has_a_tiny_data_set_here() -> None:
    assert {layout.partition("/")[0] for layout in LAYOUTS} == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognized_and_read_without_complaint(native, layout: str) -> None:
    assert detect_kind(native(layout)) == layout.partition("/")[0]
    table = read_data(None, native(layout))
    assert len(table) > 0
    assert severities(table) == []
    assert len(set(table.keys)) == len(table)
    assert all(one.source is not None and one.source.is_file() for one in table.examples)
    assert len(table.require_usable()) == len(table)


@pytest.mark.slow
def test_the_pe_study_gives_label_patient_and_series_of_each_slice(native, builders) -> None:
    table = read_data("pe-study", native("pe-study"))
    phantoms = [builders.patient("ctpa", number) for number in range(4)]
    assert len(table) == sum(len(one.array) for one in phantoms)
    assert table.count().positive == sum(int(one.slice_labels["pe"].sum()) for one in phantoms)
    series = list(table.by_series())
    assert len(series) == len({one.patient for one in table.examples}) == 4
    assert all(len({one.labels["pe_present"] for one in slices}) == 1 for slices in series)
    assert table.examples[0].facts["dataset_label"] == "train"


def test_the_pe_study_is_found_below_data_dcm_too(builders, tmp_path) -> None:
    table = read_data("pe-study", builders.build_pe_study(tmp_path, patients=1, place="data_dcm"))
    assert severities(table) == []
    assert "data_dcm" in table.examples[0].source.parts


def test_rsna_pe_gives_all_labels_of_slice_and_examination(native, builders) -> None:
    table = read_data("rsna-pe", native("rsna-pe"))
    assert table.main_label == "pe"
    assert len(table.label_names) == 15
    first, last = table.examples[0], table.examples[-1]
    truth = builders.patient("ctpa", 0).study_labels
    assert (first.labels["pe_present"], first.labels["negative_exam"]) == (1, 0)
    assert [first.labels[side] for side in ("left", "right")] == [truth["left"], truth["right"]]
    assert (last.labels["pe_present"], last.labels["negative_exam"]) == (0, 1)
    assert first.patient == first.source.parent.parent.name


def test_rsna_hemorrhage_gets_patient_series_and_order_from_the_headers(native, builders) -> None:
    table = read_data("rsna-hemorrhage", native("rsna-hemorrhage"))
    phantoms = [builders.patient("head-ct", number) for number in range(4)]
    assert len(table) == sum(len(one.array) for one in phantoms)
    assert table.main_label == "any"
    assert table.count().positive == sum(int(one.slice_labels["any"].sum()) for one in phantoms)
    assert any("said twice" in one.text for one in table.problems)
    assert len(set(table.rows["patient"])) == 4
    for slices in table.by_series():
        assert np.all(np.diff([one.order for one in slices]) > 0)
        assert not any("PHANTOM" in one.patient for one in slices)  # a digest, not what stands in the header


def test_siim_joins_masks_and_reads_sex_age_and_spacing(native, builders) -> None:
    table = read_data("siim", native("siim"))
    assert [one.labels["pneumothorax"] for one in table.examples] == [1, 0, 1, 0, 1, 0]
    first, second = table.examples[:2]
    assert len(first.mask.runs) == 2
    assert first.mask.size == (64, 64)
    assert second.mask.runs == ()
    assert (first.facts["sex"], first.facts["age"], second.facts["sex"]) == ("F", 20, "M")
    assert first.facts["spacing_mm"] == pytest.approx(builders.patient("chest-xray", 0).spacing[2], rel=1e-3)


@pytest.mark.slow
def test_nih_gives_findings_boxes_and_facts(native, builders) -> None:
    table = read_data("nih", native("nih"))
    assert table.count().positive == 6
    first = table.examples[0]
    assert (first.patient, first.facts["age"], first.facts["sex"]) == ("1", 30, "M")
    assert (first.boxes[0].label, first.boxes[0].x, first.boxes[0].height) == ("pneumothorax", 10.5, 18.0)
    assert len({one.patient for one in table.examples}) == 6
    negative = table.examples[2]
    assert all(negative.labels[name] in (0, 1) for name in table.label_names)


def test_padchest_keeps_the_frontal_projections(native) -> None:
    table = read_data("padchest", native("padchest"))
    assert [one.facts["projection"] for one in table.examples] == ["PA", "AP_horizontal", "AP", "PA", "AP_horizontal"]
    assert any("1 L" in one.text for one in table.problems if one.field == "Projection")
    first = table.examples[0]
    assert first.labels["pneumothorax"] == 1
    assert (first.facts["age"], first.facts["sex"]) == (84, "F")
    assert "pneumothorax" in first.facts["findings"]


def test_corrections_take_the_annotators_answer_before_the_mask(native) -> None:
    table = read_data("corrections", native("corrections"))
    said = [one.labels["any"] for one in table.examples[:4]]
    assert said[:2] == [0, 1]
    assert np.isnan(said[2:]).all()  # not looked at, and unsure
    assert list(table.examples[1].masks) == ["Hemorrhage", "Brain"]
    patients = [slices[0].patient for slices in table.by_series()]
    assert patients[0] == patients[1] != patients[2]


def test_a_completed_mask_says_which_slices_show_nothing(builders, tmp_path) -> None:
    table = read_data("corrections", builders.build_corrections(tmp_path, count=1, status="completed"))
    assert [one.labels["any"] for one in table.examples][:3] == [0, 1, 0]


@pytest.mark.slow
def test_phantoms_of_a_task_have_its_labels_and_its_mask_first(native) -> None:
    head = read_data("phantoms", native("phantoms/head-ct"))
    assert (head.task, head.main_label, next(iter(head.examples[0].masks))) == ("hemorrhage", "any", "hemorrhage")
    ctpa = read_data("phantoms", native("phantoms/ctpa"))
    assert (ctpa.task, ctpa.main_label, next(iter(ctpa.examples[0].masks))) == ("pe", "pe", "embolus")
    assert ctpa.examples[0].labels["pe_present"] == 1
    chest = read_data("phantoms", native("phantoms/chest-xray"), task="lungs")
    assert (chest.label_names, next(iter(chest.examples[0].masks))) == ((), "lungs")


def test_head_slices_share_a_group_where_they_nearly_equal(native) -> None:
    groups = [one.group for one in read_data("head-slices", native("head-slices")).examples]
    assert groups[0] == groups[2] != groups[1] == groups[3] != groups[4]


def test_lungs_alone_are_no_outline_of_a_finding_and_its_label_is_unknown(native) -> None:
    table = read_data("lung-masks", native("lung-masks"), task="pneumothorax")
    assert (table.task, table.main_label, table.count().unknown) == ("pneumothorax", "pneumothorax", len(table))
    assert table.examples[0].mask is None
    assert "lungs" in table.examples[0].masks
    assert read_data("lung-masks", native("lung-masks"), task="pe").task == "lungs"


def test_lung_masks_come_with_patient_and_view(native) -> None:
    table = read_data("lung-masks", native("lung-masks"))
    assert len({one.patient for one in table.examples}) == 4
    assert table.examples[1].facts == {"view": "AP", "intubated": 1.0}
    assert table.label_names == ()


def test_the_real_images_are_read(data_folder) -> None:
    expected = {"head-ct-slices": 140, "chest-xray-64": 803, "chest-xray-lungs": 58, "chest-xray-dicom": 2}
    for name, count in expected.items():
        table = read_data(None, data_folder / name)
        assert (name, len(table), severities(table)) == (name, count, [])
    heads = read_data(None, data_folder / "head-ct-slices")
    assert (heads.count().positive, heads.count().negative) == (70, 70)


def test_what_is_no_data_set_is_told_with_what_would_be_one(tmp_path) -> None:
    with pytest.raises(DataError, match=r"stage_2_train\.csv"):
        detect_kind(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        read_data(None, tmp_path / "nothing")
    with pytest.raises(DataError, match="expected one of rsna-pe"):
        read_data("kaggle", tmp_path)


def test_headers_are_read_once_and_again_when_a_file_changes(builders, tmp_path, monkeypatch) -> None:
    from AcuteFindingsLib.training.data import headers

    folder, cache = builders.build_siim(tmp_path / "siim", patients=3), tmp_path / "cache"
    first = read_data("siim", folder, cache=cache)
    read: list[str] = []
    original = headers._read_many
    monkeypatch.setattr(headers, "_read_many", lambda root, names: (read.extend(names), original(root, names))[1])
    again = read_data("siim", folder, cache=cache)
    assert read == []
    assert again.facts.equals(first.facts)
    assert again.rows.equals(first.rows)
    changed = first.examples[1].source
    header = pydicom.dcmread(changed)
    header.PatientAge = "077Y"
    header.save_as(changed)
    assert read_data("siim", folder, cache=cache).examples[1].facts["age"] == 77
    assert [name.rpartition("/")[2] for name in read] == [changed.name]


def test_what_the_modules_save_is_what_is_read(tmp_path, monkeypatch) -> None:
    """The writer of corrections, without Slicer: its volume is an array here."""
    from dataclasses import dataclass
    from datetime import UTC, datetime
    from types import SimpleNamespace

    from AcuteFindingsLib.scene import correction_files
    from AcuteFindingsLib.scene.segment_voxels import Box

    @dataclass
    class Model:
        id: str = "m"

    array, matrix = np.full((3, 6, 5), 30, np.int16), np.eye(4)
    array[:, 0] = -1000
    monkeypatch.setattr(correction_files, "voxel_grid", lambda volume: (array, matrix))
    finding = SimpleNamespace(
        detector="hemorrhage",
        slices=[SimpleNamespace(index=n, sop_instance_uid=f"1.{n}", probabilities={"any": 0.7}) for n in range(3)],
        main_label="any",
        slice_threshold=0.5,
        series_instance_uid="1.2.3",
        model=Model(),
        verdict=SimpleNamespace(label="positive", probability=0.7),
    )
    corrected = Box(np.ones((1, 2, 2), np.uint8), (1, 3, 2), matrix)
    segment = correction_files.CorrectedSegment("Hemorrhage", ai=None, corrected=corrected, status="completed")
    correction_files.write_correction(
        finding, None, [segment], {0: "absent"}, tmp_path, annotator="someone", saved_at=datetime.now(UTC)
    )
    table = read_data(None, tmp_path)
    assert table.kind == "corrections"
    assert [one.labels["any"] for one in table.examples] == [0, 1, 0]
    mask = load_mask(table.examples[1], (6, 5))
    assert [axis.tolist() for axis in np.nonzero(mask)] == [[3, 3, 4, 4], [2, 3, 2, 3]]
    assert np.array_equal(load_image(table.examples[1]), array[1])
