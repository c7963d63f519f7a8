"""Tilted and uneven CT as Slicer's DICOM module loads it, against the library's own reader of the same files."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_loading import Loaded, add_volume, load_series

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.corrections import save_correction
from AcuteFindingsLib.scene.navigation import current_slice, jump_to_slice
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import results_in
from AcuteFindingsLib.scene.segment_voxels import segment_box, volume_array, volume_ijk_to_ras
from AcuteFindingsLib.scene.study_from_node import fits, study_facts
from AcuteFindingsLib.study.reader import read_study

UNEVEN = (0.0, 4.0, 8.0, 12.0, 13.0, 20.0, 27.0, 34.0)
SAGITTAL = (0.0, 1, 0, 0, 0, -1)


def head(points: np.ndarray) -> np.ndarray:
    """A ball of tissue that brightens upwards, in air; LPS, mm, around (0, 0, -282)."""
    away = np.linalg.norm(points - [-80.0, 40.0, -282.0], axis=-1)
    return np.where(away < 19, 40 + 3 * (points[..., 2] + 282) + points[..., 0] + 80, -1000.0)


@pytest.fixture(scope="session")
def write_series() -> Callable[..., list[Path]]:
    """The builder of the reader's tests."""
    file = Path(__file__).parents[1] / "study" / "conftest.py"
    spec = importlib.util.spec_from_file_location("_study_builders", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_series


KINDS = {
    "tilted": {"tilt_deg": 18.5, "shape": (8, 64, 60)},
    "tilted and uneven": {"tilt_deg": 18.5, "heights": UNEVEN, "shape": (8, 64, 60)},
    "uneven": {"heights": UNEVEN, "shape": (8, 64, 60)},
    "a slice missing": {"heights": (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 35.0, 40.0), "shape": (8, 64, 60)},
    "uneven sagittal": {
        "heights": UNEVEN, "shape": (8, 64, 60), "directions": SAGITTAL, "origin": (-97.0, 25.0, -262.0)
    },
    "positions rounded": {"heights": tuple(5.0 * k + 0.004 * (k % 2) for k in range(8)), "shape": (8, 64, 60)},
}  # fmt: skip


@pytest.fixture(params=KINDS)
def kind(request) -> dict[str, Any]:
    return KINDS[request.param]


@pytest.fixture
def scene():
    """Held for as long as the test runs: a scene's nodes do not hold it."""
    return new_scene()


@pytest.fixture
def loaded(scene, kind: dict, write_series, tmp_path: Path) -> Loaded:
    return load_series(write_series(tmp_path / "dicom", head, **kind), scene)


def facts(loaded: Loaded):
    return study_facts(loaded.node, "hemorrhage", instance_file=loaded.instance_file)


@pytest.mark.slow
def test_a_volume_under_an_acquisition_transform_is_the_study_of_its_files(loaded: Loaded, tmp_path: Path) -> None:
    study, read = facts(loaded), read_study(tmp_path / "dicom", requirements=find_kind("hemorrhage").requirements)
    assert not fits(loaded.node, "hemorrhage")
    assert study.array.shape == read.array.shape
    assert np.allclose(study.ijk_to_ras, read.ijk_to_ras, atol=1e-4)
    assert np.abs(np.asarray(study.array) - read.array).max() < 0.5
    assert study.orientation == read.orientation
    assert study.regridded == read.regridded
    assert [notice.code for notice in study.notices] == [notice.code for notice in read.notices]
    for one, other in zip(study.sources, read.sources, strict=True):
        assert one.sop_instance_uid == other.sop_instance_uid
        assert (one.k, *one.position_ras) == pytest.approx((other.k, *other.position_ras), abs=1e-3)
        assert one.thickness_mm == other.thickness_mm


def test_every_slice_is_found_again_in_its_view(loaded: Loaded, slicer) -> None:
    """Also where Slicer has turned the view to the volume's own planes."""
    from test_navigation import with_views

    result = shown(loaded)
    views = with_views(loaded.scene, slicer)
    axis = "Yellow" if abs(result.finding.ijk_to_ras[0, 2]) > 1 else "Red"
    for turned in (False, True):
        if turned:
            views[axis].RotateToVolumePlane(loaded.node)
        for item in result.finding.slices:
            jump_to_slice(result, item.index)
            assert current_slice(result, views[axis]) == item.index


def test_a_mask_lies_over_the_tissue_as_the_scene_displays_it(loaded: Loaded) -> None:
    """Each marked point, led back through the transform, is tissue in the volume's own voxels."""
    result = shown(loaded)
    box = segment_box(result.segmentation, result.segmentation.GetSegmentation().GetNthSegmentID(0))
    voxels, to_index = volume_array(loaded.node), np.linalg.inv(volume_ijk_to_ras(loaded.node))
    corners = {k: header for k, header in enumerate(facts(loaded).sources)}
    assert box.voxels > 500
    found = 0
    for source in corners.values():
        if source.k != round(source.k):
            continue
        plane = int(source.k) - box.first[0]
        if not 0 <= plane < len(box.array):
            continue
        for y, x in np.argwhere(box.array[plane])[::37]:
            point = (box.ijk_to_ras @ [x + box.first[2], y + box.first[1], source.k, 1.0])[:3]
            local = np.zeros(3)
            loaded.node.TransformPointFromWorld(point.tolist(), local)
            i, j, k = (to_index @ [*local, 1.0])[:3]
            assert voxels[round(k), round(j), round(i)] > -500
            found += 1
    assert found > 10


def test_a_correction_is_saved_on_the_grid_of_its_mask(loaded: Loaded, tmp_path: Path) -> None:
    import SimpleITK as sitk

    folder = save_correction(shown(loaded), tmp_path / "corrections")
    image, mask = sitk.ReadImage(folder / "image.nrrd"), sitk.ReadImage(folder / "corrected_mask.nrrd")
    assert image.GetSize() == mask.GetSize()
    hu, marked = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask) > 0
    assert marked.any()
    assert hu[marked].min() > -500


def test_of_a_hardened_volume_the_source_slices_are_read_by_position(scene, write_series, tmp_path: Path) -> None:
    files = write_series(tmp_path / "dicom", head, **KINDS["tilted and uneven"])
    loaded, read = (
        load_series(files, scene),
        read_study(tmp_path / "dicom", requirements=find_kind("hemorrhage").requirements),
    )
    assert loaded.node.HardenTransform()
    study = facts(loaded)
    assert np.allclose(study.ijk_to_ras, read.ijk_to_ras, atol=1e-4)
    assert np.array_equal(np.asarray(study.array), read.array)
    assert not any(source.sop_instance_uid for source in study.sources)
    assert {notice.code for notice in study.notices} == {"slices-not-original", "gantry-tilt"}


def test_a_hardened_volume_that_was_changed_since_is_read_as_it_is(scene, write_series, tmp_path: Path) -> None:
    from scipy import ndimage

    loaded = load_series(write_series(tmp_path / "dicom", head, **KINDS["tilted and uneven"]), scene)
    assert loaded.node.HardenTransform()
    voxels = volume_array(loaded.node)
    voxels[...] = ndimage.gaussian_filter(voxels, 2.0) // 2
    study = facts(loaded)
    assert len(study.array) == len(voxels)
    assert not any(source.sop_instance_uid for source in study.sources)
    assert "uneven-spacing" not in {notice.code for notice in study.notices}


def test_a_hardened_volume_without_its_files_is_read_as_it_is(scene, write_series, tmp_path: Path) -> None:
    loaded = load_series(write_series(tmp_path / "dicom", head, **KINDS["uneven"]), scene)
    assert loaded.node.HardenTransform()
    study = study_facts(loaded.node, "hemorrhage")
    assert np.array_equal(np.asarray(study.array), volume_array(loaded.node))


def test_without_its_transform_uneven_slices_are_warned_of(scene, write_series, tmp_path: Path) -> None:
    files = write_series(tmp_path / "dicom", head, **KINDS["tilted and uneven"])
    loaded = load_series(files, scene, acquisition_transform=False)
    study = facts(loaded)
    assert all(source.sop_instance_uid for source in study.sources)
    assert [notice.code for notice in study.notices if notice.severity == "warn"] == ["uneven-spacing"]


def test_a_volume_moved_by_hand_says_so_and_keeps_its_slices(scene, write_series, tmp_path: Path) -> None:
    files = write_series(tmp_path / "dicom", head, shape=(8, 64, 60))
    loaded = load_series(files, scene)
    assert loaded.node.GetParentTransformNode() is None
    loaded.node.SetOrigin(0, 0, 0)
    study = facts(loaded)
    assert [notice.code for notice in study.notices] == ["volume-moved"]
    assert all(source.sop_instance_uid for source in study.sources)


def test_a_transform_that_bends_slices_is_refused(loaded: Loaded) -> None:
    grid = loaded.node.GetParentTransformNode()
    if grid is None:
        pytest.skip("an even stack: no transform")
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = grid.GetTransformToParentAs("vtkOrientedGridTransform").GetDisplacementGrid()
    vtk_to_numpy(image.GetPointData().GetScalars())[5] += 3.0
    with pytest.raises(StudyError, match="not parallel"):
        facts(loaded)


def test_two_slices_at_one_place_are_refused(scene, write_series, tmp_path: Path) -> None:
    heights = (0.0, 5.0, 10.0, 15.0, 15.0, 25.0, 30.0, 35.0)
    loaded = load_series(write_series(tmp_path / "dicom", head, shape=(8, 64, 60), heights=heights), scene)
    with pytest.raises(StudyError, match="same place"):
        facts(loaded)


def test_a_radiograph_under_any_transform_is_refused(scene, slicer) -> None:
    node = add_volume(scene, np.zeros((1, 64, 64), np.int16), np.diag([-1.0, -1, 1, 1]))
    node.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    assert "transform" in fits(node, "pneumothorax")
    with pytest.raises(StudyError, match="harden the transform"):
        study_facts(node, "pneumothorax")


def test_a_further_transform_above_is_refused(loaded: Loaded) -> None:
    grid = loaded.node.GetParentTransformNode()
    outer = loaded.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    (grid or loaded.node).SetAndObserveTransformNodeID(outer.GetID())
    assert "harden" in fits(loaded.node, "hemorrhage")
    with pytest.raises(StudyError, match="harden"):
        facts(loaded)


def test_a_leaning_volume_without_headers_is_set_upright(scene, slicer) -> None:
    matrix = np.array([[-0.5, 0, 0, 10.0], [0, -0.5, -1.6, 20.0], [0, 0, 5.0, -30.0], [0, 0, 0, 1.0]])
    array = np.full((6, 40, 40), -1000, np.int16)
    array[3, 10, 20] = 900
    for first, axes in ((array, matrix), (array[::-1], matrix @ np.diag([1.0, 1, -1, 1]))):
        # The second is the same picture stored from the other end.
        place = axes.copy()
        place[:3, 3] = matrix[:3, 3] + (matrix[:3, 2] * 5 if first is not array else 0)
        study = study_facts(add_volume(scene, np.ascontiguousarray(first), place), "hemorrhage")
        lit = np.argwhere(np.asarray(study.array) > -999)
        weights = np.asarray(study.array)[tuple(lit.T)] + 1000
        z, y, x = (lit * weights[:, None]).sum(axis=0) / weights.sum()
        assert (study.ijk_to_ras @ [x, y, z, 1.0])[:3] == pytest.approx((matrix @ [20, 10, 3, 1.0])[:3], abs=0.1)
        assert "gantry-tilt" in {notice.code for notice in study.notices}


@pytest.mark.slow
def test_a_tilted_head_loaded_by_slicer_is_the_one_that_the_command_reads(data_folder: Path, scene) -> None:
    folder = data_folder / "head-ct-dicom"
    study, read = (
        facts(load_series(sorted(folder.glob("*.dcm")), scene)),
        read_study(folder, requirements=find_kind("hemorrhage").requirements),
    )
    assert np.allclose(study.ijk_to_ras, read.ijk_to_ras, atol=1e-5)
    assert np.abs(np.asarray(study.array) - read.array).max() < 0.01
    assert study.dicom == read.dicom
    assert study.notices == read.notices
    for one, other in zip(study.sources, read.sources, strict=True):
        assert one.position_ras == pytest.approx(other.position_ras, abs=1e-5)
        assert one.k == pytest.approx(other.k, abs=1e-5)
        assert replace(one, position_ras=other.position_ras, k=other.k) == replace(other, file=None)


def shown(loaded: Loaded):
    """A result about the volume, its mask where the study shows tissue."""
    from AcuteFindingsLib.detectors.finding import Code, Finding, Mask, ModelIdentity, SliceResult, Verdict

    study = facts(loaded)
    code = Code("SCT", "49755003", "Morphologically Altered Structure")
    tissue = (np.asarray(study.array) > 0).astype(np.uint8)
    finding = Finding(
        detector="hemorrhage",
        model=ModelIdentity("test-model", "0.1", "0" * 64, "phantoms"),
        verdict=Verdict("positive", 0.9, 0.5, "rule", "text"),
        slices=tuple(
            SliceResult(one.index, one.position_ras, one.sop_instance_uid, {"any": 0.9}, one.k) for one in study.sources
        ),
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=study.ijk_to_ras,
        display_window=(40.0, 80.0),
        masks=(Mask("Hemorrhage", tissue, code, code, None, (1.0, 0.0, 0.0)),),
    )
    show_finding(finding, study, scene=loaded.scene, volume_node=loaded.node)
    return results_in(loaded.scene)[0]
