"""Structured reports: everything the finding says is in them, and highdicom reads it back."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from highdicom.seg import Segmentation
from highdicom.sr import (
    ComprehensiveSR,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
    srread,
)
from pydicom.sr.codedict import codes

from AcuteFindingsLib.detectors.finding import Code, Finding, Measurement, Verdict
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.export.dicom_codes import OPERATING_POINT, PROBABILITY, SCHEME, VERDICT, concept, own_code
from AcuteFindingsLib.export.dicom_object import save_object
from AcuteFindingsLib.export.dicom_report import report_finding
from AcuteFindingsLib.export.dicom_segmentation import segment_masks
from AcuteFindingsLib.export.dicom_source import read_instances
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

cases = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dicom_cases.py"))))


def written(finding: Finding, study: Study, folder: Path, *, masks: Segmentation | None = None) -> ComprehensiveSR:
    report = report_finding(finding, read_instances(study), masks=masks)
    return srread(save_object(report, folder / "out" / "report.dcm"))


def groups(report: ComprehensiveSR) -> dict[str, Any]:
    """Return the groups without a region by their tracking identifier."""
    found = report.content.get_image_measurement_groups()
    return {group.tracking_identifier: group for group in found}


def values(group: Any, code: Code) -> list[float]:
    return [item.value for item in group.get_measurements(concept(code))]


def comments(group: Any) -> list[str]:
    return [item.TextValue for item in group[0].ContentSequence if item.name == codes.DCM.Comment]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    cases.write_series(tmp_path / "in", cases.hu())
    return read_study(tmp_path / "in")


@pytest.fixture
def radiograph(tmp_path: Path) -> Study:
    stored = np.random.default_rng(2).integers(0, 4095, (70, 90))
    return read_study(
        cases.write_radiograph(tmp_path / "in" / "cr.dcm", stored), requirements=find_kind("pneumothorax").requirements
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "code"), [("positive", "52101004"), ("negative", "272519000"), ("indeterminate", "82334004")]
)
def test_verdict_has_probability_operating_point_and_words(study: Study, tmp_path: Path, label: Any, code: str) -> None:
    finding = cases.make_finding(study, verdict=Verdict(label, 0.87, 0.5, "A rule of ≥ 3 slices.", "It spans 12°."))
    group = groups(written(finding, study, tmp_path))["Hemorrhage: verdict"]
    assert group.finding_type == codes.SCT.IntracranialHemorrhage
    assert group.finding_sites[0].value.value == "12738006"
    assert group.get_qualitative_evaluations(concept(VERDICT))[0].value.value == code
    assert values(group, PROBABILITY) == [0.87]
    assert values(group, OPERATING_POINT) == [0.5]
    said = comments(group)
    assert said[:2] == ["A rule of >= 3 slices.", "It spans 12 deg."]
    assert "The model was trained on phantoms only." in said
    assert said[-1].startswith("Research use only")


def test_every_slice_has_its_probabilities_and_its_image(study: Study, tmp_path: Path) -> None:
    finding = cases.make_finding(study)
    found = groups(written(finding, study, tmp_path))
    for label, name in (("any", "Intracranial hemorrhage"), ("subdural", "Subdural")):
        group = found[f"{name}: probability in every slice"]
        items = group.get_measurements(concept(PROBABILITY))
        uids = [item.referenced_images[0].referenced_sop_instance_uid for item in items]
        assert uids == [source.sop_instance_uid for source in study.sources]
        expected = [item.probabilities[label] for item in finding.slices]
        assert [item.value for item in items] == pytest.approx(expected, abs=1e-6)
        assert {item.unit.value for item in items} == {"1"}
    assert values(found["Intracranial hemorrhage: probability in every slice"], OPERATING_POINT) == [0.42]


def test_slices_of_a_multi_frame_file_are_named_by_frame(tmp_path: Path) -> None:
    order = [2, 0, 4, 1, 3, 5]
    study = read_study(cases.write_enhanced(tmp_path / "enhanced.dcm", cases.hu(), order=order))
    group = groups(written(cases.make_finding(study), study, tmp_path))[
        "Intracranial hemorrhage: probability in every slice"
    ]
    images = [item.referenced_images[0] for item in group.get_measurements(concept(PROBABILITY))]
    assert [image.referenced_frame_numbers for image in images] == [[order.index(k) + 1] for k in range(6)]


def test_planes_that_are_no_source_slice_are_named_by_their_place(study: Study, tmp_path: Path) -> None:
    finding = cases.make_finding(study)
    planes = tuple(replace(item, sop_instance_uid="") for item in finding.slices)
    report = written(replace(finding, slices=planes), study, tmp_path)
    group = groups(report)["Intracranial hemorrhage: probability in every slice"]
    items = group.get_measurements(concept(PROBABILITY))
    assert not items[0].referenced_images
    assert any("axial plane 1, " in str(item.get("TextValue", "")) for item in items[0][0].ContentSequence)


def test_measurements_have_names_units_and_values(study: Study, tmp_path: Path) -> None:
    group = groups(written(cases.make_finding(study), study, tmp_path))["Hemorrhage: measurements"]
    found = {(item.name.meaning, item.unit.value): item.value for item in group.get_measurements()}
    assert found == {
        ("Volume", "mL"): 23.41,
        ("A (largest diameter)", "mm"): 41.3,
        ("Highest slice probability: Any", "1"): 0.9968,
    }
    assert {item.unit.scheme_designator for item in group.get_measurements()} == {"UCUM"}


def test_every_group_names_the_model_its_version_and_weights(study: Study, tmp_path: Path) -> None:
    report = written(cases.make_finding(study), study, tmp_path)
    for name, group in groups(report).items():
        said = {item.name.meaning: item.TextValue for item in group[0].ContentSequence if item.ValueType == "TEXT"}
        parameters = [item.TextValue for item in group[0].ContentSequence if item.name == codes.DCM.AlgorithmParameters]
        assert said["Algorithm Name"] == "hemorrhage-demo", name
        assert said["Algorithm Version"] == "0.3.1", name
        assert f"weights SHA-256: {cases.SHA}" in parameters, name
        assert any(text.startswith("trained on: ") for text in parameters), name


def test_report_refers_to_the_segment_of_the_bleed(study: Study, tmp_path: Path) -> None:
    finding = cases.make_finding(study, masks=(replace(cases.BLEED, array=cases.blob(study.array.shape)),))
    masks = segment_masks(finding, study, read_instances(study))
    report = written(finding, study, tmp_path, masks=masks)
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    assert isinstance(group, VolumetricROIMeasurementsAndQualitativeEvaluations)
    segment = group.referenced_segment
    assert segment.referenced_sop_instance_uid == masks.SOPInstanceUID
    assert group.tracking_uid == masks.SegmentSequence[0].TrackingUID
    assert {item.name.meaning for item in group.get_measurements()} == {"Volume", "A (largest diameter)"}
    evidence = {
        item.ReferencedSOPInstanceUID
        for study_item in report.CurrentRequestedProcedureEvidenceSequence
        for series in study_item.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert evidence == {masks.SOPInstanceUID, *(source.sop_instance_uid for source in study.sources)}


def test_report_on_a_radiograph_refers_to_the_frame_of_the_outline(radiograph: Study, tmp_path: Path) -> None:
    lung = cases.make_mask("Right lung", cases.blob(radiograph.array.shape, 9), "3341006")
    outline = cases.make_mask("Pneumothorax", cases.blob(radiograph.array.shape), "36118008")
    measurements = (
        Measurement("Pneumothorax area, left", 4120.4, "mm2"),
        Measurement("Pneumothorax probability, lungs only", 0.55, "1"),
        Measurement("Probability: Pneumothorax", 0.91, "1"),
    )
    finding = cases.make_finding(radiograph, "pneumothorax", masks=(outline, lung), measurements=measurements)
    masks = segment_masks(finding, radiograph, read_instances(radiograph))
    report = written(finding, radiograph, tmp_path, masks=masks)
    (group,) = report.content.get_planar_roi_measurement_groups()
    assert isinstance(group, PlanarROIMeasurementsAndQualitativeEvaluations)
    assert [item.name.meaning for item in group.get_measurements()] == ["Pneumothorax area, left"]
    found = groups(report)
    assert set(found) == {
        "Pneumothorax: verdict",
        "Pneumothorax: measurements",
        "Pneumothorax: probability",
        "Chest drain: probability",
    }
    assert [item.value for item in found["Pneumothorax: measurements"].get_measurements()] == [0.55]


def test_an_empty_outline_leaves_its_sizes_without_a_segment(radiograph: Study, tmp_path: Path) -> None:
    lung = cases.make_mask("Right lung", cases.blob(radiograph.array.shape, 9), "3341006")
    empty = cases.make_mask("Pneumothorax", np.zeros(radiograph.array.shape, np.uint8), "36118008")
    finding = cases.make_finding(radiograph, "pneumothorax", masks=(empty, lung))
    masks = segment_masks(finding, radiograph, read_instances(radiograph))
    report = written(finding, radiograph, tmp_path, masks=masks)
    assert not report.content.get_planar_roi_measurement_groups()
    names = [item.name.meaning for item in groups(report)["Pneumothorax: measurements"].get_measurements()]
    assert "Volume" in names


def test_report_says_that_no_person_has_seen_it(study: Study, tmp_path: Path) -> None:
    report = written(cases.make_finding(study), study, tmp_path)
    assert (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag) == (
        "COMPLETE",
        "PRELIMINARY",
        "UNVERIFIED",
    )
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    schemes = {item.CodingSchemeDesignator for item in report.CodingSchemeIdentificationSequence}
    assert SCHEME in schemes


def test_private_codes_are_short_and_stay_the_same() -> None:
    code = own_code("measurement", "ABC/2 volume of the largest bleed")
    assert code == own_code("measurement", "ABC/2 volume of the largest bleed")
    assert code != own_code("measurement", "A (largest diameter)")
    assert len(code.value) <= 16


@pytest.mark.slow
def test_a_verdict_that_cannot_stand_alone_says_so_before_all_else(study: Study, tmp_path: Path) -> None:
    finding = cases.make_finding(study)
    marked = replace(
        finding,
        model=replace(finding.model, never_saw="a patient"),
        warnings=(*finding.warnings, Notice("not-axial", "refuse", "The slices are coronal.")),
    )
    said = f"REFUSED, FORCED: {finding.verdict.label.upper()} - demonstration model, never saw a patient"
    found = groups(written(marked, study, tmp_path))
    name = f"Hemorrhage: {said}"
    assert name in found
    assert comments(found[name])[0] == said
    plain = groups(written(replace(marked, warnings=(), phantom=True), study, tmp_path / "phantom"))
    assert "Hemorrhage: verdict" in plain
    assert not any("demonstration" in name for name in plain)
