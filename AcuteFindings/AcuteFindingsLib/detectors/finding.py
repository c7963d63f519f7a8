"""The one result of a detector: immutable, and the same after a trip through JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.detectors.acquisition import Acquisition, acquisition_from_dict
from AcuteFindingsLib.detectors.code import Code
from AcuteFindingsLib.detectors.kind import Segment
from AcuteFindingsLib.errors import ExportError, StudyError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.names import below, detector_name
from AcuteFindingsLib.study.grid import image_ijk_to_ras
from AcuteFindingsLib.study.itk_files import read_image
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.nrrd_writer import write_nrrd

VerdictLabel = Literal["positive", "negative", "indeterminate"]
Bearing = Literal["for", "against", "caution", "looked"]

FORMAT_VERSION = 1
_LONGEST_REASON = 300

# Most letters of a mask's name in a file name: systems take 255 bytes.
_MOST_LETTERS = 60


@dataclass(frozen=True)
class Computed:
    """What computed a further model that took part, and where; `task` says which of them, as its card does."""

    task: str
    runtime: str
    device: str


@dataclass(frozen=True)
class ModelIdentity:
    """Which model gave the result. `sha256` is that of the weights file; `never_saw` as its card says (`Card`).

    `chosen` says in words why it and its companions were used: named, chosen by the user, or what ships. `runtime` and
    `device` are what computed it and where, as `Predictor` has them; empty where that is not known, as in findings of
    earlier versions. `beside` says the same of its companions.
    """

    id: str
    version: str
    sha256: str
    trained_on: str
    never_saw: str = ""
    chosen: str = ""
    runtime: str = ""
    device: str = ""
    beside: tuple[Computed, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The answer and how it was reached: `rule` in words, `explanation` how this study met or missed it.

    `by_rule` is what the model's own rule said, where a site's calibration (`calibration` names it) or the study's
    likeness changed that; None where nothing did.
    """

    label: VerdictLabel
    probability: float
    threshold: float
    rule: str
    explanation: str
    by_rule: VerdictLabel | None = None
    calibration: str = ""


@dataclass(frozen=True)
class SliceResult:
    """Probabilities for one source slice, by label. `k` is its place along the third index of the study's array."""

    index: int
    position_ras: tuple[float, float, float]
    sop_instance_uid: str
    probabilities: dict[str, float]
    k: float = 0.0


@dataclass(frozen=True)
class Mask:
    """A segment on the study's own grid: `array` is ``(z, y, x)`` uint8, 0 or 1; `color` is RGB in 0..1."""

    name: str
    array: np.ndarray
    category: Code
    type: Code
    anatomy: Code | None
    color: tuple[float, float, float]

    @cached_property
    def voxels(self) -> int:
        """How many voxels are marked; counted once, as a long chest CT has two hundred million."""
        return int(np.count_nonzero(self.array))


@dataclass(frozen=True)
class Heatmap:
    """Where a network looked: ``(z, y, x)`` uint8 (0..255 for 0..1) on a grid of its own (`ijk_to_ras`, 4×4)."""

    name: str
    array: np.ndarray
    ijk_to_ras: np.ndarray


@dataclass(frozen=True)
class Measurement:
    """A named number. `unit` is UCUM: ``"mL"``, ``"mm2"``, ``"%"``, ``"1"`` where it has none."""

    name: str
    value: float
    unit: str
    code: Code | None = None


@dataclass(frozen=True)
class Reason:
    """A sentence about a verdict that a reader can check against the image; computed from it.

    Attributes
    ----------
    code
        Names the rule, for example ``"denser-than-blood"``.
    bearing
        ``"for"`` the finding, ``"against"`` it, a ``"caution"`` about what may mislead or is not covered, or what was
        ``"looked"`` at.
    text
        One or two sentences with the figures.
    source
        Where the rule comes from, for example ``"docs/sources.md 9"``.
    values
        The figures, with units.
    index
        `SliceResult.index` of the slice to look at; None where it is about none.
    """

    code: str
    bearing: Bearing
    text: str
    source: str = ""
    values: tuple[Measurement, ...] = ()
    index: int | None = None


@dataclass(frozen=True)
class Likeness:
    """How like the study is to the images that its model was made from.

    Attributes
    ----------
    label
        ``"like"``, ``"unlike"``, or ``"unknown"`` where nothing is known of the model's images.
    distance
        From those images, in units of the limit: above 1 is unlike; NaN is never stored.
    made_from
        In words which images, and how many, the limit was set on.
    unlike
        In words what is unlike, the most telling first.
    features
        What was measured of the study, by name.
    """

    label: Literal["like", "unlike", "unknown"]
    distance: float | None = None
    made_from: str = ""
    unlike: tuple[str, ...] = ()
    features: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Everything a detector has to say about one study.

    Attributes
    ----------
    detector
        Its id, as its kind has it.
    positive_runs
        First and last `SliceResult.index` of every run of consecutive positive slices.
    main_label
        The label of `SliceResult.probabilities` that the verdict rests on.
    slice_threshold
        Operating point a slice's main probability is held against.
    ijk_to_ras
        4×4 of the study's grid, on which the masks lie.
    display_window
        Level and width in the study's own units in which a person wants to see it.
    warnings
        What the check of the study and the detector have to say. A refusal among them means that a person had a
        refused study analyzed all the same.
    phantom
        Whether the study is a computer-made phantom of this library (`Study.is_phantom`).
    reasons
        What speaks for and against the verdict, the most telling first.
    likeness
        How like the study is to the model's own images; None in findings of earlier versions.
    acquisition
        How the images were made, as their headers state it; None in findings of earlier versions.
    """

    detector: str
    model: ModelIdentity
    verdict: Verdict
    slices: tuple[SliceResult, ...]
    main_label: str
    slice_threshold: float
    ijk_to_ras: np.ndarray
    display_window: tuple[float, float]
    positive_runs: tuple[tuple[int, int], ...] = ()
    masks: tuple[Mask, ...] = ()
    heatmap: Heatmap | None = None
    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[Notice, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    series_instance_uid: str = ""
    phantom: bool = False
    reasons: tuple[Reason, ...] = ()
    likeness: Likeness | None = None
    acquisition: Acquisition | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that every slice has a probability for, in the model's order."""
        return tuple(self.slices[0].probabilities) if self.slices else ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; masks and heat map are named by the files that `save` writes."""
        return {
            "format": FORMAT_VERSION,
            "detector": self.detector,
            "model": {**asdict(self.model), "beside": [asdict(item) for item in self.model.beside]},
            "verdict": asdict(self.verdict),
            "main_label": self.main_label,
            "slice_threshold": self.slice_threshold,
            "series_instance_uid": self.series_instance_uid,
            "phantom": self.phantom,
            "display_window": list(self.display_window),
            "ijk_to_ras": np.asarray(self.ijk_to_ras, float).tolist(),
            "slices": [{**asdict(item), "position_ras": list(item.position_ras)} for item in self.slices],
            "positive_runs": [list(run) for run in self.positive_runs],
            "masks": [
                {
                    "name": mask.name,
                    "code": asdict(mask.type),
                    "category": asdict(mask.category),
                    "anatomy": asdict(mask.anatomy) if mask.anatomy else None,
                    "colour": list(mask.color),
                    "file": f"masks/{stem}.nrrd",
                    "voxels": mask.voxels,
                }
                for mask, stem in zip(self.masks, file_stems(self.masks), strict=True)
            ],
            "heatmap": {"name": self.heatmap.name, "file": "heatmap.nrrd"} if self.heatmap else None,
            "measurements": [asdict(item) for item in self.measurements],
            "warnings": [asdict(item) for item in self.warnings],
            "reasons": [_as_json(asdict(item)) for item in self.reasons],
            "likeness": _as_json(asdict(self.likeness)) if self.likeness else None,
            "acquisition": _as_json(asdict(self.acquisition)) if self.acquisition else None,
            "timings": dict(self.timings),
        }

    def save(self, folder: Path) -> Path:
        """Write ``finding.json``, ``masks/*.nrrd`` and ``heatmap.nrrd`` below `folder`; return the JSON's path.

        Raises
        ------
        ExportError
            When an image cannot be written.
        """
        data = self.to_dict()
        for mask, entry in zip(self.masks, data["masks"], strict=True):
            _write_nrrd(mask.array, self.ijk_to_ras, folder / entry["file"])
        if self.heatmap is not None:
            _write_nrrd(self.heatmap.array, self.heatmap.ijk_to_ras, folder / "heatmap.nrrd")
        target = folder / "finding.json"
        with replace_when_written(target) as partial:
            partial.write_text(json.dumps(data, indent=2, allow_nan=False), encoding="utf-8")
        return target


def load_finding(path: Path) -> Finding:
    """Read back what `Finding.save` wrote.

    Raises
    ------
    ExportError
        When the file is not a finding of this format, or one of its masks is missing.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT_VERSION:
            raise ExportError(f"{path}: field 'format' is {data['format']}, expected {FORMAT_VERSION}.")
        return finding_from_dict(data, path.parent)
    except UnicodeDecodeError as error:
        raise ExportError(f"{path} is damaged: it is not UTF-8 text. Run the detector again.") from error
    except (KeyError, TypeError, ValueError, OSError, RuntimeError) as error:
        told = repr(error) if len(repr(error)) <= _LONGEST_REASON else f"{repr(error)[:_LONGEST_REASON]} …"
        raise ExportError(
            f"{path} is not a finding that this version can read: {told}. Run the detector again."
        ) from error


def file_stems(masks: Sequence[Mask]) -> list[str]:
    """Return the names of masks as file names of their own: lower case, other than A to Z and digits as hyphens.

    A name without a letter is ``mask``; of several that come out alike the later ones get a number.
    """
    stems: list[str] = []
    for mask in masks:
        stem = (
            "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in mask.name.lower()).split())[
                :_MOST_LETTERS
            ]
            or "mask"
        )
        taken, number = stem, 1
        while taken in stems:
            number += 1
            taken = f"{stem}-{number}"
        stems.append(taken)
    return stems


def mask_of(segment: Segment, array: np.ndarray) -> Mask:
    """Return a segment of a detector's kind as drawn: ``(z, y, x)`` uint8, 0 or 1."""
    return Mask(segment.name, array, segment.category, segment.type, segment.anatomy, segment.color)


def mask_from_dict(entry: dict[str, Any], array: np.ndarray) -> Mask:
    """Return the mask whose entry in the finding's JSON form is `entry`; raises `KeyError` or `TypeError` as below."""
    return Mask(
        name=entry["name"],
        array=array,
        category=Code(**entry["category"]),
        type=Code(**entry["code"]),
        anatomy=Code(**entry["anatomy"]) if entry["anatomy"] else None,
        color=tuple(entry["colour"]),
    )


def finding_from_dict(data: dict[str, Any], folder: Path) -> Finding:
    """Return the finding whose JSON form is `data`; the files it names lie below `folder`.

    Raises
    ------
    KeyError, TypeError, ValueError, RuntimeError
        When a field or a file is missing or is not what it should be.
    """
    ijk_to_ras = np.asarray(data["ijk_to_ras"], float)
    masks = tuple(
        mask_from_dict(entry, sitk.GetArrayFromImage(_read_nrrd(below(folder, entry["file"]))))
        for entry in data["masks"]
    )
    heatmap = None
    if data["heatmap"]:
        image = _read_nrrd(below(folder, data["heatmap"]["file"]))
        heatmap = Heatmap(data["heatmap"]["name"], sitk.GetArrayFromImage(image), image_ijk_to_ras(image))
    return Finding(
        detector=detector_name(data["detector"]),
        model=_identity_from_dict(data["model"]),
        verdict=Verdict(**data["verdict"]),
        slices=tuple(SliceResult(**{**item, "position_ras": tuple(item["position_ras"])}) for item in data["slices"]),
        main_label=data["main_label"],
        slice_threshold=data["slice_threshold"],
        ijk_to_ras=ijk_to_ras,
        display_window=tuple(data["display_window"]),
        positive_runs=tuple((run[0], run[1]) for run in data["positive_runs"]),
        masks=masks,
        heatmap=heatmap,
        measurements=_measurements_from(data["measurements"]),
        warnings=tuple(Notice(**item) for item in data["warnings"]),
        timings=data["timings"],
        series_instance_uid=data["series_instance_uid"],
        phantom=bool(data.get("phantom", False)),
        reasons=tuple(
            Reason(**{**item, "values": _measurements_from(item["values"])}) for item in data.get("reasons", ())
        ),
        likeness=_likeness_from(data.get("likeness")),
        acquisition=acquisition_from_dict(data["acquisition"]) if data.get("acquisition") else None,
    )


def _measurements_from(entries: list[dict[str, Any]]) -> tuple[Measurement, ...]:
    return tuple(Measurement(**{**item, "code": Code(**item["code"]) if item["code"] else None}) for item in entries)


def _likeness_from(entry: dict[str, Any] | None) -> Likeness | None:
    return Likeness(**{**entry, "unlike": tuple(entry["unlike"])}) if entry else None


def _identity_from_dict(entry: dict[str, Any]) -> ModelIdentity:
    return ModelIdentity(**{**entry, "beside": tuple(Computed(**item) for item in entry.get("beside", ()))})


def _read_nrrd(path: Path) -> sitk.Image:
    try:
        return read_image(path)
    except StudyError as error:
        raise ValueError(str(error)) from error


def _as_json(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields as reading their JSON gives them: lists, no tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _write_nrrd(array: np.ndarray, ijk_to_ras: np.ndarray, target: Path) -> None:
    try:
        with replace_when_written(target) as partial:
            write_nrrd(partial, array, array.shape, array.dtype, ijk_to_ras, compressed=True)
    except OSError as error:
        raise ExportError(f"{target} could not be written; is the disk full or the folder read-only?") from error
