import errno
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from AcuteFindingsLib.scene import offscreen, pictures
from AcuteFindingsLib.scene.matplotlib_pictures import cut, draw_with_matplotlib
from AcuteFindingsLib.scene.picture_plan import plan_pictures
from AcuteFindingsLib.scene.pictures import draw_pictures

pytestmark = pytest.mark.slow


def read(path: Path) -> np.ndarray:
    return np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(int)


def marked(picture: np.ndarray) -> np.ndarray:
    found = picture[..., 0] - np.maximum(picture[..., 1], picture[..., 2]) > 40
    found[:70] = found[-60:] = False
    return found


def test_the_fallback_draws_the_same_files_with_the_same_captions(head, tmp_path: Path) -> None:
    drawn = draw_with_matplotlib(head.finding, head.study, tmp_path)
    plans = plan_pictures(head.finding, head.study)
    assert [picture.path.name for picture in drawn] == [plan.file_name for plan in plans]
    assert [picture.caption for picture in drawn] == [plan.caption for plan in plans]
    assert all(read(picture.path).std() > 5 for picture in drawn)
    assert not list(tmp_path.glob(".*"))


def test_without_a_scene_one_line_says_why_matplotlib_draws(radiograph, tmp_path: Path) -> None:
    drawn, reason = draw_pictures(radiograph.finding, radiograph.study, None, tmp_path)
    assert len(drawn) == 3
    assert reason.startswith("Pictures drawn with matplotlib: ")
    assert "\n" not in reason


def test_without_opengl_the_reason_names_what_to_install(head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    monkeypatch.setattr(offscreen, "_working_window_class", lambda: None)
    from AcuteFindingsLib.scene.application import new_scene
    from AcuteFindingsLib.scene.nodes import show_finding

    nodes = show_finding(head.finding, head.study, scene=new_scene())
    drawn, reason = pictures.draw_pictures(head.finding, head.study, nodes, tmp_path)
    assert len(drawn) == 10
    assert "OpenGL" in reason
    assert "libegl1" in reason


def test_the_bleed_is_at_the_patients_right_back_and_above_the_middle(head, tmp_path: Path) -> None:
    drawn = {
        picture.path.name: read(picture.path) for picture in draw_with_matplotlib(head.finding, head.study, tmp_path)
    }
    rows, columns = np.argwhere(marked(drawn["04-axial-slice-0015.png"])).mean(axis=0)
    assert columns < 400 < rows
    rows, columns = np.argwhere(marked(drawn["sagittal-reformat.png"])).mean(axis=0)
    assert rows < 400 < columns
    rows, columns = np.argwhere(marked(drawn["coronal-reformat.png"])).mean(axis=0)
    assert rows < 400
    assert columns < 400


@pytest.mark.usefixtures("offscreen")
def test_both_ways_of_drawing_agree(head, tmp_path: Path) -> None:
    from AcuteFindingsLib.scene.application import new_scene
    from AcuteFindingsLib.scene.nodes import show_finding

    nodes = show_finding(head.finding, head.study, scene=new_scene())
    genuine, reason = draw_pictures(head.finding, head.study, nodes, tmp_path / "slicer")
    assert reason == ""
    (tmp_path / "matplotlib").mkdir()
    fallback = draw_with_matplotlib(head.finding, head.study, tmp_path / "matplotlib")
    for one, other in zip(genuine, fallback, strict=True):
        if one.kind in ("slice", "reformat"):
            a, b = marked(read(one.path)), marked(read(other.path))
            assert np.count_nonzero(a & b) / np.count_nonzero(a | b) > 0.85, one.path.name


def test_a_cut_is_upright_whatever_the_order_of_the_voxels() -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert np.array_equal(cut(array, lps, "Axial", (0, 0, 1)).image, array[1])
    assert np.array_equal(cut(array, np.eye(4), "Axial", (0, 0, 1)).image, array[1, ::-1, ::-1])
    assert np.array_equal(cut(array, lps, "Coronal", (0, -2, 0)).image, array[::-1, 2, :])
    assert np.array_equal(cut(array, lps, "Sagittal", (-3, 0, 0)).image, array[::-1, :, 3])


def test_a_cut_spans_whole_voxels() -> None:
    grid = np.diag([-2.0, -3.0, 4.0, 1.0])
    assert cut(np.zeros((5, 6, 7)), grid, "Axial", (0, 0, 0)).extent == (-1.0, 13.0, -16.5, 1.5)


def test_a_picture_that_cannot_be_written_is_an_error(head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(OSError, match="No space"):
        draw_with_matplotlib(head.finding, head.study, tmp_path)
    assert list(tmp_path.iterdir()) == []
