"""The whole way: a study goes to the archive and back, the shipped model reads it, and its results follow."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from AcuteFindingsLib.detectors.load import load_detector
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.write_dicom import write_ct
from AcuteFindingsLib.study.reader import read_study

pytestmark = pytest.mark.slow

pytest.importorskip("highdicom")

SEED = 7


def pixels_by_position(folder: Path) -> dict[str, bytes]:
    return {str(file.SOPInstanceUID): file.PixelData for file in map(pydicom.dcmread, sorted(folder.rglob("*.dcm")))}


def test_a_study_and_its_results_go_through_the_archive(archive, command, tmp_path) -> None:
    import highdicom

    from AcuteFindingsLib.export.dicom_results import write_dicom_results

    sent = tmp_path / "sent"
    write_ct(make_head_ct(SEED, positive=True, matrix=128, slice_spacing=6.0), sent)
    study_uid = pydicom.dcmread(sent / "0001.dcm").StudyInstanceUID
    assert command("push", "web", sent, "--servers", archive.servers)[0] == 0

    came = tmp_path / "came"
    assert command("pull", "classic", "--study", study_uid, "--out", came, "--servers", archive.servers)[0] == 0
    assert pixels_by_position(came) == pixels_by_position(sent)

    study = read_study(came / study_uid, requirements=find_kind("hemorrhage").requirements)
    finding = load_detector("hemorrhage").detector.run(study)
    assert finding.verdict.label == "positive"
    results = write_dicom_results(finding, study, tmp_path / "results")
    assert len(results.files) >= 2
    status, out, _ = command("push", "classic", *results.files, "--servers", archive.servers)
    assert status == 0, out

    for way, modality, kind in (("web", "SEG", "Segmentation Storage"), ("classic", "SR", "SR Storage")):
        asked = ("find", way, "--study", study_uid, "--modality", modality, "--servers", archive.servers)
        assert modality in command(*asked)[1]
        assert kind in command(*asked, "--level", "instance")[1]

    back = tmp_path / "back"
    for modality in ("SEG", "SR"):
        asked = ("pull", "web", "--study", study_uid, "--modality", modality, "--out", back)
        assert command(*asked, "--servers", archive.servers)[0] == 0
    written = {str(file.SOPInstanceUID): file for file in map(pydicom.dcmread, results.files)}
    read = {str(file.SOPInstanceUID): file for file in map(pydicom.dcmread, back.rglob("*.dcm"))}
    assert read == written

    (segmentation,) = [
        highdicom.seg.Segmentation.from_dataset(file)
        for file in read.values()
        if file.Modality == "SEG" and file.SegmentationType == "BINARY"
    ]
    (mask,) = finding.masks
    again = segmentation.get_pixels_by_source_instance(
        [source.sop_instance_uid for source in study.sources],
        segment_numbers=[1],
        ignore_spatial_locations=False,
        assert_missing_frames_are_empty=True,
    )[..., 0]
    assert mask.array.any()
    np.testing.assert_array_equal(again, mask.array)
    (report,) = [highdicom.sr.srread(file.filename) for file in read.values() if file.Modality == "SR"]
    texts = str(report.to_json())
    assert finding.model.id in texts
