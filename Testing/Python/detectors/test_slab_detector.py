"""A head CT through a slab model: the series decides, the heat map is what the decoders draw, nothing is measured."""

from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.hemorrhage.slab_detector import SlabDetector
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import CancelledError
from AcuteFindingsLib.models.heat import scale_maps
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.study.study import Study

LABELS = ["any", "epidural", "subdural"]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom("head-ct", 11, positive=True, bleed_types=("intraparenchymal",), matrix=64, slice_spacing=10.0)


@pytest.fixture(scope="module")
def study(phantom: Phantom) -> Study:
    return phantom_study(phantom)


@pytest.fixture
def detector(scripted, card):
    """A detector whose network says what the test hands it: logits of the slices and of the series by label."""

    def make(slices: np.ndarray, study: list[float], **fields) -> SlabDetector:
        def encode(slabs: np.ndarray) -> dict[str, np.ndarray]:
            return {"encoding": np.zeros((len(slabs), 2)), "slice": np.full((len(slabs), 3), -9.0)}

        def context(encodings: np.ndarray) -> dict[str, np.ndarray]:
            assert encodings.shape[1] == len(slices)
            return {"slice": slices[None], "study": np.array([study])}

        settings = {"size": 64, "slice_context": [1.0] * 3, "study_context": [1.0] * 3}
        points = [("slice", "any", 0.5), ("study", "any", 0.5)]
        made = card("hemorrhage", labels=LABELS, points=points, form="slab-sequence", preprocessing=settings | fields)
        predictor = scripted(made, {"encode": encode, "context": context})
        # Maps of its own, as decoders draw them, not Grad-CAM.
        predictor.explanation = "what the decoders draw"
        return SlabDetector(predictor)

    return make


def flagged(count: int, which: list[int]) -> np.ndarray:
    logits = np.full((count, 3), -4.0)
    logits[which, 0] = 4.0
    return logits


def test_the_form_of_a_card_leads_to_this_detector() -> None:
    kind = find_kind("hemorrhage")
    assert kind.load_detector_class("slab-sequence") is SlabDetector
    assert kind.scorer("slab-sequence").__name__ == "SlabScorer"
    assert set(kind.load_rule("slab-sequence").model_fields) == {"review_run_slices"}


@pytest.mark.parametrize(
    ("slices", "series", "label", "words"),
    [
        ([4, 5], [2.0, -4.0, -4.0], "positive", "2 of its"),
        ([4], [2.0, -4.0, -4.0], "positive", "1 of its"),
        ([], [2.0, -4.0, -4.0], "indeterminate", "no slice reaches"),
        ([4, 5, 6], [-2.0, -4.0, -4.0], "indeterminate", "3 slices in a row"),
        ([4, 6], [-2.0, -4.0, -4.0], "negative", "the highest slice is 0.98"),
        ([], [-2.0, -4.0, 1.0], "indeterminate", "reaches the limit for subdural"),
        ([], [-2.0, -4.0, -4.0], "negative", "stays at 0.12"),
    ],
)
def test_the_series_decides_and_what_speaks_against_it_asks_for_a_look(
    detector, study: Study, slices: list[int], series: list[float], label: str, words: str
) -> None:
    verdict = detector(flagged(len(study.array), slices), series).run(study).verdict
    assert verdict.label == label
    assert words in verdict.explanation
    assert "reaches 0.50" in verdict.rule
    assert "for the test" in verdict.rule


def test_all_labels_are_reported_and_no_volume_is_measured(detector, study: Study) -> None:
    finding = detector(flagged(len(study.array), [4, 5]), [2.0, -4.0, -4.0]).run(study)
    assert finding.labels == tuple(LABELS)
    assert finding.masks == ()
    assert {item.unit for item in finding.measurements} == {"1"}
    assert finding.positive_runs == ((4, 5),)
    assert [notice.code for notice in finding.warnings] == ["volume-not-measured"]


def test_the_heat_map_is_what_the_decoders_draw_in_positive_slices_and_nowhere_else(detector, study: Study) -> None:
    """The scripted network looks where its first channel is bright: the brain window of the slice before."""
    finding = detector(flagged(len(study.array), [4, 5]), [2.0, -4.0, -4.0]).run(study)
    assert finding.heatmap is not None
    assert np.flatnonzero(finding.heatmap.array.any(axis=(1, 2))).tolist() == [4, 5]
    assert np.allclose(finding.heatmap.ijk_to_ras @ (0, 0, 4, 1), study.ijk_to_ras @ (0, 0, 4, 1))
    before = np.clip(study.array[3:5] / 80, 0, 1)
    expected = np.rint(255 * np.minimum(before, 1 / (1 + np.exp(-4.0))))
    assert np.abs(finding.heatmap.array[4:6] - expected).max() <= 1


def test_between_a_positive_and_a_negative_slice_the_heat_map_fades_out(detector, study: Study) -> None:
    every_other = replace(study, sources=tuple(replace(one, index=k) for k, one in enumerate(study.sources[::2])))
    count = len(every_other.sources)
    heat = detector(flagged(count, [2]), [2.0, -4.0, -4.0]).run(every_other).heatmap.array.astype(float)
    assert np.flatnonzero(heat.any(axis=(1, 2))).tolist() == [3, 4, 5]
    assert np.abs(heat[3] - heat[4] / 2).max() <= 1
    assert np.abs(heat[5] - heat[4] / 2).max() <= 1


def test_without_a_positive_slice_there_is_no_heat_map(detector, study: Study) -> None:
    finding = detector(flagged(len(study.array), []), [-2.0, -4.0, -4.0]).run(study)
    assert finding.heatmap is None
    assert finding.warnings == ()


def test_a_map_that_is_drawn_is_cut_off_and_not_stretched() -> None:
    maps = np.full((1, 2, 2), 0.01, np.float32)
    maps[0, 0, 0] = 0.9
    assert scale_maps(maps, np.array([0.5]), (2, 2), drawn=True)[0].max() == pytest.approx(0.5)
    assert scale_maps(maps, np.array([0.5]), (2, 2), drawn=True)[0, 1, 1] == pytest.approx(0.01)
    assert scale_maps(maps / 100, np.array([0.5]), (2, 2), drawn=True).max() == pytest.approx(0.009)
    assert scale_maps(maps / 100, np.array([0.5]), (2, 2)).max() == pytest.approx(0.5)


def test_a_series_longer_than_the_sequence_says_so(detector, study: Study) -> None:
    made = detector(flagged(5, []), [-2.0, -4.0, -4.0], longest=5)
    notices = made.run(study).warnings
    assert [notice.code for notice in notices] == ["series-read-in-part"]
    assert f"has {len(study.array)} slices" in notices[0].text


def test_a_series_that_runs_from_the_head_has_the_same_answers_in_its_own_order(detector, study: Study) -> None:
    turned = np.asarray(study.ijk_to_ras, float).copy()
    count = len(study.array)
    turned[:3, 3] += turned[:3, 2] * (count - 1)
    turned[:3, 2] *= -1
    sources = tuple(replace(source, index=k, k=float(k)) for k, source in enumerate(reversed(study.sources)))
    down = replace(study, array=study.array[::-1], ijk_to_ras=turned, sources=sources)
    slices = flagged(count, [2])
    first, second = (detector(slices, [2.0, -4.0, -4.0]).run(one) for one in (study, down))
    assert first.positive_runs == ((2, 2),)
    assert second.positive_runs == ((count - 3, count - 3),)
    assert np.array_equal(first.heatmap.array, second.heatmap.array)


def test_a_request_to_stop_ends_within_one_batch(detector, study: Study) -> None:
    made = detector(flagged(len(study.array), []), [-2.0, -4.0, -4.0])
    asked = iter([False, False, True])
    with pytest.raises(CancelledError):
        made.run(study, cancelled=lambda: next(asked, True))
    assert len(made.predictor.seen) <= 3
