"""One volume's images as a sorted stack, one a place, and what of its series is not in it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from AcuteFindingsLib.study.dicom_copies import same_pixels
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_parting import alike
from AcuteFindingsLib.study.dicom_places import SAME_PLACE_MM, heights_of, images, parallel, places_of
from AcuteFindingsLib.study.dicom_volumes import Volume
from AcuteFindingsLib.study.geometry import normal_of, usual_step
from AcuteFindingsLib.study.notice import Notice, Severity

# A gap of this many steps and mm parts two stacks, as of bolus tracking and the scan itself.
_PARTED_STEPS, _PARTED_MM = 10, 50.0
# Planes whose normals agree to this cosine lie side by side, also where one is turned within itself.
_SAME_NORMAL = 0.99
# Shares of a series that may be left out without a word, and before the study is refused; ours.
WARN_SHARE, REFUSE_SHARE = 1 / 10, 1 / 3
# A place counts as read where a slice of the stack lies within this share of the usual step, or of the slices'
# thickness where that is less: interleaved scans are half a step apart.
_NEAR_STEPS = 0.6
# A stack of this many gaps, all equal within this share, is even.
_LEAST_EVEN, _EVEN_SHARE = 6, 0.1
# Identifiers say nothing to a reader, and free text may speak of the patient.
_NO_VALUE_SHOWN = ("frame of reference", "series description", "contrast agent", "acquisition time", "field of view")
# As many images in another plane are a localizer rather than a reformatted stack.
_FEW = 3


def clean_stack(volume: Volume) -> tuple[list[Frame], tuple[Notice, ...]]:
    """Return the images of a volume sorted along the slice normal, one at each place.

    Each thing left out, and each assumption, is told in a notice; among the codes are ``localizer-dropped``,
    ``mixed-sizes``, ``other-orientation``, ``several-phases``, ``duplicate-slices``, ``stray-slices`` and
    ``images-left-out``.
    """
    notices = [*volume.notices, *_beside(volume)]
    kept, doubtful = _one_a_place(_sorted(volume.frames), notices)
    kept, stray = _one_block(kept, notices)
    kept, between = _without_one_between(kept, notices)
    lost = volume.unplaced + doubtful + stray + between + _places_not_read(volume, kept)
    notices += _loss(len(kept), lost, len(volume.frames) + sum(len(one.frames) for one in volume.beside))
    return kept, tuple(notices)


def _beside(volume: Volume) -> list[Notice]:
    """Name what else the series holds."""
    first, found = volume.frames[0], []
    same_kind = []
    for other in volume.beside:
        count, frame = len(other.frames), other.frames[0]
        if not parallel(frame, first):
            few = count <= _FEW
            what = "a localizer" if few else "slices in another plane"
            code = "localizer-dropped" if few else "other-orientation"
            # A scout has another size, or says what it is; else it may be a slice whose orientation is damaged.
            told = few and (frame.is_localizer or frame.shape != first.shape)
            if few and not told:
                what = "a localizer, or slices whose orientation is wrong: they are as large as those of the stack"
            text = f"{images(count)} in another plane than the stack ({what}); left out."
            found.append(Notice(code, "info" if told else "warn", text))
        elif not alike(frame, first):
            rows, columns = frame.shape
            text = (
                f"{images(count)} of another size ({columns}×{rows} pixels or other pixel spacing) than the "
                f"{len(volume.frames)} of the stack; left out."
            )
            found.append(Notice("mixed-sizes", "warn", text))
        elif other.patient == volume.patient:
            same_kind.append(other)
    return found + _phases(volume, same_kind)


def _phases(volume: Volume, others: Sequence[Volume]) -> list[Notice]:
    """Say what the volumes of a series differ in; a few images beside a stack, as of bolus tracking, are a remark."""
    if not others:
        return []
    differs = volume.differs[:3]
    names = ", ".join(f"{name} {value[:24]}" for name, value in differs if value and name not in _NO_VALUE_SHOWN)
    few = max(len(other.frames) for other in others) <= _FEW and len(volume.frames) >= 5 * _FEW
    counts = ", ".join(str(len(other.frames)) for other in others[:5]) + ", …" * (len(others) > 5)
    text = (
        f"The series holds {len(others) + 1} volumes that differ in {' and '.join(name for name, _ in differs)}; the "
        f"{f'one with {names}' if names else 'one that suits best'} is read ({len(volume.frames)} images), not the "
        f"other{'s' * (len(others) > 1)} ({counts} images). Nothing is said about what only the "
        f"other{'s show' if len(others) > 1 else ' shows'}."
    )
    return [Notice("several-phases", "info" if few else "warn", text)]


def _sorted(frames: Sequence[Frame]) -> list[Frame]:
    """Sort along the normal; at one place the earlier instance first."""
    places = places_of(heights_of(frames))
    order = sorted(range(len(frames)), key=lambda n: (places[n], frames[n].instance_number or 0, n))
    return [frames[n] for n in order]


def _one_a_place(frames: list[Frame], notices: list[Notice]) -> tuple[list[Frame], int]:
    """Keep the first of the images at one place; return also how many others showed something else."""
    places = places_of(heights_of(frames))
    kept: list[Frame] = []
    copies = doubtful = 0
    for frame, place, before in zip(frames, places, (-1, *places), strict=False):
        if place != before:
            kept.append(frame)
        elif same_pixels(frame, kept[-1]):
            copies += 1
        else:
            doubtful += 1
    if copies:
        text = f"{images(copies)} at the same place as another one and the same picture; one of each is used."
        notices.append(Notice("duplicate-slices", "info", text))
    if doubtful:
        text = (
            f"{images(doubtful)} at the same place as another one but another picture, and nothing in the header tells "
            "which of them belong together; the first of each is used."
        )
        notices.append(Notice("duplicate-slices", "warn", text))
    return kept, doubtful


def _one_block(frames: list[Frame], notices: list[Notice]) -> tuple[list[Frame], int]:
    """Keep the largest block where a wide gap parts the stack; `frames` are sorted."""
    if len(frames) < 3:
        return frames, 0
    gaps = np.diff(heights_of(frames))
    wide = np.flatnonzero(gaps > max(_PARTED_MM, _PARTED_STEPS * usual_step(gaps)))
    if not len(wide):
        return frames, 0
    edges = [0, *(wide + 1).tolist(), len(frames)]
    blocks = [frames[low:high] for low, high in pairwise(edges)]
    kept = max(blocks, key=len)
    text = (
        f"{images(len(frames) - len(kept))} more than {gaps[wide].min():.0f} mm away from the other "
        f"{len(kept)} slices; left out."
    )
    notices.append(Notice("stray-slices", "warn", text))
    return kept, len(frames) - len(kept)


def _without_one_between(frames: list[Frame], notices: list[Notice]) -> tuple[list[Frame], int]:
    """Leave out a lone image between two neighbors of an otherwise even stack: it is of another scan."""
    gaps = np.diff(heights_of(frames))
    if len(gaps) < _LEAST_EVEN:
        return frames, 0
    step = float(np.median(gaps))
    even = np.abs(gaps - step) <= max(_EVEN_SHARE * step, SAME_PLACE_MM)
    odd = np.flatnonzero(~even)
    if len(odd) != 2 or odd[1] != odd[0] + 1 or abs(gaps[odd].sum() - step) > max(_EVEN_SHARE * step, SAME_PLACE_MM):
        return frames, 0
    text = f"1 image lies between two neighbors of an even stack ({step:.1f} mm) and belongs to neither; left out."
    notices.append(Notice("stray-slices", "warn", text))
    return frames[: odd[1]] + frames[odd[1] + 1 :], 1


def _places_not_read(volume: Volume, kept: Sequence[Frame]) -> int:
    """Count the places of the series' other images that the stack does not show.

    Another phase or reconstruction of the same slices is not lost: what it shows is read once. Of another plane an
    image counts where its center lies beyond the stack.
    """
    normal = normal_of(np.asarray(kept[0].directions))
    own = np.array([_center(frame) for frame in kept]) @ normal
    thickness = kept[0].thickness_mm
    step = float(np.median(np.diff(own))) if len(own) > 1 else thickness or 1.0
    slab = min(step, thickness or step)
    missed: list[float] = []
    for other in volume.beside:
        if other.patient != volume.patient:
            continue
        turned = abs(normal_of(np.asarray(other.frames[0].directions)) @ normal) < _SAME_NORMAL
        if turned and len(other.frames) <= _FEW:
            continue
        heights = np.array([_center(frame) for frame in other.frames]) @ normal
        if turned:
            away = np.maximum(own[0] - heights, heights - own[-1])
            missed += heights[away > step].tolist()
        else:
            away = np.abs(heights[:, None] - own[None]).min(axis=1)
            missed += heights[away > _NEAR_STEPS * slab].tolist()
    if not missed:
        return 0
    return 1 + int((np.diff(np.sort(missed)) > max(SAME_PLACE_MM, slab / 2)).sum())


def _center(frame: Frame) -> np.ndarray:
    directions = np.asarray(frame.directions)
    rows, columns = frame.shape
    between_rows, between_columns = frame.spacing or (1.0, 1.0)
    across = directions[:3] * between_columns * (columns - 1) / 2
    down = directions[3:] * between_rows * (rows - 1) / 2
    return np.asarray(np.asarray(frame.position) + across + down)


def _loss(kept: int, lost: int, total: int) -> list[Notice]:
    """Warn or refuse by the share of the series that is not in the stack."""
    share = lost / (kept + lost)
    if kept == 1 and total > 2:
        severity: Severity = "refuse" if share > REFUSE_SHARE else "warn"
        text = f"Of {total} images of the series a single slice is left; look at how the series was exported."
        return [Notice("images-left-out", severity, text)]
    if share <= WARN_SHARE:
        return []
    severity = "refuse" if share > REFUSE_SHARE else "warn"
    text = (
        f"{lost} of {kept + lost} slices of the series ({share:.0%}) are not in the volume; nothing can be said about "
        "what they show, so export the series again or choose another one."
    )
    return [Notice("images-left-out", severity, text)]
