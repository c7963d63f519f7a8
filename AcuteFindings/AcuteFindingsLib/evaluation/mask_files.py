"""Folders of masks, predicted and true, brought together image by image."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.errors import EvaluationError, StudyError
from AcuteFindingsLib.evaluation.case_names import case_key, plain
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.evaluation.schema import MaskRow
from AcuteFindingsLib.evaluation.tables import (
    CASE_COLUMNS,
    find_column,
    names,
    read_table,
    run_length_column,
    same_finding,
)
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.itk_files import read_image
from AcuteFindingsLib.study.rle import decode_union

_SUFFIXES = (".png", ".nrrd", ".nii", ".nii.gz", ".mha")
_PLAIN_PICTURES = (".png",)
# Folders that name a study's masks in results of `acutefindings run` and in phantoms.
_FOLDERS = ("masks", "truth")
_NO_MASKS = ("heatmap.nrrd",)
_NO_FOLDERS = ("pictures", "dicom", "images")
_WHOLE = "mask"
_ABOUT_PREDICT = "predict.json"

Source = Path | tuple[str, ...]
"""A file, or the run lengths of one image."""


@dataclass(frozen=True)
class MaskSet:
    """Masks by segment and image. `implied_empty`: an image that is known but lacks a segment has none of it."""

    segments: Mapping[str, Mapping[str, Source]]
    images: frozenset[str]
    implied_empty: bool


def find_masks(folder: Path) -> MaskSet:
    """Find the masks of a folder.

    One file an image (``a/0001.png``), or one a segment in a study's folder ``masks`` or ``truth``
    (``head-ct-0007/masks/hemorrhage.nrrd``).
    """
    segments: dict[str, dict[str, Source]] = defaultdict(dict)
    implied = False
    outlined = _segment_of_predict(folder)
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        if not file.name.lower().endswith(_SUFFIXES) or file.name in _NO_MASKS or file.name.startswith("."):
            continue
        if outlined:
            segments[outlined][_of_study(case_key(place.as_posix()))] = file
            continue
        if set(place.parts[:-1]) & set(_NO_FOLDERS):
            continue
        if file.parent.name in _FOLDERS and file.parent != folder:
            image = place.parent.parent.as_posix()
            segments[plain(case_key(file.name))][folder.name if image == "." else image] = file
            implied = True
        else:
            segments[_WHOLE][case_key(place.as_posix())] = file
    images = frozenset(image for by_image in segments.values() for image in by_image)
    return MaskSet(dict(segments), images, implied)


def _segment_of_predict(folder: Path) -> str:
    """Return what the masks of a folder of `acutefindings predict` outline; empty for any other folder."""
    file = folder / _ABOUT_PREDICT
    if not file.is_file():
        return ""
    try:
        segment = json.loads(file.read_text(encoding="utf-8")).get("segment")
    except (OSError, ValueError, AttributeError) as error:
        raise EvaluationError(f"{file} is damaged; run predict again.") from error
    return plain(segment) if isinstance(segment, str) else ""


def _of_study(image: str) -> str:
    """Return the study of an image in a study's folder ``dicom``, as `acutefindings phantom` lays them out."""
    parts = image.rsplit("/", 2)
    return parts[0] if len(parts) == 3 and parts[1] == "dicom" else image


def run_length_masks(table: Path) -> MaskSet | None:
    """Return the masks of a SIIM-ACR table (``EncodedPixels``); None where the table has none."""
    rows = read_table(table)
    runs = run_length_column(rows)
    case = find_column(rows, None, CASE_COLUMNS, what="the images", path=table)
    if runs is None or case is None:
        return None
    column, label = runs
    by_image = {str(image): tuple(own) for image, own in rows.fillna("-1").groupby(case)[column]}
    return MaskSet({label: by_image}, frozenset(by_image), implied_empty=False)


def score_masks(
    predicted: MaskSet, true: MaskSet, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> tuple[dict[str, tuple[str, list[MaskRow]]], list[str]]:
    """Return the unit and one row an image for every segment that both have, and what was left out.

    Raises
    ------
    EvaluationError
        When no image or segment is in both, a file cannot be read, or two masks differ in size.
    """
    pairs = _segment_pairs(predicted, true)
    twins = _image_pairs(predicted.images, true.images)
    if not pairs or not twins:
        lacking = "segment" if twins else "image"
        raise EvaluationError(
            f"The predicted masks ({len(predicted.images)} images) and the true ones ({len(true.images)}) share no "
            f"{lacking}; files must be named alike."
        )
    results: dict[str, tuple[str, list[MaskRow]]] = {}
    notices = []
    spoiled: dict[str, str] = {}
    for name, true_name in pairs:
        rows, units = [], set()
        by_image, true_by_image = predicted.segments[name], true.segments[true_name]
        for number, (image, true_image) in enumerate(twins):
            stop_if(cancelled)
            progress(f"Comparing masks: {true_name}", number / len(twins))
            known = true_image in true_by_image or true.implied_empty
            if image not in by_image or not known:
                continue
            try:
                row, unit = _row(image, by_image[image], true_by_image.get(true_image))
            except EvaluationError as error:
                spoiled.setdefault(image, str(error))
                continue
            rows.append(row)
            units.add(unit)
        if rows:
            if len(units) > 1:
                raise EvaluationError(f"The masks of {true_name} mix files with and without pixel sizes; use one form.")
            results[true_name if name == _WHOLE else name] = (units.pop(), rows)
    if spoiled and not results:
        raise EvaluationError(next(iter(spoiled.values())))
    scored = {image for image, _ in twins}
    named = {true_image for _, true_image in twins}
    for images, total, words in (
        (true.images - named, true.images, "with a true mask have no predicted one"),
        (predicted.images - scored, predicted.images, "with a predicted mask have no true one"),
        (frozenset(spoiled), predicted.images, "have a mask that cannot be read or is of another size"),
    ):
        if images:
            what = f"{len(images)} of {counted(len(total), 'image')} {words} and are left out"
            notices.append(f"{what}: {names(sorted(images))}.")
    return results, notices


def _segment_pairs(predicted: MaskSet, true: MaskSet) -> list[tuple[str, str]]:
    pairs = []
    for name in predicted.segments:
        twin = next((other for other in true.segments if other == name), None)
        twin = twin or next((other for other in true.segments if same_finding(other, name)), None)
        if twin is None and len(predicted.segments) == len(true.segments) == 1:
            twin = next(iter(true.segments))
        if twin is not None:
            pairs.append((name, twin))
    return pairs


def _image_pairs(predicted: frozenset[str], true: frozenset[str]) -> list[tuple[str, str]]:
    """Pair images of one name, and of the others those whose file name alone is named once on each side."""
    exact = predicted & true
    short: dict[bool, dict[str, list[str]]] = {True: defaultdict(list), False: defaultdict(list)}
    for mine, images in ((True, predicted - exact), (False, true - exact)):
        for image in images:
            short[mine][image.rsplit("/", 1)[-1]].append(image)
    alike = [
        (own[0], twins[0])
        for name, own in short[True].items()
        for twins in [short[False].get(name, [])]
        if len(own) == len(twins) == 1
    ]
    return sorted([*((image, image) for image in exact), *alike])


def _row(image: str, source: Source, true: Source | None) -> tuple[MaskRow, str]:
    mask, unit, size = _read(source)
    truth = np.zeros_like(mask)
    if true is not None:
        truth, true_unit, true_size = _read(true)
        # What is known of the pixel's size comes from the true mask; a PNG knows nothing.
        unit, size = (unit, size) if true_unit == "pixels" and unit == "pixels" else (true_unit, true_size)
    if mask.shape != truth.shape:
        raise EvaluationError(
            f"The mask of {image} has {_by(mask)} pixels and the true one {_by(truth)}; both must lie on the image's "
            "own grid."
        )
    return (
        MaskRow(
            image=image,
            dice=dice(truth, mask),
            true_size=float(truth.sum() * size),
            size=float(mask.sum() * size),
        ),
        unit,
    )


def _read(source: Source) -> tuple[np.ndarray, str, float]:
    """Return the mask, the unit of its size, and how many of that unit one voxel is."""
    if isinstance(source, tuple):
        return decode_union(source).astype(bool), "pixels", 1.0
    try:
        image = read_image(source)
    except StudyError as error:
        raise EvaluationError(f"{source} cannot be read as a mask.") from error
    array = sitk.GetArrayViewFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = array[..., :3].max(axis=-1)
    mask = np.squeeze(np.asarray(array) > 0)
    if source.name.lower().endswith(_PLAIN_PICTURES):
        return mask, "pixels", 1.0
    spacing = image.GetSpacing()
    if mask.ndim == 3:
        return mask, "mL", float(np.prod(spacing)) / 1000
    return mask, "mm²", float(np.prod(spacing[:2]))


def _by(mask: np.ndarray) -> str:
    return " × ".join(str(count) for count in mask.shape)
