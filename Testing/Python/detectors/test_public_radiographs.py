"""The pneumothorax detector by the cards of public models: the classifier decides, the mask draws, shortcuts count."""

import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxDetector
from AcuteFindingsLib.models.public.card import card_of
from AcuteFindingsLib.models.public.recommended import find_description
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.preprocessing.square import stretch_square

PNEUMOTHORAX, LUNGS, CHEST = "pneumothorax-cxr", "chest-x-ray-basic", "xrv-resnet50-res512-all"


@pytest.fixture
def run(scripted, as_logits):
    phantom = make_phantom("chest-xray", 4, positive=True, size=192)
    cards = {name: card_of(find_description(name)) for name in (PNEUMOTHORAX, LUNGS, CHEST)}

    def field(name: str, model: str) -> np.ndarray:
        return stretch_square(phantom.masks[name][0].astype(np.float32), cards[model].preprocessing["size"]) >= 0.5

    def answer(probability: float, removed: float = 0.1):
        """Run on the phantom with a classifier that says `probability`, and `removed` where no lungs are left."""
        lungs = field("lungs", PNEUMOTHORAX)

        def find(batch: np.ndarray) -> dict[str, np.ndarray]:
            assert -1 <= batch.min() < -0.5 < 0.5 < batch.max() <= 1
            shown = stretch_square(phantom.array[0], 512) * 2 - 1
            bare = np.abs(batch[:, 0] - shown)[:, lungs].mean(axis=1) > 0.1
            said = np.where(bare, removed, probability)
            mask = np.repeat(as_logits(field("pneumothorax", PNEUMOTHORAX))[None, None], len(batch), axis=0)
            return {"mask": mask, "empty": np.log((1 - said) / said)[:, None]}

        def outline(batch: np.ndarray) -> dict[str, np.ndarray]:
            return {
                "mask": as_logits(field("lungs", LUNGS))[None, None],
                "views": np.array([[-3.0, 3.0, -6.0]]),
            }

        def nothing(batch: np.ndarray) -> dict[str, np.ndarray]:
            return {"pathologies": np.full((len(batch), len(cards[CHEST].labels)), -2.0)}

        detector = PneumothoraxDetector(
            scripted(cards[PNEUMOTHORAX], {"": find}),
            lungs=scripted(cards[LUNGS], {"": outline}),
            chest=scripted(cards[CHEST], {"": nothing}),
        )
        return detector.run(phantom_study(phantom)), phantom

    return answer


def test_the_classifier_decides_and_the_mask_is_the_outline_where_it_lies(run) -> None:
    finding, phantom = run(0.51)
    assert (finding.verdict.label, finding.verdict.threshold) == ("positive", 0.5)
    mask, truth = finding.masks[0].array.astype(bool), phantom.masks["pneumothorax"].astype(bool)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.95


def test_what_the_segmenter_draws_where_the_classifier_sees_nothing_does_not_count(run) -> None:
    finding, _ = run(0.49)
    assert finding.verdict.label == "negative"
    assert not finding.masks[0].array.any()


def test_an_answer_that_stays_without_the_lungs_is_warned_of(run) -> None:
    leaning, honest = ({notice.code for notice in run(0.9, removed)[0].warnings} for removed in (0.8, 0.1))
    assert "shortcut-outside-lungs" in leaning - honest


def test_the_view_stands_beside_the_findings(run) -> None:
    measured = {item.name: item.value for item in run(0.9)[0].measurements}
    assert measured["View probability: PA"] > 0.9 > measured["View probability: AP"]
    assert "Probability: Lung lesion" not in measured
