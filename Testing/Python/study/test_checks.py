from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind, kinds
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import DicomFacts, Study

from .drawn import axial_study, ball, ctpa, head, radiograph


def codes(study: Study, detector: str, severity: str | None = None) -> set[str]:
    return {n.code for n in check_study(study, find_kind(detector).requirements) if severity in (None, n.severity)}


def with_facts(study: Study, **facts) -> Study:
    return replace(study, dicom=replace(study.dicom, **facts))


def part_of(study: Study, z: slice) -> Study:
    return replace(study, array=study.array[z], sources=study.sources[z])


@pytest.mark.slow
@pytest.mark.parametrize(("make", "detector"), [(ctpa, "pe"), (head, "hemorrhage"), (radiograph, "pneumothorax")])
def test_a_study_the_detector_was_made_for_passes_without_warning(make, detector):
    assert not codes(make(), detector) - {"other-thickness"}


@pytest.mark.parametrize(
    ("make", "detector", "code"),
    [
        (head, "pe", "wrong-body-part"),
        (ctpa, "hemorrhage", "wrong-body-part"),
        (ctpa, "pneumothorax", "wrong-modality"),
        (head, "pneumothorax", "wrong-modality"),
        (radiograph, "pe", "wrong-modality"),
        (radiograph, "hemorrhage", "wrong-modality"),
    ],
)
def test_a_study_for_another_detector_is_refused(make, detector, code):
    assert code in codes(make(), detector, "refuse")


@pytest.mark.parametrize("detector", ["pe", "hemorrhage", "pneumothorax"])
def test_magnetic_resonance_is_refused_by_all(detector):
    assert codes(replace(ctpa(), modality="MR"), detector) == {"wrong-modality"}


def test_content_decides_where_the_header_is_silent():
    assert ctpa().dicom.body_part == ""
    assert "wrong-body-part" not in codes(ctpa(), "pe")
    assert "modality-unknown" in codes(replace(ctpa(), modality=""), "pe", "info")


def test_content_decides_where_the_header_contradicts_it():
    assert "body-part-contradiction" in codes(with_facts(ctpa(), body_part="ABDOMEN"), "pe", "info")
    assert "wrong-body-part" in codes(with_facts(ctpa(), body_part="HEAD"), "hemorrhage", "refuse")


def test_a_body_part_that_only_the_header_names_is_a_warning():
    box = np.full((20, 64, 64), -1000, np.float32)
    box[:, 16:48, 16:48] = 40
    study = replace(head(), array=box, sources=(), dicom=DicomFacts(body_part="HEAD"))
    assert "body-part-not-seen" in codes(study, "hemorrhage", "warn")
    assert "wrong-body-part" in codes(replace(study, dicom=DicomFacts()), "hemorrhage", "refuse")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contrast", "code", "severity"), [(0.0, "no-contrast", "refuse"), (150.0, "weak-contrast", "warn")]
)
def test_blood_without_enough_contrast_is_named(contrast, code, severity):
    assert code in codes(ctpa(contrast), "pe", severity)


def test_contrast_that_only_the_header_claims_is_refused_and_said_so():
    study = with_facts(ctpa(0.0), contrast_agent="Iohexol 350")
    (notice,) = [n for n in check_study(study, find_kind("pe").requirements) if n.severity == "refuse"]
    assert notice.code == "no-contrast"
    assert "Although the header says that contrast was given" in notice.text


def test_contrast_that_the_header_denies_is_a_remark():
    study = with_facts(ctpa(), series_description="Thorax w/o contrast")
    assert "contrast-contradiction" in codes(study, "pe", "info")


@pytest.mark.parametrize(
    ("facts", "warned"),
    [
        ({"contrast_agent": "APPLIED"}, True),
        ({"series_description": "CTA Head"}, True),
        ({"series_description": "Head C+ 5mm"}, True),
        ({"contrast_agent": "NONE"}, False),
        ({"series_description": "Head W/O 5mm"}, False),
        ({"series_description": "non-enhanced brain"}, False),
        ({"series_description": "unenhanced brain"}, False),
        ({}, False),
    ],
)
def test_contrast_in_the_head_is_a_warning(facts, warned):
    assert ("contrast-in-head" in codes(with_facts(head(), **facts), "hemorrhage", "warn")) == warned


def with_ball(study: Study, hu: float, radius_mm: float) -> Study:
    array = study.array.copy()
    array[ball(array.shape, (20.0, 10.0, 15.0), (radius_mm,) * 3, study.spacing)] = hu
    return replace(study, array=array)


def test_a_head_that_is_enhanced_without_saying_so_is_warned_of_and_fresh_blood_is_not():
    assert "contrast-in-head" in codes(with_ball(head(), 200.0, 14.0), "hemorrhage", "warn")
    bright = np.where((head().array > 0) & (head().array < 100), head().array + 35, head().array)
    assert "contrast-in-head" in codes(replace(head(), array=bright), "hemorrhage", "warn")
    assert "contrast-in-head" not in codes(with_ball(head(), 80.0, 25.0), "hemorrhage")
    noise = np.random.default_rng(7).normal(0, 60, head().array.shape)
    assert "contrast-in-head" not in codes(replace(head(), array=head().array + noise), "hemorrhage")


def tilted(study: Study, degrees: float) -> Study:
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return replace(study, ijk_to_ras=turn @ study.ijk_to_ras)


def test_slices_far_from_axial_are_a_warning():
    assert "oblique-slices" in codes(tilted(ctpa(), 15), "pe", "warn")
    assert "oblique-slices" not in codes(tilted(ctpa(), 5), "pe")
    assert "oblique-slices" not in codes(tilted(head(), 18), "hemorrhage")


def coronal(step: int) -> Study:
    study = ctpa()
    order = [0, 2, 1, 3]
    matrix = study.ijk_to_ras[:, order] @ np.diag([1.0, 1.0, step, 1.0])
    return replace(
        study, array=study.array.transpose(1, 0, 2)[::step], ijk_to_ras=matrix, orientation="coronal", sources=()
    )


def test_a_fine_coronal_series_is_rebuilt_with_a_warning_and_a_coarse_one_refused():
    assert "reformatted" in codes(coronal(1), "pe", "warn")
    assert "not-axial" in codes(coronal(3), "pe", "refuse")


@pytest.mark.slow
@pytest.mark.parametrize(("thickness", "severity"), [(3.0, None), (7.0, "warn"), (12.0, "refuse")])
def test_thick_slices_are_warned_of_and_very_thick_ones_refused(thickness, severity):
    sources = tuple(replace(source, thickness_mm=thickness) for source in ctpa().sources)
    found = {
        n.severity
        for n in check_study(replace(ctpa(), sources=sources), find_kind("pe").requirements)
        if n.code == "thick-slices"
    }
    assert found == ({severity} if severity else set())


@pytest.mark.slow
def test_thickness_other_than_published_is_a_remark():
    assert "other-thickness" in codes(ctpa(spacing=5.0), "pe", "info")
    assert "other-thickness" not in codes(ctpa(spacing=3.0), "pe")


def test_gaps_between_slices_are_a_warning():
    sources = tuple(replace(source, thickness_mm=1.0) for source in ctpa().sources)
    assert "gaps-between-slices" in codes(replace(ctpa(), sources=sources), "pe", "warn")
    assert "gaps-between-slices" not in codes(ctpa(), "pe")


def test_half_a_chest_and_half_a_head_are_warned_of():
    assert "short-coverage" in codes(part_of(ctpa(), slice(45, 75)), "pe", "warn")
    middle = head().array.shape[0] // 2
    thin = round(40 / head().spacing[0])
    assert "short-coverage" in codes(part_of(head(), slice(middle, middle + thin)), "hemorrhage", "warn")


def test_a_field_that_cuts_through_the_lungs_is_warned_of():
    crop = replace(ctpa(), array=ctpa().array[:, 40:120, 40:120])
    assert "cropped-field" in codes(crop, "pe", "warn")


def test_a_single_slice_and_two_slices_are_warned_of():
    middle = head().array.shape[0] // 2
    assert "single-slice" in codes(part_of(head(), slice(middle, middle + 1)), "hemorrhage", "warn")
    assert "few-slices" in codes(part_of(head(), slice(middle, middle + 2)), "hemorrhage", "warn")


@pytest.mark.parametrize("detector", ["pe", "hemorrhage", "pneumothorax"])
def test_an_image_all_one_value_is_refused(detector):
    study = radiograph() if detector == "pneumothorax" else ctpa()
    assert codes(replace(study, array=np.full_like(study.array, 7)), detector) == {"constant-image"}


def test_values_that_are_not_numbers_are_refused():
    array = ctpa().array.copy()
    array[3, 4, 5] = np.nan
    assert codes(replace(ctpa(), array=array), "pe") == {"values-not-finite"}


def test_a_burned_in_window_is_refused_where_hu_are_expected():
    gray = np.clip((ctpa().array + 160) / 400, 0, 1) * 255
    assert codes(replace(ctpa(), array=gray.round()), "pe", "refuse") == {"window-burnt-in"}
    assert "window-burnt-in" in codes(replace(head(), array=np.clip(head().array, 0, 80)), "hemorrhage", "refuse")
    assert "window-burnt-in" in codes(replace(ctpa(), array=np.clip(ctpa().array, -160, 240)), "pe", "refuse")


def test_head_slices_with_a_burned_in_window_are_taken_with_a_warning_and_chest_slices_not():
    unit = np.clip(head().array / 80, 0, 1)
    assert "window-burnt-in" in codes(replace(head(), array=unit, intensity="windowed"), "hemorrhage", "warn")
    assert "window-burnt-in" in codes(replace(ctpa(), array=unit, intensity="windowed"), "pe", "refuse")


def test_ct_numbers_whose_rescale_intercept_was_lost_are_refused():
    assert codes(replace(ctpa(), array=ctpa().array + 1100), "pe", "refuse") == {"not-hu"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer", "refuse"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "secondary-capture", "warn"),
        ({"image_type": ("DERIVED", "SECONDARY", "MIP")}, "projection-slabs", "warn"),
        ({"burned_in_annotation": "YES"}, "burned-in-annotation", "warn"),
        ({"gantry_tilt_deg": 18.5}, "gantry-tilt", "info"),
    ],
)
def test_what_the_header_says_about_the_images_is_passed_on(facts, code, severity):
    assert code in codes(with_facts(ctpa(), **facts), "pe", severity)
    assert code not in codes(ctpa(), "pe")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("PA", None),
        ("AP", None),
        ("AP SUPINE", None),
        ("LL", "lateral-view"),
        ("RL", "lateral-view"),
        ("LATERAL", "lateral-view"),
        ("LLD", "decubitus-view"),
        ("LAO", "oblique-view"),
        ("", "view-unknown"),
        ("XX", "view-unknown"),
    ],
)
def test_only_frontal_views_pass(view, expected):
    found = codes(with_facts(radiograph(), view_position=view), "pneumothorax")
    assert found == ({expected} if expected else set())
    if expected == "lateral-view":
        assert codes(with_facts(radiograph(), view_position=view), "pneumothorax", "refuse") == {"lateral-view"}


def test_the_patient_orientation_tells_the_view_where_no_view_position_does():
    lateral = with_facts(radiograph(), view_position="", patient_orientation=("A", "F"))
    frontal = with_facts(radiograph(), view_position="", patient_orientation=("L", "F"))
    assert "lateral-view" in codes(lateral, "pneumothorax", "refuse")
    assert not codes(frontal, "pneumothorax")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"view_position": "", "stated": ("lateral",)}, {"lateral-view"}),
        ({"view_position": "", "series_description": "Thorax seitlich"}, {"lateral-view"}),
        ({"view_position": "", "series_description": "CHEST PA AND LAT"}, {"view-unknown"}),
        ({"view_position": "", "series_description": "CHEST PA"}, set()),
        ({"view_position": "PA", "series_description": "CHEST LATERAL"}, {"view-contradiction"}),
        ({"view_position": "", "series_description": "L LAT DECUB"}, {"decubitus-view"}),
        ({"view_position": "PA", "series_description": "BILATERAL"}, set()),
    ],
)
def test_descriptions_tell_the_view_where_the_view_position_does_not(facts, expected):
    assert codes(with_facts(radiograph(), **facts), "pneumothorax") == expected


@pytest.mark.parametrize("part", ["TORAX", "TORACE", "THORACIC", "POITRINE", "胸部", "RIBS", "PORTABLE"])
def test_a_chest_in_the_language_of_the_country_is_a_chest(part):
    assert not codes(with_facts(radiograph(), body_part=part), "pneumothorax")


def test_a_body_part_in_no_known_word_is_warned_of_and_not_refused():
    assert codes(with_facts(radiograph(), body_part="QWERTY"), "pneumothorax", "warn") == {"body-part-unknown"}


@pytest.mark.parametrize("part", ["TSPINE", "THORACIC SPINE", "MANO", "ABD", "頭部"])
def test_another_part_in_the_language_of_the_country_is_refused(part):
    assert "wrong-body-part" in codes(with_facts(radiograph(), body_part=part), "pneumothorax", "refuse")


def test_a_radiograph_whose_description_names_another_part_is_refused():
    study = with_facts(radiograph(), body_part="", stated_parts=("abdomen",))
    assert "wrong-body-part" in codes(study, "pneumothorax", "refuse")


def test_a_radiograph_of_another_part_is_refused():
    assert "wrong-body-part" in codes(with_facts(radiograph(), body_part="HAND"), "pneumothorax", "refuse")
    assert not codes(with_facts(radiograph(), body_part="PORT CHEST"), "pneumothorax")


def test_several_radiographs_at_once_are_refused():
    study = replace(radiograph(), array=np.repeat(radiograph().array, 2, axis=0))
    assert "several-images" in codes(study, "pneumothorax", "refuse")


def test_small_inverted_and_unmeasured_radiographs_are_named():
    study = with_facts(radiograph(), photometric_interpretation="MONOCHROME1")
    study = replace(study, array=study.array[:, ::8, ::8][:, :64, :64], pixel_spacing_known=False)
    assert codes(study, "pneumothorax", "warn") == {"low-resolution", "no-pixel-spacing"}
    assert codes(study, "pneumothorax", "info") == {"monochrome1"}


def test_what_reading_found_is_passed_on_once_and_refusals_come_first():
    notice = Notice("gantry-tilt", "info", "The stack leans.")
    study = replace(with_facts(ctpa(0.0), gantry_tilt_deg=18.5), notices=(notice,))
    found = check_study(study, find_kind("pe").requirements)
    assert [n for n in found if n.code == "gantry-tilt"] == [notice]
    assert found[0].severity == "refuse"


def test_two_warnings_of_one_code_both_survive_and_a_refusal_is_not_hidden_by_a_warning():
    first, second = Notice("projection-slabs", "warn", "One."), Notice("projection-slabs", "warn", "Two.")
    study = replace(with_facts(ctpa(), series_description="AX MIP"), notices=(first, second))
    assert [n.severity for n in check_study(study, find_kind("pe").requirements) if n.code == "projection-slabs"] == [
        "warn"
    ] * 3
    unit = np.clip(ctpa().array / 80, 0, 1)
    read = Notice("window-burnt-in", "warn", "A window was burned in.")
    study = replace(ctpa(), array=unit, intensity="windowed", notices=(read,))
    assert [n.severity for n in check_study(study, find_kind("pe").requirements) if n.code == "window-burnt-in"] == [
        "refuse"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        ({"image_type": ("DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP")}, "projection-slabs", "warn"),
        ({"series_description": "AX MIP 10x3"}, "projection-slabs", "warn"),
        ({"rescale_type": "MGML"}, "not-hu", "refuse"),
        ({"rescale_type": "FURLONG"}, "unknown-unit", "warn"),
        ({"image_type": ("DERIVED", "PRIMARY", "AXIAL", "IODINE")}, "not-hu", "refuse"),
        ({"series_description": "Iodine Map"}, "not-hu", "refuse"),
        ({"convolution_kernel": "B70f"}, "sharp-kernel", "warn"),
        ({"convolution_kernel": "FC52"}, "sharp-kernel", "warn"),
        ({"convolution_kernel": "LUNG"}, "sharp-kernel", "warn"),
        ({"series_description": "LUNG 1.0"}, "sharp-kernel", "warn"),
        ({"stated": ("infant",)}, "infant", "warn"),
    ],
)
def test_words_that_say_the_series_is_another_kind_are_heard(facts, code, severity):
    assert code in codes(with_facts(ctpa(), **facts), "pe", severity)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["HU", "HOUNSFIELD UNIT", "HOUNDSFIELD UNIT", "US", ""])
def test_hounsfield_units_may_be_misspelled(unit):
    assert not codes(with_facts(ctpa(), rescale_type=unit), "pe") & {"not-hu", "unknown-unit"}


def test_slices_that_are_not_axial_are_refused_as_such_and_not_for_lungs_that_are_not_found():
    single = replace(coronal(3), array=coronal(3).array[25:26])
    assert codes(single, "pe", "refuse") == {"not-axial"}


def test_a_stated_tilt_of_which_the_slices_show_nothing_is_said_without_claiming_to_have_moved_them():
    (notice,) = [
        n
        for n in check_study(with_facts(head(), gantry_tilt_deg=15.0), find_kind("hemorrhage").requirements)
        if "tilt" in n.code
    ]
    assert "upright" not in notice.text
    assert "left as they are" in notice.text


def below(study: Study, plane: int, value: float = 40.0) -> Study:
    """The study with a trunk of one density instead of what lies below a slice."""
    array = study.array.copy()
    array[:plane] = -1000
    array[:plane, 40:120, 20:140] = value
    return replace(study, array=array)


def test_an_abdomen_with_the_bases_of_the_lungs_is_refused_and_a_whole_chest_with_an_abdomen_is_not():
    bases = below(part_of(ctpa(), slice(0, 28)), 18)
    assert "wrong-body-part" in codes(with_facts(bases, body_part="ABDOMEN"), "pe", "refuse")
    assert "wrong-body-part" in codes(bases, "pe", "refuse")
    assert not codes(with_facts(below(ctpa(), 10), stated_parts=("abdomen", "chest")), "pe", "refuse")


def test_a_trunk_that_is_labeled_head_and_legs_that_are_labeled_chest_are_refused():
    trunk = np.full((20, 100, 160), -1000, np.float32)
    trunk[:, 10:90, 10:150] = 40
    assert "wrong-body-part" in codes(
        with_facts(axial_study(trunk, (5.0, 2.5, 2.5)), body_part="HEAD"), "hemorrhage", "refuse"
    )
    legs = np.full((20, 100, 160), -1000, np.float32)
    legs[:, 30:70, 20:60] = legs[:, 30:70, 100:140] = 40
    assert "wrong-body-part" in codes(with_facts(axial_study(legs, (5.0, 2.5, 2.5)), body_part="CHEST"), "pe", "refuse")


def test_limits_can_be_replaced():
    limits = replace(find_kind("pe").requirements, blood_pool_warn_hu=600.0)
    assert "weak-contrast" in {n.code for n in check_study(ctpa(), limits)}


@pytest.mark.slow
def test_every_notice_is_one_plain_sentence():
    for kind in kinds():
        for study in (ctpa(0.0), head(), radiograph(), part_of(ctpa(), slice(45, 75))):
            for notice in check_study(study, kind.requirements):
                assert notice.text.endswith(".")
                assert notice.code == notice.code.lower().replace("_", "-")
                assert len(notice.text) < 320


@pytest.mark.slow
def test_the_real_head_is_not_refused_for_hemorrhage_and_refused_for_the_others(data_folder: Path):
    study = read_study(data_folder / "head-ct-dicom")
    assert not codes(study, "hemorrhage", "refuse")
    assert codes(study, "pe", "refuse") == {"wrong-body-part"}
    assert codes(study, "pneumothorax", "refuse") == {"wrong-modality"}


@pytest.mark.slow
def test_the_real_chest_without_contrast_is_refused_for_pe(data_folder: Path):
    study = read_study(data_folder / "chest-ct-dicom")
    assert codes(study, "pe", "refuse") == {"no-contrast"}
    assert codes(study, "hemorrhage", "refuse") == {"wrong-body-part"}


def test_the_real_angiogram_without_header_is_not_refused_for_pe(data_folder: Path):
    study = read_study(data_folder / "cta-pulmonary-artery" / "ct_cropped.nii.gz")
    assert not codes(study, "pe", "refuse")
    assert "cropped-field" in codes(study, "pe", "warn")


def test_real_radiographs_are_not_refused_for_pneumothorax(data_folder: Path):
    files = sorted((data_folder / "chest-xray-dicom").glob("*.dcm"))
    assert len(files) == 3
    for file in files:
        assert not codes(
            read_study(file, requirements=find_kind("pneumothorax").requirements), "pneumothorax", "refuse"
        )


@pytest.mark.parametrize(("position", "told"), [("HFS", True), ("FFP", True), ("HFDR", False), ("", False)])
def test_rows_that_run_along_a_patient_who_lay_flat_are_told(position: str, told: bool):
    turn = np.diag([1.0, 1, 1, 1])[[1, 0, 2, 3]] * np.array([-1, 1, 1, 1])[:, None]
    study = with_facts(replace(head(), ijk_to_ras=turn @ head().ijk_to_ras), patient_position=position)
    assert ("orientation-contradiction" in codes(study, "hemorrhage", "warn")) == told
