from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.navigation import current_slice, jump_to_slice, next_positive, slice_at, slice_normal
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.results import SceneResult, results_in
from AcuteFindingsLib.scene.segment_voxels import volume_ijk_to_ras


def rotation(degrees: float, axis: int) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(4)
    one, other = [number for number in range(3) if number != axis]
    matrix[one, one], matrix[one, other], matrix[other, one], matrix[other, other] = c, -s, s, c
    return matrix


def moved(case, matrix: np.ndarray):
    """The same case in a patient who lay otherwise."""

    def place(point):
        return tuple(float(value) for value in (matrix @ [*point, 1.0])[:3])

    ijk_to_ras = matrix @ case.study.ijk_to_ras
    slices = tuple(replace(item, position_ras=place(item.position_ras)) for item in case.finding.slices)
    heatmap = replace(case.finding.heatmap, ijk_to_ras=matrix @ case.finding.heatmap.ijk_to_ras)
    sources = tuple(replace(item, position_ras=place(item.position_ras)) for item in case.study.sources)
    finding = replace(case.finding, ijk_to_ras=ijk_to_ras, slices=slices, heatmap=heatmap)
    return finding, replace(case.study, ijk_to_ras=ijk_to_ras, sources=sources)


def with_views(scene, slicer) -> dict:
    """Slicer's three views, as its application makes them."""
    views = {}
    for name, plane in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        node = scene.CreateNodeByClass("vtkMRMLSliceNode")
        node.UnRegister(None)
        node.SetName(name)
        node.SetSingletonTag(name)
        node.SetLayoutName(name)
        views[name] = scene.AddNode(node)
        views[name].SetOrientation(plane)
    return views


@pytest.fixture
def scene():
    """Held for as long as the test runs: a scene's nodes do not hold it."""
    return new_scene()


@pytest.fixture(params=["axial", "oblique", "sagittal, feet first"])
def result(scene, request, head) -> SceneResult:
    turn = {
        "axial": np.eye(4),
        "oblique": rotation(27, 0) @ rotation(-14, 1) @ rotation(9, 2),
        "sagittal, feet first": rotation(90, 1) @ rotation(180, 0),
    }[request.param]
    finding, study = moved(head, turn)
    show_finding(finding, study, scene=scene)
    return results_in(scene)[0]


def test_any_voxel_of_a_slice_belongs_to_that_slice(result: SceneResult) -> None:
    """Against the volume node's own matrix: the plane of a voxel is its third index."""
    matrix = volume_ijk_to_ras(result.volume)
    generator = np.random.default_rng(3)
    for _ in range(200):
        i, j, k = generator.uniform((0, 0, 0), (159, 159, 23))
        point = (matrix @ [i, j, k, 1.0])[:3]
        if abs(k % 1 - 0.5) > 1e-6:
            assert slice_at(result, point) == round(k)


def test_the_normal_is_that_of_the_volumes_planes(result: SceneResult) -> None:
    matrix = volume_ijk_to_ras(result.volume)
    assert np.allclose(slice_normal(result), np.cross(matrix[:3, 0], matrix[:3, 1]) / 0.64)


def test_beyond_the_ends_it_is_the_last_slice(result: SceneResult) -> None:
    matrix = volume_ijk_to_ras(result.volume)
    assert slice_at(result, (matrix @ [10, 20, -40, 1])[:3]) == 0
    assert slice_at(result, (matrix @ [10, 20, 90, 1])[:3]) == 23


def test_a_jump_shows_the_slice_and_keeps_the_views_across(result: SceneResult, slicer) -> None:
    views = with_views(result.scene, slicer)
    for view in views.values():
        view.JumpSliceByOffsetting(5.0, -12.0, 7.0)
    along = {name: view.GetSliceOffset() for name, view in views.items()}
    jump_to_slice(result, 17)
    center = np.array(result.finding.slices[17].position_ras)
    normal = slice_normal(result)
    for name, view in views.items():
        facing = np.array([view.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
        if abs(facing @ normal) > 0.999:
            assert current_slice(result, view) == 17
            assert np.isclose((view_middle(view) - center) @ normal, 0, atol=1e-6)
        elif abs(facing @ normal) < 0.001:
            assert view.GetSliceOffset() == pytest.approx(along[name])
        else:
            target = view_middle(view) @ facing
            assert target == pytest.approx(view.GetSliceOffset())


def test_the_view_of_oblique_slices_shows_the_slice_after_a_jump(head, slicer) -> None:
    """Slicer turns a view into a volume's planes on request; then the jump has to land exactly."""
    finding, study = moved(head, rotation(27, 0) @ rotation(-14, 1))
    scene = new_scene()
    show_finding(finding, study, scene=scene)
    result = results_in(scene)[0]
    red = with_views(scene, slicer)["Red"]
    red.RotateToVolumePlane(result.volume)
    red.JumpSliceByOffsetting(30.0, -20.0, 11.0)
    for index in (0, 9, 23):
        jump_to_slice(result, index)
        assert current_slice(result, red) == index
        offset = (view_middle(red) - finding.slices[index].position_ras) @ slice_normal(result)
        assert offset == pytest.approx(0, abs=1e-6)


def test_a_tilted_gantry_does_not_lean_the_normal(head) -> None:
    """The centers run along a leaning line; the slices themselves are still the planes of the grid."""
    lean = np.tan(np.deg2rad(18.5))
    slices = tuple(
        replace(
            item, position_ras=(item.position_ras[0], item.position_ras[1] + lean * item.k * 4, *item.position_ras[2:])
        )
        for item in head.finding.slices
    )
    scene = new_scene()
    show_finding(replace(head.finding, slices=slices), head.study, scene=scene)
    result = results_in(scene)[0]
    assert np.allclose(slice_normal(result), (0, 0, 1))
    assert slice_at(result, (60.0, -60.0, -46.0 + 4 * 11)) == 11


def test_slices_rebuilt_across_the_series_have_their_own_normal(head) -> None:
    """A coronal series is read on rebuilt axial planes: the third index of the grid is not their axis."""
    planes = tuple(
        replace(item, index=number, position_ras=(0.0, 0.0, 63.6 - 0.8 * number))
        for number, item in enumerate(head.finding.slices)
    )
    turned = rotation(90, 0) @ head.study.ijk_to_ras
    scene = new_scene()
    show_finding(replace(head.finding, slices=planes, ijk_to_ras=turned), head.study, scene=scene)
    result = results_in(scene)[0]
    assert np.allclose(slice_normal(result), (0, 0, -1))
    assert slice_at(result, (40.0, 30.0, 63.6 - 0.8 * 6)) == 6


def test_the_next_positive_slice_is_found_either_way(result: SceneResult) -> None:
    """Slices 12 to 18 (indices 11 to 17) are positive; see the fixture."""
    assert next_positive(result, 0, 1) == 11
    assert next_positive(result, 11, 1) == 12
    assert next_positive(result, 17, 1) is None
    assert next_positive(result, 23, -1) == 17
    assert next_positive(result, 11, -1) is None


def test_one_image_is_its_only_slice(radiograph) -> None:
    scene = new_scene()
    show_finding(radiograph.finding, radiograph.study, scene=scene)
    result = results_in(scene)[0]
    assert slice_at(result, (30.0, 10.0, 5.0)) == 0
    assert next_positive(result, 0, 1) is None


def test_a_jump_to_no_slice_moves_nothing(result: SceneResult, slicer) -> None:
    red = with_views(result.scene, slicer)["Red"]
    red.SetSliceOffset(3.0)
    jump_to_slice(result, 99)
    assert red.GetSliceOffset() == 3.0


def view_middle(view) -> np.ndarray:
    return np.array([view.GetSliceToRAS().GetElement(row, 3) for row in range(3)])
