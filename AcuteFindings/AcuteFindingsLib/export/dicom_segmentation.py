"""Masks and heat maps as DICOM Segmentation, in the patient's coordinates and derived from the source instances.

Slicer's importer (QuantitativeReporting with dcmqi) names a segment by its label, reads its description, colors it by
the recommended CIELab value and files it by category and type. It counts the segments that hold voxels, so a segment
without any would hand its name to the next one: empty masks are left out. It places frames by a spacing that all of
them share: a mask on a regular grid is written on that grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom import UID, PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.color import CIELabColor
from highdicom.enum import CoordinateSystemNames
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.detectors.code import ALTERED
from AcuteFindingsLib.detectors.finding import Code, Finding, Mask
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.export.dicom_codes import ascii_text, codes_of, concept
from AcuteFindingsLib.export.dicom_object import HEATMAP, SEGMENTATION, algorithm, equipment_and_series, making
from AcuteFindingsLib.export.dicom_source import SourceInstances, heights, same_orientation
from AcuteFindingsLib.study.dicom_projection import as_seen
from AcuteFindingsLib.study.study import Study

HEATMAP_COLOR = (1.0, 0.55, 0.0)

_LPS = np.array([-1.0, -1.0, 1.0])

# A plane and a source slice within this of each other are the same place.
_SAME_PLACE_MM = 1e-3
_EVEN_SHARE = 0.01


@dataclass(frozen=True)
class Planes:
    """Where the planes of an array lie, and which source slices each was made from.

    Attributes
    ----------
    positions
        ``(n, 3)`` LPS mm: center of each plane's first pixel.
    orientation
        ``PlaneOrientationSequence`` of all.
    measures
        Pixel size, thickness and distance of all.
    sources
        For each plane the indices of the source slices.
    preserved
        Whether a plane's pixels are the pixels of its source slice.
    """

    positions: np.ndarray
    orientation: PlaneOrientationSequence
    measures: PixelMeasuresSequence
    sources: tuple[tuple[int, ...], ...]
    preserved: bool


def segment_masks(finding: Finding, study: Study, source: SourceInstances) -> Segmentation | None:
    """Return a finding's masks as binary Segmentation, a segment for each mask that holds voxels; None without any.

    Raises
    ------
    ExportError
        The masks do not lie on the study's grid, or the source slices do not say where they lie.
    """
    masks = [mask for mask in finding.masks if mask.voxels]
    if not masks:
        return None
    label = codes_of(finding).label
    described = [_describe(finding, number, mask) for number, mask in enumerate(masks, 1)]
    arrays = [mask.array.astype(bool, copy=False) for mask in masks]
    if any(array.shape != study.array.shape for array in arrays):
        raise ExportError("The masks do not lie on the study's grid; run the detector again.")
    arguments = equipment_and_series(finding, source, SEGMENTATION, f"{label} segmentation (AcuteFindings)")
    with making("segmentation"):
        if study.orientation == "projection":
            pixels = np.stack([as_stored(array[len(array) // 2], source) for array in arrays], axis=-1)[None]
            return _on_image(pixels.astype(np.uint8), described, source, SegmentationTypeValues.BINARY, arguments)
        planes = _study_planes(study, source)
        chosen = np.flatnonzero(np.any([array.any(axis=(1, 2)) for array in arrays], axis=0))
        pixels = np.stack([array[chosen] for array in arrays], axis=-1).astype(np.uint8)
        return _on_planes(pixels, chosen, planes, described, source, SegmentationTypeValues.BINARY, arguments)


def segment_heatmap(finding: Finding, study: Study, source: SourceInstances) -> Segmentation | None:
    """Return a finding's heat map as fractional Segmentation on the heat map's own grid; None where there is none.

    The values 0..255 are kept as they are. DICOM knows fractions as probability or occupancy; a heat map is neither in
    the strict sense, which the segment's description says.

    Raises
    ------
    ExportError
        As `segment_masks`.
    """
    heatmap = finding.heatmap
    if heatmap is None or not heatmap.array.any():
        return None
    known = codes_of(finding)
    said = f"{heatmap.name}: where the network looked, not a probability per pixel."
    described = [
        _segment(finding, 1, f"Heat map: {known.label}", said, ALTERED, known.finding, known.site, HEATMAP_COLOR)
    ]
    arguments = equipment_and_series(finding, source, HEATMAP, f"{known.label} heat map (AcuteFindings)")
    with making("segmentation of the heat map"):
        if study.orientation == "projection":
            stored = as_stored(heatmap.array[len(heatmap.array) // 2], source)
            return _on_image(_share(stored[None]), described, source, SegmentationTypeValues.FRACTIONAL, arguments)
        planes = _grid_planes(heatmap.array.shape, heatmap.ijk_to_ras, source)
        chosen = np.flatnonzero(heatmap.array.any(axis=(1, 2)))
        pixels = _share(heatmap.array[chosen])
        return _on_planes(pixels, chosen, planes, described, source, SegmentationTypeValues.FRACTIONAL, arguments)


def as_stored(picture: np.ndarray, source: SourceInstances) -> np.ndarray:
    """Return a radiograph's ``(y, x)`` picture, upright as the detector saw it, on the pixels as they are stored.

    Raises
    ------
    ExportError
        When it is not of the stored image's size.
    """
    places = np.arange(source.shape[0] * source.shape[1]).reshape(source.shape)
    upright, _ = as_seen(places, source.patient_orientation)
    if upright.shape != picture.shape:
        raise ExportError(
            f"The result has {picture.shape[1]} x {picture.shape[0]} pixels, the stored radiograph "
            f"{source.shape[1]} x {source.shape[0]}; run the detector on the original file."
        )
    stored = np.zeros(source.shape, picture.dtype)
    stored.flat[upright.ravel()] = picture.ravel()
    return stored


def _share(stored: np.ndarray) -> np.ndarray:
    return stored.astype(np.float32) / np.float32(255)


def _describe(finding: Finding, number: int, mask: Mask) -> SegmentDescription:
    said = f"{mask.name}, outlined by {finding.model.id} {finding.model.version}."
    return _segment(finding, number, mask.name, said, mask.category, mask.type, mask.anatomy, mask.color)


def _segment(
    finding: Finding,
    number: int,
    label: str,
    said: str,
    category: Code,
    kind: Code,
    site: Code | None,
    color: tuple[float, float, float],
) -> SegmentDescription:
    described = SegmentDescription(
        segment_number=number,
        segment_label=ascii_text(label)[:64],
        segmented_property_category=concept(category),
        segmented_property_type=concept(kind),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(finding),
        tracking_uid=UID(),
        tracking_id=ascii_text(label)[:64],
        anatomic_regions=None if site is None else [concept(site)],
        display_color=CIELabColor.from_rgb(*(round(255 * part) for part in color)),
    )
    # Slicer's importer reads it whether it is there or not.
    described.SegmentDescription = ascii_text(f"{said} {RESEARCH_USE_ONLY}")
    return described


def _on_image(
    pixels: np.ndarray,
    described: Sequence[SegmentDescription],
    source: SourceInstances,
    kind: SegmentationTypeValues,
    arguments: dict,
) -> Segmentation:
    """Return the segmentation of a radiograph: pixel for pixel, without a place in the patient."""
    made = Segmentation(
        source_images=[source.first],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        content_label="ACUTEFINDINGS",
        content_description=RESEARCH_USE_ONLY[:64],
        **arguments,
    )
    # An image without Image Orientation (Patient) states where its rows and columns run to (PS3.3 C.7.6.1).
    made.PatientOrientation = list(source.patient_orientation)
    # Without a slice thickness, which a radiograph has not, highdicom cannot read them again; the source states them.
    made.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence", None)
    return made


def _on_planes(
    pixels: np.ndarray,
    chosen: np.ndarray,
    planes: Planes,
    described: Sequence[SegmentDescription],
    source: SourceInstances,
    kind: SegmentationTypeValues,
    arguments: dict,
) -> Segmentation:
    """Return the segmentation of some planes (`chosen`: their numbers) of a stack."""
    single = not source.is_multiframe
    made = Segmentation(
        source_images=source.headers if single else source.headers[:1],
        further_source_images=None if single else source.headers[1:],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        pixel_measures=planes.measures,
        plane_orientation=planes.orientation,
        plane_positions=[
            PlanePositionSequence(CoordinateSystemNames.PATIENT, planes.positions[place]) for place in chosen
        ],
        content_label="ACUTEFINDINGS",
        content_description=RESEARCH_USE_ONLY[:64],
        **arguments,
    )
    # highdicom takes the source's measures where pixels are of one size, and with them a distance of slices that need
    # not be the grid's.
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = planes.measures
    _refer(made, planes, source)
    return made


def _refer(made: Segmentation, planes: Planes, source: SourceInstances) -> None:
    """Name the source slices of each frame: highdicom finds them only where every plane is a source slice."""
    for item in made.PerFrameFunctionalGroupsSequence:
        position = np.asarray(item.PlanePositionSequence[0].ImagePositionPatient, float)
        place = int(np.argmin(np.linalg.norm(planes.positions - position, axis=1)))
        derivation = Dataset()
        derivation.DerivationCodeSequence = [concept(Code("DCM", "113076", "Segmentation"))]
        derivation.SourceImageSequence = [
            _reference(source, index, planes.preserved) for index in planes.sources[place]
        ]
        item.DerivationImageSequence = [derivation] if planes.sources[place] else []


def _reference(source: SourceInstances, index: int, preserved: bool) -> Dataset:
    sop_class, sop_instance, frames = source.reference(index)
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    if frames:
        item.ReferencedFrameNumber = frames[0]
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [concept(Code("DCM", purpose.value, purpose.meaning))]
    item.SpatialLocationsPreserved = "YES" if preserved else "NO"
    return item


def _study_planes(study: Study, source: SourceInstances) -> Planes:
    """Return the planes of the study's grid.

    Where the study is its source slices as they are, each plane is where its slice is, also where a program that
    stacks them evenly (Slicer) shows it elsewhere. Else it is the grid that the slices were resampled to.
    """
    if study.regridded or len(source.planes) != len(study.array):
        return _grid_planes(study.array.shape, study.ijk_to_ras, source)
    if source.shape != study.array.shape[1:] or not same_orientation(source, study.ijk_to_ras):
        raise ExportError(
            "The volume is not the one that its DICOM files hold (it was cropped or turned since), so the masks cannot "
            "be placed on their images; load the original series."
        )
    positions = _stated_positions(source)
    assert source.directions is not None
    assert source.spacing is not None
    gaps = np.diff(heights(source, positions))
    even = len(gaps) > 0 and np.ptp(gaps) <= _EVEN_SHARE * abs(gaps.mean())
    return Planes(
        positions=positions,
        orientation=PlaneOrientationSequence(CoordinateSystemNames.PATIENT, source.directions.tolist()),
        measures=PixelMeasuresSequence(
            pixel_spacing=source.spacing,
            slice_thickness=_thickness(study),
            spacing_between_slices=float(abs(gaps.mean())) if even else None,
        ),
        sources=tuple((index,) for index in range(len(positions))),
        preserved=True,
    )


def _grid_planes(shape: Sequence[int], ijk_to_ras: np.ndarray, source: SourceInstances) -> Planes:
    """Return the planes of a regular grid ``(z, y, x)`` and the source slices around each."""
    matrix = np.asarray(ijk_to_ras, float)
    steps = matrix[:3, :3] * _LPS[:, None]
    spacing = np.linalg.norm(steps, axis=0)
    axes = steps / spacing
    positions = matrix[:3, 3] * _LPS + np.arange(shape[0])[:, None] * steps[:, 2]
    return Planes(
        positions=positions,
        orientation=PlaneOrientationSequence(CoordinateSystemNames.PATIENT, axes[:, :2].T.ravel().tolist()),
        measures=PixelMeasuresSequence(
            pixel_spacing=(float(spacing[1]), float(spacing[0])),
            slice_thickness=float(spacing[2]),
            spacing_between_slices=float(spacing[2]),
        ),
        sources=_neighbors(positions, axes[:, 2], float(spacing[2]), source),
        preserved=False,
    )


def _neighbors(
    positions: np.ndarray, normal: np.ndarray, step: float, source: SourceInstances
) -> tuple[tuple[int, ...], ...]:
    """Return for each plane the source slice it coincides with, else the nearest on both sides and all within a step.

    None are returned where the planes are not parallel to the source slices: each would cut through all of them.
    """
    known = _stated_positions(source) @ normal
    assert source.directions is not None
    if abs(abs(np.cross(source.directions[:3], source.directions[3:]) @ normal) - 1) > _SAME_PLACE_MM:
        return ((),) * len(positions)
    found = []
    for height in positions @ normal:
        away = known - height
        same = np.flatnonzero(np.abs(away) < _SAME_PLACE_MM)
        sides = (away[away <= 0], away[away >= 0])
        nearest = [side[np.argmin(np.abs(side))] for side in sides if len(side)]
        near = same if len(same) else np.flatnonzero((np.abs(away) < step) | np.isin(away, nearest))
        found.append(tuple(int(index) for index in near))
    return tuple(found)


def _stated_positions(source: SourceInstances) -> np.ndarray:
    positions = [plane.position for plane in source.planes if plane.position is not None]
    if len(positions) < len(source.planes) or source.directions is None or source.spacing is None:
        raise ExportError(
            "The slices do not state where they lie in the patient (0020,0032, 0020,0037) or the size of their pixels "
            "(0028,0030), so a segmentation cannot be placed; the structured report can be written without them."
        )
    return np.array(positions)


def _thickness(study: Study) -> float:
    stated = [source.thickness_mm for source in study.sources if source.thickness_mm]
    return float(np.median(stated)) if stated else study.spacing[0]
