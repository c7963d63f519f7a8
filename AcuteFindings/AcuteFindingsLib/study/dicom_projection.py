"""From one DICOM radiograph to a Study: gray levels, pixel size, and the picture turned as radiologists look at it."""

from dataclasses import replace

import numpy as np

from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.study.damage import surplus_notices
from AcuteFindingsLib.study.dicom_facts import body_part_of, facts_of, view_of
from AcuteFindingsLib.study.dicom_frames import Frame, number, numbers, words
from AcuteFindingsLib.study.dicom_intensity import radiograph_intensity
from AcuteFindingsLib.study.dicom_pixels import decode_frames
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.picture_pose import pose_notices
from AcuteFindingsLib.study.polarity import looks_negative
from AcuteFindingsLib.study.study import SourceSlice, Study

# Sides of a pixel that differ by more than this are not square; ours, far above what detectors' pixels differ by.
_NOT_SQUARE = 1.05
# An aspect ratio beyond this is no picture's.
_MOST_ASPECT = 10.0


def read_projection(frame: Frame, *, source_name: str, progress: Progress = no_progress) -> Study:
    """Read one radiograph.

    Raises
    ------
    StudyError
        Where its pixels cannot be decoded or are in color.
    """
    pictures: list[np.ndarray] = []
    decoded = decode_frames([frame], lambda _, stored: pictures.append(stored), progress=progress)
    gray, found = radiograph_intensity(pictures[0], frame)
    notices = [*surplus_notices(decoded.surplus), *found]
    if _is_frontal_chest(frame) and looks_negative(gray):
        gray = 1 - gray
        text = (
            f"Shown as its header says ({frame.header.get('PhotometricInterpretation', '')}, 0028,0004) the radiograph "
            "is a negative, with dark bones and bright lungs; its gray scale was inverted. Compare the original."
        )
        notices.append(Notice("inverted-grey", "warn", text))
    spacing = pixel_spacing(frame)
    if spacing is None:
        text = "The radiograph does not state the size of a pixel; areas cannot be given in mm²."
        notices.append(Notice("no-pixel-spacing", "info", text))
    rows_mm, columns_mm = spacing or (pixel_aspect(frame), 1.0)
    if max(rows_mm, columns_mm) > _NOT_SQUARE * min(rows_mm, columns_mm):
        text = (
            f"The radiograph's pixels are not square ({rows_mm:.3g} high, {columns_mm:.3g} wide); models look at it as "
            "if they were, so interpret its answer with care."
        )
        notices.append(Notice("pixels-not-square", "warn", text))
    orientation = words(frame.header.get("PatientOrientation"))
    upright, turned = as_seen(gray, orientation)
    if turned == "turned":
        rows_mm, columns_mm = columns_mm, rows_mm
    if turned:
        text = (
            f"The stored radiograph is {turned}; it is shown with the patient's right on the picture's left and the "
            "head up."
        )
        notices.append(Notice("radiograph-turned", "info", text))
    if _is_frontal_chest(frame):
        notices += standing_notices(upright, orientation)
    ras = np.diag([-columns_mm, -rows_mm, 1.0, 1.0])
    height, width = upright.shape
    center = ras @ [(width - 1) / 2, (height - 1) / 2, 0, 1]
    source = SourceSlice(
        index=0,
        file=frame.file,
        frame=frame.number,
        sop_instance_uid=frame.sop_instance_uid,
        position_ras=(float(center[0]), float(center[1]), float(center[2])),
        k=0.0,
    )
    return Study(
        array=np.ascontiguousarray(upright)[None],
        ijk_to_ras=ras,
        modality=str(frame.header.get("Modality") or ""),
        intensity="unit",
        orientation="projection",
        sources=(source,),
        dicom=facts_of(frame),
        pixel_spacing_known=spacing is not None,
        regridded=f"the stored radiograph is {turned}" if turned else "",
        notices=tuple(notices),
        source_name=source_name,
    )


def standing_notices(upright: np.ndarray, orientation: tuple[str, ...]) -> tuple[Notice, ...]:
    """Say how a frontal chest ``(y, x)`` in 0..1 stands, and whether Patient Orientation tells which side is which."""
    return (*_pose(upright, orientation), *_side(orientation))


def pixel_spacing(frame: Frame) -> tuple[float, float] | None:
    """Return the distance between rows and between columns in the patient in mm; None where not stated.

    Pixel Spacing where given, else Imager Pixel Spacing (at the detector) divided by the estimated magnification
    (PS3.3 10.7.1.3), else Nominal Scanned Pixel Spacing of scanned films.
    """
    if frame.spacing is not None:
        return frame.spacing
    magnification = number(frame.header.get("EstimatedRadiographicMagnificationFactor")) or 1.0
    for keyword, factor in (("ImagerPixelSpacing", magnification), ("NominalScannedPixelSpacing", 1.0)):
        found = numbers(frame.header.get(keyword), 2)
        if found is not None and found.min() > 0 and factor > 0:
            return float(found[0] / factor), float(found[1] / factor)
    return None


def pixel_aspect(frame: Frame) -> float:
    """Return how many times as far apart rows are as columns by Pixel Aspect Ratio (0028,0034); 1 where not stated."""
    found = numbers(frame.header.get("PixelAspectRatio"), 2)
    if found is None or found.min() <= 0:
        return 1.0
    ratio = float(found[0] / found[1])
    return ratio if 1 / _MOST_ASPECT <= ratio <= _MOST_ASPECT else 1.0


def _pose(upright: np.ndarray, orientation: tuple[str, ...]) -> tuple[Notice, ...]:
    """Warn of a chest that does not stand as Patient Orientation makes it stand."""
    found = pose_notices(upright)
    if not orientation:
        return found
    said = f"although Patient Orientation (0020,0020) says {_told(orientation)}. Compare the original: sides may be "
    return tuple(replace(one, text=f"{one.text.split(';')[0]}, {said}exchanged.") for one in found)


def _side(orientation: tuple[str, ...]) -> tuple[Notice, ...]:
    """Say that nothing tells which side is which; warn where what tells it makes no frontal view."""
    if _is_frontal(orientation):
        return ()
    if not any(orientation):
        text = (
            "The radiograph does not state its sides (Patient Orientation, 0020,0020); the patient's right was taken "
            "to be on the picture's left, as usual."
        )
        return (Notice("side-assumed", "info", text),)
    text = (
        f"Patient Orientation (0020,0020) says {_told(orientation)}, which is not a frontal view; the patient's right "
        "was taken to be on the picture's left. Look for the marker in the picture."
    )
    return (Notice("side-assumed", "warn", text),)


def _is_frontal(orientation: tuple[str, ...]) -> bool:
    """Whether rows and columns run along the two axes of a frontal view."""
    axes = sorted("LRHF".find(word[:1]) // 2 if word else -1 for word in orientation)
    return axes == [0, 1]


def _told(orientation: tuple[str, ...]) -> str:
    """Return Patient Orientation for a message; free text that stands there is not repeated."""
    words_of_standard = all(set(word) <= set("APRLHF") for word in orientation)
    return "/".join(orientation) if words_of_standard else "something else than directions"


def _is_frontal_chest(frame: Frame) -> bool:
    """Whether nothing in the header speaks against a frontal chest radiograph."""
    part = body_part_of(frame)
    return view_of(frame.header) in ("PA", "AP", "") and (not part or "CHEST" in part or "THORAX" in part)


def as_seen(gray: np.ndarray, orientation: tuple[str, ...]) -> tuple[np.ndarray, str]:
    """Turn a frontal radiograph so that rows run to the patient's left and columns to the feet.

    Patient Orientation names where the rows and the columns run to (PS3.3 C.7.6.1.1.1). Anything else than a frontal
    view stays as it is.
    """
    if len(orientation) != 2 or not all(orientation):
        return gray, ""
    rows, columns = orientation[0][0], orientation[1][0]
    turned = ""
    if rows in "HF" and columns in "LR":
        gray, rows, columns, turned = gray.T, columns, rows, "turned"
    if rows not in "LR" or columns not in "HF":
        return gray, ""
    if rows == "R":
        gray, turned = gray[:, ::-1], turned or "mirrored"
    if columns == "H":
        gray, turned = gray[::-1], turned or "upside down"
    return gray, turned
