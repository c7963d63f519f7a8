"""Models that are shown part of a radiograph: the lungs, what lies around them, or a crop."""

import numpy as np
import pytest
from scipy.special import logit

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.pneumothorax.scorer import PneumothoraxScorer
from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images, show_pictures
from AcuteFindingsLib.detectors.radiograph_scorers import ChestScorer, LabelScorer
from AcuteFindingsLib.detectors.scoring import load_scorer
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.training.runs.package import image_data_format

SIZE = 64


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).random((SIZE, SIZE), np.float32) * 0.8 + 0.1


@pytest.fixture
def lungs() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:44, 16:28] = mask[20:44, 36:48] = True
    return mask


def test_only_the_region_is_shown(picture, lungs) -> None:
    shown = {
        region: network_images([picture], RadiographSettings(size=SIZE, equalise=False, region=region), [lungs])[0, 0]
        for region in ("whole", "lungs-only", "lungs-removed", "lung-crop")
    }
    np.testing.assert_allclose(shown["whole"], picture, atol=1e-6)
    np.testing.assert_allclose(shown["lungs-only"], picture * lungs, atol=1e-6)
    np.testing.assert_allclose(shown["lungs-removed"], picture * ~lungs, atol=1e-6)
    # 24 rows and 32 columns of lungs with three pixels on each side, padded to a square.
    assert shown["lung-crop"].std() > 0
    assert not shown["lung-crop"][:4].any()
    assert shown["lung-crop"][32].all()


@pytest.mark.parametrize("region", ["lungs-only", "lungs-removed", "lung-crop"])
def test_a_picture_without_lungs_found_is_shown_whole(picture, region: str) -> None:
    settings = RadiographSettings(size=SIZE, equalise=False, region=region)
    shown = network_images([picture], settings, [np.zeros_like(picture, bool)])[0, 0]
    np.testing.assert_allclose(shown, picture, atol=1e-6)


def test_without_lungs_a_regional_model_says_what_it_needs(picture) -> None:
    with pytest.raises(ModelError, match="region 'lung-crop'; it needs the lungs outlined first"):
        network_images([picture], RadiographSettings(size=SIZE, region="lung-crop"))


def test_an_outline_in_a_crop_lies_where_it_was_seen_in_the_picture(scripted, card, as_logits, picture, lungs) -> None:
    picture[30:38, 20:26] = 3.0

    def bright(batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"mask": as_logits(batch > 2)}

    points = [(level, "pneumothorax", 0.5) for level in ("study", "mask", "empty")]
    settings = {"size": 4 * SIZE, "equalise": False, "region": "lung-crop"}
    model = scripted(card("pneumothorax", labels=["pneumothorax"], points=points, preprocessing=settings), {"": bright})
    found = PneumothoraxScorer(model).outlines([picture], [lungs])[0].mask
    expected = np.zeros_like(lungs)
    expected[30:38, 20:26] = True
    assert (found == expected).mean() > 0.99
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.85


def test_findings_of_a_model_for_lungs_alone_do_not_hang_on_what_lies_around_them(
    scripted, card, picture, lungs
) -> None:
    def brightness(batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"pathologies": batch.mean(axis=(2, 3))}

    settings = {"size": SIZE, "equalise": False, "region": "lungs-only"}
    made = card("chest", labels=["pneumothorax"], points=[("study", "pneumothorax", 0.5)], preprocessing=settings)
    model = scripted(made, {"": brightness})
    around = np.where(lungs, picture, 0.9).astype(np.float32)
    own, changed = (ChestScorer(model).probabilities([image], [lungs])[0, 0] for image in (picture, around))
    assert own == pytest.approx(changed)


def test_a_stretched_picture_fills_the_square_and_its_map_comes_back_where_it_was(picture):
    high = np.repeat(picture, 2, axis=0)
    y, x = high.shape
    settings = RadiographSettings(size=SIZE, equalise=False, stretch=True)
    shown = show_pictures([high], settings)
    assert np.abs(shown.images[0, 0] - show_pictures([picture], settings).images[0, 0]).mean() < 0.02
    mark = np.zeros((SIZE, SIZE), np.float32)
    mark[SIZE // 4 : SIZE // 2, SIZE // 2 : SIZE * 3 // 4] = 1
    rows, columns = np.nonzero(shown.on_picture(0, mark) >= 0.5)
    assert (rows.min(), rows.max() + 1) == pytest.approx((y / 4, y / 2), abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((x / 2, x * 3 / 4), abs=1)


def test_many_large_pictures_are_read_a_few_at_a_time_and_answered_in_order(scripted, card) -> None:
    def brightness(batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"pathologies": batch.mean(axis=(2, 3))}

    made = card(
        "chest",
        labels=["pneumothorax"],
        points=[("study", "pneumothorax", 0.5)],
        preprocessing={"size": 512, "equalise": False},
    )
    model = scripted(made, {"": brightness})
    pictures = [np.full((64, 64), level, np.float32) for level in np.linspace(0.1, 0.8, 8)]
    answers = ChestScorer(model).probabilities(pictures)[:, 0]
    np.testing.assert_allclose(answers, 1 / (1 + np.exp(-np.linspace(0.1, 0.8, 8))), atol=1e-6)
    assert [len(batch) for _, batch in model.seen] == [3, 3, 2]
    small = scripted(made.model_copy(update={"preprocessing": {"size": 256, "equalise": False}}), {"": brightness})
    reading = ChestScorer(small)
    reading.infer(reading.prepare_pictures([*pictures, *pictures][:14]), explain=True)
    assert [len(batch) for _, batch in small.seen] == [14]


@pytest.mark.parametrize(("label", "asked"), [("effusion", ("pathologies", 1)), ("chest_drain", ("tubes", 0))])
def test_one_label_of_a_chest_model_is_its_probability_and_where_it_was_seen(
    scripted, card, picture, label: str, asked: tuple[str, int]
) -> None:
    class OneLabel(LabelScorer):
        pass

    OneLabel.label = label

    class Marked(scripted):
        """Each number of each output has a mark of its own in its map."""

        def predict_explained(self, batch, *, outputs, part="", then=""):
            said = super().predict_explained(batch, outputs=outputs, part=part, then=then)
            for name, maps in said.maps.items():
                maps[:] = np.indices(maps.shape)[1] + {"pathologies": 1, "tubes": 10}[name]
            return said

    names = ["pneumothorax", "effusion", "chest_drain"]
    made = card("chest", labels=names, points=[], preprocessing={"size": SIZE})
    answers = {"pathologies": logit([[0.1, 0.7]]), "tubes": logit([[0.9]])}
    predictor = Marked(made, {"": lambda _batch: answers})
    scorer = OneLabel(predictor)
    prepared = scorer.prepare_pictures([picture])
    assert scorer.labels == (label,)
    np.testing.assert_allclose(scorer.infer(prepared).images, [[{"effusion": 0.7, "chest_drain": 0.9}[label]]])
    predictor.seen.clear()
    reading = scorer.read(picture)
    assert reading.where(label).shape == picture.shape
    assert set(np.unique(reading.answer.looked.maps)) == {asked[1] + {"pathologies": 1, "tubes": 10}[asked[0]]}
    assert len(predictor.seen) == 1


def test_a_model_without_the_label_is_refused_by_name(scripted, card) -> None:
    class Fracture(LabelScorer):
        label = "fracture"

    with pytest.raises(ValueError, match="no label 'fracture', only pneumothorax"):
        Fracture(scripted(card("chest", labels=["pneumothorax"], points=[]), {}))


@pytest.mark.slow
def test_single_images_are_cut_by_the_lungs_model_that_ships(tmp_path, card) -> None:
    arguments = {"backbone": "tf_efficientnet_lite0", "pathologies": ["pneumothorax"], "tubes": []}
    packages: dict[str, ModelPackage] = {}
    for region in ("whole", "lungs-removed"):
        made = card(
            "chest",
            labels=["pneumothorax"],
            points=[("study", "pneumothorax", 0.5)],
            preprocessing={"size": SIZE, "region": region},
        ).model_copy(update={"network": {"name": "chest_classifier", "arguments": arguments}, "id": f"chest-{region}"})
        made = type(made).model_validate(made.model_dump())
        network = build_network("chest_classifier", arguments)
        packages[region] = write_package(
            tmp_path / made.id,
            state_dict=network.state_dict(),
            card=made,
            version="1.0.0",
            changelog={"1.0.0": "test"},
            description="test",
            authors="test",
            copyright="test",
            network_data_format=image_data_format(made, value_range=(0, 1)),
            card_text="",
            license_text="test",
            graphs=False,
        )
    study = phantom_study(make_phantom("chest-xray", 4, size=192))
    answers = {}
    for region, package in packages.items():
        scorer = load_scorer("chest", model=str(package.folder), device="cpu")
        answers[region] = scorer.score([study]).probabilities
        assert answers[region].shape == (1, 1)
    assert scorer.lungs is not None
