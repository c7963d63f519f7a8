"""DICOM inputs: series whose headers, voxels, files and encodings are changed, and damaged bytes."""

import gzip
import shutil
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import zstandard
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from fuzz import bases
from fuzz.mutations import damage, odd_text
from fuzz.trial import Trial, study_trial
from study.conftest import save

SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
    JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1, HTJ2KLossless,
)  # fmt: skip
Slices = list[Dataset]
Change = Callable[[Slices, np.random.Generator], str]


@cache
def _head_bytes() -> tuple[bytes, ...]:
    folder = bases.scratch() / "head-dicom"
    return tuple(file.read_bytes() for file in bases.write_head(folder))


def head_slices() -> Slices:
    """Return the slices of the head, each a data set of its own."""
    return [dcmread(BytesIO(data)) for data in _head_bytes()]


def _some(slices: Slices, rng: np.random.Generator) -> Slices:
    """Return one, some or all slices."""
    share = float(rng.choice([0.0, 0.2, 0.5, 1.0], p=[0.4, 0.2, 0.2, 0.2]))
    count = max(1, round(share * len(slices)))
    return [slices[k] for k in sorted(rng.choice(len(slices), count, replace=False))]


def stored(dataset: Dataset) -> np.ndarray:
    """Return the stored values of a slice as written by the builder."""
    kind = "<i2" if dataset.PixelRepresentation else "<u2"
    return np.frombuffer(dataset.PixelData, kind).reshape(dataset.Rows, dataset.Columns)


# What must change nothing.


def _other_names(slices: Slices, rng: np.random.Generator) -> str:
    for dataset, name in zip(slices, rng.permutation(len(slices)), strict=True):
        dataset.__dict__["file_name"] = str(rng.choice(["IM{:05d}", "{:d}.dcm", "a/b/{:03d}", "{:x}.IMA"])).format(name)
    if len({d.__dict__["file_name"] for d in slices}) < len(slices):
        for number, dataset in enumerate(slices):
            dataset.__dict__["file_name"] += f"-{number}"
    return "files renamed and moved"


def _other_numbers(slices: Slices, rng: np.random.Generator) -> str:
    for dataset, number in zip(slices, rng.permutation(len(slices)), strict=True):
        dataset.InstanceNumber = int(number) + 100
    return "instance numbers in another order"


def _no_numbers(slices: Slices, rng: np.random.Generator) -> str:
    for dataset in slices:
        for keyword in ("InstanceNumber", "SeriesNumber", "SliceThickness")[: int(rng.integers(1, 4))]:
            del dataset[keyword]
    return "no instance numbers"


def _same_values_otherwise(slices: Slices, rng: np.random.Generator) -> str:
    intercept = int(rng.choice([0, -1000, -1024, -2000, -8192]))
    slope = float(rng.choice([1, 0.5]))
    for dataset in slices:
        hu = stored(dataset).astype(float) - 1024
        values = np.round((hu - intercept) / slope)
        dataset.PixelRepresentation = 1
        dataset.PixelData = values.astype("<i2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    return f"slope {slope}, intercept {intercept}, stored to match"


def _twelve_bits(slices: Slices, rng: np.random.Generator) -> str:
    bits = int(rng.choice([12, 13, 15]))
    for dataset in slices:
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
    return f"{bits} bits stored"


def _more_elements(slices: Slices, rng: np.random.Generator) -> str:
    for dataset in slices:
        block = dataset.private_block(0x0033, "SOMEBODY", create=True)
        block.add_new(0x01, "OB", rng.bytes(64))
        dataset.ImageComments = "x" * int(rng.integers(1, 5000))
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = "Müller^Jürgen"
    return "private elements and other character sets"


EQUAL: tuple[Change, ...] = (
    _other_names, _other_numbers, _no_numbers, _same_values_otherwise, _twelve_bits, _more_elements,
)  # fmt: skip

# What must be seen, where it changes anything.


def _set(keyword: str, values: list, *, part_only: list | None = None) -> Change:
    """Set an element to one of `values`; those of `part_only` never in all slices, where they would be valid."""

    def change(slices: Slices, rng: np.random.Generator) -> str:
        chosen = _some(slices, rng)
        pool = values + (part_only or []) if len(chosen) < len(slices) else values
        value = pool[int(rng.integers(len(pool)))] if pool else None
        if value is None and not pool:
            return f"{keyword} left as it is"
        for dataset in chosen:
            _put(dataset, keyword, value)
        return f"{keyword} = {value!r} in {len(chosen)} of {len(slices)}"

    change.__name__ = f"set_{keyword}"
    return change


def _put(dataset: Dataset, keyword: str, value) -> None:
    if value is None:
        if keyword in dataset:
            del dataset[keyword]
        return
    try:
        setattr(dataset, keyword, value)
    except (ValueError, TypeError, OverflowError):
        if keyword in dataset:
            dataset[keyword]._value = value


def _move(slices: Slices, rng: np.random.Generator) -> str:
    chosen = _some(slices, rng)
    if len(chosen) == len(slices):
        chosen = chosen[: len(slices) // 2]
    axis, step = int(rng.integers(3)), float(rng.choice([-2000, -40, -7, -2.5, 2.5, 5, 12, 300]))
    for dataset in chosen:
        position = [float(v) for v in dataset.ImagePositionPatient]
        position[axis] += step
        dataset.ImagePositionPatient = position
    return f"{len(chosen)} slices moved by {step} mm along axis {axis}"


def _exchange_positions(slices: Slices, rng: np.random.Generator) -> str:
    one, other = (slices[k] for k in rng.choice(len(slices), 2, replace=False))
    one.ImagePositionPatient = other.ImagePositionPatient
    return "two slices at one position"


def _new_uids(slices: Slices, rng: np.random.Generator) -> str:
    keyword = str(rng.choice(["SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"]))
    same = rng.random() < 0.5
    uid = generate_uid()
    chosen = _some(slices, rng)
    for dataset in chosen:
        setattr(dataset, keyword, uid if same else generate_uid())
    return f"{keyword}: {'one' if same else 'each its'} new in {len(chosen)}"


def _other_patient(slices: Slices, rng: np.random.Generator) -> str:
    chosen = _some(slices, rng)
    for dataset in chosen:
        dataset.PatientID, dataset.PatientName = "OTHER-2", "Other^Person"
    return f"another patient in {len(chosen)}"


def _drop(slices: Slices, rng: np.random.Generator) -> str:
    count = int(rng.integers(1, len(slices) - 3))
    for k in sorted(rng.choice(np.arange(1, len(slices) - 1), count, replace=False), reverse=True):
        del slices[int(k)]
    return f"{count} slices lost between others"


def _repeat(slices: Slices, rng: np.random.Generator) -> str:
    chosen = _some(slices, rng)
    same_uid, changed = rng.random() < 0.5, rng.random() < 0.5
    for dataset in chosen:
        copy = dcmread(BytesIO(_written(dataset)))
        if not same_uid:
            copy.SOPInstanceUID = generate_uid()
        if changed:
            copy.PixelData = (stored(copy) + 300).astype("<u2").tobytes()
        slices.append(copy)
    return f"{len(chosen)} slices twice, {'same' if same_uid else 'new'} uid, {'other' if changed else 'same'} pixels"


def _voxels(slices: Slices, rng: np.random.Generator) -> str:
    chosen = _some(slices, rng)
    name, change = list(_VOXELS.items())[int(rng.integers(len(_VOXELS)))]
    for dataset in chosen:
        dataset.PixelData = change(stored(dataset).astype(int), rng).astype("<u2").tobytes()
    return f"voxels {name} in {len(chosen)}"


_VOXELS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "all zero": lambda v, rng: v * 0,
    "constant": lambda v, rng: v * 0 + 1060,
    "1024 less, wrapped": lambda v, rng: (v - 1024) & 0xFFFF,
    "1024 less, wrapped at 12 bits": lambda v, rng: (v - 1024) & 0xFFF,
    "1000 more": lambda v, rng: v + 1000,
    "negative": lambda v, rng: v.max() - v,
    "bytes exchanged": lambda v, rng: v.astype("<u2").byteswap(),
    "scaled to 255": lambda v, rng: v * 255 // 3000,
    "ten times": lambda v, rng: np.minimum(v * 10, 65535),
    "random": lambda v, rng: rng.integers(0, 65536, v.shape),
    "half lost": lambda v, rng: np.where(np.arange(v.shape[0])[:, None] < v.shape[0] // 2, v, 0),
}


def _cut_pixels(slices: Slices, rng: np.random.Generator) -> str:
    chosen = _some(slices, rng)
    for dataset in chosen:
        keep = int(len(dataset.PixelData) * rng.random()) // 2 * 2
        dataset.PixelData = dataset.PixelData[:keep]
    return f"pixel data cut in {len(chosen)}"


def _odd_element(slices: Slices, rng: np.random.Generator) -> str:
    chosen = _some(slices, rng)
    keywords = [e.keyword for e in slices[0] if e.keyword and e.keyword not in _KEEP]
    keyword = keywords[int(rng.integers(len(keywords)))]
    text = odd_text(rng)
    for dataset in chosen:
        if dataset[keyword].VR not in ("US", "OW", "OB"):
            dataset[keyword]._value = text
    return f"{keyword} = {text!r} in {len(chosen)}"


_KEEP = ("PixelData", "SOPClassUID", "SOPInstanceUID")

SEEN: tuple[Change, ...] = (
    _set("PixelSpacing", [[0, 0], [-3, 3], [30, 30], [0.03, 0.03], None, [3], [1e-9, 3]],
         part_only=[[2.5, 2.5], [3, 2.5]]),
    _set("RescaleSlope", [0, -1, 3, 10, 1e6, 0.1, 1e-9], part_only=[2, 1.1, 0.9, None]),
    _set("RescaleIntercept", [2000, -4096, 1e9, -9999], part_only=[0, -1000, -500, None]),
    _set("RescaleIntercept", [0, None, -2048]),
    _set("ImageOrientationPatient", [[0] * 6, [1, 0, 0, 1, 0, 0], None, [1, 0, 0, 0, 0.5, 0], [5, 0, 0, 0, 5, 0],
                                     [1, 0, 0]],
         part_only=[[1, 0, 0, 0, 0, -1], [-1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0]]),
    _set("ImagePositionPatient", [[0, 0, 0], None, [1e7, 0, 0], [0, 0]]),
    _set("BitsStored", [8, 10], part_only=[17, 1, 0]),
    _set("BitsAllocated", [8, 32, 1, 0, 12]),
    _set("HighBit", [0, 7, 31, 99]),
    _set("PixelRepresentation", [1, 7]),
    _set("SamplesPerPixel", [3, 0, 4]),
    _set("PhotometricInterpretation", ["MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL", "", "NOISE"]),
    _set("Rows", [0, 1, 38, 75, 77, 65535]),
    _set("Columns", [0, 1, 34, 67, 69, 65535]),
    _set("NumberOfFrames", [0, 2, 20, 99999]),
    _set("Modality", ["MR", "PT", "OT", "", "SEG"]),
    _set("ImageType", [["DERIVED", "SECONDARY", "MIP"], ["ORIGINAL", "PRIMARY", "LOCALIZER"], [""], None]),
    _set("RescaleType", ["US", "OD", "", "HOUNDSFIELD UNIT", "Z_EFF"]),
    _set("SOPClassUID", ["1.2.840.10008.5.1.4.1.1.4", "1.2.3", "1.2.840.10008.5.1.4.1.1.66.4", ""]),
    _set("ConvolutionKernel", [["B30f"]], part_only=[["B80f"], ["BONE"]]),
    _set("KVP", ["80", "140", None]),
    _set("AcquisitionNumber", [1], part_only=[2, 3]),
    _set("GantryDetectorTilt", [20, -20, 89]),
    _move, _exchange_positions, _new_uids, _other_patient, _drop, _repeat, _voxels, _voxels, _cut_pixels, _odd_element,
    _odd_element, _odd_element,
)  # fmt: skip

# Writing.


def _written(dataset: Dataset) -> bytes:
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def _encoded(dataset: Dataset, syntax: str) -> bytes:
    """Return a slice as a file in a transfer syntax; imagecodecs writes what pydicom cannot."""
    out = BytesIO()
    if syntax in (JPEGLosslessSV1, HTJ2KLossless):
        import imagecodecs

        values = np.ascontiguousarray(stored(dataset))
        lossless = syntax == JPEGLosslessSV1
        code = imagecodecs.ljpeg_encode(values, bitspersample=16) if lossless else imagecodecs.htj2k_encode(values)
        dataset.PixelData = encapsulate([code])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(out)
        return out.getvalue()
    # A data set that was never read may be written in either byte order.
    fresh = Dataset()
    fresh.update(dataset)
    return save(fresh, bases.scratch() / "encoded.dcm", syntax).read_bytes()


def write_slices(folder: Path, slices: Slices) -> None:
    """Write data sets, those that cannot be written left out as a broken writer would."""
    for number, dataset in enumerate(slices):
        path = folder / dataset.__dict__.get("file_name", f"{number:04d}.dcm")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(_written(dataset))
        except Exception:
            for element in list(dataset):
                if isinstance(element._value, str) and element.VR in ("DS", "IS", "UI", "CS"):
                    element.VR = "LO"
            try:
                path.write_bytes(_written(dataset))
            except Exception:
                path.write_bytes(_head_bytes()[number % len(_head_bytes())][:-100])


def equal_series(rng: np.random.Generator, folder: Path) -> Trial:
    """The same series, written otherwise in one to three ways."""
    slices = head_slices()
    changes = [EQUAL[k] for k in rng.choice(len(EQUAL), int(rng.integers(1, 4)), replace=False)]
    told = [change(slices, rng) for change in changes]
    write_slices(folder / "study", slices)
    return study_trial(folder / "study", "head", "; ".join(told), equal=True)


def changed_series(rng: np.random.Generator, folder: Path) -> Trial:
    """A series with one or two changes that nobody may miss."""
    slices = head_slices()
    told = [SEEN[int(rng.integers(len(SEEN)))](slices, rng) for _ in range(1 if rng.random() < 0.75 else 2)]
    write_slices(folder / "study", slices)
    return study_trial(folder / "study", "head", "; ".join(told))


def encoded_series(rng: np.random.Generator, folder: Path) -> Trial:
    """The series in one or several transfer syntaxes."""
    slices = head_slices()
    mixed = rng.random() < 0.3
    syntax = SYNTAXES[int(rng.integers(len(SYNTAXES)))]
    (folder / "study").mkdir()
    for number, dataset in enumerate(slices):
        own = SYNTAXES[int(rng.integers(len(SYNTAXES)))] if mixed else syntax
        (folder / "study" / f"{number:03d}").write_bytes(_encoded(dataset, own))
    return study_trial(folder / "study", "head", "mixed encodings" if mixed else syntax.name, equal=True)


@cache
def _in_syntax(syntax: str) -> tuple[bytes, ...]:
    return tuple(_encoded(dataset, syntax) for dataset in head_slices())


def damaged_series(rng: np.random.Generator, folder: Path) -> Trial:
    """The series in a transfer syntax, some of its files damaged."""
    syntax = SYNTAXES[int(rng.integers(len(SYNTAXES)))]
    files = list(_in_syntax(syntax))
    count = int(rng.choice([1, 3, len(files)]))
    for k in rng.choice(len(files), count, replace=False):
        files[k] = damage(files[k], rng, after=0 if rng.random() < 0.5 else len(files[k]) // 2)
    (folder / "study").mkdir()
    for number, data in enumerate(files):
        (folder / "study" / f"{number:03d}.dcm").write_bytes(data)
    return study_trial(folder / "study", "head", f"{syntax.name}: {count} files damaged", any_answer=True)


def damaged_file(rng: np.random.Generator, folder: Path) -> Trial:
    """One damaged DICOM file of any kind: slice, enhanced, classic multi-frame, radiograph."""
    kind, data = _single_files()[int(rng.integers(len(_single_files())))]
    path = folder / "study.dcm"
    path.write_bytes(damage(data, rng, after=0 if rng.random() < 0.6 else min(132, len(data) // 2)))
    base = "chest" if kind == "radiograph" else "head"
    return study_trial(path, base, f"{kind} damaged", any_answer=True)


@cache
def _single_files() -> tuple[tuple[str, bytes], ...]:
    folder = bases.scratch()
    found = [
        ("enhanced", bases.write_head_enhanced(folder / "single" / "e.dcm").read_bytes()),
        ("enhanced", bases.write_head_enhanced(folder / "single" / "r.dcm", transfer_syntax=RLELossless).read_bytes()),
        ("multi-frame", bases.write_head_multiframe(folder / "single" / "m.dcm").read_bytes()),
        ("radiograph", bases.write_chest(folder / "single" / "c.dcm").read_bytes()),
        ("radiograph", bases.write_chest(folder / "single" / "j.dcm", transfer_syntax=JPEG2000Lossless).read_bytes()),
    ]
    return (*found, *[("slice", _in_syntax(syntax)[9]) for syntax in SYNTAXES])


def enhanced(rng: np.random.Generator, folder: Path) -> Trial:
    """An enhanced multi-frame CT, unchanged or with one change of its frames."""
    dataset = dcmread(BytesIO(_single_files()[0][1]))
    frames = dataset.PerFrameFunctionalGroupsSequence
    which = [int(k) for k in rng.choice(len(frames), int(rng.choice([1, 5, len(frames)])), replace=False)]
    how, told, equal = int(rng.integers(9)), "", False
    for k in which:
        frame = frames[k]
        if how == 0:
            told = "frame slope 3"
            frame.PixelValueTransformationSequence[0].RescaleSlope = 3
        elif how == 1:
            told = "frame intercept 2000"
            frame.PixelValueTransformationSequence[0].RescaleIntercept = 2000
        elif how == 2:
            told = "frames without a position"
            del frame.PlanePositionSequence
        elif how == 3:
            told = "frames at one position"
            frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 0]
        elif how == 4:
            told = "empty functional groups"
            frame.clear()
        elif how == 5:
            told = "position of two numbers"
            frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0]
    if how == 6:
        told = "fewer frames stated"
        dataset.NumberOfFrames = int(rng.integers(0, len(frames)))
    elif how == 7:
        told = "functional groups lost"
        del frames[int(rng.integers(1, len(frames))) :]
    elif how == 8:
        told, equal = "unchanged", True
    path = folder / "study.dcm"
    path.write_bytes(_written(dataset))
    return study_trial(path, "head", f"enhanced: {told} in {len(which)}", equal=equal)


def radiograph(rng: np.random.Generator, folder: Path) -> Trial:
    """A radiograph with one change of its header or its values."""
    dataset = dcmread(BytesIO(_single_files()[3][1]))
    values = stored(dataset).astype(int)
    how = int(rng.integers(12))
    equal = how in (0, 1, 2)
    told = (
        "12 bits", "MONOCHROME1 with inverted values", "stored 16 bits wide", "constant", "all zero",
        "bytes exchanged", "bits stored 8", "rows exchanged", "RGB stated", "odd window",
        "LUT damaged", "odd element",
    )[how]  # fmt: skip
    if how == 1:
        dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        values = 4095 - values
    elif how == 3:
        values = values * 0 + 7
    elif how == 4:
        values = values * 0
    elif how == 5:
        values = values.astype("<u2").byteswap().astype(int)
    elif how == 6:
        dataset.BitsStored, dataset.HighBit = 8, 7
    elif how == 7:
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
    elif how == 8:
        dataset.PhotometricInterpretation = "RGB"
    elif how == 9:
        dataset.WindowCenter, dataset.WindowWidth = float(rng.choice([-5000, 0, 1e9])), float(rng.choice([0, 1, -4]))
    elif how == 10:
        item = Dataset()
        item.LUTDescriptor, item.LUTData = [int(rng.integers(70000)) & 0xFFFF, 0, 16], rng.bytes(512)
        dataset.VOILUTSequence = [item]
    elif how == 11:
        told = _odd_element([dataset], rng)
    dataset.PixelData = values.astype("<u2").tobytes()
    write_slices(folder, [dataset])
    return study_trial(folder / "0000.dcm", "chest", f"radiograph: {told}", equal=equal, any_answer=how in (7, 9))


def packed(rng: np.random.Generator, folder: Path) -> Trial:
    """The series as a zip, as gz or zst files, or with a DICOMDIR; whole or damaged."""
    how, whole = int(rng.integers(4)), rng.random() < 0.4
    files = list(_head_bytes())
    if how == 0:
        out = BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED) as archive:
            for number, data in enumerate(files):
                archive.writestr(f"DICOM/IM{number:04d}", data)
        data = out.getvalue()
        (folder / "study.zip").write_bytes(data if whole else damage(data, rng))
        return study_trial(folder / "study.zip", "head", f"zip, {'whole' if whole else 'damaged'}", equal=whole)
    if how == 3:
        return _with_directory(rng, folder, files, whole=whole)
    pack, ending = (gzip.compress, "gz") if how == 1 else (_zst, "zst")
    (folder / "study").mkdir()
    for number, data in enumerate(files):
        small = pack(data)
        if not whole and rng.random() < 0.3:
            small = damage(small, rng)
        (folder / "study" / f"{number:04d}.dcm.{ending}").write_bytes(small)
    return study_trial(folder / "study", "head", f"{ending}, {'whole' if whole else 'damaged'}", equal=whole)


def _zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def _with_directory(rng: np.random.Generator, folder: Path, files: list[bytes], *, whole: bool) -> Trial:
    (folder / "study").mkdir()
    shutil.copytree(_directory(), folder / "study", dirs_exist_ok=True)
    if not whole:
        directory = folder / "study" / "DICOMDIR"
        directory.write_bytes(damage(directory.read_bytes(), rng))
    return study_trial(folder / "study", "head", f"DICOMDIR, {'whole' if whole else 'damaged'}", equal=whole)


@cache
def _directory() -> Path:
    fileset = FileSet()
    for dataset in head_slices():
        dataset.StudyID, dataset.StudyDate, dataset.StudyTime = "1", "20240101", "080000"
        fileset.add(dataset)
    folder = bases.scratch() / "directory"
    fileset.write(folder)
    return folder
