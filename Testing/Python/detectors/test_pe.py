from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.pe import scorer
from AcuteFindingsLib.detectors.pe.detector import PEDetector
from AcuteFindingsLib.detectors.pe.scorer import PESettings, chest_slices
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import CancelledError
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.study.study import SourceSlice, Study

EXAM = ["pe_present", "left", "right"]


@pytest.fixture(scope="module")
def study() -> Study:
    return phantom_study(make_phantom("ctpa", 5, positive=False, matrix=96, slice_spacing=6.0))


def stack_of(study: Study, count: int, step_mm: float) -> Study:
    """The study's middle plane repeated: as many slices as wanted, `step_mm` apart."""
    plane = study.array[len(study.array) // 2]
    matrix = study.ijk_to_ras.copy()
    matrix[2, 2] = step_mm
    return replace(
        study,
        array=np.broadcast_to(plane, (count, *plane.shape)),
        ijk_to_ras=matrix,
        sources=tuple(SourceSlice(k, None, 0, f"1.2.{k}", (0.0, 0.0, k * step_mm), float(k)) for k in range(count)),
    )


@pytest.fixture
def detector(scripted, card, as_logits):
    def make(flags: np.ndarray, stack: float = 0.9, **settings) -> PEDetector:
        """The network calls the 3 mm slices `flags` positive and gives a window `stack` where it holds one."""
        place = {"at": 0}

        def encode(batch: np.ndarray) -> dict[str, np.ndarray]:
            part = flags[place["at"] : place["at"] + len(batch)]
            place["at"] += len(batch)
            return {"encoding": np.stack([np.ones(len(part)), part], axis=1).astype(np.float32), "slice": part[:, None]}

        def sequence(batch: np.ndarray) -> dict[str, np.ndarray]:
            place["at"] = 0
            slices = batch[:, :, 1] > 0.5
            value = np.where(slices.any(axis=1), stack, 1 - stack)
            return {
                "slice": as_logits(slices),
                "stack": np.log(value / (1 - value))[:, None],
                "exam": np.tile(value[:, None], (1, len(EXAM))),
            }

        points = [("study", "pe", 0.5), ("slice", "pe", 0.5)]
        made = card("pe", labels=["pe", *EXAM], points=points, preprocessing={"size": 64, "mask": False, **settings})
        return PEDetector(scripted(made, {"encode": encode, "sequence": sequence}))

    return make


@pytest.mark.slow
@pytest.mark.parametrize(("count", "step"), [(275, 1.0), (40, 3.0), (20, 6.0), (130, 3.0), (1, 3.0)])
def test_every_source_slice_of_any_series_gets_a_probability(detector, study: Study, count: int, step: float) -> None:
    series = stack_of(study, count, step)
    new = len(chest_slices(series, PESettings(size=64, mask=False)).plan)
    finding = detector(np.zeros(new)).run(series)
    assert [item.sop_instance_uid for item in finding.slices] == [f"1.2.{k}" for k in range(count)]


@pytest.mark.slow
def test_probability_of_a_three_millimeter_slice_reaches_the_source_slices_it_was_made_of(
    detector, study: Study
) -> None:
    series = stack_of(study, 90, 1.0)
    flags = np.zeros(30)
    flags[10] = 1
    finding = detector(flags).run(series)
    assert finding.positive_runs == ((30, 32),)


def test_slices_past_the_first_window_are_not_dropped(detector, study: Study) -> None:
    series = stack_of(study, 150, 3.0)
    flags = np.zeros(150)
    flags[145:148] = 1
    finding = detector(flags).run(series)
    assert finding.verdict.label == "positive"
    assert finding.positive_runs == ((145, 147),)


@pytest.mark.parametrize(
    ("positive", "stack", "label"),
    [(4, 0.9, "positive"), (4, 0.3, "indeterminate"), (0, 0.2, "indeterminate"), (0, 0.9, "negative")],
)
def test_stack_and_slices_decide_together(detector, study: Study, positive: int, stack: float, label: str) -> None:
    series = stack_of(study, 40, 3.0)
    flags = np.zeros(40)
    flags[5 : 5 + positive] = 1
    assert detector(flags, stack).run(series).verdict.label == label


def test_heat_map_covers_positive_slices_only_and_lies_on_the_patient(detector, study: Study) -> None:
    flags = np.zeros(40)
    flags[7:9] = 1
    finding = detector(flags).run(stack_of(study, 40, 3.0))
    assert finding.heatmap is not None
    assert set(np.flatnonzero(finding.heatmap.array.any(axis=(1, 2)))) <= {7, 8}
    corner = finding.heatmap.ijk_to_ras @ (-0.5, -0.5, 7, 1)
    ny, nx = study.array.shape[1:]
    expected = stack_of(study, 40, 3.0).ijk_to_ras @ (-0.5, -0.5, 7, 1)
    np.testing.assert_allclose(corner, expected, atol=1e-6)
    far = finding.heatmap.ijk_to_ras @ (63.5, 63.5, 7, 1)
    np.testing.assert_allclose(far, stack_of(study, 40, 3.0).ijk_to_ras @ (nx - 0.5, ny - 0.5, 7, 1), atol=1e-6)


def test_pictures_are_shown_in_the_window_of_emboli_whatever_the_network_reads(detector, study: Study) -> None:
    finding = detector(np.zeros(10), window_level=-200, window_width=1300).run(stack_of(study, 10, 3.0))
    assert finding.display_window == (100.0, 700.0)


@pytest.mark.slow
def test_masked_picture_is_black_outside_lungs_and_heart(study: Study) -> None:
    whole = chest_slices(study, PESettings(size=96))
    images = whole[:]
    middle = len(images) // 2
    assert images[middle, 0, 2, 2] == -1
    assert images[middle, 0].max() > 0
    assert whole.masks is not None
    assert 0.1 < whole.masks[middle].mean() < 0.7


@pytest.mark.slow
def test_crop_keeps_the_whole_mask_and_the_heat_maps_place(study: Study) -> None:
    cropped = chest_slices(study, PESettings(size=96, crop=True))
    top, left, height, width = cropped.box
    assert cropped.masks is not None
    outside = cropped.masks.copy()
    outside[:, top : top + height, left : left + width] = False
    assert not outside.any()
    np.testing.assert_allclose(
        cropped.ijk_to_ras @ (-0.5, -0.5, 0, 1),
        cropped.axial.ijk_to_ras @ (left - 0.5, top - 0.5, cropped.plan.positions[0], 1),
    )


def test_run_stops_within_one_batch_of_being_asked(detector, study: Study) -> None:
    made = detector(np.zeros(40))
    with pytest.raises(CancelledError):
        made.run(stack_of(study, 40, 3.0), cancelled=lambda: len(made.predictor.seen) >= 1)
    assert len(made.predictor.seen) == 1


@pytest.mark.parametrize("reach", [1, 2])
def test_adjacent_slices_are_the_channels_whatever_the_batch(study: Study, reach: int) -> None:
    prepared = chest_slices(study, PESettings(size=64, mask=False, channels=2 * reach + 1, adjacent=True))
    alone = chest_slices(study, PESettings(size=64, mask=False))
    count = len(prepared.plan)
    single = alone[:][:, 0]
    whole = prepared[:]
    np.testing.assert_array_equal(whole[:, reach], single)
    np.testing.assert_array_equal(whole[reach:, 0], single[:-reach])
    np.testing.assert_array_equal(whole[:-reach, -1], single[reach:])
    np.testing.assert_array_equal(whole[[0, -1], [0, -1]], single[[0, -1]])
    parts = [prepared[z : z + 7] for z in range(0, count, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    for z in (count - 4, count - 2, count - 3, 0, 2, 1):
        np.testing.assert_array_equal(prepared[z : z + 1], whole[z : z + 1])


def test_slices_that_two_batches_show_are_prepared_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    counting = lambda hu, *_, size, **__: made.append(len(hu)) or hu[:, :size, :size]  # noqa: E731
    monkeypatch.setattr(scorer, "prepare_pe_slices", counting)
    prepared = chest_slices(study, PESettings(size=64, mask=False, channels=5, adjacent=True))
    count = len(prepared.plan)
    for z in range(0, count, 4):
        prepared[z : z + 4]
    assert sum(made) == count


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_adjacent_slices_need_a_middle(channels: int) -> None:
    with pytest.raises(ValueError, match=f"got {channels}, set channels to 3, 5 or more"):
        PESettings(channels=channels, adjacent=True)


def test_one_slice_fills_three_channels_at_most() -> None:
    with pytest.raises(ValueError, match="at most 3 channels, not 5"):
        PESettings(channels=5)


def test_words_count_the_slices_of_the_series_that_the_table_lists(detector, study: Study) -> None:
    series = stack_of(study, 90, 1.0)
    flags = np.zeros(30)
    flags[10:14] = 1
    finding = detector(flags).run(series)
    listed = [item.probabilities["pe"] for item in finding.slices]
    positive = sum(value >= finding.slice_threshold for value in listed)
    assert f"{positive} of the 90 slices of the series are positive" in finding.verdict.explanation
    highest = next(item for item in finding.measurements if item.name == "Highest slice probability")
    assert highest.value == max(listed)
