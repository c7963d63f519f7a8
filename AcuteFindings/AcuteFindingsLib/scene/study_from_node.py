"""A `Study` from a volume node of the scene, its voxels not copied."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.scene.naming import names_of
from AcuteFindingsLib.scene.node_headers import InstanceFile, NodeHeaders, headers_of, hierarchy_facts
from AcuteFindingsLib.scene.nodes import ATTRIBUTE, ROLE
from AcuteFindingsLib.scene.radiograph_from_node import radiograph_of, states_pixel_size
from AcuteFindingsLib.scene.segment_voxels import volume_array, volume_ijk_to_ras
from AcuteFindingsLib.study.dicom_facts import facts_of
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_series import PROJECTION_MODALITIES
from AcuteFindingsLib.study.geometry import normal_of, orientation_of
from AcuteFindingsLib.study.grey_values import is_windowed
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import REQUIREMENTS, CtRequirements
from AcuteFindingsLib.study.study import PHANTOM_MANUFACTURER, DicomFacts, SourceSlice, Study
from AcuteFindingsLib.study.upright import has_upright_axes

# Slices further from where the node shows them than this part of its step, or moved in their plane by more than this
# many pixels, are told of; rounding stays below.
_OFF_STEP, _OFF_PIXELS = 0.25, 0.25


def fits(volume_node: Any, detector: str) -> str:
    """Say why a volume cannot be what a detector was made for, in a few words; ``""`` where it may be.

    Looks at no voxel, so that a selector can ask it of every volume.
    """
    if volume_node is None or not volume_node.IsA("vtkMRMLScalarVolumeNode"):
        return "not a volume"
    if volume_node.IsA("vtkMRMLLabelMapVolumeNode"):
        return "a label map"
    if volume_node.GetAttribute(ATTRIBUTE) and volume_node.GetAttribute(ROLE) == "heatmap":
        return "a heat map of an earlier result"
    image = volume_node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or not image.GetNumberOfPoints():
        return "no voxels"
    if image.GetNumberOfScalarComponents() != 1:
        return "in colour or of vectors"
    if volume_node.GetParentTransformNode() is not None:
        return "under a transform: harden it first"
    modality, depth = hierarchy_facts(volume_node)[0], image.GetDimensions()[2]
    if isinstance(REQUIREMENTS[detector], CtRequirements):
        return "" if modality in ("CT", "", "OT", "SC") else f"modality {modality}, not CT"
    if depth != 1:
        return f"a stack of {depth} slices, not a radiograph"
    return f"modality {modality}, not a radiograph" if modality in ("CT", "MR", "PT", "NM", "US") else ""


def study_facts(volume_node: Any, detector: str, *, instance_file: InstanceFile | None = None) -> Study:
    """Return the study that a volume node shows.

    Parameters
    ----------
    volume_node
        A `vtkMRMLScalarVolumeNode`.
    detector
        ``"pe"``, ``"hemorrhage"`` or ``"pneumothorax"``; decides what a single slice without a header is.
    instance_file
        Gives the file of a SOP Instance UID: `slicer.dicomDatabase.fileForInstance`. Headers are then read from the
        files, never anything that names the patient; without it, the node alone speaks.

    Returns
    -------
    Of a CT, `array` is a view of the node's own voxels in their own type: it changes with the node, lives as long as
    it, and may hold the padding below air that scanners write. Slices are where the node shows them, also where the
    headers say otherwise; a notice then says so. A radiograph, and a CT whose window was burnt in, is float32 in 0..1
    of its own.

    Raises
    ------
    StudyError
        When the node has no voxels, is in colour, is under a transform, or holds several radiographs.
    """
    _refuse_unusable(volume_node)
    array, matrix = volume_array(volume_node), volume_ijk_to_ras(volume_node)
    headers = headers_of(volume_node, array.shape[0], instance_file)
    frame = headers.first
    modality = headers.modality if frame is None else str(frame.header.get("Modality") or "")
    is_ct = isinstance(REQUIREMENTS[detector], CtRequirements)
    if modality in PROJECTION_MODALITIES or (modality != "CT" and not is_ct and array.shape[0] == 1):
        return _projection(array, matrix, headers, modality, detector)
    return _stack(volume_node, array, matrix, headers, modality, detector)


def _refuse_unusable(node: Any) -> None:
    image = None if node is None else node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or not image.GetNumberOfPoints():
        raise StudyError("The volume holds no voxels; choose one that was loaded.")
    if image.GetNumberOfScalarComponents() != 1:
        raise StudyError("The volume is in colour or holds vectors; CT and radiographs are grey.")
    if node.GetParentTransformNode() is not None:
        raise StudyError(
            "The volume is under a transform, so its voxels are not where the scene shows them; harden the transform "
            "(module Transforms) or take the volume out of it."
        )
    if not has_upright_axes(volume_ijk_to_ras(node)):
        raise StudyError(
            "The volume's axes are not at right angles, as of a stack from a tilted gantry that was not set upright; "
            "load the DICOM series, or give the file to the command acutefindings, which sets it upright."
        )


def _projection(array: np.ndarray, matrix: np.ndarray, headers: NodeHeaders, modality: str, detector: str) -> Study:
    if array.shape[0] != 1:
        raise StudyError(f"The volume holds {array.shape[0]} radiographs; load the one to look at by itself.")
    frame = headers.first
    picture = radiograph_of(array[0], matrix, frame, from_dicom=headers.from_dicom)
    notices = picture.notices
    # Without a header 1 mm is what ITK says where a file says nothing.
    plain = bool(np.allclose(np.linalg.norm(matrix[:3, :2], axis=0), 1.0))
    known = not plain if frame is None else states_pixel_size(frame)
    if not known:
        text = "The radiograph does not state the size of a pixel; areas cannot be given in mm²."
        notices = (*notices, Notice("no-pixel-spacing", "info", text))
    return Study(
        array=picture.grey[None],
        ijk_to_ras=picture.ijk_to_ras,
        modality=modality,
        intensity="unit",
        orientation="projection",
        sources=_sources(array.shape, matrix, headers, thickness=None),
        dicom=_facts(headers, 0.0),
        pixel_spacing_known=known,
        regridded=f"the stored radiograph is {picture.turned}" if picture.turned else "",
        notices=notices,
        source_name=names_of(detector).study,
    )


def _stack(
    node: Any, array: np.ndarray, matrix: np.ndarray, headers: NodeHeaders, modality: str, detector: str
) -> Study:
    frame = headers.first
    notices = []
    if _is_windowed(node, frame):
        array = array.astype(np.float32) / np.float32(1 if node.GetImageData().GetScalarRange()[1] <= 1 else 255)
        text = "The CT holds no HU but grey levels: a display window was burnt in."
        notices.append(Notice("window-burnt-in", "warn", text))
        windowed = True
    else:
        windowed, modality = False, modality or "CT"
        notices += [] if frame is None else _value_notices(frame)
    if frame is not None and frame.spacing is None:
        text = "The CT states no pixel spacing (0028,0030); 1 mm was assumed and sizes cannot be given in mm."
        notices.append(Notice("no-pixel-spacing", "warn", text))
    placed = _placed(headers.frames)
    tilt = _tilt_deg(placed)
    notices += _place_notices(placed, matrix, headers, tilt)
    step = float(np.linalg.norm(matrix[:3, 2]))
    # In RAS where the function speaks of LPS: the name of the plane is the same.
    axes = (matrix[:3, :2] / np.linalg.norm(matrix[:3, :2], axis=0)).T
    return Study(
        array=array,
        ijk_to_ras=matrix,
        modality=modality,
        intensity="windowed" if windowed else "HU",
        orientation=orientation_of(axes.ravel()),
        sources=_sources(array.shape, matrix, headers, thickness=step if frame is None and len(array) > 1 else None),
        dicom=_facts(headers, tilt),
        pixel_spacing_known=frame is None or frame.spacing is not None,
        notices=tuple(notices),
        source_name=names_of(detector).study,
    )


def _is_windowed(node: Any, frame: Frame | None) -> bool:
    """Whether a CT is pictures of a screen: by its header, else by its values, as of a file."""
    if frame is not None:
        return int(frame.header.get("BitsStored", 16)) <= 8 and frame.slope is None and frame.intercept is None
    return is_windowed(*node.GetImageData().GetScalarRange())


def _value_notices(frame: Frame) -> list[Notice]:
    notices = []
    if (frame.intercept is None or frame.slope is None) and not frame.header.get("ModalityLUTSequence"):
        text = "The CT states no rescale (0028,1052 and 0028,1053); its stored values were taken as HU."
        notices.append(Notice("no-rescale", "warn", text))
    return notices


def _facts(headers: NodeHeaders, tilt_deg: float) -> DicomFacts:
    if headers.first is not None:
        return facts_of(headers.first, tilt_deg=tilt_deg)
    return DicomFacts(
        study_instance_uid=headers.study_uid,
        series_instance_uid=headers.series_uid,
        manufacturer=PHANTOM_MANUFACTURER if headers.phantom else "",
    )


def _sources(
    shape: Sequence[int], matrix: np.ndarray, headers: NodeHeaders, *, thickness: float | None
) -> tuple[SourceSlice, ...]:
    """Return the slices in the node's order, each where the node shows it."""
    depth, height, width = shape
    places = np.stack([np.full(depth, (width - 1) / 2), np.full(depth, (height - 1) / 2), np.arange(depth)])
    centres = (matrix[:3, :3] @ places + matrix[:3, 3:]).T.tolist()
    several_frames = depth > 1 and len(set(headers.uids)) == 1
    read = {place: frame.thickness_mm for place, frame in headers.frames.items()}
    if len(set(read.values())) == 1 and len(read) > 1:
        # Of a long series only some headers are read; where those agree, so will the others.
        thickness = next(iter(read.values()))
    return tuple(
        SourceSlice(
            index=k,
            file=None,
            frame=k if several_frames else 0,
            sop_instance_uid=headers.uids[k],
            position_ras=(x, y, z),
            k=float(k),
            thickness_mm=read.get(k, thickness),
        )
        for k, (x, y, z) in enumerate(centres)
    )


def _placed(frames: dict[int, Frame]) -> list[tuple[int, Frame]]:
    """Return place and image of the headers that say where their image lies, the images parallel to the first."""
    placed = [(k, one) for k, one in sorted(frames.items()) if one.position is not None and one.directions is not None]
    directions = [np.asarray(one.directions) for _, one in placed]
    return [item for item, own in zip(placed, directions, strict=True) if np.allclose(own, directions[0], atol=1e-3)]


def _offsets(placed: list[tuple[int, Frame]]) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each image lies from the first, along the normal and within the plane, in mm."""
    positions = np.array([frame.position for _, frame in placed])
    normal = normal_of(np.asarray(placed[0][1].directions))
    away = positions - positions[0]
    along = away @ normal
    return along, np.linalg.norm(away - along[:, None] * normal, axis=1)


def _tilt_deg(placed: list[tuple[int, Frame]]) -> float:
    """Return the angle by which the stack of images leans."""
    if len(placed) < 2:
        return 0.0
    along, within = _offsets(placed)
    spacing = min(placed[0][1].spacing or (1.0, 1.0))
    return float(np.rad2deg(np.arctan2(within[-1], abs(along[-1])))) if within[-1] >= _OFF_PIXELS * spacing else 0.0


def _place_notices(
    placed: list[tuple[int, Frame]], matrix: np.ndarray, headers: NodeHeaders, tilt: float
) -> list[Notice]:
    """Say where the headers put slices elsewhere than the node shows them: Slicer stacks them evenly and upright."""
    several = len(headers.uids) > 1
    if several and not any(headers.uids) and headers.from_dicom:
        text = (
            "The volume was changed since it was loaded (cropped or resampled), so its slices are none of the "
            "original series."
        )
        return [Notice("slices-not-original", "info", text)]
    if len(placed) < 2:
        return []
    along, _ = _offsets(placed)
    step = float(np.linalg.norm(matrix[:3, 2]))
    places = np.array([k for k, _ in placed])
    gaps = np.abs(np.diff(along) / np.diff(places))
    notices = []
    if tilt:
        text = (
            f"The stack of slices leans by {tilt:.1f}° (gantry tilt), but the volume in the scene shows it upright: "
            "each slice is read as it is, shapes across slices are slanted."
        )
        notices.append(Notice("gantry-tilt", "info", text))
    if np.abs(np.abs(along) - (places - places[0]) * step).max() > _OFF_STEP * step:
        text = (
            f"Slices lie {gaps.min():.1f} to {gaps.max():.1f} mm apart, but the volume in the scene shows them evenly, "
            f"{step:.1f} mm apart: volumes and extents are wrong by as much. Reading the DICOM folder with the command "
            "acutefindings places every slice."
        )
        notices.append(Notice("uneven-spacing", "warn", text))
    return notices
