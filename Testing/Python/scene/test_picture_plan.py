from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.scene.picture_plan import coordinate, key_slices, main_plane, plan_pictures, suspicious_point


def test_the_most_probable_slice_comes_first_and_all_lie_in_the_run(head) -> None:
    chosen = [result.index for result in key_slices(head.finding, head.study)]
    assert chosen[0] == 14
    assert len(set(chosen)) == len(chosen) == 6
    assert all(11 <= index <= 17 for index in chosen)


def test_equally_probable_slices_are_told_apart_by_the_marked_area(head) -> None:
    same = tuple(replace(result, probabilities={"any": 0.9}) for result in head.finding.slices)
    assert key_slices(replace(head.finding, slices=same), head.study)[0].index == 14


def test_a_negative_study_shows_three_slices_off_its_ends(head) -> None:
    flat = tuple(replace(result, probabilities={"any": 0.1}) for result in head.finding.slices)
    verdict = replace(head.finding.verdict, label="negative")
    finding = replace(head.finding, slices=flat, verdict=verdict, positive_runs=(), masks=())
    chosen = [result.index for result in key_slices(finding, head.study)]
    assert len(chosen) == 3
    assert all(6 <= index < 18 for index in chosen[1:])


def test_an_indeterminate_study_without_a_positive_slice_shows_its_most_probable(head) -> None:
    verdict = replace(head.finding.verdict, label="indeterminate")
    finding = replace(head.finding, verdict=verdict, positive_runs=(), slice_threshold=1.1)
    assert [result.index for result in key_slices(finding, head.study)] == [14]


def test_views_go_to_the_middle_of_the_mask_on_the_most_probable_slice(head) -> None:
    point = suspicious_point(head.finding, head.study)
    # The bleed's center: x = 52, y = 105, z = 14.
    assert np.allclose(point, (63.6 - 0.8 * 52, 63.6 - 0.8 * 105, -46 + 4 * 14), atol=0.9)


def test_without_a_mask_views_go_to_the_hottest_place(head) -> None:
    point = suspicious_point(replace(head.finding, masks=()), head.study)
    assert np.allclose(point, (22.0, -20.4, 10.0), atol=1.7)


def test_without_any_evidence_views_go_to_the_middle_of_the_slice(head) -> None:
    point = suspicious_point(replace(head.finding, masks=(), heatmap=None), head.study)
    assert np.allclose(point, head.finding.slices[14].position_ras)


def test_a_crescents_point_lies_inside_it(head) -> None:
    ring = np.zeros(head.study.array.shape, np.uint8)
    ring[14, 40:120, 40:120] = 1
    ring[14, 50:110, 50:110] = 0
    finding = replace(head.finding, masks=(replace(head.finding.masks[0], array=ring),))
    point = suspicious_point(finding, head.study)
    i, j, k = np.round((np.linalg.inv(head.study.ijk_to_ras) @ [*point, 1])[:3]).astype(int)
    assert ring[k, j, i]


def test_a_stack_gets_slices_reformats_heat_map_and_chart(head) -> None:
    plans = plan_pictures(head.finding, head.study)
    assert [plan.kind for plan in plans] == ["slice"] * 6 + ["heatmap", "reformat", "reformat", "chart"]
    assert [plan.plane for plan in plans if plan.kind == "reformat"] == ["Sagittal", "Coronal"]
    shown = [plan for plan in plans if plan.kind == "slice"]
    heights = [plan.position_ras[2] for plan in shown]
    assert heights == sorted(heights)
    (highest,) = [plan for plan in shown if "the highest" in plan.caption]
    assert highest.caption == (
        "Axial slice 15 of 24, S 10.0 mm: any 1.00 (threshold 0.50), the highest; marked: Hemorrhage."
    )
    assert plans[6].position_ras == highest.position_ras
    assert plans[-1].caption.endswith("positive runs shaded: slices 12 to 18.")
    assert len({plan.file_name for plan in plans}) == len(plans)


def test_one_image_gets_mask_image_and_heat_map(radiograph) -> None:
    plans = plan_pictures(radiograph.finding, radiograph.study)
    assert [plan.kind for plan in plans] == ["mask", "image", "heatmap"]
    assert [plan.masks for plan in plans] == ["outline", "none", "none"]
    assert {plan.letters for plan in plans} == {"sides"}


def test_a_heat_map_stands_in_for_masks_that_are_not_there(head) -> None:
    plans = plan_pictures(replace(head.finding, masks=()), head.study)
    assert all(plan.heatmap for plan in plans if plan.kind in ("slice", "reformat"))
    assert "heatmap" not in {plan.kind for plan in plans}


@pytest.mark.parametrize(("columns", "plane"), [((0, 1, 2), "Axial"), ((0, 2, 1), "Coronal"), ((1, 2, 0), "Sagittal")])
def test_the_plane_of_the_slices_follows_the_grid(head, columns: tuple[int, ...], plane: str) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3)[:, columns]
    assert main_plane(replace(head.study, ijk_to_ras=matrix)) == plane


def test_a_place_is_named_by_the_side_it_lies_on() -> None:
    assert coordinate("Axial", (0, 0, -12.34)) == "I 12.3 mm"
    assert coordinate("Sagittal", (30, 0, 0)) == "R 30.0 mm"
    assert coordinate("Coronal", (0, -0.01, 0)) == "A 0.0 mm"


def test_no_length_is_shown_where_the_size_of_a_pixel_is_not_known(radiograph) -> None:
    assert all(plan.ruler for plan in plan_pictures(radiograph.finding, radiograph.study))
    unknown = replace(radiograph.study, pixel_spacing_known=False)
    assert not any(plan.ruler for plan in plan_pictures(radiograph.finding, unknown))
