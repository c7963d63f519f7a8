"""Tiny data sets in the layouts in which people have them, made from phantoms. No file of a person is in them."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from PIL import Image

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.phantoms.write_dicom import write_ct, write_phantom, write_radiograph
from AcuteFindingsLib.study.rle import encode_runs

PE_STUDY_COLUMNS = (
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "dcm_filename", "label", "dataset_label",
)  # fmt: skip
RSNA_PE_COLUMNS = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "pe_present_on_image", "negative_exam_for_pe",
    "qa_motion", "qa_contrast", "flow_artifact", "rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1", "leftsided_pe", "chronic_pe",
    "true_filling_defect_not_pe", "rightsided_pe", "acute_and_chronic_pe", "central_pe", "indeterminate",
)  # fmt: skip
SUBTYPES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")


def patient(kind: str, number: int, *, positive: bool | None = None, matrix: int = 64) -> Phantom:
    """Return the phantom of a numbered patient: even numbers are positive unless said. Cheap: two are drawn a kind."""
    base = _base(kind, number % 2 == 0 if positive is None else positive, matrix)
    noise = np.random.default_rng(number).normal(0, 0.005 if kind == "chest-xray" else 3, base.array.shape)
    array = base.array + noise.astype(np.float32)
    return replace(base, seed=1000 + number, array=np.clip(array, 0, 1) if kind == "chest-xray" else array)


@lru_cache(maxsize=16)
def _base(kind: str, positive: bool, matrix: int) -> Phantom:
    options: dict[str, Any] = {"size": matrix} if kind == "chest-xray" else {"matrix": matrix, "slice_spacing": 10.0}
    return make_phantom(kind, 2 if positive else 3, positive=positive, **options)


def build_pe_study(folder: Path, *, patients: int = 4, matrix: int = 64, place: str = "") -> Path:
    """The PE study: ``train.csv`` and ``Study/Series/file`` below `place`."""
    rows = []
    for number in range(patients):
        phantom = patient("ctpa", number, matrix=matrix)
        for index, header in enumerate(_write_series(phantom, folder / place)):
            rows.append(
                [
                    header.PatientID,
                    header.StudyInstanceUID,
                    header.SeriesInstanceUID,
                    header.SOPInstanceUID,
                    f"{header.SOPInstanceUID}.dcm",
                    int(phantom.slice_labels["pe"][index]),
                    "train",
                ]
            )
    write_table(folder / "train.csv", PE_STUDY_COLUMNS, rows)
    return folder


def build_rsna_pe(folder: Path, *, patients: int = 4, matrix: int = 64) -> Path:
    """RSNA STR PE: ``train.csv`` with 17 columns, ``train/Study/Series/SOP.dcm``."""
    rows = []
    for number in range(patients):
        phantom = patient("ctpa", number, matrix=matrix)
        truth = phantom.study_labels
        exam = {
            "negative_exam_for_pe": 1 - truth["pe"],
            "rv_lv_ratio_gte_1": truth["pe"] * truth["rv_lv_ge_1"],
            "rv_lv_ratio_lt_1": truth["pe"] * (1 - truth["rv_lv_ge_1"]),
            "leftsided_pe": truth["left"],
            "rightsided_pe": truth["right"],
            "central_pe": truth["central"],
            "chronic_pe": truth["chronic"],
            "acute_and_chronic_pe": truth["acute_and_chronic"],
            "indeterminate": truth["indeterminate"],
        }
        for index, header in enumerate(_write_series(phantom, folder / "train")):
            row = {
                "StudyInstanceUID": header.StudyInstanceUID,
                "SeriesInstanceUID": header.SeriesInstanceUID,
                "SOPInstanceUID": header.SOPInstanceUID,
                "pe_present_on_image": int(phantom.slice_labels["pe"][index]),
                **{name: int(value) for name, value in exam.items()},
            }
            rows.append([row.get(name, 0) for name in RSNA_PE_COLUMNS])
    write_table(folder / "train.csv", RSNA_PE_COLUMNS, rows)
    return folder


def build_rsna_hemorrhage(folder: Path, *, patients: int = 4, matrix: int = 64) -> Path:
    """RSNA hemorrhage: ``stage_2_train.csv`` with a row an image and subtype; ``stage_2_train/ID_….dcm``."""
    rows: list[list[Any]] = []
    images = folder / "stage_2_train"
    for number in range(patients):
        phantom = patient("head-ct", number, matrix=matrix)
        for index, file in enumerate(write_ct(phantom, folder / "partial")):
            name = f"ID_{number:04x}{index:05x}"
            images.mkdir(parents=True, exist_ok=True)
            file.rename(images / f"{name}.dcm")
            rows += [[f"{name}_{subtype}", int(phantom.slice_labels[subtype][index])] for subtype in SUBTYPES]
        rows += rows[-len(SUBTYPES) :]  # as the public table repeats some
    (folder / "partial").rmdir()
    write_table(folder / "stage_2_train.csv", ["ID", "Label"], rows)
    return folder


def build_siim(folder: Path, *, patients: int = 6, matrix: int = 64) -> Path:
    """SIIM-ACR: ``train-rle.csv`` with a blank in a column name, nested DICOM folders; patient 0 has two masks."""
    rows = []
    for number in range(patients):
        phantom = patient("chest-xray", number, matrix=matrix)
        uid = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        (file,) = write_radiograph(phantom, folder / "dicom-images-train" / f"{uid}.1" / f"{uid}.2")
        header = pydicom.dcmread(file)
        header.PatientSex, header.PatientAge = "FM"[number % 2], f"{20 + 5 * number:03d}Y"
        header.save_as(file)
        file.rename(file.with_name(f"{uid}.dcm"))
        mask = phantom.masks["pneumothorax"][0] > 0
        rows += [[uid, f" {runs}"] for runs in (_halves(mask) if number == 0 else [encode_runs(mask)])]
    write_table(folder / "train-rle.csv", ["ImageId", " EncodedPixels"], rows)
    return folder


def build_nih(folder: Path, *, patients: int = 6, images: int = 2, matrix: int = 64) -> Path:
    """NIH ChestX-ray14: ``Data_Entry_2017.csv`` with its broken header, ``images_001/images``, frames."""
    rows, boxes = [], []
    for number in range(patients):
        phantom = patient("chest-xray", number, matrix=matrix)
        for follow_up in range(images):
            name = f"{number + 1:08d}_{follow_up:03d}.png"
            write_picture(folder / "images_001" / "images" / name, phantom.array[0])
            found = [
                label
                for label, key in (
                    ("Pneumothorax", "pneumothorax"),
                    ("Effusion", "effusion"),
                    ("Atelectasis", "atelectasis"),
                    ("Cardiomegaly", "cardiomegaly"),
                    ("Consolidation", "consolidation"),
                    ("Nodule", "nodule"),
                )
                if phantom.slice_labels[key][0]
            ]
            view = "AP" if phantom.study_labels["view_ap"] else "PA"
            person = [number + 1, 30 + 7 * number, "MF"[number % 2]]
            said = "|".join(found) or "No Finding"
            rows.append([name, said, follow_up, *person, view, matrix, matrix, 0.143, 0.143, ""])
            if "Pneumothorax" in found and not follow_up:
                boxes.append([name, "Pneumothorax", 10.5, 12.0, 20.0, 18.0, "", "", ""])
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    write_table(folder / "Data_Entry_2017.csv", header.split(","), rows)
    write_table(
        folder / "BBox_List_2017.csv", ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", ""], boxes
    )
    return folder


def build_padchest(folder: Path, *, patients: int = 6, matrix: int = 64) -> Path:
    """PadChest: its table, pictures of 16 bits in numbered folders; every third image is a lateral."""
    columns = (
        "ImageID ImageDir StudyDate_DICOM StudyID PatientID PatientBirth PatientSex_DICOM Projection MethodLabel Labels"
    )
    projections, rows = ("PA", "AP_horizontal", "L", "AP"), []
    for number in range(patients):
        phantom = patient("chest-xray", number, matrix=matrix)
        words = [
            word
            for word, key in (
                ("pneumothorax", "pneumothorax"),
                ("pleural effusion", "effusion"),
                ("laminar atelectasis", "atelectasis"),
                ("cardiomegaly", "cardiomegaly"),
                ("chest drain tube", "chest_drain"),
                ("NSG tube", "nasogastric"),
            )
            if phantom.slice_labels[key][0]
        ]
        name = f"{number:05d}_image.png"
        path = folder / "0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((phantom.array[0] * 65535).astype(np.uint16)).save(path)
        person = [f"study{number}", f"person{number // 2}", 1930 + number, "FM"[number % 2]]
        method = "Physician" if number % 2 else "RNN_model"
        rows.append([name, 0, 20140915, *person, projections[number % 4], method, str(words or ["normal"])])
    write_table(folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", columns.split(), rows)
    return folder


def build_head_slices(folder: Path, *, patients: int = 8, matrix: int = 64) -> Path:
    """Single head CT slices as pictures; images 0 and 2, 1 and 3 are near-duplicates."""
    rows = []
    for number in range(patients):
        phantom = patient("head-ct", number, matrix=matrix)
        bleeding = np.flatnonzero(phantom.slice_labels["any"])
        index = int(bleeding[len(bleeding) // 2]) if len(bleeding) else len(phantom.array) // 2
        name = f"{number:03d}.png"
        write_picture(folder / "images" / name, np.clip(phantom.array[index] / 80, 0, 1))
        rows.append([name, int(len(bleeding) > 0), number - 2 if number in (2, 3) else number])
    write_table(folder / "labels.csv", ["image", "hemorrhage", "duplicate_group"], rows)
    return folder


def build_lung_masks(folder: Path, *, patients: int = 4, matrix: int = 64) -> Path:
    """Radiographs with lung masks: ``index.csv``, ``images``, ``masks``; two images a patient."""
    rows = []
    for number in range(2 * patients):
        phantom = patient("chest-xray", number, matrix=matrix)
        name = f"radiograph-{number}.png"
        write_picture(folder / "images" / name, phantom.array[0])
        write_picture(folder / "masks" / name, phantom.masks["lungs"][0] > 0)
        rows.append([name, number // 2, "AP" if number % 2 else "PA", "Y" if number % 3 else "nan"])
    write_table(folder / "index.csv", ["image", "patient", "view", "intubation_present"], rows)
    return folder


def build_phantoms(folder: Path, kind: str, *, patients: int = 4, matrix: int = 64) -> Path:
    """What ``acutefindings phantom`` writes."""
    for number in range(patients):
        write_phantom(patient(kind, number, matrix=matrix), folder)
    return folder


def build_corrections(folder: Path, *, count: int = 3, planes: int = 4, size: int = 16, status: str = "") -> Path:
    """Corrections of the hemorrhage detector in the layout of `save_correction`; two of them are of one series."""
    for number in range(count):
        place = folder / f"hemorrhage-20240102-0800{number:02d}-1"
        place.mkdir(parents=True)
        image = np.random.default_rng(number).normal(30, 5, (planes, size, size)).astype(np.float32)
        bleed, brain = np.zeros((2, planes, size, size), np.uint8)
        bleed[1, 4:8, 4:8], brain[:, 2:12, 2:12] = 1, 1
        for name, array in (("image", image), ("ai_mask", 0 * bleed), ("corrected_mask", bleed + 2 * brain)):
            sitk.WriteImage(sitk.GetImageFromArray(array), str(place / f"{name}.nrrd"))
        answers = ["absent", "present", "", "unsure"]
        rows = [[n + 1, f"1.2.{n}", "0.5", "absent", answers[n % 4]] for n in range(planes)]
        header = ["slice", "sop_instance_uid", "probability", "predicted", "corrected"]
        write_table(place / "slice_labels.csv", header, rows)
        record = {
            "format": 1,
            "detector": "hemorrhage",
            "annotator": "someone",
            "series_instance_uid": f"1.2.3.{number // 2}",
            "files": {
                "image": "image.nrrd",
                "ai_mask": "ai_mask.nrrd",
                "corrected_mask": "corrected_mask.nrrd",
                "slice_labels": "slice_labels.csv",
            },
            "segments": [
                {"name": name, "value": value, "in_ai_mask": True, "in_corrected_mask": True, "status": status}
                for name, value in (("Hemorrhage", 1), ("Brain", 2))
            ],
        }
        (place / "correction.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


BUILDERS = {
    "pe-study": build_pe_study,
    "rsna-pe": build_rsna_pe,
    "rsna-hemorrhage": build_rsna_hemorrhage,
    "siim": build_siim,
    "nih": build_nih,
    "padchest": build_padchest,
    "head-slices": build_head_slices,
    "lung-masks": build_lung_masks,
    "corrections": build_corrections,
}
"""Builder by kind of data set; `build_phantoms` stands apart because it wants a kind of phantom."""


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a CSV file; a test also uses it to spoil one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def read_table(path: Path) -> list[list[str]]:
    """Return header and rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def write_picture(path: Path, unit: np.ndarray) -> Path:
    """Write 0..1 ``(y, x)`` as a PNG of 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(255 * np.asarray(unit, float)).astype(np.uint8)).save(path)
    return path


def _write_series(phantom: Phantom, root: Path) -> list[pydicom.Dataset]:
    """Write a series as ``Study/Series/SOP.dcm``; returns the headers in slice order."""
    headers = []
    for file in write_ct(phantom, root / "partial"):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        target = root / header.StudyInstanceUID / header.SeriesInstanceUID / f"{header.SOPInstanceUID}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        headers.append(header)
    (root / "partial").rmdir()
    return headers


def _halves(mask: np.ndarray) -> list[str]:
    """Return the mask as two: one object each."""
    rows = np.flatnonzero(mask.any(axis=1))
    cut = rows[len(rows) // 2]
    upper, lower = mask.copy(), mask.copy()
    upper[cut:], lower[:cut] = False, False
    return [encode_runs(upper), encode_runs(lower)]
