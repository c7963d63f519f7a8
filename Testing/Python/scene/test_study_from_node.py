"""Nodes as Slicer loads them, held against what the library's own DICOM reader says of the same files."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_loading import Loaded, stacked_matrix

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import results_in
from AcuteFindingsLib.scene.segment_voxels import volume_array, volume_ijk_to_ras
from AcuteFindingsLib.scene.study_from_node import fits, study_facts
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.grid import image_ijk_to_ras
from AcuteFindingsLib.study.reader import read_study

ONE_LEVEL = 1.01 / 255
"""These radiographs are lossy JPEG, which two decoders round differently."""


def add_node(scene, image: sitk.Image, slicer, name: str = "5: Series"):
    """An ITK image as a volume node, in its own voxel type and place."""
    import vtk
    from vtkmodules.util.numpy_support import numpy_to_vtk

    array = sitk.GetArrayFromImage(image)
    data = vtk.vtkImageData()
    data.SetDimensions(*image.GetSize())
    data.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(image_ijk_to_ras(image).ravel().tolist())
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(data)
    node.SetIJKToRASMatrix(matrix)
    return node


def place_as_slicer(node, headers) -> None:
    """The matrix that Slicer's own ITK makes: its third axis leans with the stack."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(stacked_matrix(headers).ravel().tolist())
    node.SetIJKToRASMatrix(matrix)


def load(folder: Path, slicer, *, only: str = "*.dcm") -> Loaded:
    """Load a series as Slicer's scalar volume plug-in does where it adds no acquisition transform."""
    headers = [(pydicom.dcmread(file, stop_before_pixels=True), file) for file in sorted(folder.glob(only))]
    if len(headers) > 1:
        directions = np.array(headers[0][0].ImageOrientationPatient, float)
        normal = np.cross(directions[:3], directions[3:])
        headers.sort(key=lambda item: float(np.array(item[0].ImagePositionPatient, float) @ normal))
    files = [str(file) for _, file in headers]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    image = reader.Execute() if len(files) > 1 else sitk.ReadImage(files[0])
    scene = new_scene()
    node = add_node(scene, image, slicer)
    if len(files) > 1:
        place_as_slicer(node, [header for header, _ in headers])
    uids = [str(header.SOPInstanceUID) for header, _ in headers]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return Loaded(scene, node, dict(zip(uids, files, strict=True)))


@pytest.fixture(scope="module")
def slicer_module():
    return pytest.importorskip("slicer")


@pytest.fixture(scope="module")
def head_ct(data_folder: Path, slicer_module) -> Loaded:
    return load(data_folder / "head-ct-dicom", slicer_module)


@pytest.fixture(scope="module")
def head_ct_read(data_folder: Path):
    return read_study(data_folder / "head-ct-dicom", requirements=find_kind("hemorrhage").requirements)


def test_a_ct_from_a_node_has_the_readers_facts(head_ct: Loaded, head_ct_read) -> None:
    study = study_facts(head_ct.node, "hemorrhage", instance_file=head_ct.instance_file)
    assert study.dicom == head_ct_read.dicom
    assert (study.modality, study.intensity, study.orientation) == ("CT", "HU", "axial")
    assert study.pixel_spacing_known


def test_a_cts_slices_are_the_readers_in_the_same_order(head_ct: Loaded, head_ct_read) -> None:
    study = study_facts(head_ct.node, "hemorrhage", instance_file=head_ct.instance_file)
    for one, other in zip(study.sources, head_ct_read.sources, strict=True):
        assert one.sop_instance_uid == other.sop_instance_uid
        assert (one.index, one.frame, one.thickness_mm) == (other.index, other.frame, other.thickness_mm)
        assert one.file is None


@pytest.mark.slow
def test_a_slice_from_a_node_holds_the_pixels_that_its_uid_names(even_series: Path, slicer) -> None:
    loaded = load(even_series, slicer)
    study = study_facts(loaded.node, "pe", instance_file=loaded.instance_file)
    for source in study.sources[::9]:
        header = pydicom.dcmread(loaded.files[source.sop_instance_uid])
        hu = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        assert source.k == source.index
        assert np.array_equal(study.array[source.index], hu)


@pytest.mark.slow
def test_the_voxels_are_the_nodes_own(even_series: Path, slicer) -> None:
    loaded = load(even_series, slicer)
    study = study_facts(loaded.node, "pe")
    assert study.array.dtype == np.int16
    assert np.shares_memory(study.array, volume_array(loaded.node))
    assert np.allclose(study.ijk_to_ras, volume_ijk_to_ras(loaded.node))


def test_a_slices_place_is_where_the_node_shows_its_middle(head_ct: Loaded) -> None:
    """Against VTK's own arithmetic on the node's matrix."""
    import vtk

    study = study_facts(head_ct.node, "hemorrhage")
    matrix = vtk.vtkMatrix4x4()
    head_ct.node.GetIJKToRASMatrix(matrix)
    for source in study.sources:
        expected = matrix.MultiplyPoint((255.5, 255.5, source.index, 1.0))[:3]
        assert source.position_ras == pytest.approx(expected)


def test_uneven_slices_are_told_where_slicer_stacked_them_evenly(head_ct: Loaded, head_ct_read) -> None:
    study = study_facts(head_ct.node, "hemorrhage", instance_file=head_ct.instance_file)
    notices = {notice.code: notice for notice in study.notices}
    assert set(notices) == {"gantry-tilt", "uneven-spacing"}
    assert "18.5°" in notices["gantry-tilt"].text
    # What the reader measured, and ITK's even step between.
    assert "1.1 to 7.0 mm apart" in head_ct_read.notices[1].text
    assert "slices lie 1.1 to 7.0 mm apart" in notices["uneven-spacing"].text
    assert "evenly, 5.3 mm apart" in notices["uneven-spacing"].text
    assert study.dicom.gantry_tilt_deg == 18.5
    texts = [
        notice.text
        for notice in check_study(replace(study, array=np.asarray(study.array)), find_kind("hemorrhage").requirements)
    ]
    assert not any("set upright before" in text for text in texts)


@pytest.fixture(scope="module")
def even_series(data_folder: Path, tmp_path_factory) -> Path:
    """40 neighboring slices of a chest CT, 1 mm apart."""
    folder = tmp_path_factory.mktemp("even")
    heights = {
        file: float(pydicom.dcmread(file, specific_tags=["ImagePositionPatient"]).ImagePositionPatient[2])
        for file in (data_folder / "chest-ct-dicom").glob("*.dcm")
    }
    for file in sorted(heights, key=heights.__getitem__)[100:140]:
        (folder / file.name).symlink_to(file)
    return folder


@pytest.mark.slow
def test_an_even_series_has_nothing_to_tell(even_series: Path, slicer) -> None:
    loaded = load(even_series, slicer)
    study = study_facts(loaded.node, "pe", instance_file=loaded.instance_file)
    read = read_study(even_series, requirements=find_kind("pe").requirements)
    assert study.notices == read.notices == ()
    assert study.dicom == read.dicom
    assert [one.sop_instance_uid for one in study.sources] == [one.sop_instance_uid for one in read.sources]
    assert [one.thickness_mm for one in study.sources] == [one.thickness_mm for one in read.sources]
    places = [[one.position_ras for one in each.sources] for each in (study, read)]
    assert np.allclose(*places, atol=0.01)
    assert np.allclose(study.ijk_to_ras, read.ijk_to_ras, atol=0.01)
    assert np.array_equal(np.maximum(study.array, -1024), np.maximum(read.array, -1024))


@pytest.mark.slow
def test_of_a_long_series_some_headers_are_read(even_series: Path, slicer) -> None:
    loaded, asked = load(even_series, slicer), []
    study_facts(loaded.node, "pe", instance_file=lambda uid: asked.append(uid) or loaded.files[uid])
    assert len(asked) == 32
    assert {next(iter(loaded.files)), list(loaded.files)[-1]} <= set(asked)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_radiograph_from_a_node_is_the_readers(data_folder: Path, slicer, number: int) -> None:
    """The third says MONOCHROME1, which ITK has then turned over."""
    file = sorted((data_folder / "chest-xray-dicom").glob("*.dcm"))[number]
    loaded = load(file.parent, slicer, only=file.name)
    study = study_facts(loaded.node, "pneumothorax", instance_file=loaded.instance_file)
    read = read_study(file, requirements=find_kind("pneumothorax").requirements)
    assert study.array.dtype == np.float32
    assert np.abs(study.array - read.array).max() < ONE_LEVEL
    assert np.allclose(study.ijk_to_ras, read.ijk_to_ras)
    assert study.dicom == read.dicom
    assert (study.modality, study.intensity, study.orientation) == (read.modality, "unit", "projection")
    assert study.pixel_spacing_known is read.pixel_spacing_known
    assert study.notices == read.notices
    assert study.sources[0].position_ras == pytest.approx(read.sources[0].position_ras)
    assert study.sources[0].sop_instance_uid == read.sources[0].sop_instance_uid


def test_an_inverted_radiograph_without_its_header_is_turned_bright(data_folder: Path, slicer) -> None:
    loaded = load(data_folder / "chest-xray-dicom", slicer, only="monochrome1_twin.dcm")
    study = study_facts(loaded.node, "pneumothorax")
    read = read_study(
        data_folder / "chest-xray-dicom" / "monochrome1_twin.dcm", requirements=find_kind("pneumothorax").requirements
    )
    assert np.abs(study.array - read.array).max() < ONE_LEVEL
    assert [notice.code for notice in study.notices] == ["inverted-grey", "side-assumed"]


def edited(file: Path, folder: Path, **changes) -> Path:
    header = pydicom.dcmread(file)
    for keyword, value in changes.items():
        if keyword == "PixelPaddingValue":
            header.add_new(keyword, "US", value)
        else:
            setattr(header, keyword, value)
    folder.mkdir(exist_ok=True)
    header.save_as(folder / "edited.dcm")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"WindowCenter": 110, "WindowWidth": 140},
        {"WindowCenter": 110, "WindowWidth": 140, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 110, "WindowWidth": 140, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 9000, "WindowWidth": 10},
        {"RescaleSlope": 2, "RescaleIntercept": -50, "WindowCenter": 170, "WindowWidth": 280},
        {"PixelPaddingValue": 0, "PhotometricInterpretation": "MONOCHROME1", "BodyPartExamined": "HAND"},
        {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 90, "WindowWidth": 100},
        {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 90, "WindowWidth": 100, "RescaleSlope": 2},
        {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 90, "WindowWidth": 100, "RescaleIntercept": -30},
        {"PatientOrientation": ["R", "F"]},
        {"PatientOrientation": ["L", "H"]},
        {"PatientOrientation": ["F", "L"]},
        {"PatientOrientation": ["H", "R"]},
        {"PatientOrientation": ["A", "F"]},
        {"BitsStored": 16, "BitsAllocated": 16, "HighBit": 15},
    ],
    ids=lambda changes: ", ".join(f"{key} {value}" for key, value in changes.items()),
)
def test_a_radiograph_is_read_as_its_header_asks(data_folder: Path, tmp_path: Path, slicer, changes: dict) -> None:
    source = sorted((data_folder / "chest-xray-dicom").glob("*.dcm"))[0]
    header = pydicom.dcmread(source)
    header.decompress()
    small = np.ascontiguousarray(header.pixel_array[::3, ::4])
    if changes.get("BitsStored") == 16:
        small = small.astype(np.uint16) * 11
    header.Rows, header.Columns, header.PixelData = *small.shape, small.tobytes()
    plain = tmp_path / "plain.dcm"
    header.save_as(plain)
    loaded = load(edited(plain, tmp_path / "x", **changes), slicer)
    study = study_facts(loaded.node, "pneumothorax", instance_file=loaded.instance_file)
    read = read_study(tmp_path / "x", requirements=find_kind("pneumothorax").requirements)
    assert study.array.shape == read.array.shape
    assert np.allclose(study.array, read.array, atol=1e-5)
    assert [notice.code for notice in study.notices] == [notice.code for notice in read.notices]
    assert study.regridded == read.regridded
    node = volume_ijk_to_ras(loaded.node)
    stored = volume_array(loaded.node)[0]
    # Every pixel is still at its place in the scene: of the node's marked pixel and of the study's, the point is one.
    if study.regridded:
        j, i = 40, 200
        point = node @ [i, j, 0, 1.0]
        x, y, z, _ = np.linalg.inv(study.ijk_to_ras) @ point
        assert z == pytest.approx(0)
        turned = study.array[0]
        assert np.isclose(turned[round(y), round(x)], stored[j, i] / 255, atol=1e-5)


def test_nothing_names_the_patient(head_ct: Loaded, tmp_path: Path, slicer) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    for number, file in enumerate(list(head_ct.files.values())[:4]):
        header = pydicom.dcmread(file)
        header.PatientName, header.PatientID = "Mustermann^Erika", "MRN-4711"
        header.PatientBirthDate, header.ReferringPhysicianName = "19640812", "Brinkmann"
        header.save_as(folder / f"Mustermann-{number}.dcm")
    loaded = load(folder, slicer)
    loaded.node.SetName("Mustermann Erika")
    study = study_facts(loaded.node, "hemorrhage", instance_file=loaded.instance_file)
    said = json.dumps(asdict(replace(study, array=np.zeros(0))), default=str)
    for secret in ("Mustermann", "Erika", "4711", "19640812", "Brinkmann"):
        assert secret not in said


def test_without_a_database_the_node_alone_speaks(head_ct: Loaded) -> None:
    study = study_facts(head_ct.node, "hemorrhage")
    assert (study.modality, study.intensity, study.orientation) == ("CT", "HU", "axial")
    assert [one.sop_instance_uid for one in study.sources] == list(head_ct.files)
    assert study.dicom.series_instance_uid == ""
    assert [notice.code for notice in study.notices] == ["gantry-tilt"]


def test_the_subject_hierarchy_gives_uids_and_modality(slicer) -> None:
    scene = new_scene()
    node = add_node(scene, sitk.GetImageFromArray(np.full((3, 8, 8), -900, np.int16)), slicer)
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemUID(item, "DICOM", "1.2.3")
    series = hierarchy.CreateItem(item, node)
    hierarchy.SetItemUID(series, "DICOM", "1.2.3.4")
    hierarchy.SetItemAttribute(series, constants.GetDICOMSeriesModalityAttributeName(), "MR")
    study = study_facts(node, "pe")
    assert (study.dicom.study_instance_uid, study.dicom.series_instance_uid) == ("1.2.3", "1.2.3.4")
    assert study.modality == "MR"
    assert fits(node, "pe") == "modality MR, not CT"
    assert [notice.code for notice in check_study(study, find_kind("pe").requirements)] == ["constant-image"]


def test_files_that_are_gone_or_damaged_count_as_no_header(head_ct: Loaded, tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x16")
    for file in (str(broken), str(tmp_path / "gone.dcm"), str(tmp_path), ""):
        study = study_facts(head_ct.node, "hemorrhage", instance_file=lambda uid, file=file: file)
        assert study.dicom.series_instance_uid == ""
        assert len(study.sources) == 28


def test_a_cropped_volume_has_slices_of_its_own(head_ct: Loaded, slicer) -> None:
    scene = new_scene()
    node = add_node(scene, sitk.GetImageFromArray(volume_array(head_ct.node)[:5]), slicer)
    node.SetAttribute("DICOM.instanceUIDs", head_ct.node.GetAttribute("DICOM.instanceUIDs"))
    study = study_facts(node, "hemorrhage", instance_file=head_ct.instance_file)
    assert [one.sop_instance_uid for one in study.sources] == [""] * 5
    assert study.dicom.body_part == "HEAD"
    assert [notice.code for notice in study.notices] == ["slices-not-original"]


def test_unknown_uids_stay_unknown(head_ct: Loaded, slicer) -> None:
    scene = new_scene()
    node = add_node(scene, sitk.GetImageFromArray(volume_array(head_ct.node)[:2]), slicer)
    node.SetAttribute("DICOM.instanceUIDs", "Unknown Unknown")
    assert [one.sop_instance_uid for one in study_facts(node, "hemorrhage").sources] == ["", ""]


def test_a_multi_frame_file_gives_each_slice_its_frame(slicer) -> None:
    scene = new_scene()
    node = add_node(scene, sitk.GetImageFromArray(np.full((6, 8, 8), -900, np.int16)), slicer)
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3.9")
    sources = study_facts(node, "pe").sources
    assert [(one.sop_instance_uid, one.frame) for one in sources] == [("1.2.3.9", k) for k in range(6)]


def test_slices_of_a_volume_file_are_as_thick_as_their_step(slicer) -> None:
    image = sitk.GetImageFromArray(np.full((4, 8, 8), -900, np.int16))
    image.SetSpacing((0.7, 0.7, 2.5))
    scene = new_scene()
    study = study_facts(add_node(scene, image, slicer), "pe")
    assert [one.thickness_mm for one in study.sources] == [2.5] * 4
    assert study.spacing == pytest.approx((2.5, 0.7, 0.7))


def test_gray_levels_are_known_as_a_burned_in_window(slicer) -> None:
    scene = new_scene()
    array = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, axis=0)
    study = study_facts(add_node(scene, sitk.GetImageFromArray(array), slicer), "hemorrhage")
    assert (study.intensity, study.modality) == ("windowed", "")
    assert study.array.dtype == np.float32
    assert (study.array.min(), study.array.max()) == (0, 1)


def test_an_oblique_volume_keeps_its_orientation(slicer) -> None:
    image = sitk.GetImageFromArray(np.full((4, 8, 8), -900, np.int16))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    scene = new_scene()
    study = study_facts(add_node(scene, image, slicer), "pe")
    assert study.orientation == "sagittal"
    last, first = study.sources[-1].position_ras, study.sources[0].position_ras
    assert np.subtract(last, first) == pytest.approx((-3, 0, 0))


def test_a_volume_under_a_transform_is_refused(slicer) -> None:
    scene = new_scene()
    node = add_node(scene, sitk.GetImageFromArray(np.zeros((2, 8, 8), np.int16)), slicer)
    node.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    assert "harden" in fits(node, "pe")
    with pytest.raises(StudyError, match="harden the transform"):
        study_facts(node, "pe")


def test_several_radiographs_are_refused(data_folder: Path, slicer) -> None:
    loaded = load(data_folder / "chest-xray-dicom", slicer, only="1.2.276*301*.dcm")
    scene = new_scene()
    node = add_node(scene, sitk.GetImageFromArray(np.zeros((2, 8, 8), np.uint8)), slicer)
    uid = next(iter(loaded.files))
    node.SetAttribute("DICOM.instanceUIDs", f"{uid} {uid}")
    with pytest.raises(StudyError, match="2 radiographs"):
        study_facts(node, "pneumothorax", instance_file=loaded.instance_file)


def test_an_empty_node_is_refused() -> None:
    scene = new_scene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert fits(node, "pe") == "no voxels"
    with pytest.raises(StudyError, match="no voxels"):
        study_facts(node, "pe")


def test_the_selector_offers_what_may_fit(head, radiograph, slicer) -> None:
    scene = new_scene()
    ct = show_finding(head.finding, head.study, scene=scene)
    picture = show_finding(radiograph.finding, radiograph.study, scene=scene)
    assert fits(ct.volume, "hemorrhage") == fits(ct.volume, "pe") == ""
    assert fits(ct.volume, "pneumothorax") == "a stack of 24 slices, not a radiograph"
    assert fits(picture.volume, "pneumothorax") == ""
    assert fits(ct.heatmap, "hemorrhage") == "a heat map of an earlier result"
    assert fits(None, "pe") == fits(ct.text, "pe") == "not a volume"
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert fits(labels, "pe") == "a label map"


def test_a_result_about_a_turned_radiograph_lies_on_the_node(
    data_folder: Path, tmp_path: Path, radiograph, slicer
) -> None:
    """What is outlined on the picture as it was read is shown on the picture as it is stored."""
    from AcuteFindingsLib.detectors.finding import Mask
    from AcuteFindingsLib.scene.corrections import mask_changed
    from AcuteFindingsLib.scene.segment_voxels import on_volume, segment_box

    source = sorted((data_folder / "chest-xray-dicom").glob("*.dcm"))[0]
    loaded = load(edited(source, tmp_path / "x", PatientOrientation=["R", "F"]), slicer)
    study = study_facts(loaded.node, "pneumothorax", instance_file=loaded.instance_file)
    mask = np.zeros(study.array.shape, np.uint8)
    mask[0, 100:180, 200:260] = 1
    old: Mask = radiograph.finding.masks[0]
    finding = replace(radiograph.finding, ijk_to_ras=study.ijk_to_ras, masks=(replace(old, array=mask),), heatmap=None)
    show_finding(finding, study, scene=loaded.scene, volume_node=loaded.node)
    result = results_in(loaded.scene)[0]
    segment_id = result.segmentation.GetSegmentation().GetNthSegmentID(0)
    shown = on_volume(segment_box(result.segmentation, segment_id), loaded.node)
    width = mask.shape[2]
    assert (shown.first, shown.end) == ((0, 100, width - 260), (1, 180, width - 200))
    assert shown.voxels == mask.sum()
    assert not mask_changed(result)
