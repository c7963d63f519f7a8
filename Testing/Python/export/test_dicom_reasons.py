"""Reasons in structured reports: text, figures, rule and image of each, and what changed the verdict."""

import runpy
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from highdicom.sr import ComprehensiveSR, srread

from AcuteFindingsLib.detectors.finding import Finding, Likeness, Reason, Verdict
from AcuteFindingsLib.export.dicom_codes import BY_RULE, CALIBRATION, LIKENESS, REASONS, RULE, VERDICT, concept
from AcuteFindingsLib.export.dicom_object import save_object
from AcuteFindingsLib.export.dicom_report import report_finding
from AcuteFindingsLib.export.dicom_source import read_instances
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

cases = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dicom_cases.py"))))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    cases.write_series(tmp_path / "in", cases.hu())
    return read_study(tmp_path / "in")


def written(finding: Finding, study: Study, folder: Path) -> tuple[ComprehensiveSR, Path]:
    file = save_object(report_finding(finding, read_instances(study)), folder / "out" / "report.dcm")
    return srread(file), file


def verdict_group(report: ComprehensiveSR) -> Any:
    return report.content.get_image_measurement_groups()[0]


def texts(group: Any, name: Any) -> list[Any]:
    return [item for item in group[0].ContentSequence if item.name == concept(name)]


def test_each_reason_has_its_text_figures_rule_and_image(study: Study, tmp_path: Path) -> None:
    report, _ = written(cases.make_finding(study), study, tmp_path)
    group = verdict_group(report)
    (reason,) = texts(group, REASONS["for"])
    assert reason.TextValue.startswith("Mean density 62 HU")
    numbers = [item for item in reason.ContentSequence if item.ValueType == "NUM"]
    found = [(item.name.meaning, float(item.value), item.unit.value) for item in numbers]
    assert found == [("Mean density", 62.0, "[hnsf'U]"), ("Share above 90 HU", 1.25, "%")]
    (rule,) = [item for item in reason.ContentSequence if item.name == concept(RULE)]
    assert rule.TextValue == "density (docs/sources.md 4)"
    (image,) = [item for item in reason.ContentSequence if item.ValueType == "IMAGE"]
    assert image.referenced_sop_instance_uid == study.sources[0].sop_instance_uid
    assert image.RelationshipType == "INFERRED FROM"


def test_a_reason_about_no_image_or_a_plane_between_images_names_none(study: Study, tmp_path: Path) -> None:
    finding = cases.make_finding(study)
    planes = tuple(replace(item, sop_instance_uid="") for item in finding.slices)
    report, _ = written(replace(finding, slices=planes), study, tmp_path)
    for name in ("for", "caution"):
        (reason,) = texts(verdict_group(report), REASONS[name])
        assert "IMAGE" not in {item.ValueType for item in reason.ContentSequence}


def test_what_changed_the_verdict_stands_beside_it(study: Study, tmp_path: Path) -> None:
    verdict = Verdict(
        "indeterminate", 0.61, 0.5, "A rule.", "It is between.", by_rule="positive", calibration="Site A, 200 studies"
    )
    finding = cases.make_finding(
        study, verdict=verdict, likeness=Likeness("unlike", 1.7, "1,200 phantoms", ("noise 9 HU, usually 3 to 6 HU",))
    )
    group = verdict_group(written(finding, study, tmp_path)[0])
    assert group.get_qualitative_evaluations(concept(VERDICT))[0].value.meaning == "Indeterminate"
    assert group.get_qualitative_evaluations(concept(BY_RULE))[0].value.meaning == "Present"
    assert texts(group, CALIBRATION)[0].TextValue == "Site A, 200 studies"
    (likeness,) = texts(group, LIKENESS)
    assert "unlike the images" in likeness.TextValue
    assert "noise 9 HU" in likeness.TextValue


def test_a_finding_of_an_earlier_version_has_none_of_these(study: Study, tmp_path: Path) -> None:
    group = verdict_group(written(cases.make_finding(study, reasons=(), likeness=None), study, tmp_path)[0])
    assert not group.get_qualitative_evaluations(concept(BY_RULE))
    assert not [item for name in (CALIBRATION, LIKENESS, *REASONS.values()) for item in texts(group, name)]


def test_dciodvfy_finds_no_error_in_reasons_of_every_bearing(study: Study, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not here: apt-get install dicom3tools")
    told = cases.REASONS[0]
    bearings: tuple[Any, ...] = ("for", "against", "caution", "looked")
    reasons = tuple(replace(told, bearing=bearing, index=place) for place, bearing in enumerate(bearings))
    finding = cases.make_finding(
        study,
        reasons=(*reasons, Reason("long", "caution", "Ümlaute × and a long text. " * 60)),
        verdict=Verdict("indeterminate", 0.61, 0.5, "A rule.", "Between.", by_rule="positive", calibration="Site A"),
    )
    _, file = written(finding, study, tmp_path)
    answer = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    said = answer.stdout + answer.stderr
    assert not [line for line in said.splitlines() if line.startswith("Error")], said
    assert answer.returncode == 0
