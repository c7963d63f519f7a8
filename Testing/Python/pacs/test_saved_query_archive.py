"""A batch whose source is a saved query: what fits is fetched from Orthanc and read, once."""

import csv
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.write_dicom import write_ct

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("server", ["web", "classic"])
def test_what_a_saved_query_finds_is_fetched_and_read_once(server: str, archive, command, tmp_path: Path) -> None:
    files = write_ct(make_head_ct(7, positive=False, matrix=64, slice_spacing=10.0), tmp_path / "sample")
    asked = {}
    for day in ("20250301", "20250302"):
        study, series, frame = generate_uid(), generate_uid(), generate_uid()
        asked[day] = str(study)
        for file in files:
            data = pydicom.dcmread(file)
            data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            data.StudyDate, data.PatientID, data.PatientName = day, f"ID{day}", "SECRET^NAME"
            data.save_as(tmp_path / "sent.dcm")
            content = (tmp_path / "sent.dcm").read_bytes()
            assert archive.session.post(f"{archive.rest}/instances", data=content, timeout=30).status_code == 200
    query, out = tmp_path / "query.toml", tmp_path / "out"
    query.write_text(f'server = "{server}"\n[query]\ndate = "20250302"\nmodality = "CT"\n')
    words = ["batch", query, "--out", out, "--servers", archive.servers, "--detector", "hemorrhage"]

    status, said, _ = command(*words)
    assert status == 0, said
    assert "1 examination: 1 done" in said
    with (out / "worklist.csv").open(encoding="utf-8-sig", newline="") as table:
        (row,) = csv.DictReader(table)
    assert asked["20250302"] in row.values()
    assert len(list((out / "incoming").rglob("*.dcm"))) == len(files)
    kept = [file.read_bytes() for file in out.rglob("*") if file.is_file() and "incoming" not in file.parts]
    assert not any(b"SECRET" in content for content in kept)

    status, said, _ = command(*words)
    assert (status, "1 as before" in said) == (0, True), said
