"""Phantoms as DICOM: other readers get the same voxels and geometry, and the truth lies on them."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.phantoms.write_dicom import write_ct, write_phantom, write_radiograph


@pytest.fixture(scope="module")
def head() -> Phantom:
    return make_head_ct(7, bleed_types=["intraparenchymal"], matrix=128, slice_spacing=6.0)


@pytest.fixture(scope="module")
def written(head: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(head, tmp_path_factory.mktemp("phantoms"))


def plain_phantom(kind: str, shape: tuple[int, int, int]) -> Phantom:
    """A phantom of any kind whose voxels are a ramp."""
    ramp = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    ct = kind != "chest-xray"
    label = "pe" if ct else "pneumothorax"
    mask = np.zeros(shape, dtype=np.uint8)
    mask[:, 2:4, 3:6] = 1
    return Phantom(
        kind=kind,
        seed=12,
        array=np.rint(ramp * 2000 - 1000) if ct else ramp,
        spacing=(2.0, 0.7, 0.7) if ct else (1.0, 0.2, 0.2),
        masks={label: mask},
        slice_labels={label: np.ones(shape[0], dtype=bool)},
        study_labels={label: 1.0, "rv_lv_ratio": 1.25} if ct else {label: 1.0, "view_ap": 1.0},
        parameters={"drawn": np.float32(0.5)},
    )


def read_series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.slow
def test_itk_reads_back_the_voxels_and_the_geometry(head: Phantom, written: Path) -> None:
    image = read_series(written / "dicom")
    assert np.abs(sitk.GetArrayFromImage(image) - head.array).max() <= 1.0
    assert image.GetSpacing() == pytest.approx(head.spacing[::-1], abs=1e-5)
    assert image.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
    center = [(n - 1) / 2 for n in image.GetSize()]
    assert image.TransformContinuousIndexToPhysicalPoint(center) == pytest.approx((0, 0, 0), abs=1e-3)


def test_masks_lie_on_the_series(head: Phantom, written: Path) -> None:
    image = read_series(written / "dicom")
    for name, mask in head.masks.items():
        read = sitk.ReadImage(str(written / "truth" / f"{name}.nrrd"))
        assert read.GetSize() == image.GetSize()
        assert read.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-4)
        assert read.GetSpacing() == pytest.approx(image.GetSpacing(), abs=1e-5)
        assert read.GetDirection() == pytest.approx(image.GetDirection())
        assert np.array_equal(sitk.GetArrayFromImage(read), mask)


def test_slice_table_names_each_image_by_its_uid(head: Phantom, written: Path) -> None:
    by_uid = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, (written / "dicom").iterdir())}
    with (written / "truth" / "slices.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(by_uid) == len(head.array)
    heights = [float(by_uid[row["sop_instance_uid"]].ImagePositionPatient[2]) for row in rows]
    assert heights == sorted(heights)
    for label, values in head.slice_labels.items():
        assert [int(row[label]) for row in rows] == values.astype(int).tolist()


def test_study_table_and_parameters_hold_what_was_drawn(head: Phantom, written: Path) -> None:
    with (written / "truth" / "study.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["name"] == "head-ct-0007"
    assert row["any"] == row["intraparenchymal"] == "1"
    assert float(row["volume_ml"]) == pytest.approx(head.study_labels["volume_ml"], abs=1e-3)
    facts = json.loads((written / "truth" / "parameters.json").read_text())
    assert facts["seed"] == 7
    assert facts["parameters"]["bleeds"][0]["kind"] == "intraparenchymal"


CT_FACTS = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "Modality": "CT",
    "PatientName": "PHANTOM^HEAD-CT-0007",
    "PatientID": "PHANTOM-HEAD-CT-0007",
    "BodyPartExamined": "HEAD",
    "KVP": 120,
    "RescaleIntercept": -1024,
    "RescaleSlope": 1,
    "PatientPosition": "HFS",
    "BurnedInAnnotation": "NO",
    "Manufacturer": "AcuteFindings phantom",
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
}
TYPE_2 = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SeriesNumber",
    "PositionReferenceIndicator",
    "AcquisitionNumber",
    "InstanceNumber",
)


def test_ct_header_has_what_the_standard_asks_for(head: Phantom, written: Path) -> None:
    images = [pydicom.dcmread(path) for path in sorted((written / "dicom").iterdir())]
    for keyword, value in CT_FACTS.items():
        assert all(image[keyword].value == value for image in images), keyword
    assert all(keyword in image for image in images for keyword in TYPE_2)
    assert "ContrastBolusAgent" not in images[0]
    assert images[0].WindowCenter[0] == 40
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({image[keyword].value for image in images}) == 1
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert float(images[0].SliceThickness) == head.spacing[0]


def test_only_the_pulmonary_angiogram_names_a_contrast_agent(tmp_path: Path) -> None:
    image = pydicom.dcmread(write_ct(plain_phantom("ctpa", (3, 8, 9)), tmp_path)[0])
    assert image.ContrastBolusAgent
    assert image.BodyPartExamined == "CHEST"


def test_radiograph_is_twelve_bit_with_view_and_spacing(tmp_path: Path) -> None:
    phantom = plain_phantom("chest-xray", (1, 16, 12))
    image = pydicom.dcmread(write_radiograph(phantom, tmp_path)[0])
    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"
    assert image.ViewPosition == "AP"
    assert list(image.PatientOrientation) == ["L", "F"]
    assert list(image.PixelSpacing) == list(image.ImagerPixelSpacing) == [0.2, 0.2]
    assert (image.BitsStored, image.PhotometricInterpretation) == (12, "MONOCHROME2")
    assert np.abs(image.pixel_array / 4095 - phantom.array[0]).max() < 1 / 4095


def test_radiograph_masks_lie_on_the_image(tmp_path: Path) -> None:
    phantom = plain_phantom("chest-xray", (1, 16, 12))
    folder = write_phantom(phantom, tmp_path)
    image = read_series(folder / "dicom")
    mask = sitk.ReadImage(str(folder / "truth" / "pneumothorax.nrrd"))
    assert mask.GetSize() == image.GetSize() == (12, 16, 1)
    assert mask.GetOrigin() == pytest.approx(image.GetOrigin())
    assert mask.GetSpacing()[:2] == pytest.approx(image.GetSpacing()[:2])


def test_same_phantom_gives_the_same_files(head: Phantom, written: Path, tmp_path: Path) -> None:
    again = write_phantom(head, tmp_path)
    for path in (written / "dicom").iterdir():
        assert (again / "dicom" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_twins_of_one_seed_do_not_share_uids(head: Phantom, tmp_path: Path) -> None:
    clean = make_head_ct(7, positive=False, matrix=128, slice_spacing=6.0)
    one, other = (pydicom.dcmread(write_ct(p, tmp_path / n)[0]) for n, p in (("a", head), ("b", clean)))
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.StudyInstanceUID != other.StudyInstanceUID


@pytest.mark.parametrize("name", ["dicom/0001.dcm", "dicom/deeper/notes.txt", "truth/mine.nrrd", "truth"])
def test_files_of_others_are_never_replaced_by_a_phantom(name: str, tmp_path: Path) -> None:
    phantom = plain_phantom("head-ct", (4, 6, 8))
    theirs = tmp_path / "study" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs", encoding="utf-8")
    with pytest.raises(ExportError, match="in the way"):
        write_phantom(phantom, tmp_path, name="study")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]


def test_writing_again_replaces_the_study_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_phantom(plain_phantom("ctpa", (5, 8, 9)), tmp_path, name="study")
    folder = write_phantom(plain_phantom("ctpa", (3, 8, 9)), tmp_path, name="study")
    assert sorted(path.name for path in folder.iterdir()) == ["dicom", "truth"]
    assert len(list((folder / "dicom").iterdir())) == 3
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name or path.name.startswith(".")]


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file")
    with pytest.raises(ExportError, match="blocked"):
        write_phantom(plain_phantom("ctpa", (2, 8, 9)), tmp_path / "blocked")


def test_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="knee-mr"):
        write_phantom(plain_phantom("knee-mr", (2, 8, 9)), tmp_path)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("kind", ["head-ct", "ctpa", "chest-xray"])
def test_independent_validator_finds_no_error(kind: str, tmp_path: Path) -> None:
    shape = (1, 16, 12) if kind == "chest-xray" else (2, 16, 12)
    folder = write_phantom(plain_phantom(kind, shape), tmp_path)
    for path in (folder / "dicom").iterdir():
        answer = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in answer.stderr + answer.stdout
