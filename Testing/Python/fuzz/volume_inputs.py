"""Volume files and pictures: headers changed so that somebody must be told, and damaged bytes."""

import gzip
import struct
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from fuzz import bases
from fuzz.mutations import damage, damage_text
from fuzz.trial import Trial, study_trial

# Place in the header of NIfTI-1, how it is written, and values that make another study or none.
_NIFTI_FIELDS = {
    "sizeof_hdr": (0, "i", [0, 540, 1, -1]),
    "dim[0]": (40, "h", [0, 1, 2, 4, 7, 8, -1]),
    "dim[1]": (42, "h", [0, -1, 1, 67, 69, 32767]),
    "dim[3]": (46, "h", [0, -1, 1, 21, 200, 32767]),
    "dim[4]": (48, "h", [0, 2, -1]),
    "datatype": (70, "h", [0, 2, 512, 128, 16, 1, 99, 2304, 8]),
    "bitpix": (72, "h", [8, 32]),
    "pixdim[0]": (76, "f", [0.0, -1.0, 5.0]),
    "pixdim[1]": (80, "f", [0.0, -3.0, 30.0, 1e-6, float("nan"), float("inf")]),
    "pixdim[3]": (88, "f", [0.0, 50.0, float("nan")]),
    "vox_offset": (108, "f", [0.0, 348.0, 353.0, 354.0, 1e9, float("nan"), -352.0]),
    "scl_slope": (112, "f", [10.0, -1.0, 1e-6, float("nan"), float("inf"), 3.0]),
    "scl_inter": (116, "f", [2000.0, 1e9, float("nan"), -9000.0]),
    "xyzt_units": (123, "b", [1, 3, 99]),
    "qform_code": (252, "h", [0, 99]),
    "sform_code": (254, "h", [0, 99]),
    "quatern_b": (256, "f", [0.5, 2.0, float("nan")]),
    "qoffset_x": (268, "f", [500.0, float("nan")]),
    "srow_x[0]": (280, "f", [0.0, 30.0, float("nan"), 4.0]),
    "srow_z[2]": (280 + 40, "f", [0.0, 1.0, 50.0]),
    "srow_x[3]": (292, "f", [float("nan"), float("inf")]),
    "magic": (344, "4s", [b"ni1\0", b"abc\0", b"\0\0\0\0"]),
    "intent_code": (68, "h", [1002, 2003]),
}
_ENDINGS = (".nii", ".nii.gz", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", ".packed.nrrd", ".packed.mha")
_PICTURES = (".png", ".jpg", ".tif", ".bmp")


@cache
def _files(ending: str) -> dict[str, bytes]:
    """Return a volume as its one or two files."""
    folder = bases.scratch() / f"volume{ending.replace('.', '-')}"
    folder.mkdir()
    plain = ending.removeprefix(".packed")
    bases.write_volume(folder / f"study{plain}", compressed=ending != plain)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _named(files: dict[str, bytes], ending: str) -> str:
    return f"study{ending.removeprefix('.packed')}" if len(files) > 1 else next(iter(files))


def _put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


def whole_volume(rng: np.random.Generator, folder: Path) -> Trial:
    """The head in any volume format, under its name or none."""
    ending = _ENDINGS[int(rng.integers(len(_ENDINGS)))]
    files = _files(ending)
    _put(folder, files)
    return study_trial(folder / _named(files, ending), "head-volume", f"whole {ending}", equal=True)


def damaged_volume(rng: np.random.Generator, folder: Path) -> Trial:
    """A volume file with damaged bytes; where a checksum covers them, somebody must be told."""
    ending = _ENDINGS[int(rng.integers(len(_ENDINGS)))]
    files = dict(_files(ending))
    name = list(files)[int(rng.integers(len(files)))]
    data = files[name]
    after = len(data) // 2 if rng.random() < 0.4 else 0
    if after == 0 and rng.random() < 0.5:
        files[name] = damage(data[:600], rng) + data[600:]
    else:
        files[name] = damage(data, rng, after=after)
    _put(folder, files)
    covered = ending == ".nii.gz"
    told = f"{ending}: {name} damaged"
    return study_trial(folder / _named(files, ending), "head-volume", told, any_answer=not covered)


def changed_nifti(rng: np.random.Generator, folder: Path) -> Trial:
    """A NIfTI file with one or two fields of its header changed, plain or packed."""
    data = bytearray(_files(".nii")["study.nii"])
    told = []
    for _ in range(1 if rng.random() < 0.8 else 2):
        name = list(_NIFTI_FIELDS)[int(rng.integers(len(_NIFTI_FIELDS)))]
        at, kind, values = _NIFTI_FIELDS[name]
        value = values[int(rng.integers(len(values)))]
        struct.pack_into(f"<{kind}", data, at, value)
        told.append(f"{name} = {value!r}")
    is_packed = rng.random() < 0.5
    path = folder / ("study.nii.gz" if is_packed else "study.nii")
    path.write_bytes(gzip.compress(bytes(data), 1) if is_packed else bytes(data))
    return study_trial(path, "head-volume", f"NIfTI: {', '.join(told)}")


def changed_text_header(rng: np.random.Generator, folder: Path) -> Trial:
    """An NRRD or MetaImage file with its header's lines changed: any answer, but no crash."""
    ending = (".nrrd", ".nhdr", ".mha", ".mhd", ".packed.nrrd", ".packed.mha")[int(rng.integers(6))]
    files = dict(_files(ending))
    name = _named(files, ending)
    data = files[name]
    mark = b"\n\n" if "nrrd" in ending else b"LOCAL\n" if "mha" in ending else None
    end = len(data) if mark is None else data.index(mark) + len(mark)
    header = damage_text(data[:end].decode("latin-1"), rng).encode("utf-8", "surrogateescape")
    files[name] = header + data[end:]
    _put(folder, files)
    return study_trial(folder / name, "head-volume", f"{ending}: header changed", any_answer=True)


# What a header's line can say that makes another study, which somebody must be told of.
_LINES = {
    ".nrrd": (("sizes: 68 76 20", ["sizes: 68 76 21", "sizes: 68 76 19", "sizes: 68 75 20", "sizes: 0 76 20"]),
              ("type: short", ["type: ushort", "type: int", "type: signed char", "type: float"]),
              ("endian: little", ["endian: big"]),
              ("encoding: raw", ["encoding: gzip", "encoding: ascii", "encoding: hex", "encoding: bzip2"]),
              ("(3,0,0)", ["(0,0,0)", "(30,0,0)", "(nan,0,0)", "(3,0)"]),
              ("(0,0,5)", ["(0,0,50)", "(0,0,0)", "(0,5)"])),
    ".mha": (("DimSize = 68 76 20", ["DimSize = 68 76 21", "DimSize = 68 76 19", "DimSize = 68 76"]),
             ("MET_SHORT", ["MET_USHORT", "MET_INT", "MET_CHAR", "MET_FLOAT"]),
             ("BinaryDataByteOrderMSB = False", ["BinaryDataByteOrderMSB = True"]),
             ("CompressedData = False", ["CompressedData = True"]),
             ("ElementSpacing = 3", ["ElementSpacing = 0", "ElementSpacing = -3", "ElementSpacing = 30"]),
             ("TransformMatrix = 1 0 0", ["TransformMatrix = 0 0 0", "TransformMatrix = 1 1 0"])),
}  # fmt: skip


def changed_line(rng: np.random.Generator, folder: Path) -> Trial:
    """An NRRD or MetaImage file of which one line says something else."""
    ending = ".nrrd" if rng.random() < 0.5 else ".mha"
    data = _files(ending)[f"study{ending}"]
    lines = _LINES[ending]
    line, others = lines[int(rng.integers(len(lines)))]
    other = others[int(rng.integers(len(others)))]
    changed = data.replace(line.encode(), other.encode(), 1)
    if changed == data:
        raise ValueError(f"the base {ending} has no line {line!r}")
    (folder / f"study{ending}").write_bytes(changed)
    return study_trial(folder / f"study{ending}", "head-volume", f"{ending}: {line} → {other}")


def changed_values(rng: np.random.Generator, folder: Path) -> Trial:
    """A volume whose voxels are what other programs make of HU."""
    import SimpleITK as sitk

    ways = {
        "NaN in one voxel": lambda v: _with(v.astype(np.float32), np.nan),
        "infinite in one voxel": lambda v: _with(v.astype(np.float32), np.inf),
        "0..1": lambda v: ((v + 1024) / 4000).astype(np.float32),
        "-1..1": lambda v: (v / 3000).clip(-1, 1).astype(np.float32),
        "0..255": lambda v: ((v + 1024) / 16).clip(0, 255).astype(np.uint8),
        "1024 more": lambda v: (v + 1024).astype(np.uint16),
        "1024 less": lambda v: (v - 1024).astype(np.int16),
        "wrapped": lambda v: v.astype(np.int16).view(np.uint16),
        "label map": lambda v: (v > 100).astype(np.uint8),
        "negative": lambda v: (-v).astype(np.int16),
        "all zero": lambda v: (v * 0).astype(np.int16),
        "a slice zero": lambda v: _without(v.astype(np.int16)),
        "z-scores": lambda v: ((v - v.mean()) / v.std()).astype(np.float32),
        "ten times": lambda v: (v * 10).astype(np.int16),
    }
    name = list(ways)[int(rng.integers(len(ways)))]
    image = sitk.GetImageFromArray(ways[name](bases.head()))
    image.CopyInformation(bases.image())
    path = folder / f"study{('.nii', '.nii.gz', '.nrrd', '.mha')[int(rng.integers(4))]}"
    sitk.WriteImage(image, str(path))
    return study_trial(path, "head-volume", f"{path.suffix}: {name}")


def _with(values: np.ndarray, value: float) -> np.ndarray:
    values[10, 20, 20] = value
    return values


def _without(values: np.ndarray) -> np.ndarray:
    values[10] = 0
    return values


# Pictures.


@cache
def _picture(ending: str) -> bytes:
    return bases.write_picture(bases.scratch() / f"picture{ending}").read_bytes()


def damaged_picture(rng: np.random.Generator, folder: Path) -> Trial:
    """A picture with damaged bytes."""
    ending = _PICTURES[int(rng.integers(len(_PICTURES)))]
    data = _picture(ending)
    short = rng.random() < 0.4
    data = damage(data[:120], rng) + data[120:] if short else damage(data, rng)
    (folder / f"study{ending}").write_bytes(data)
    return study_trial(folder / f"study{ending}", "picture", f"{ending} damaged", any_answer=True)


def picture(rng: np.random.Generator, folder: Path) -> Trial:
    """The radiograph in another form of picture that shows the same, or one that does not."""
    gray = (bases.chest_picture() >> 4).astype(np.uint8)
    forms = {
        "RGB.png": (lambda: Image.fromarray(np.stack([gray] * 3, -1)), {}, True),
        "16 bits.png": (lambda: Image.fromarray(gray.astype(np.uint16) * 257), {}, None),
        "deflated.tif": (lambda: Image.fromarray(gray), {"compression": "tiff_adobe_deflate"}, True),
        "lzw.tif": (lambda: Image.fromarray(gray), {"compression": "tiff_lzw"}, True),
        "plain.bmp": (lambda: Image.fromarray(gray), {}, True),
        "alpha.png": (lambda: Image.fromarray(np.stack([gray] * 3 + [gray * 0 + 255], -1)), {}, True),
        "palette.png": (lambda: Image.fromarray(gray).convert("P"), {}, True),
        "negative.png": (lambda: Image.fromarray(255 - gray), {}, False),
        "one bit.png": (lambda: Image.fromarray(gray).convert("1"), {}, False),
        "all gray.png": (lambda: Image.fromarray(gray * 0 + 90), {}, False),
        "constant.tif": (lambda: Image.fromarray(gray * 0), {}, False),
        "color.jpg": (lambda: Image.fromarray(np.stack([gray, 255 - gray, gray // 2], -1)), {}, False),
        "CMYK.jpg": (lambda: Image.fromarray(gray).convert("CMYK"), {}, None),
        "upside down.jpg": (lambda: Image.fromarray(gray), {"exif": _turned()}, None),
        "two pages.tif": (
            lambda: Image.fromarray(gray),
            {"save_all": True, "append_images": [Image.fromarray(255 - gray)]},
            None,
        ),
        "float.tif": (lambda: Image.fromarray(gray.astype(np.float32)), {}, None),
        "NaN.tif": (lambda: Image.fromarray(np.where(gray > 200, np.nan, gray).astype(np.float32)), {}, None),
        "tiny.png": (lambda: Image.fromarray(gray[:2, :2]), {}, False),
        "GIF.gif": (lambda: Image.fromarray(gray), {}, None),
        "WebP.webp": (lambda: Image.fromarray(gray), {}, None),
    }
    name = list(forms)[int(rng.integers(len(forms)))]
    make, options, equal = forms[name]
    path = folder / name
    out = BytesIO()
    make().save(out, format=_FORMATS[path.suffix], **options)
    path.write_bytes(out.getvalue())
    return study_trial(path, "picture", name, equal=equal is True, any_answer=equal is None)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif


_FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP",
}  # fmt: skip
