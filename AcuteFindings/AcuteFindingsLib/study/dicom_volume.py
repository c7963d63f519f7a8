"""From the images of one CT series to a Study on an upright, regular grid."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.damage import surplus_notices, unreadable_notice
from AcuteFindingsLib.study.dicom_clean import clean_stack
from AcuteFindingsLib.study.dicom_facts import facts_of
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_intensity import picture_intensity
from AcuteFindingsLib.study.dicom_pixels import Decoded, decode_frames, holds_picture, to_hu
from AcuteFindingsLib.study.dicom_volumes import Volume
from AcuteFindingsLib.study.geometry import (
    StackPlan,
    fill_missing_planes,
    interpolate_planes,
    orientation_of,
    plan_stack,
    shift_plane,
)
from AcuteFindingsLib.study.lookup_table import has_unusable_table, modality_table
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.odd_slices import odd_slice_notices
from AcuteFindingsLib.study.plausibility import mend_wrapped
from AcuteFindingsLib.study.polarity import positive_slices
from AcuteFindingsLib.study.slice_values import AIR_HU
from AcuteFindingsLib.study.stray_slices import rescale_notices, stray_notices
from AcuteFindingsLib.study.study import SourceSlice, Study


def read_ct(volume: Volume, *, source_name: str, progress: Progress = no_progress) -> Study:
    """Read one volume of a CT series (classic files or enhanced multi-frame) in HU.

    Slices are sorted along their normal, the gantry's tilt is undone by shifting slices within their planes, missing
    and unevenly spaced slices are interpolated along the normal; `Study.sources` says where each slice went.

    Raises
    ------
    StudyError
        Where not one image's pixels can be read, or the positions make no volume.
    """
    if volume.broken:
        raise StudyError(f"{source_name} cannot be read as a volume: {volume.broken}.")
    stack, notices = clean_stack(volume)
    first = stack[0]
    spacing = first.spacing or (1.0, 1.0)
    positions = np.array([frame.position for frame in stack])
    directions = np.asarray(first.directions)
    thicknesses = [frame.thickness_mm for frame in stack if frame.thickness_mm]
    thickness = float(np.median(thicknesses)) if thicknesses else None
    plan = plan_stack(positions, directions, spacing, first.shape, thickness_mm=thickness)
    if np.prod(plan.shape, dtype=float) > budgets().voxels:
        raise StudyError(f"{source_name}: the slices' positions (0020,0032) ask for a volume of {plan.shape} voxels.")
    windowed = holds_picture(first)
    array, decoded = _fill(stack, plan, windowed=windowed, progress=progress)
    if decoded.lost:
        # Planned anew without them; the others are decoded twice, which only a damaged study costs.
        gone = {(stack[place].file, stack[place].number) for place in decoded.lost}
        readable = tuple(frame for frame in volume.frames if (frame.file, frame.number) not in gone)
        study = read_ct(replace(volume, frames=readable), source_name=source_name, progress=progress)
        lost = unreadable_notice(decoded.lost, len(stack), order="along the stack")
        return replace(study, notices=(lost, *study.notices))
    if windowed:
        array, turned = positive_slices(array)
        notices += turned
    notices += surplus_notices(decoded.surplus)
    if not windowed and plan.on_grid and not plan.is_shifted:
        mended = mend_wrapped(array)
        notices += () if mended is None else (mended,)
    notices += odd_slice_notices(array, windowed=windowed)
    notices += stray_notices(positions, directions, spacing)
    notices += () if windowed or not plan.on_grid else rescale_notices(array, stack, np.round(plan.k).astype(int))
    notices += _pixel_notices(stack, windowed=windowed) + grid_notices(plan, positions, directions)
    return Study(
        array=array,
        ijk_to_ras=plan.ijk_to_ras,
        modality=str(first.header.get("Modality") or ""),
        intensity="windowed" if windowed else "HU",
        orientation=orientation_of(directions),
        sources=_sources(stack, plan, positions, directions, spacing),
        dicom=facts_of(first, tilt_deg=plan.tilt_deg),
        pixel_spacing_known=first.spacing is not None,
        regridded=regridded_words(plan),
        notices=notices,
        source_name=source_name,
    )


def _fill(stack: Sequence[Frame], plan: StackPlan, *, windowed: bool, progress: Progress) -> tuple[np.ndarray, Decoded]:
    """Decode straight into the grid; only slices that lie between its planes need a second array."""
    fill = 0.0 if windowed else AIR_HU
    count = plan.shape[0] if plan.on_grid else len(stack)
    array = np.empty((count, *plan.shape[1:]), np.float32)
    places = np.round(plan.k).astype(int) if plan.on_grid else np.arange(len(stack))

    def sink(number: int, stored: np.ndarray) -> None:
        if not windowed and not plan.is_shifted:
            to_hu(stored, stack[number], out=array[places[number]])
            return
        plane = picture_intensity(stored, stack[number]) if windowed else to_hu(stored, stack[number])
        if plan.is_shifted:
            plane = shift_plane(plane, plan.shifts[number], plan.shape[1:], fill=fill)
        array[places[number]] = plane

    decoded = decode_frames(stack, sink, progress=progress)
    if decoded.lost:
        return array, decoded
    if not plan.on_grid:
        return interpolate_planes(array, plan.k, plan.shape[0]), decoded
    fill_missing_planes(array, plan.k)
    return array, decoded


def _sources(
    stack: Sequence[Frame],
    plan: StackPlan,
    positions: np.ndarray,
    directions: np.ndarray,
    spacing: tuple[float, float],
) -> tuple[SourceSlice, ...]:
    rows, columns = stack[0].shape
    centers = positions + directions[:3] * spacing[1] * (columns - 1) / 2 + directions[3:] * spacing[0] * (rows - 1) / 2
    return tuple(
        SourceSlice(
            index=index,
            file=frame.file,
            frame=frame.number,
            sop_instance_uid=frame.sop_instance_uid,
            position_ras=(-float(x), -float(y), float(z)),
            k=float(k),
            thickness_mm=frame.thickness_mm,
        )
        for index, (frame, (x, y, z), k) in enumerate(zip(stack, centers, plan.k, strict=True))
    )


def _pixel_notices(stack: Sequence[Frame], *, windowed: bool) -> tuple[Notice, ...]:
    notices = []
    if windowed:
        text = "The CT holds pictures of 8 bits, not HU: a display window was burned in."
        notices.append(Notice("window-burnt-in", "warn", text))
    elif any((frame.intercept is None or frame.slope is None) and not _has_table(frame) for frame in stack):
        text = "The CT states no rescale (0028,1052 and 0028,1053); its stored values were taken as HU."
        notices.append(Notice("no-rescale", "warn", text))
    if any(has_unusable_table(frame.header, "ModalityLUTSequence") for frame in stack):
        text = "The Modality LUT (0028,3000) of the CT is empty or incomplete and was left out; check its HU."
        notices.append(Notice("unusable-table", "warn", text))
    if stack[0].spacing is None:
        text = "The CT states no pixel spacing (0028,0030); 1 mm was assumed and sizes cannot be given in mm."
        notices.append(Notice("no-pixel-spacing", "warn", text))
    return tuple(notices)


def _has_table(frame: Frame) -> bool:
    return modality_table(frame.header) is not None


def grid_notices(plan: StackPlan, positions: np.ndarray, directions: np.ndarray) -> tuple[Notice, ...]:
    """Say what was done to the slices: set upright, what misses interpolated, uneven steps made even."""
    notices = []
    if plan.tilt_deg:
        text = f"The stack of slices is tilted by {plan.tilt_deg:.1f}° (gantry tilt); it was set upright."
        notices.append(Notice("gantry-tilt", "info", text))
    if plan.missing:
        total = sum(count for _, count in plan.missing)
        where = ", ".join(f"{count} after slice {place + 1}" for place, count in plan.missing[:5])
        more = f" and {len(plan.missing) - 5} more gaps" if len(plan.missing) > 5 else ""
        text = (
            f"{total} {'slice is' if total == 1 else 'slices are'} missing ({where}{more}); what lies between was "
            "interpolated and may hide a finding."
        )
        notices.append(Notice("missing-slices", "warn", text))
    elif _is_uneven(plan):
        normal = np.cross(directions[:3], directions[3:])
        gaps = np.diff(positions @ normal)
        text = (
            f"Slices lie {gaps.min():.1f} to {gaps.max():.1f} mm apart; the volume was resampled to "
            f"{plan.step_mm:.1f} mm. Results are given for the original slices."
        )
        notices.append(Notice("uneven-spacing", "info", text))
    return tuple(notices)


def _is_uneven(plan: StackPlan) -> bool:
    return not plan.on_grid or bool(np.any(np.diff(plan.k) > 1))


def regridded_words(plan: StackPlan) -> str:
    """Return `Study.regridded`: in words why the planes of the grid are not the slices themselves."""
    reasons = []
    if plan.is_shifted:
        reasons.append(f"gantry tilt of {plan.tilt_deg:.1f}° undone" if plan.tilt_deg else "slices aligned")
    if plan.missing:
        reasons.append("missing slices interpolated")
    elif _is_uneven(plan):
        reasons.append(f"unevenly spaced slices resampled to {plan.step_mm:.1f} mm")
    return "; ".join(reasons)
