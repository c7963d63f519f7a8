from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.scene.matplotlib_pictures import _LETTERS
from AcuteFindingsLib.scene.overlay_text import legend_of, letters_at_edges, wanted_letters, window_line
from AcuteFindingsLib.scene.picture_plan import plan_pictures

RIGHT, FRONT, HEAD = np.eye(3)


@pytest.mark.parametrize(
    ("plane", "across", "up"), [("Axial", -RIGHT, FRONT), ("Coronal", -RIGHT, HEAD), ("Sagittal", -FRONT, HEAD)]
)
def test_letters_name_the_patients_side_at_each_edge(plane: str, across: np.ndarray, up: np.ndarray) -> None:
    letters = letters_at_edges(across, up)
    assert letters == _LETTERS[plane]
    assert letters["left"] == {"Axial": "R", "Coronal": "R", "Sagittal": "A"}[plane]


def test_an_oblique_picture_is_named_by_its_nearest_sides() -> None:
    tilt = np.radians(20)
    up = FRONT * np.cos(tilt) + HEAD * np.sin(tilt)
    assert letters_at_edges(-RIGHT, up)["top"] == "A"


def test_a_radiograph_names_right_and_left_alone(radiograph) -> None:
    plan = plan_pictures(radiograph.finding, radiograph.study)[0]
    assert wanted_letters(plan, letters_at_edges(-RIGHT, FRONT)) == {"left": "R", "right": "L"}


def test_the_legend_names_what_lies_over_the_picture(head) -> None:
    slices, *_ = plans = plan_pictures(head.finding, head.study)
    heat = next(plan for plan in plans if plan.kind == "heatmap")
    assert [name for name, _ in legend_of(slices, head.finding)] == ["Hemorrhage"]
    assert [name for name, _ in legend_of(heat, head.finding)] == ["attention"]


def test_the_window_is_named_for_hu_only(head, radiograph) -> None:
    assert window_line(head.finding) == "W 80 L 40"
    assert window_line(radiograph.finding) == ""
    assert window_line(replace(head.finding, display_window=(100.0, 700.0))) == "W 700 L 100"
