"""From a probability volume to a finding: what is drawn, what counts, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.hemorrhage.kind import KIND as HEMORRHAGE
from AcuteFindingsLib.detectors.pe.kind import KIND
from AcuteFindingsLib.detectors.volume_finding import MOST_PARTS, volume_finding, volume_text
from AcuteFindingsLib.detectors.volume_rule import VolumeRule, connected_parts, volume_score
from AcuteFindingsLib.errors import DetectionError, ModelError
from AcuteFindingsLib.study.study import SourceSlice, Study

SHAPE = (12, 24, 20)
MM3 = 1.5 * 0.8 * 0.8


def study_of(shape: tuple[int, int, int] = SHAPE, *, up: bool = True) -> Study:
    """A CT of 0.8 mm pixels and 1.5 mm slices, from the feet up or from the head down."""
    matrix = np.diag([-0.8, -0.8, 1.5 if up else -1.5, 1.0])
    places = [(0.0, 0.0, float(matrix[2, 2] * k)) for k in range(shape[0])]
    sources = tuple(SourceSlice(k, None, 0, f"1.2.{k}", place, k) for k, place in enumerate(places))
    return Study(np.zeros(shape, np.float32), matrix, "CT", "HU", "axial", sources)


@pytest.fixture
def find(scripted, card):
    def run(probability: np.ndarray, *, study: Study | None = None, threshold: float = 0.5, **rule: float):
        made = card("pe", labels=["pe"], points=[("mask", "pe", threshold)], rule=rule)
        return volume_finding(study or study_of(), probability, kind=KIND, model=scripted(made, {}))

    return run


def drawn(*boxes: tuple[slice, slice, slice, float]) -> np.ndarray:
    probability = np.full(SHAPE, 0.1, np.float32)
    for z, y, x, value in boxes:
        probability[z, y, x] = value
    return probability


LARGE = (slice(2, 5), slice(4, 8), slice(4, 8), 0.9)
SMALL = (slice(8, 9), slice(12, 14), slice(12, 14), 0.7)


def measured(finding) -> dict[str, float]:
    return {item.name: item.value for item in finding.measurements}


def test_a_large_part_makes_the_study_positive_and_is_told_in_cubic_millimeters(find) -> None:
    finding = find(drawn(LARGE, SMALL))
    assert finding.verdict.label == "positive"
    assert finding.verdict.probability == pytest.approx(0.9)
    assert finding.verdict.explanation == (
        "2 clots of 49.9 mm³ together are drawn, the largest of 46.1 mm³, the highest peak 0.90; "
        "1 of them is below the rule's limits."
    )
    values = measured(finding)
    assert values["Volume of clot 1"] == pytest.approx(48 * MM3)
    assert values["Volume of clot 2"] == pytest.approx(4 * MM3)
    assert values["Volume of all clots"] == pytest.approx(52 * MM3)
    assert values["Peak probability of clot 2"] == pytest.approx(0.7)
    assert values["Number of clots"] == 2
    assert {item.unit for item in finding.measurements if "Volume" in item.name} == {"mm3"}


def test_the_mask_holds_all_that_is_drawn_with_the_terminology_of_embolism(find) -> None:
    probability = drawn(LARGE, SMALL)
    (mask,) = find(probability).masks
    assert np.array_equal(mask.array, probability >= 0.5)
    assert mask.array.dtype == np.uint8
    assert (mask.type.value, mask.anatomy.value) == ("59282003", "81040000")


def test_what_is_drawn_but_below_the_limits_is_indeterminate_and_shown(find) -> None:
    finding = find(drawn(SMALL))
    assert finding.verdict.label == "indeterminate"
    assert finding.verdict.probability < finding.verdict.threshold
    assert finding.verdict.explanation == (
        "1 clot of 3.8 mm³ is drawn, its peak 0.70: below the rule's limits, so look at what is drawn."
    )
    assert finding.masks[0].voxels == 4
    assert find(drawn(LARGE), minimum_peak=0.95).verdict.label == "indeterminate"
    assert find(drawn(SMALL), minimum_mm3=3.0).verdict.label == "positive"


def test_a_study_in_which_nothing_is_drawn_is_negative_and_its_probability_has_an_order(find) -> None:
    nothing = find(np.zeros(SHAPE, np.float32))
    assert (nothing.verdict.label, nothing.verdict.probability) == ("negative", 0.0)
    assert nothing.masks[0].voxels == 0
    assert nothing.positive_runs == ()
    faint, fainter = (find(drawn((*LARGE[:3], value))).verdict for value in (0.4, 0.3))
    assert (faint.label, fainter.label) == ("negative", "negative")
    assert faint.probability == pytest.approx(0.4, abs=0.01)
    assert 0.25 < fainter.probability < faint.probability


def test_a_rule_that_asks_for_less_than_is_drawn_asks_for_what_is_drawn(find) -> None:
    verdict = find(drawn((*LARGE[:3], 0.4)), minimum_peak=0.2).verdict
    assert (verdict.label, verdict.threshold) == ("negative", 0.5)
    assert verdict.probability < verdict.threshold


@pytest.mark.parametrize("seed", range(6))
def test_the_probability_reaches_the_threshold_exactly_where_the_rule_holds(find, seed: int) -> None:
    random = np.random.default_rng(seed)
    coarse = random.random((6, 12, 10)).repeat(2, 0).repeat(2, 1).repeat(2, 2) ** (2 + 3 * seed)
    for settings in ({}, {"minimum_mm3": 200.0}, {"minimum_peak": 0.9}, {"minimum_peak": 0.2}):
        verdict = find(coarse, **settings).verdict
        assert (verdict.probability >= verdict.threshold) == (verdict.label == "positive")


def test_a_slice_is_positive_exactly_where_something_is_drawn_in_it(find) -> None:
    finding = find(drawn(LARGE, SMALL))
    assert finding.positive_runs == ((2, 4), (8, 8))
    assert [item.probabilities["pe"] for item in finding.slices][:4] == pytest.approx([0.1, 0.1, 0.9, 0.9])
    assert [item.sop_instance_uid for item in finding.slices] == [f"1.2.{k}" for k in range(12)]


def test_what_is_drawn_between_slices_counts_for_the_nearest(find) -> None:
    every_third = tuple(replace(s, index=n) for n, s in enumerate(study_of().sources[::3]))
    finding = find(drawn(SMALL), study=replace(study_of(), sources=every_third))
    assert [item.k for item in finding.slices] == [0, 3, 6, 9]
    assert finding.positive_runs == ((3, 3),)
    crowded = tuple(replace(s, k=s.k / 2 + 3) for s in study_of().sources)
    finding = find(drawn(LARGE), study=replace(study_of(), sources=crowded))
    assert finding.positive_runs == ((0, 3),)


def test_slices_stored_from_the_head_down_get_their_own_probabilities(find) -> None:
    up, down = find(drawn(LARGE)), find(drawn(LARGE), study=study_of(up=False))
    assert [item.probabilities for item in up.slices] == [item.probabilities for item in down.slices]
    assert down.positive_runs == ((2, 4),)
    assert np.array_equal(up.masks[0].array, down.masks[0].array)


def test_of_very_many_parts_the_largest_are_told_one_by_one_and_all_are_counted(find) -> None:
    probability = np.zeros(SHAPE, np.float32)
    probability[::2, ::2, ::2] = 0.8
    values = measured(find(probability))
    assert values["Number of clots"] == 6 * 12 * 10
    assert f"Volume of clot {MOST_PARTS}" in values
    assert f"Volume of clot {MOST_PARTS + 1}" not in values


@pytest.mark.parametrize(("mm3", "told"), [(13.84, "13.8 mm³"), (640.4, "640 mm³"), (12_430.0, "12.4 mL")])
def test_volumes_are_told_as_exactly_as_people_need(mm3: float, told: str) -> None:
    assert volume_text(mm3) == told


def test_parts_that_touch_by_a_corner_are_one() -> None:
    probability = np.zeros(SHAPE)
    probability[3, 3, 3] = probability[4, 4, 4] = 0.6
    probability[8, 1:3, 1] = 0.9
    parts = connected_parts(probability, threshold=0.5, voxel_mm3=2.0)
    assert [part.volume_mm3 for part in parts.found] == [4.0, 4.0]
    assert np.array_equal(parts.mask(SHAPE), probability >= 0.5)
    for part in parts.found:
        alone = np.zeros(SHAPE, bool)
        alone[part.box] = parts.within(part)
        assert alone.sum() == 2
        assert probability[alone].max() == part.peak


def test_the_score_asks_for_connected_volume_not_for_voxels_anywhere() -> None:
    scattered = np.zeros(SHAPE)
    scattered[::2, ::2, ::2] = 0.45
    rule = VolumeRule(minimum_mm3=4.0)
    assert volume_score(scattered, [], rule, voxel_mm3=1.0) == 0.0
    scattered[0:1, 0:1, 0:4] = 0.3
    assert volume_score(scattered, [], rule, voxel_mm3=1.0) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.5, 1.5])
def test_numbers_that_are_no_probabilities_are_refused(find, wrong: float) -> None:
    probability = np.full(SHAPE, wrong, np.float32)
    with pytest.raises(ModelError, match="no probabilities"):
        find(probability)


def test_a_volume_of_another_shape_is_refused(find) -> None:
    with pytest.raises(ModelError, match="voxels"):
        find(np.zeros((3, 4, 5), np.float32))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"intensity": "windowed"}, "no Hounsfield units"),
        ({"pixel_spacing_known": False}, "size of a pixel"),
        ({"array": np.zeros((1, 24, 20), np.float32)}, "one slice"),
    ],
)
def test_a_study_whose_volumes_cannot_be_told_is_refused(find, change: dict, told: str) -> None:
    with pytest.raises(DetectionError, match=told):
        find(np.zeros(SHAPE, np.float32), study=replace(study_of(), **change))


def test_more_clot_than_the_vessels_of_the_lungs_hold_is_warned_of(find) -> None:
    study = replace(study_of(), ijk_to_ras=np.diag([-8.0, -8.0, 15.0, 1.0]))
    everything = find(np.full(SHAPE, 0.9, np.float32), study=study)
    assert [notice.code for notice in everything.warnings] == ["more-clot-than-vessels"]
    assert "holds 5529.6 mL" in everything.warnings[0].text
    assert find(drawn(LARGE), study=study).warnings == ()


def test_bleeds_are_told_in_milliliters_with_their_density(scripted, card) -> None:
    study = study_of()
    probability = drawn((slice(2, 7), slice(4, 12), slice(4, 12), 0.8), SMALL)
    # An L: its box holds what does not bleed.
    probability[2:7, 8:12, 8:12] = 0.1
    bleeds = probability == np.float32(0.8)
    study.array[bleeds] = 60.0
    made = card("hemorrhage", labels=["any"], points=[("mask", "any", 0.5)])
    finding = volume_finding(study, probability, kind=HEMORRHAGE, model=scripted(made, {}))
    assert finding.verdict.label == "positive"
    assert "bleed of 100 mm³ or more" in finding.verdict.rule
    values = measured(finding)
    assert values["Hemorrhage volume"] == pytest.approx(244 * MM3 / 1000)
    assert values["Volume of outline 1"] == pytest.approx(240 * MM3 / 1000)
    assert (values["Mean density of outline 1"], values["Mean density of outline 2"]) == (60.0, 0.0)
    study.array[bleeds] = 400.0
    dense = volume_finding(study, probability, kind=HEMORRHAGE, model=scripted(made, {}))
    assert "denser-than-blood" in {notice.code for notice in dense.warnings}
