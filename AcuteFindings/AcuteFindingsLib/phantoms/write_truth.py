"""The truth of a phantom as files: masks, labels and what was drawn."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.phantoms.phantom_facts import PhantomUids, decimal, first_voxel_lps, phantom_name
from AcuteFindingsLib.study.itk_files import write_image


def write_truth(phantom: Phantom, folder: Path | str) -> list[Path]:
    """Write what is known about the phantom.

    Masks as compressed NRRD on the geometry that ITK's series reader gives the DICOM; ``slices.csv`` (slice, SOP
    Instance UID, one 0/1 column a label), ``study.csv`` (name and study labels) and ``parameters.json``.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    dz, dy, dx = phantom.spacing
    for name, mask in phantom.masks.items():
        image = sitk.GetImageFromArray(np.ascontiguousarray(mask, dtype=np.uint8))
        image.SetSpacing([float(decimal(dx)), float(decimal(dy)), float(decimal(dz))])
        image.SetOrigin([float(decimal(value)) for value in first_voxel_lps(phantom)])
        path = folder / f"{name}.nrrd"
        part = folder / f"{name}.part.nrrd"
        write_image(image, part, compressed=True)
        part.replace(path)
        files.append(path)

    uids = PhantomUids(phantom)
    labels = list(phantom.slice_labels)
    rows = (
        [index, uids.image(index), *(int(phantom.slice_labels[label][index]) for label in labels)]
        for index in range(len(phantom.array))
    )
    files.append(_save_table(folder / "slices.csv", ["slice", "sop_instance_uid", *labels], rows))
    study = ["name", "kind", "seed", *phantom.study_labels]
    values = [phantom_name(phantom), phantom.kind, phantom.seed, *map(_number, phantom.study_labels.values())]
    files.append(_save_table(folder / "study.csv", study, [values]))
    facts = {
        "kind": phantom.kind,
        "seed": phantom.seed,
        "shape": list(phantom.array.shape),
        "spacing_mm": list(phantom.spacing),
        "parameters": phantom.parameters,
    }
    files.append(_save_text(folder / "parameters.json", json.dumps(facts, indent=2, default=_plain) + "\n"))
    return files


def _save_table(path: Path, header: list[str], rows: Iterable[list[Any]]) -> Path:
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    part.replace(path)
    return path


def _save_text(path: Path, text: str) -> Path:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else round(float(value), 4)


def _plain(value: Any) -> Any:
    """What JSON knows in place of numpy's types."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in parameters.json")
