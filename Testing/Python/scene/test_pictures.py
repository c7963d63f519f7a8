import errno
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.nodes import show_finding
from AcuteFindingsLib.scene.picture_plan import plan_pictures
from AcuteFindingsLib.scene.pictures import draw_pictures
from AcuteFindingsLib.scene.slice_picture import SIZE, open_slice_view, write_png

pytestmark = pytest.mark.usefixtures("offscreen")

TEXT_ROWS = slice(70, SIZE - 60)
"""Between what is written at the top and at the bottom."""


def read(path: Path) -> np.ndarray:
    """``(row, column, 3)`` in 0..255."""
    return np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(int)


def reddish(picture: np.ndarray) -> np.ndarray:
    """Where a pure red mask was painted, filled or outlined."""
    return picture[..., 0] - np.maximum(picture[..., 1], picture[..., 2]) > 40


@pytest.fixture(scope="module")
def drawn(head, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    nodes = show_finding(head.finding, head.study, scene=new_scene())
    pictures, reason = draw_pictures(head.finding, head.study, nodes, tmp_path_factory.mktemp("pictures"))
    assert reason == ""
    return {picture.path.name: read(picture.path) for picture in pictures}


@pytest.mark.slow
def test_every_planned_picture_is_drawn(drawn: dict[str, np.ndarray], head) -> None:
    assert list(drawn) == [plan.file_name for plan in plan_pictures(head.finding, head.study)]
    for name, picture in drawn.items():
        if name != "chart.png":
            assert picture.shape == (SIZE, SIZE, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["04-axial-slice-0015.png", "sagittal-reformat.png", "coronal-reformat.png"])
def test_the_masks_color_is_where_the_mask_projects_and_nowhere_else(
    drawn: dict[str, np.ndarray], head, tmp_path: Path, name: str
) -> None:
    plan = next(plan for plan in plan_pictures(head.finding, head.study) if plan.file_name == name)
    normal = {"Axial": 2, "Sagittal": 0, "Coronal": 1}[plan.plane]
    ijk = (np.linalg.inv(head.study.ijk_to_ras) @ [*plan.position_ras, 1.0])[:3]
    cut = np.take(head.finding.masks[0].array, round(ijk[normal]), axis=2 - normal)
    expected = np.zeros((SIZE, SIZE), bool)
    nodes = show_finding(head.finding, head.study, scene=new_scene())
    with open_slice_view(nodes) as view:
        write_png(view.draw(plan, head.finding), tmp_path / "again.png")
        for place in np.argwhere(cut):
            corner = np.insert(place[::-1].astype(float), normal, ijk[normal])
            pixels = []
            for shift in (-0.5, 0.5):
                moved = corner + shift
                moved[normal] = ijk[normal]
                pixels.append(view.pixel_of(tuple((head.study.ijk_to_ras @ [*moved, 1.0])[:3])))
            (x0, y0), (x1, y1) = np.min(pixels, axis=0), np.max(pixels, axis=0)
            expected[round(y0) : round(y1) + 1, round(x0) : round(x1) + 1] = True
    found = reddish(drawn[name])
    found[:70] = found[-60:] = False
    overlap = np.count_nonzero(found & expected) / np.count_nonzero(found | expected)
    assert overlap > 0.93, f"the painted and the projected mask overlap by {overlap:.2f}"


def test_the_patients_right_is_at_the_pictures_left(drawn: dict[str, np.ndarray]) -> None:
    for name in ("04-axial-slice-0015.png", "coronal-reformat.png"):
        columns = np.flatnonzero(reddish(drawn[name])[TEXT_ROWS].any(axis=0))
        assert columns.max() < SIZE / 2, name


def test_the_patients_back_is_at_the_bottom_of_axial_and_right_of_sagittal_pictures(
    drawn: dict[str, np.ndarray],
) -> None:
    axial = reddish(drawn["04-axial-slice-0015.png"])
    axial[:70] = axial[-60:] = False
    assert np.flatnonzero(axial.any(axis=1)).min() > SIZE / 2 - 20
    sagittal = reddish(drawn["sagittal-reformat.png"])[TEXT_ROWS]
    assert np.flatnonzero(sagittal.any(axis=0)).min() > SIZE / 2


def test_the_head_is_up_in_reformats(drawn: dict[str, np.ndarray]) -> None:
    # The bleed's center lies 12 mm above the middle of the stack.
    for name in ("sagittal-reformat.png", "coronal-reformat.png"):
        found = reddish(drawn[name])
        found[:70] = found[-60:] = False
        assert np.argwhere(found)[:, 0].mean() < SIZE / 2 - 20, name


def test_anisotropic_voxels_keep_their_shape(drawn: dict[str, np.ndarray]) -> None:
    """The bleed is a sphere of 15 mm: as wide as high, within a slice of 4 mm."""
    found = reddish(drawn["sagittal-reformat.png"])
    found[:70] = found[-60:] = False
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(1.0, abs=0.15)


def test_the_window_is_the_findings(drawn: dict[str, np.ndarray]) -> None:
    # 34 HU in level 40, width 80 is gray 34 / 80.
    picture = drawn["04-axial-slice-0015.png"]
    brain = picture[SIZE // 2 - 60 : SIZE // 2 - 20, SIZE // 2 : SIZE // 2 + 100]
    assert np.all(np.abs(brain - 255 * 34 / 80) < 6)


def test_every_slice_picture_says_research_use_only(drawn: dict[str, np.ndarray]) -> None:
    for name, picture in drawn.items():
        if name != "chart.png":
            assert picture[-45:, :260].max() > 200, name


def test_the_chart_has_the_run_shaded_and_every_line(drawn: dict[str, np.ndarray]) -> None:
    chart = drawn["chart.png"]
    shaded = np.all(np.abs(chart - np.array([255, 230, 178])) < 6, axis=-1)
    columns = np.flatnonzero(shaded.sum(axis=0) > 200)
    # Slices 12 to 18 of 24.
    left, right = 60, 965
    assert np.ptp(columns) / (right - left) == pytest.approx(7 / 24, abs=0.03)
    for color in ((0, 115, 178), (0, 158, 115), (214, 94, 0)):
        assert np.count_nonzero(np.all(np.abs(chart - np.array(color)) < 30, axis=-1)) > 100, color


@pytest.mark.slow
def test_a_radiograph_is_upright_with_its_mask_outlined(radiograph, tmp_path: Path) -> None:
    nodes = show_finding(radiograph.finding, radiograph.study, scene=new_scene())
    pictures, _ = draw_pictures(radiograph.finding, radiograph.study, nodes, tmp_path)
    by_kind = {picture.kind: read(picture.path) for picture in pictures}
    image = by_kind["image"][TEXT_ROWS]
    middle = image.shape[0] // 2
    assert image[middle, SIZE * 3 // 8].mean() < 90 < 160 < image[middle, SIZE * 5 // 8].mean()
    assert not reddish(image).any()
    outline = reddish(by_kind["mask"])
    outline[:70] = outline[-60:] = False
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    assert rows.max() < SIZE / 2
    assert columns.max() < SIZE / 2
    assert not outline[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]


@pytest.mark.slow
@pytest.mark.parametrize("flip", [(0,), (1,), (2,), (0, 1, 2)])
def test_the_order_in_which_voxels_are_stored_does_not_show(
    head, drawn: dict[str, np.ndarray], tmp_path: Path, flip: tuple[int, ...]
) -> None:
    """The same patient, stored from the other end along some axes."""
    shape = head.study.array.shape
    turn = np.eye(4)
    for axis in flip:
        turn[2 - axis, 2 - axis] = -1
        turn[2 - axis, 3] = shape[axis] - 1
    matrix = head.study.ijk_to_ras @ turn
    mask = replace(head.finding.masks[0], array=np.flip(head.finding.masks[0].array, flip))
    slices = tuple(replace(s, k=shape[0] - 1 - s.k) if 0 in flip else s for s in head.finding.slices)
    finding = replace(head.finding, ijk_to_ras=matrix, masks=(mask,), slices=slices)
    study = replace(head.study, array=np.flip(head.study.array, flip), ijk_to_ras=matrix)
    nodes = show_finding(finding, study, scene=new_scene())
    pictures, _ = draw_pictures(finding, study, nodes, tmp_path)
    for picture in pictures[:1]:
        difference = np.abs(read(picture.path) - drawn[picture.path.name])
        assert np.count_nonzero(difference.max(axis=-1) > 40) < 0.01 * SIZE * SIZE


@pytest.mark.slow
def test_a_coronal_series_is_drawn_upright_in_its_own_plane(head, tmp_path: Path) -> None:
    """The same head, cut from front to back: rows go down the patient."""

    def turned(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.transpose(1, 0, 2)[:, ::-1])

    array = turned(head.study.array)
    mask = replace(head.finding.masks[0], array=turned(head.finding.masks[0].array))
    matrix = np.array([[-0.8, 0, 0, 63.6], [0, 0, -0.8, 63.6], [0, -4, 0, 46.0], [0, 0, 0, 1.0]])
    slices = tuple(
        replace(
            head.finding.slices[0],
            index=k,
            k=float(k),
            position_ras=(0.0, 63.6 - 0.8 * k, 0.0),
            probabilities={"any": 1.0 if k == 105 else 0.1},
        )
        for k in range(array.shape[0])
    )
    finding = replace(head.finding, slices=slices, positive_runs=((105, 105),), masks=(mask,), ijk_to_ras=matrix)
    study = replace(head.study, array=array, ijk_to_ras=matrix, orientation="coronal")
    nodes = show_finding(finding, study, scene=new_scene())
    pictures, _ = draw_pictures(finding, study, nodes, tmp_path)
    assert pictures[0].path.name == "01-coronal-slice-0106.png"
    found = reddish(read(pictures[0].path))
    found[:70] = found[-60:] = False
    rows, columns = np.argwhere(found).mean(axis=0)
    assert columns < SIZE / 2
    assert rows < SIZE / 2


@pytest.mark.slow
def test_drawing_leaves_the_scene_as_it_was(head, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nodes = show_finding(head.finding, head.study, scene=new_scene())
    display = nodes.segmentation.GetDisplayNode()
    before = [nodes.scene.GetNthNode(index).GetID() for index in range(nodes.scene.GetNumberOfNodes())]
    draw_pictures(head.finding, head.study, nodes, tmp_path)
    after = [nodes.scene.GetNthNode(index).GetID() for index in range(nodes.scene.GetNumberOfNodes())]
    assert after == before
    assert display.GetVisibility()
    assert display.GetVisibility2DFill()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_picture_that_cannot_be_written_is_an_error(head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("AcuteFindingsLib.scene.slice_picture.write_png", full)
    nodes = show_finding(head.finding, head.study, scene=new_scene())
    with pytest.raises(OSError, match="No space"):
        draw_pictures(head.finding, head.study, nodes, tmp_path)
    assert list(tmp_path.iterdir()) == []
