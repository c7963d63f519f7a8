"""What a folder of results holds, in the forms in which a page and clients take it."""

import io
import json
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.detectors.finding import Finding, finding_from_dict
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.export.chart import finding_chart
from AcuteFindingsLib.export.report_tables import label_meanings
from AcuteFindingsLib.json_text import parse_json
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.names import below
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.scene.bundle import scene_volume
from AcuteFindingsLib.serve.problem import Problem
from AcuteFindingsLib.study.grid import image_ijk_to_ras
from AcuteFindingsLib.study.itk_files import read_image
from AcuteFindingsLib.study.nifti_writer import nifti_pieces
from AcuteFindingsLib.worklist.viewing import CAPTIONS

FINDING, SCENE = "finding.json", "scene.mrb"
NO_FINDING = "There is no finding for this study; it was refused, or could not be read."
NO_IMAGES = "The images of this study are not kept with its results."

# Volumes that are unpacked at the same time: each may take hundreds of megabytes.
_UNPACKING = threading.BoundedSemaphore(2)
_KEPT, _LARGEST_KEPT = 16, 4 * 2**20
DAMAGED = "The results of this study are damaged; have it read again."
_GONE = "The results of this study were removed meanwhile."
# What comes of a finding that says something other than a finding says: a later version's, a damaged one.
_OTHERWISE = (
    AcuteFindingsError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip


@contextmanager
def damage_told() -> Iterator[None]:
    """Raise `Problem` where results do not say what results say."""
    try:
        yield
    except FileNotFoundError as error:
        raise Problem(404, _GONE) from error
    except (OSError, *_OTHERWISE) as error:
        raise Problem(404, DAMAGED) from error


def read_finding(folder: Path) -> dict[str, Any]:
    """Return a finding as its file has it; raises `Problem` where there is none."""
    try:
        with (folder / FINDING).open("rb") as stream:
            text = stream.read(budgets().text_bytes + 1)
    except FileNotFoundError as error:
        raise Problem(404, NO_FINDING) from error
    except OSError as error:
        raise Problem(404, DAMAGED) from error
    with damage_told():
        return dict(parse_json(text))


def edition(folder: Path) -> str:
    """Return what tells one result of a study from the next: an ETag of all that is made of it."""
    try:
        status = (folder / FINDING).stat()
    except OSError as error:
        raise Problem(404, NO_FINDING) from error
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def chart(finding: dict[str, Any]) -> dict[str, Any]:
    """Return what a chart of the slices shows; raises `Problem` where the finding lacks it."""
    with damage_told():
        slices, runs = finding["slices"], finding["positive_runs"]
        main = finding["main_label"]
        labels = sorted(slices[0]["probabilities"], key=lambda label: label != main) if slices else []
        return {
            "labels": labels,
            "threshold": finding["slice_threshold"],
            "slices": [
                {
                    "index": one["index"],
                    "number": one["index"] + 1,
                    "k": one.get("k", one["index"]),
                    "probabilities": one["probabilities"],
                    "position_ras": one["position_ras"],
                    "positive": any(first <= one["index"] <= last for first, last in runs),
                }
                for one in slices
            ],
            "runs": runs,
        }


def chart_picture(finding: dict[str, Any], packages: list[ModelPackage]) -> bytes:
    """Return the chart as SVG; raises `Problem` where there are fewer than two slices."""
    with damage_told():
        said = without_images(finding)
        drawn = finding_chart(said, label_meanings(said, packages))
    if drawn is None:
        raise Problem(404, "A single image has no chart of slices.")
    return str(drawn).encode()


def mask_file(folder: Path) -> bytes:
    """Return the masks as one label map (``.nii.gz``): 1 for the first of the finding's masks, 2 for the second …

    Where masks overlap, the first of them is shown.
    """
    return _kept(folder, edition(folder), _mask_file)


def scene_volume_file(folder: Path) -> bytes:
    """Return the images (``.nii.gz``) out of the scene of results that a batch wrote; raises `Problem` without any."""
    return _kept(folder, edition(folder), _scene_volume_file)


def heatmap_file(folder: Path) -> bytes:
    """Return the heat map (``.nii.gz``), 0 to 255, on its own grid."""
    return _kept(folder, edition(folder), _heatmap_file)


def pictures(folder: Path) -> list[dict[str, Any]]:
    """Return the pictures of a study in their order: number, file, kind and caption."""
    listed: Any = None
    try:
        with (folder / CAPTIONS).open("rb") as stream:
            listed = json.loads(stream.read(budgets().settings_bytes))
        named = [(str(one["file"]), str(one["kind"]), str(one["caption"])) for one in listed]
    except (OSError, ValueError, KeyError, TypeError):
        # Results of a batch: their captions are in the report alone.
        there = sorted(path.name for path in (folder / "pictures").glob("*.png"))
        named = [(name, "", Path(name).stem.replace("-", " ").replace("_", " ").capitalize()) for name in there]
    return [
        {"n": number, "file": name, "kind": kind, "caption": caption}
        for number, (name, kind, caption) in enumerate(named)
    ]


def picture_path(folder: Path, number: int) -> Path:
    """Return the file of a picture; raises `Problem` where there is none."""
    found = pictures(folder)
    if not 0 <= number < len(found):
        raise Problem(404, f"This study has {len(found)} pictures, numbered from 0.")
    try:
        return below(folder / "pictures", found[number]["file"])
    except ValueError as error:
        raise Problem(404, DAMAGED) from error


def finding_archive(folder: Path) -> bytes:
    """Return a zip of the finding with its masks and heat map, which `load_finding` reads when it is unpacked."""
    data = read_finding(folder)
    packed = io.BytesIO()
    with damage_told():
        names = [entry["file"] for entry in data["masks"]] + ([data["heatmap"]["file"]] if data["heatmap"] else [])
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(FINDING, json.dumps(data, allow_nan=False), compress_type=zipfile.ZIP_DEFLATED)
            for name in names:
                archive.write(below(folder, name), name)
    return packed.getvalue()


def _mask_file(folder: Path) -> bytes:
    finding = read_finding(folder)
    with damage_told():
        entries = finding["masks"]
        if not entries:
            raise Problem(404, "This finding has no masks.")
        labels: np.ndarray | None = None
        # The last first, so that the first is on top.
        for value, entry in reversed(list(enumerate(entries, 1))):
            image = read_image(below(folder, entry["file"]))
            mask = sitk.GetArrayViewFromImage(image)
            labels = np.zeros(mask.shape, np.uint8) if labels is None else labels
            labels[mask != 0] = value
        assert labels is not None
        return b"".join(nifti_pieces(labels, labels.shape, labels.dtype, np.array(finding["ijk_to_ras"], float)))


def _scene_volume_file(folder: Path) -> bytes:
    try:
        with temporary_folder() as place:
            image = read_image(scene_volume(folder / SCENE, place))
    except AcuteFindingsError as error:
        raise Problem(404, NO_IMAGES) from error
    array = sitk.GetArrayViewFromImage(image)
    return b"".join(nifti_pieces(array, array.shape, array.dtype, image_ijk_to_ras(image)))


def _heatmap_file(folder: Path) -> bytes:
    finding = read_finding(folder)
    with damage_told():
        if not finding["heatmap"]:
            raise Problem(404, "This finding has no heat map.")
        image = read_image(below(folder, finding["heatmap"]["file"]))
    array = sitk.GetArrayViewFromImage(image)
    return b"".join(nifti_pieces(array, array.shape, array.dtype, image_ijk_to_ras(image)))


@lru_cache(maxsize=_KEPT)
def _remembered(_folder: Path, _edition: str, _make: Callable[[Path], bytes]) -> list[bytes]:
    """Return a place for what is made once; empty where it is too large to be kept."""
    return []


def _kept(folder: Path, which: str, make: Callable[[Path], bytes]) -> bytes:
    place = _remembered(folder, which, make)
    if place:
        return place[0]
    with _UNPACKING:
        if place:
            return place[0]
        made = make(folder)
    if len(made) <= _LARGEST_KEPT:
        place.append(made)
    return made


def without_images(finding: dict[str, Any]) -> Finding:
    """Return a finding without masks and heat map; raises `Problem` where it is damaged."""
    with damage_told():
        return finding_from_dict({**finding, "masks": [], "heatmap": None}, Path())
