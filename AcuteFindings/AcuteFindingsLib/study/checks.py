"""Is this the study that a detector was made for?"""

from collections.abc import Sequence

import numpy as np

from AcuteFindingsLib.study.checks_ct import check_ct
from AcuteFindingsLib.study.checks_kind import label_map, no_skull
from AcuteFindingsLib.study.checks_radiograph import check_radiograph
from AcuteFindingsLib.study.evidence import INFANT, stated_kinds
from AcuteFindingsLib.study.notice import Notice, merge_notices, refusals
from AcuteFindingsLib.study.plausibility import check_geometry, check_values
from AcuteFindingsLib.study.requirements import CtRequirements, Requirements, requirements_of
from AcuteFindingsLib.study.slice_values import SliceValues, slice_values
from AcuteFindingsLib.study.study import Study

_SEVERITIES = ("refuse", "warn", "info")
# What reading and checking see alike; of other codes each notice tells something of its own.
_TOLD_ONCE = frozenset({"no-pixel-spacing", "gantry-tilt", "window-burnt-in", "regridded", "monochrome1"})
_LEAST_TILT_DEG = 1.0


def check_study(study: Study, limits: Requirements | str) -> tuple[Notice, ...]:
    """Say whether a study is what is asked for, from its header and from what the images show.

    Where the header is silent, as for NIfTI files and Slicer nodes, the images decide; where the two contradict each
    other, the images decide and the contradiction is named.

    Parameters
    ----------
    study
        As read.
    limits
        What is asked of the study; the name of a detector for scripts that name one, until the next release.

    Returns
    -------
    Refusals first, then warnings, then remarks; what reading found (`Study.notices`) is among them.
    """
    if isinstance(limits, str):
        limits = requirements_of(limits)
    values = slice_values(study.array)
    broken = _unusable(values) or label_map(study, values) or _wrong_modality(study, limits)
    if broken is not None:
        found = [broken]
    else:
        found = [*check_values(study, values), *check_geometry(study)]
        skull = no_skull(study, limits, values)
        found += [] if skull is None else [skull]
        if not refusals(found):
            if isinstance(limits, CtRequirements):
                found += check_ct(study, limits, values)
            else:
                found += check_radiograph(study, limits)
        found += _remarks(study)
    notices = _merged(study.notices, found)
    return tuple(sorted(notices, key=lambda notice: _SEVERITIES.index(notice.severity)))


def _merged(read: Sequence[Notice], found: Sequence[Notice]) -> tuple[Notice, ...]:
    """Join what reading and checking said: both, but of one remark that both make only the more severe."""
    rank = {code: min(_SEVERITIES.index(n.severity) for n in read if n.code == code) for code in {n.code for n in read}}
    kept = [n for n in found if n.code not in _TOLD_ONCE or _SEVERITIES.index(n.severity) < rank.get(n.code, 3)]
    worse = {n.code for n in kept if n.code in _TOLD_ONCE}
    return merge_notices((n for n in read if n.code not in worse), kept)


def _unusable(values: SliceValues) -> Notice | None:
    low, high = float(values.low.min()), float(values.high.max())
    if not np.isfinite(low) or not np.isfinite(high):
        return Notice(
            "values-not-finite",
            "refuse",
            "The images hold values that are not numbers; export the study again from its source.",
        )
    if low == high:
        return Notice(
            "constant-image",
            "refuse",
            f"Every pixel has the same value ({low:g}), so there is nothing to see; check the export of this study.",
        )
    return None


def _wrong_modality(study: Study, limits: Requirements) -> Notice | None:
    """Refuse what is neither by its header nor by its values the kind of image the detector reads."""
    modality = study.modality.upper()
    if isinstance(limits, CtRequirements):
        fits = modality in ("CT", "") and study.intensity != "unit"
        seen = f"an image of modality {modality}" if modality not in ("CT", "") else "a radiograph or photograph"
    else:
        fits = modality in (*limits.modalities, "", "OT") and study.intensity == "unit"
        seen = f"an image of modality {modality}" if modality not in (*limits.modalities, "", "OT") else "a CT slice"
    if fits:
        return None
    text = f"This is {seen}, but the detector was made for {limits.study_name}; choose another series or detector."
    return Notice("wrong-modality", "refuse", text)


def _remarks(study: Study) -> list[Notice]:
    """Say what was stated or done that a reader of the result should know, whichever the detector."""
    facts = study.dicom
    found = []
    if study.modality.upper() in ("", "OT"):
        text = "The file does not say what kind of image it is, so the answer is based only on what the image shows."
        found.append(Notice("modality-unknown", "info", text))
    if not study.pixel_spacing_known:
        text = "The size of a pixel is not stated and was taken as 1 mm: areas, volumes and lengths cannot be measured."
        found.append(Notice("no-pixel-spacing", "warn", text))
    if INFANT in stated_kinds(facts):
        text = (
            "The patient is younger than two years, while the models know adults only; interpret the answer with care."
        )
        found.append(Notice("infant", "warn", text))
    if facts.burned_in_annotation.upper() == "YES":
        text = "The header says that text is burned into the images. It may mislead the model and identify the patient."
        found.append(Notice("burned-in-annotation", "warn", text))
    if facts.photometric_interpretation == "MONOCHROME1" and study.intensity != "HU":
        text = "The image is stored inverted (MONOCHROME1) and was turned so that bone is bright."
        found.append(Notice("monochrome1", "info", text))
    if abs(facts.gantry_tilt_deg) >= _LEAST_TILT_DEG:
        text = (
            f"The header states a gantry tilt of {facts.gantry_tilt_deg:+.1f}°, but the slices' positions show none; "
            "they were left as they are."
        )
        found.append(Notice("gantry-tilt", "info", text))
    told = {notice.code for notice in study.notices} & {"gantry-tilt", "uneven-spacing", "missing-slices"}
    if study.regridded and not told:
        text = (
            f"The slices were resampled to an even grid ({study.regridded}); results are given for the original slices."
        )
        found.append(Notice("regridded", "info", text))
    return found
