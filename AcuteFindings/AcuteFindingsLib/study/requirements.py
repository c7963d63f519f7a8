"""What a detector may ask of a study, in numbers and words. The answers stand with each detector."""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class CtRequirements:
    """Limits for a CT study.

    Attributes
    ----------
    study_name
        What the detector was made for, in words.
    body_part
        What must be in the field.
    contrast
        Whether the blood must be enhanced, or must not be.
    blood_pool_refuse_hu
        Below this the study counts as unenhanced. Blood without contrast has 30 to 60 HU.
    blood_pool_warn_hu
        Below this enhancement is weak: 211 HU in the main pulmonary artery is the level under which indeterminate
        examinations become frequent (Lloyd, Sahu, Riordan, Hong Kong J Radiol 2012;15:162-9).
    published_thickness_mm
        Slice thickness the published model was made for (docs/sources.md 1 and 4).
    thick_warn_mm, thick_refuse_mm
        Above these a clot or a thin bleed is lost to partial volume; ours.
    coverage_mm
        Head to foot, how much lung or brain a complete examination shows at least; ours: an adult's lungs are 200 mm
        and more, a brain 110 mm and more.
    oblique_warn_deg
        Slices tilted further than this from axial are named. The published PE model accepts 3° (docs/sources.md 1);
        heads are scanned along lines up to 25° off.
    reformat_refuse_mm
        Coronal or sagittal slices further apart than this make no usable axial ones; ours.
    sequence_slices
        Slices below which the rule over neighboring slices cannot apply: three in a row (docs/sources.md 4).
    accepts_windowed
        Whether 8-bit slices with the window burned in can be read at all.
    examination
        The meaning, in the words of `study.words`, by which protocols name just this examination; empty for none.
    unwanted_kernels
        Meanings (``"lung"``, ``"bone"``) of kernels and series that are chosen last.
    unwanted_parts
        Body parts whose mention beside `body_part` lets another series be chosen first.
    """

    study_name: str
    body_part: Literal["head", "chest"]
    contrast: Literal["required", "unwanted"]
    published_thickness_mm: tuple[float, float]
    coverage_mm: float
    oblique_warn_deg: float
    accepts_windowed: bool
    blood_pool_refuse_hu: float = 100.0
    blood_pool_warn_hu: float = 211.0
    thick_warn_mm: float = 5.0
    thick_refuse_mm: float = 10.0
    reformat_refuse_mm: float = 3.0
    sequence_slices: int = 3
    examination: str = ""
    unwanted_kernels: tuple[str, ...] = ()
    unwanted_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class RadiographRequirements:
    """Limits for a radiograph.

    Attributes
    ----------
    study_name
        What the detector was made for, in words.
    modalities
        DICOM modalities that are projection radiographs.
    least_side_px
        Shorter pictures lose the pleural line; the published networks take 256 pixels and more (docs/sources.md 3).
    """

    study_name: str
    modalities: tuple[str, ...] = ("CR", "DX", "RG", "XA", "RF")
    least_side_px: int = 256


Requirements = CtRequirements | RadiographRequirements


def requirements_of(detector: str) -> Requirements:
    """Return what a detector asks of a study, by its name: for scripts that name one, until the next release.

    The detectors are looked up by reference: nothing here knows one.
    """
    told = f"Naming a detector is deprecated; hand in find_kind({detector!r}).requirements of detectors.registry."
    warnings.warn(told, DeprecationWarning, stacklevel=3)
    limits: Requirements = registry().find_kind(detector).requirements
    return limits


def registry() -> Any:
    """Return the module that knows the detectors, for what goes on taking their names until the next release."""
    return importlib.import_module("AcuteFindingsLib.detectors.registry")
