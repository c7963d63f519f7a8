import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.segment_voxels import (
    Box,
    on_volume,
    overlap,
    same_grid,
    same_mask,
    segment_box,
    volume_array,
    volume_ijk_to_ras,
)


def full(box: Box, volume) -> np.ndarray:
    """A mask on the whole grid of a volume."""
    array = np.zeros(volume_array(volume).shape, np.uint8)
    (z, y, x), (back, bottom, right) = box.first, box.end
    array[z:back, y:bottom, x:right] = box.array
    return array


def box(*corner: int, size: tuple[int, int, int] = (2, 3, 4), grid: np.ndarray | None = None) -> Box:
    return Box(np.ones(size, np.uint8), corner, np.eye(4) if grid is None else grid)


def test_a_segment_is_read_as_the_mask_it_was_made_of(head) -> None:
    scene = new_scene()
    nodes = show_finding(head.finding, head.study, scene=scene)
    found = segment_box(nodes.segmentation, nodes.segmentation.GetSegmentation().GetNthSegmentID(0))
    mask = head.finding.masks[0].array
    k, j, i = np.nonzero(mask)
    assert found.first == (k.min(), j.min(), i.min())
    assert np.array_equal(full(on_volume(found, nodes.volume), nodes.volume), mask)
    assert same_grid(found.ijk_to_ras, head.study.ijk_to_ras)


def test_a_volumes_voxels_are_its_own(head) -> None:
    scene = new_scene()
    nodes = show_finding(head.finding, head.study, scene=scene)
    volume_array(nodes.volume)[3, 4, 5] = 777
    assert nodes.volume.GetImageData().GetScalarComponentAsDouble(5, 4, 3, 0) == 777
    assert np.allclose(volume_ijk_to_ras(nodes.volume), head.study.ijk_to_ras)


def test_a_mask_is_the_same_whatever_the_box_around_it() -> None:
    padded = Box(np.pad(np.ones((2, 3, 4), np.uint8), 2), (3, 4, 5), np.eye(4))
    assert same_mask(padded, box(5, 6, 7))
    assert not same_mask(padded, box(5, 6, 8))
    assert not same_mask(box(5, 6, 7), box(5, 6, 7, size=(2, 3, 5)))


def test_empty_masks_are_the_same() -> None:
    empty = Box(np.zeros((2, 2, 2), np.uint8), (1, 1, 1), np.eye(4))
    assert same_mask(empty, Box(np.zeros((0, 0, 0), np.uint8), (0, 0, 0), np.diag([2.0, 2, 2, 1])))
    assert not same_mask(empty, box(1, 1, 1))


def test_the_same_voxels_elsewhere_are_another_mask() -> None:
    moved = np.eye(4)
    moved[0, 3] = 1.0
    assert not same_mask(box(0, 0, 0), box(0, 0, 0, grid=moved))
    rounded = np.eye(4) + 1e-7
    assert same_mask(box(0, 0, 0), box(0, 0, 0, grid=rounded))


def test_what_reaches_beyond_the_volume_is_cut_off(head) -> None:
    scene = new_scene()
    volume = show_finding(head.finding, head.study, scene=scene).volume
    outside = Box(np.ones((10, 10, 10), np.uint8), (-5, 155, 3), np.asarray(head.study.ijk_to_ras))
    cut = on_volume(outside, volume)
    expected = np.zeros(head.study.array.shape, np.uint8)
    expected[0:5, 155:160, 3:13] = 1
    assert np.array_equal(full(cut, volume), expected)
    away = Box(np.ones((2, 2, 2), np.uint8), (900, 0, 0), np.asarray(head.study.ijk_to_ras))
    assert not on_volume(away, volume).array.size


def test_a_mask_on_another_grid_is_laid_onto_the_volumes(head) -> None:
    """Against the voxel's place by the matrices: a grid half as fine, and turned in the plane."""
    scene = new_scene()
    volume = show_finding(head.finding, head.study, scene=scene).volume
    coarse = np.asarray(head.study.ijk_to_ras) @ np.array(
        [[0, 2.0, 0, 0.5], [-2.0, 0, 0, 158.5], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    generator = np.random.default_rng(1)
    mask = Box((generator.random((4, 20, 20)) > 0.5).astype(np.uint8), (10, 30, 30), coarse)
    laid = full(on_volume(mask, volume), volume)
    inverse = np.linalg.inv(coarse) @ head.study.ijk_to_ras
    for _ in range(400):
        i, j, k = generator.integers((55, 55, 8), (115, 115, 16))
        x, y, z, _ = np.round(inverse @ [i, j, k, 1.0]).astype(int)
        inside = 30 <= x < 50 and 30 <= y < 50 and 10 <= z < 14
        expected = mask.array[z - 10, y - 30, x - 30] if inside else 0
        assert laid[k, j, i] == expected


def test_a_segment_without_a_voxel_is_empty(head, slicer) -> None:
    scene = new_scene()
    nodes = show_finding(head.finding, head.study, scene=scene)
    segment_id = nodes.segmentation.GetSegmentation().AddEmptySegment("", "Nothing")
    assert not segment_box(nodes.segmentation, segment_id).array.size
    assert not on_volume(segment_box(nodes.segmentation, segment_id), nodes.volume).array.size


def test_the_overlap_of_two_boxes_is_that_of_their_masks() -> None:
    generator = np.random.default_rng(2)
    for _ in range(50):
        grids = np.zeros((2, 12, 12, 12), np.uint8)
        boxes = []
        for grid in grids:
            low, size = generator.integers(0, 8, 3), generator.integers(1, 5, 3)
            part = (generator.random(size) > 0.4).astype(np.uint8)
            z, y, x = (slice(a, a + b) for a, b in zip(low, size, strict=True))
            grid[z, y, x] = part
            boxes.append(Box(part, tuple(low.tolist()), np.eye(4)))
        assert overlap(*boxes) == np.count_nonzero(grids[0] & grids[1])
