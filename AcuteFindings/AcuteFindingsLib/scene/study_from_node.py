"""A `Study` from a volume node of the scene, its voxels not copied."""

from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.scene.hardened import SLICES_READ, source_slices
from AcuteFindingsLib.scene.node_grid import NodeGrid, grid_of, own_grid
from AcuteFindingsLib.scene.node_headers import InstanceFile, NodeHeaders, headers_of, hierarchy_facts
from AcuteFindingsLib.scene.node_places import place_notices, placing_of, without_slices
from AcuteFindingsLib.scene.node_stack import UNDER_A_TRANSFORM, stack_of, transform_problem
from AcuteFindingsLib.scene.nodes import ATTRIBUTE, ROLE
from AcuteFindingsLib.scene.radiograph_from_node import radiograph_of, states_pixel_size
from AcuteFindingsLib.scene.segment_voxels import volume_array, volume_ijk_to_ras
from AcuteFindingsLib.study.dicom_facts import facts_of
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_series import PROJECTION_MODALITIES
from AcuteFindingsLib.study.geometry import orientation_of
from AcuteFindingsLib.study.gray_values import is_windowed
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.requirements import CtRequirements
from AcuteFindingsLib.study.study import PHANTOM_MANUFACTURER, DicomFacts, SourceSlice, Study


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
        return "in color or of vectors"
    if problem := transform_problem(volume_node):
        return problem
    modality, depth = hierarchy_facts(volume_node)[0], image.GetDimensions()[2]
    if isinstance(find_kind(detector).requirements, CtRequirements):
        return "" if modality in ("CT", "", "OT", "SC") else f"modality {modality}, not CT"
    if volume_node.GetParentTransformNode() is not None:
        return "under a transform: harden it first"
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
        Id of its kind; decides what a single slice without a header is.
    instance_file
        Gives the file of a SOP Instance UID: `slicer.dicomDatabase.fileForInstance`. Headers are then read from the
        files, never anything that names the patient; without it, the node alone speaks.

    Returns
    -------
    Of a CT, `array` is a view of the node's own voxels in their own type: it changes with the node, lives as long as
    it, and may hold the padding below air that scanners write. Where the slices are tilted or lie unevenly it is a
    `PlacedSlices`, which computes upright planes of them when they are asked for. Slices are where the scene shows
    them, also where the headers say otherwise; a notice then says so. Where the voxels are nothing but the slices of
    DICOM files resampled, as by hardening, those slices are read in their place. A radiograph, and a CT whose window
    was burned in, is float32 in 0..1 of its own.

    Raises
    ------
    StudyError
        When the node has no voxels, is in color, is under a transform that is not Slicer's acquisition transform, or
        holds several radiographs.
    """
    _refuse_unusable(volume_node)
    array, matrix = volume_array(volume_node), volume_ijk_to_ras(volume_node)
    headers = headers_of(volume_node, array.shape[0], instance_file)
    frame = headers.first
    modality = headers.modality if frame is None else str(frame.header.get("Modality") or "")
    is_ct = isinstance(find_kind(detector).requirements, CtRequirements)
    if modality in PROJECTION_MODALITIES or (modality != "CT" and not is_ct and array.shape[0] == 1):
        if volume_node.GetParentTransformNode() is not None:
            raise StudyError(UNDER_A_TRANSFORM)
        return _projection(array, matrix, headers, modality, detector)
    return _stack(volume_node, array, headers, modality, detector, instance_file)


def _refuse_unusable(node: Any) -> None:
    image = None if node is None else node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or not image.GetNumberOfPoints():
        raise StudyError("The volume holds no voxels; choose one that was loaded.")
    if image.GetNumberOfScalarComponents() != 1:
        raise StudyError("The volume is in color or holds vectors; CT and radiographs are gray.")


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
    middle = (matrix @ [(array.shape[2] - 1) / 2, (array.shape[1] - 1) / 2, 0.0, 1.0])[:3]
    return Study(
        array=picture.gray[None],
        ijk_to_ras=picture.ijk_to_ras,
        modality=modality,
        intensity="unit",
        orientation="projection",
        sources=_sources(NodeGrid(array, matrix, middle[None], np.zeros(1), headers), thickness=None),
        dicom=_facts(headers, 0.0),
        pixel_spacing_known=known,
        regridded=f"the stored radiograph is {picture.turned}" if picture.turned else "",
        notices=notices,
        source_name=names_of(detector).study,
    )


def _stack(
    node: Any,
    array: np.ndarray,
    headers: NodeHeaders,
    modality: str,
    detector: str,
    instance_file: InstanceFile | None,
) -> Study:
    frame = headers.first
    stack = stack_of(node)
    placing = placing_of(array, stack, headers)
    windowed = _is_windowed(node, frame)
    sources = None
    if placing == "resampled":
        sources = None if windowed else source_slices(array, stack, headers.uids, headers, instance_file)
        headers = without_slices(headers)
    notices = list(place_notices(placing, stack, headers)) if sources is None else [SLICES_READ]
    if windowed:
        array = array.astype(np.float32) / np.float32(1 if node.GetImageData().GetScalarRange()[1] <= 1 else 255)
        text = "The CT holds no HU but gray levels: a display window was burned in."
        notices.append(Notice("window-burnt-in", "warn", text))
    else:
        modality = modality or "CT"
        notices += [] if frame is None else _value_notices(frame)
    if frame is not None and frame.spacing is None:
        text = "The CT states no pixel spacing (0028,0030); 1 mm was assumed and sizes cannot be given in mm."
        notices.append(Notice("no-pixel-spacing", "warn", text))
    if sources is None:
        grid = own_grid(node, array, stack, headers, windowed=windowed)
        notices += grid.notices
    else:
        source_stack, slices, headers = sources
        grid = grid_of(slices, source_stack, headers, windowed=False)
        # How far its source slices lie apart is nothing that a person sees of this volume.
        notices += [notice for notice in grid.notices if notice.code != "uneven-spacing"]
    original = frame is not None and (sources is not None or any(headers.uids))
    step = float(np.linalg.norm(grid.ijk_to_ras[:3, 2]))
    return Study(
        array=grid.array,
        ijk_to_ras=grid.ijk_to_ras,
        modality=modality,
        intensity="windowed" if windowed else "HU",
        # In RAS where the function speaks of LPS: the name of the plane is the same.
        orientation=orientation_of(
            (grid.ijk_to_ras[:3, :2] / np.linalg.norm(grid.ijk_to_ras[:3, :2], axis=0)).T.ravel()
        ),
        sources=_sources(grid, thickness=step if not original and len(array) > 1 else None),
        dicom=_facts(headers, grid.tilt_deg),
        pixel_spacing_known=frame is None or frame.spacing is not None,
        regridded=grid.regridded,
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


def _sources(grid: NodeGrid, *, thickness: float | None) -> tuple[SourceSlice, ...]:
    """Return the slices, each where the scene shows it; `thickness` where no header says it."""
    headers = grid.headers
    several_frames = len(headers.uids) > 1 and len(set(headers.uids)) == 1 and bool(headers.uids[0])
    read = {place: frame.thickness_mm for place, frame in headers.frames.items()}
    if len(set(read.values())) == 1 and len(read) > 1:
        # Of a long series only some headers are read; where those agree, so will the others.
        thickness = next(iter(read.values()))
    return tuple(
        SourceSlice(
            index=index,
            file=None,
            frame=index if several_frames else 0,
            sop_instance_uid=headers.uids[index],
            position_ras=(x, y, z),
            k=float(grid.k[index]),
            thickness_mm=read.get(index, thickness),
        )
        for index, (x, y, z) in enumerate(grid.centers.tolist())
    )
