from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageDetector
from AcuteFindingsLib.detectors.hemorrhage.scorer import HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import CancelledError
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.study.study import SourceSlice, Study

pytestmark = pytest.mark.slow

LABELS = ["any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom("head-ct", 11, positive=True, bleed_types=("intraparenchymal",), matrix=160, slice_spacing=5.0)


@pytest.fixture(scope="module")
def study(phantom: Phantom) -> Study:
    return phantom_study(phantom)


@pytest.fixture
def detector(scripted, card, as_logits, phantom: Phantom):
    """A detector whose network knows the truth: the mask on the network's own field, and which slices bleed."""

    def make(flags: np.ndarray | None = None) -> HemorrhageDetector:
        truth = phantom.slice_labels["any"] if flags is None else flags
        field = head_images(
            phantom_study(replace(phantom, array=phantom.masks["hemorrhage"] * 80.0)), HemorrhageSettings()
        )
        place = {"at": 0}

        def features(batch: np.ndarray) -> dict[str, np.ndarray]:
            part = slice(place["at"], place["at"] + len(batch))
            place["at"] += len(batch)
            masks = field.images[part] > 0.5
            return {"features": truth[part, None].astype(np.float32), "mask": as_logits(masks[:, None])}

        def head(batch: np.ndarray) -> dict[str, np.ndarray]:
            place["at"] = 0
            return {"slice": np.repeat(as_logits(batch > 0.5), len(LABELS), axis=2)}

        points = [("slice", "any", 0.5), ("mask", "any", 0.5)]
        predictor = scripted(card("hemorrhage", labels=LABELS, points=points), {"features": features, "head": head})
        return HemorrhageDetector(predictor)

    return make


def test_every_source_slice_gets_a_probability_for_every_label(detector, study: Study) -> None:
    finding = detector().run(study)
    assert [item.index for item in finding.slices] == list(range(len(study.array)))
    assert finding.labels == tuple(LABELS)


def test_kinds_that_were_never_measured_are_not_reported(detector, study: Study) -> None:
    made = detector()
    evaluation = [figure for figure in made.predictor.card.evaluation if figure.metric in ("AUC, any", "AUC, subdural")]
    card = made.predictor.card.model_copy(update={"evaluation": evaluation})
    made.predictor.card = card
    finding = type(made)(made.predictor).run(study)
    assert finding.labels == ("any", "subdural")
    assert [item.name for item in finding.measurements if item.name.startswith("Highest slice probability")] == [
        "Highest slice probability: any",
        "Highest slice probability: subdural",
    ]


def test_mask_lies_where_the_network_saw_the_bleed(detector, study: Study, phantom: Phantom) -> None:
    mask = detector().run(study).masks[0].array.astype(bool)
    truth = phantom.masks["hemorrhage"].astype(bool)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9


def test_volume_is_that_of_the_mask_and_abc_half_stands_beside_it(detector, study: Study, phantom: Phantom) -> None:
    values = {item.name: item.value for item in detector().run(study).measurements}
    assert values["Hemorrhage volume"] == pytest.approx(phantom.study_labels["volume_ml"], rel=0.1)
    assert values["ABC/2 volume of the largest bleed"] == pytest.approx(values["Hemorrhage volume"], rel=0.6)


def test_every_outline_has_its_density_and_blood_raises_no_warning(detector, study: Study) -> None:
    finding = detector().run(study)
    mask = finding.masks[0].array.astype(bool)
    values = {item.name: item for item in finding.measurements}
    mean, high = values["Mean density of outline 1"], values["95th percentile of density of outline 1"]
    assert values["Volume of outline 1"].unit == "mL"
    assert mean.unit == high.unit == "[hnsf'U]"
    assert mean.value == pytest.approx(study.array[mask].mean(), abs=3)
    assert mean.value < high.value < 100
    assert "denser-than-blood" not in [notice.code for notice in finding.warnings]


def test_an_outline_denser_than_blood_is_warned_of(detector, study: Study, phantom: Phantom) -> None:
    calcified = np.where(phantom.masks["hemorrhage"] > 0, np.float32(130), study.array)
    finding = detector().run(replace(study, array=calcified))
    notice = next(notice for notice in finding.warnings if notice.code == "denser-than-blood")
    assert notice.severity == "warn"
    assert "130 HU" in notice.text
    assert "calcification" in notice.text


def test_a_picture_without_hu_has_no_density(detector, study: Study) -> None:
    window = np.clip(study.array / 80, 0, 1).astype(np.float32)
    finding = detector().run(replace(study, array=window, intensity="windowed"))
    assert not [item for item in finding.measurements if item.unit == "[hnsf'U]"]


def test_network_sees_one_millimeter_pixels_in_a_field_of_250(detector, study: Study) -> None:
    made = detector()
    made.run(study)
    assert {batch.shape[1:] for part, batch in made.predictor.seen if part == "features"} == {(1, 250, 250)}


@pytest.mark.parametrize(("flags", "label"), [([5, 6, 7], "positive"), ([5, 6, 9], "indeterminate"), ([], "negative")])
def test_three_consecutive_slices_decide(detector, study: Study, flags: list[int], label: str) -> None:
    truth = np.zeros(len(study.array), bool)
    truth[flags] = True
    verdict = detector(truth).run(study).verdict
    assert verdict.label == label
    assert "3 or more consecutive slices" in verdict.rule
    assert "15.0 mm" in verdict.rule


def test_feet_first_order_gives_the_same_answer(detector, study: Study) -> None:
    upside_down = np.diag([1.0, 1.0, -1.0, 1.0])
    upside_down[2, 3] = len(study.array) - 1
    last = len(study.array) - 1
    turned = replace(
        study,
        array=study.array[::-1],
        ijk_to_ras=study.ijk_to_ras @ upside_down,
        sources=tuple(replace(source, index=last - source.index, k=last - source.k) for source in study.sources[::-1]),
    )
    straight, other = detector().run(study), detector().run(turned)
    np.testing.assert_array_equal(other.masks[0].array[::-1], straight.masks[0].array)
    assert [s.position_ras for s in other.slices][::-1] == [s.position_ras for s in straight.slices]
    assert [s.probabilities for s in other.slices][::-1] == [s.probabilities for s in straight.slices]


def test_field_follows_the_middle_of_each_source_slice(study: Study) -> None:
    """Where a gantry tilt was undone, the source slices' middles wander over the upright grid."""
    wandering = tuple(
        replace(source, position_ras=(source.position_ras[0], source.position_ras[1] - 12.0, source.position_ras[2]))
        for source in study.sources
    )
    straight = head_images(study, HemorrhageSettings())
    moved = head_images(replace(study, sources=wandering), HemorrhageSettings())
    np.testing.assert_allclose(moved.images[:, :-12], straight.images[:, 12:], atol=0.02)


def test_planes_between_uneven_slices_are_filled_but_get_no_probability(detector, study: Study) -> None:
    kept = [source for source in study.sources if source.index % 2 == 0]
    sparse = replace(study, sources=tuple(replace(source, index=n) for n, source in enumerate(kept)))
    finding = detector(np.ones(len(kept), bool)).run(sparse)
    assert len(finding.slices) == len(kept)
    assert finding.masks[0].array.shape == study.array.shape


def test_run_stops_within_one_batch_of_being_asked(detector, study: Study) -> None:
    made = detector()
    with pytest.raises(CancelledError):
        made.run(study, cancelled=lambda: len(made.predictor.seen) >= 1)
    assert len(made.predictor.seen) == 1


def test_single_windowed_picture_is_scored_with_a_warning(detector) -> None:
    picture = make_phantom("head-ct", 3, positive=False, matrix=160, slice_spacing=20.0)
    plane = np.clip(picture.array[len(picture.array) // 2 : len(picture.array) // 2 + 1] / 80, 0, 1).astype(np.float32)
    study = Study(
        array=plane,
        ijk_to_ras=np.diag([-1.0, -1.0, 1.0, 1.0]),
        modality="",
        intensity="windowed",
        orientation="axial",
        sources=(SourceSlice(0, None, 0, "", (0.0, 0.0, 0.0), 0.0),),
        pixel_spacing_known=False,
    )
    finding = detector(np.array([True])).run(study)
    assert finding.verdict.label == "positive"
    assert finding.verdict.explanation.endswith("1 slice is positive.")
    assert "(in this series 1 slice spans" in finding.verdict.rule
    assert "too-few-slices-for-rule" in {notice.code for notice in finding.warnings}
    assert not any(item.unit == "mL" for item in finding.measurements)
