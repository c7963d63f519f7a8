"""Masks and heat maps as DICOM Segmentation: read back by highdicom they are the same, at the same place."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, segread
from pydicom.uid import generate_uid

from AcuteFindingsLib.detectors.finding import Heatmap
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.export.dicom_object import save_object
from AcuteFindingsLib.export.dicom_segmentation import segment_heatmap, segment_masks
from AcuteFindingsLib.export.dicom_source import read_instances
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

cases = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dicom_cases.py"))))


def written(study: Study, folder: Path, **fields) -> Segmentation:
    """Write the masks of a finding on a study and read them back."""
    made = segment_masks(cases.make_finding(study, **fields), study, read_instances(study))
    return segread(save_object(made, folder / "out" / "segmentation.dcm"))


def mask_read_back(seg: Segmentation, study: Study, number: int = 1) -> np.ndarray:
    volume = seg.get_volume(segment_numbers=[number], allow_missing_positions=True).squeeze_channel()
    return cases.on_grid(volume, study.array.shape, study.ijk_to_ras)


def references(seg: Segmentation) -> list[list[tuple[str, int, str]]]:
    """Return SOP instance, frame (0 where there is none) and SpatialLocationsPreserved of each frame's sources."""
    return [
        [
            (
                str(one.ReferencedSOPInstanceUID),
                int(one.get("ReferencedFrameNumber") or 0),
                one.SpatialLocationsPreserved,
            )
            for derivation in item.DerivationImageSequence
            for one in derivation.SourceImageSequence
        ]
        for item in seg.PerFrameFunctionalGroupsSequence
    ]


def by_plane(seg: Segmentation, ijk_to_ras: np.ndarray) -> dict[int, list[tuple[str, int, str]]]:
    """Return the references of each frame by the plane of a grid that it is."""
    to_index = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_ras)
    places = [
        to_index @ [*map(float, item.PlanePositionSequence[0].ImagePositionPatient), 1.0]
        for item in seg.PerFrameFunctionalGroupsSequence
    ]
    assert np.abs(np.array(places)[:, :2]).max() < 1e-3
    return {round(float(place[2])): found for place, found in zip(places, references(seg), strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("directions", ["AXIAL", "CORONAL", "SAGITTAL"])
def test_mask_on_a_straight_series_is_read_back_on_its_slices(tmp_path: Path, directions: str) -> None:
    files = cases.write_series(
        tmp_path / "in", cases.hu(), directions=cases.BUILDERS[directions], order=[3, 0, 5, 1, 4, 2]
    )
    study = read_study(tmp_path / "in")
    mask = cases.blob(study.array.shape)
    seg = written(study, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    assert np.array_equal(mask_read_back(seg, study), mask)
    headers = {header.SOPInstanceUID: header for header in (pydicom.dcmread(file) for file in files)}
    for item, sources in zip(seg.PerFrameFunctionalGroupsSequence, references(seg), strict=True):
        ((uid, frame, preserved),) = sources
        assert (frame, preserved) == (0, "YES")
        assert item.PlanePositionSequence[0].ImagePositionPatient == headers[uid].ImagePositionPatient
    assert seg.FrameOfReferenceUID == next(iter(headers.values())).FrameOfReferenceUID


def test_source_instance_gives_its_own_mask(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu())
    study = read_study(tmp_path / "in")
    mask = cases.blob(study.array.shape)
    seg = written(study, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    uids = [source.sop_instance_uid for source in study.sources]
    assert set(uids) == {item.ReferencedSOPInstanceUID for item in seg.SourceImageSequence}
    found = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)[..., 0]
    assert np.array_equal(found, mask)


@pytest.mark.parametrize("tilt", [18.5, -12.0])
def test_mask_on_a_tilted_series_keeps_its_place_and_names_its_slices(tmp_path: Path, tilt: float) -> None:
    cases.write_series(tmp_path / "in", cases.hu((6, 40, 40)), tilt_deg=tilt)
    study = read_study(tmp_path / "in")
    assert study.array.shape[1] > 40, "the upright grid is larger than a slice"
    mask = cases.blob(study.array.shape)
    seg = written(study, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    assert np.array_equal(mask_read_back(seg, study), mask)
    assert seg.FrameOfReferenceUID == study.dicom.frame_of_reference_uid
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    expected = {k: [(study.sources[k].sop_instance_uid, 0, "NO")] for k in planes.tolist()}
    assert by_plane(seg, study.ijk_to_ras) == expected


def test_mask_between_unevenly_spaced_slices_names_the_slices_around_it(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu((7, 8, 10)), heights=[0, 4, 8, 12, 20, 28, 36])
    study = read_study(tmp_path / "in")
    assert len(study.array) == 10
    mask = cases.blob(study.array.shape)
    mask[4] = 1
    seg = written(study, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    assert np.array_equal(mask_read_back(seg, study), mask)
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    assert spacing == pytest.approx(4)
    named = {k: [uid for uid, _, _ in found] for k, found in by_plane(seg, study.ijk_to_ras).items()}
    uids = [source.sop_instance_uid for source in study.sources]
    assert named[3] == [uids[3]]
    assert named[4] == [uids[3], uids[4]]


def test_mask_on_an_enhanced_multi_frame_ct_names_its_frames(tmp_path: Path) -> None:
    order = [2, 0, 4, 1, 3, 5]
    path = cases.write_enhanced(tmp_path / "enhanced.dcm", cases.hu(), order=order)
    study = read_study(path)
    mask = cases.blob(study.array.shape)
    seg = written(study, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    assert np.array_equal(mask_read_back(seg, study), mask)
    uid = study.sources[0].sop_instance_uid
    expected = {k: [(uid, order.index(k) + 1, "YES")] for k in np.flatnonzero(mask.any(axis=(1, 2))).tolist()}
    assert by_plane(seg, study.ijk_to_ras) == expected
    found = seg.get_pixels_by_source_frame(
        uid, [order.index(k) + 1 for k in range(6)], assert_missing_frames_are_empty=True
    )
    assert np.array_equal(found[..., 0], mask)


def test_a_slice_of_a_volume_in_slicer_is_found_again_in_its_multi_frame_file(tmp_path: Path) -> None:
    order = [2, 0, 4, 1, 3, 5]
    study = read_study(cases.write_enhanced(tmp_path / "enhanced.dcm", cases.hu(), order=order))
    as_slicer_says = replace(study, sources=tuple(replace(s, frame=s.index) for s in study.sources))
    mask = cases.blob(study.array.shape)
    seg = written(as_slicer_says, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    assert np.array_equal(mask_read_back(seg, study), mask)


def test_a_tilted_series_that_slicer_shows_upright_is_written_where_its_slices_are(tmp_path: Path) -> None:
    array = cases.hu((6, 40, 40))
    cases.write_series(tmp_path / "in", array, tilt_deg=18.5)
    read = read_study(tmp_path / "in")
    as_slicer_shows_it = replace(read, array=array, regridded="")
    mask = cases.blob(array.shape)
    seg = written(as_slicer_shows_it, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    uids = [source.sop_instance_uid for source in read.sources]
    found = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)[..., 0]
    assert np.array_equal(found, mask)


@pytest.mark.slow
def test_real_tilted_head_with_two_slice_distances_is_read_back(tmp_path: Path, data_folder: Path) -> None:
    study = read_study(data_folder / "head-ct-dicom")
    assert "tilt" in study.regridded
    mask = np.zeros(study.array.shape, np.uint8)
    mask[3:20, 150:180, 200:260] = 1
    mask[9, 160:170, 210:215] = 0
    seg = written(study, tmp_path, masks=(cases.make_mask("Hemorrhage", mask),))
    assert np.array_equal(mask_read_back(seg, study), mask)
    known = {source.sop_instance_uid for source in study.sources}
    assert all(sources and {uid for uid, _, _ in sources} <= known for sources in references(seg))


def test_overlapping_masks_are_segments_of_their_own(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu())
    study = read_study(tmp_path / "in")
    first, second = cases.blob(study.array.shape), cases.blob(study.array.shape, 4, share=0.5)
    seg = written(study, tmp_path, masks=(cases.make_mask("One", first), cases.make_mask("Two", second)))
    assert np.array_equal(mask_read_back(seg, study, 1), first)
    assert np.array_equal(mask_read_back(seg, study, 2), second)
    assert seg.SegmentsOverlap == "YES"


def test_segments_are_named_and_colored_as_slicer_reads_them(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu(), SeriesNumber=7)
    study = read_study(tmp_path / "in")
    mask = cases.blob(study.array.shape)
    seg = written(study, tmp_path, masks=(replace(cases.BLEED, array=mask),))
    (segment,) = seg.SegmentSequence
    assert (segment.SegmentNumber, segment.SegmentLabel) == (1, "Hemorrhage")
    assert "Research use only" in segment.SegmentDescription
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "50960005"
    assert segment.AnatomicRegionSequence[0].CodeValue == "12738006"
    rgb = CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
    assert np.abs(np.array(rgb) - np.array([0.85, 0.15, 0.15]) * 255).max() < 2
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "hemorrhage-demo")
    model = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert model.AlgorithmVersion == "0.3.1"
    assert cases.SHA in model.AlgorithmParameters
    assert (seg.Manufacturer, seg.ManufacturerModelName) == ("AcuteFindings", "AcuteFindings")
    assert seg.SeriesDescription == "Hemorrhage segmentation (AcuteFindings)"
    assert seg.SeriesNumber == 701
    assert seg.SeriesInstanceUID != study.dicom.series_instance_uid


def test_an_empty_mask_does_not_hand_its_name_to_the_next(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu())
    study = read_study(tmp_path / "in")
    mask = cases.blob(study.array.shape)
    seg = written(
        study, tmp_path, masks=(cases.make_mask("Empty", np.zeros_like(mask)), cases.make_mask("Right lung", mask))
    )
    assert [(s.SegmentNumber, s.SegmentLabel) for s in seg.SegmentSequence] == [(1, "Right lung")]


def test_without_any_voxel_there_is_no_segmentation(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu())
    study = read_study(tmp_path / "in")
    finding = cases.make_finding(study, masks=(cases.make_mask("Empty", np.zeros(study.array.shape, np.uint8)),))
    assert segment_masks(finding, study, read_instances(study)) is None


@pytest.mark.parametrize(
    "orientation", [(), ("L", "F"), ("R", "F"), ("L", "H"), ("F", "L"), ("H", "R"), ("F", "R"), ("A", "F")]
)
def test_outline_on_a_radiograph_lies_on_the_stored_pixels(tmp_path: Path, orientation: tuple[str, ...]) -> None:
    stored = np.random.default_rng(2).integers(0, 4095, (70, 90))
    marked = np.random.default_rng(3).random(stored.shape) < 0.3
    # What is marked is white in the picture, so the picture that was read says where the outline belongs.
    stored = np.where(marked, 4000, 10)
    fields = {"PatientOrientation": list(orientation)} if orientation else {}
    path = cases.write_radiograph(tmp_path / "in" / "cr.dcm", stored, WindowCenter=2048, WindowWidth=4096, **fields)
    study = read_study(path, requirements=find_kind("pneumothorax").requirements)
    mask = (study.array > 0.5).astype(np.uint8)
    assert mask.sum() == marked.sum()
    seg = written(study, tmp_path, detector="pneumothorax", masks=(cases.make_mask("Pneumothorax", mask, "36118008"),))
    uid = study.sources[0].sop_instance_uid
    assert np.array_equal(seg.get_pixels_by_source_instance([uid])[0, ..., 0], marked)
    assert references(seg) == [[(uid, 0, "YES")]]
    assert "FrameOfReferenceUID" not in seg


def test_a_radiograph_that_states_a_frame_of_reference_has_none_in_the_result(tmp_path: Path) -> None:
    stored = np.random.default_rng(2).integers(0, 4095, (70, 90))
    path = cases.write_radiograph(tmp_path / "in" / "cr.dcm", stored, FrameOfReferenceUID=generate_uid())
    study = read_study(path, requirements=find_kind("pneumothorax").requirements)
    mask = cases.blob(study.array.shape)
    seg = written(study, tmp_path, detector="pneumothorax", masks=(cases.make_mask("Pneumothorax", mask, "36118008"),))
    assert np.array_equal(seg.get_pixels_by_source_instance([study.sources[0].sop_instance_uid])[..., 0], mask)


def test_real_radiographs_are_read_back(tmp_path: Path, data_folder: Path) -> None:
    files = sorted((data_folder / "chest-xray-dicom").rglob("*.dcm"))
    assert files
    for file in files:
        study = read_study(file, requirements=find_kind("pneumothorax").requirements)
        mask = cases.blob(study.array.shape, share=0.01)
        seg = written(study, tmp_path, detector="pneumothorax", masks=(cases.make_mask("Pneumothorax", mask),))
        found = seg.get_pixels_by_source_instance([study.sources[0].sop_instance_uid])[..., 0]
        assert np.array_equal(found, mask), file.name


def test_heat_map_keeps_values_and_place_on_a_grid_of_its_own(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu((12, 20, 20)), spacing=(2.0, 0.7, 0.7))
    study = read_study(tmp_path / "in")
    heat = np.random.default_rng(8).integers(0, 256, (8, 16, 16)).astype(np.uint8)
    heat[:2] = heat[4] = heat[-1] = 0
    own = study.ijk_to_ras @ np.array([[1.1, 0, 0, 1.5], [0, 1.1, 0, 0.5], [0, 0, 1.5, 0], [0, 0, 0, 1.0]])
    finding = cases.make_finding(study, "pe", heatmap=Heatmap("Grad-CAM of the slice encoder", heat, own))
    made = segment_heatmap(finding, study, read_instances(study))
    seg = segread(save_object(made, tmp_path / "out" / "heatmap.dcm"))
    assert (seg.SegmentationType, seg.SegmentationFractionalType, seg.MaximumFractionalValue) == (
        "FRACTIONAL",
        "PROBABILITY",
        255,
    )
    volume = seg.get_volume(allow_missing_positions=True, rescale_fractional=False).squeeze_channel()
    assert np.array_equal(cases.on_grid(volume, heat.shape, own), heat)
    assert seg.FrameOfReferenceUID == study.dicom.frame_of_reference_uid
    (segment,) = seg.SegmentSequence
    assert segment.SegmentLabel == "Heat map: Pulmonary embolism"
    assert "not a probability" in segment.SegmentDescription
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "59282003"
    # Planes of 3 mm at 6 and 9 mm among slices of 2 mm at 0, 2, 4, ...
    named = {k: [uid for uid, _, _ in found] for k, found in by_plane(seg, own).items()}
    uids = [source.sop_instance_uid for source in study.sources]
    assert named[2] == [uids[3]]
    assert named[3] == uids[4:6]


def test_heat_map_of_coronal_slices_names_no_single_slice(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu((12, 20, 20)), directions=cases.BUILDERS["CORONAL"])
    study = read_study(tmp_path / "in")
    heat = np.full((4, 10, 10), 9, np.uint8)
    axial = np.diag([-1.0, -1.0, 2.0, 1.0])
    axial[:3, 3] = study.ijk_to_ras[:3, 3]
    finding = cases.make_finding(study, "pe", heatmap=Heatmap("Grad-CAM", heat, axial))
    seg = segread(save_object(segment_heatmap(finding, study, read_instances(study)), tmp_path / "out" / "heatmap.dcm"))
    volume = seg.get_volume(rescale_fractional=False).squeeze_channel()
    assert np.array_equal(cases.on_grid(volume, heat.shape, axial), heat)
    assert all(not sources for sources in references(seg))
    assert len(seg.SourceImageSequence) == 12


def test_heat_map_of_a_radiograph_lies_on_the_stored_pixels(tmp_path: Path) -> None:
    stored = np.random.default_rng(2).integers(0, 4095, (70, 90))
    path = cases.write_radiograph(tmp_path / "in" / "cr.dcm", stored, PatientOrientation=["R", "F"])
    study = read_study(path, requirements=find_kind("pneumothorax").requirements)
    heat = np.random.default_rng(8).integers(0, 256, study.array.shape).astype(np.uint8)
    finding = cases.make_finding(study, "pneumothorax", heatmap=Heatmap("Grad-CAM", heat, study.ijk_to_ras))
    made = segment_heatmap(finding, study, read_instances(study))
    seg = segread(save_object(made, tmp_path / "out" / "heatmap.dcm"))
    found = seg.get_pixels_by_source_instance([study.sources[0].sop_instance_uid], rescale_fractional=False)
    assert np.array_equal(found[0, ..., 0], heat[0, :, ::-1])


def test_slices_without_a_place_are_refused(tmp_path: Path) -> None:
    def without(dataset, _number) -> None:
        del dataset.ImagePositionPatient

    cases.write_series(tmp_path / "in", cases.hu(), each=without)
    study = read_study(tmp_path / "in")
    finding = cases.make_finding(study, masks=(cases.make_mask("Hemorrhage", cases.blob(study.array.shape)),))
    with pytest.raises(ExportError, match=r"0020,0032"):
        segment_masks(finding, study, read_instances(study))


def test_a_volume_that_was_cropped_since_is_refused(tmp_path: Path) -> None:
    cases.write_series(tmp_path / "in", cases.hu())
    study = read_study(tmp_path / "in")
    cropped = replace(study, array=study.array[:, 1:])
    finding = cases.make_finding(cropped, masks=(cases.make_mask("Hemorrhage", cases.blob(cropped.array.shape)),))
    with pytest.raises(ExportError, match="cropped or turned"):
        segment_masks(finding, cropped, read_instances(cropped))
