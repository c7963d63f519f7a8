from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxDetector
from AcuteFindingsLib.detectors.pneumothorax.shortcut import altered_pictures, shortcut_notices, stretched
from AcuteFindingsLib.detectors.radiograph import (
    RadiographSettings,
    network_images,
    split_lungs,
    two_largest,
)
from AcuteFindingsLib.errors import CancelledError
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.preprocessing.square import fit_square
from AcuteFindingsLib.study.study import Study

SIZE = 128
CHEST = ["pneumothorax", "effusion", "chest_drain", "endotracheal"]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom("chest-xray", 4, positive=True, tubes=("chest_drain",), size=192)


@pytest.fixture(scope="module")
def study(phantom: Phantom) -> Study:
    return phantom_study(phantom)


@pytest.fixture
def detector(scripted, card, as_logits, phantom: Phantom):
    def field(name: str) -> np.ndarray:
        return fit_square(phantom.masks[name][0].astype(np.float32), SIZE) >= 0.5

    def both_ways(mask: np.ndarray, count: int) -> np.ndarray:
        """The answer for a batch whose second half is the first one mirrored."""
        half = np.repeat(as_logits(mask)[None, None], count // 2, axis=0)
        return np.concatenate([half, half[..., ::-1]])

    def make(
        *,
        whole: float = 0.9,
        removed: float = 0.1,
        flat: float | None = None,
        drain: float = 0.1,
        outline: bool = True,
        views: tuple[float, ...] = (),
    ) -> PneumothoraxDetector:
        """`removed` and `flat`: where a texture, or a flat field, takes the place of the lungs; `views`: as told."""

        def segment(batch: np.ndarray) -> dict[str, np.ndarray]:
            # What is left of the picture tells which one it is: in "lungs removed" something else is in their place.
            lungs = field("lungs")
            shown = network_images([phantom.array[0]], RadiographSettings(**settings))[0, 0]
            plain = batch[: len(batch) // 2, 0]
            bare = np.array([np.abs(image[lungs] - shown[lungs]).mean() > 0.05 for image in plain])
            even = np.array([image[lungs].std() < 0.1 for image in plain])
            probability = np.where(bare, removed, whole)
            if flat is not None:
                probability = np.where(even, flat, probability)
            mask = field("pneumothorax") if outline else np.zeros((SIZE, SIZE), bool)
            empty = np.log((1 - probability) / probability)[:, None]
            return {"mask": both_ways(mask, len(batch)), "empty": np.concatenate([empty, empty])}

        settings = {"size": SIZE, "flip": True}
        points = [("study", "pneumothorax", 0.6), ("mask", "pneumothorax", 0.5), ("empty", "pneumothorax", 0.4)]
        main = card("pneumothorax", labels=["pneumothorax"], points=points, preprocessing=settings)
        lungs = card("lungs", labels=["lungs"], points=[("mask", "lungs", 0.5)], preprocessing=settings)
        chest_points = [("study", name, 0.5) for name in CHEST]
        chest = card("chest", labels=CHEST, points=chest_points, preprocessing={"size": SIZE})
        odds = np.log(drain / (1 - drain))

        def outline_lungs(batch: np.ndarray) -> dict[str, np.ndarray]:
            told = np.tile(np.log(np.divide(views, np.subtract(1, views))), (len(batch), 1))
            return {"mask": both_ways(field("lungs"), len(batch))} | ({"views": told} if views else {})

        return PneumothoraxDetector(
            scripted(main, {"": segment}),
            lungs=scripted(lungs, {"": outline_lungs}),
            chest=scripted(
                chest,
                {
                    "": lambda batch: {
                        "pathologies": np.zeros((len(batch), 2)),
                        "tubes": np.tile([[odds, -3.0]], (len(batch), 1)),
                    }
                },
            ),
        )

    return make


def values(finding) -> dict[str, float]:
    return {item.name: item.value for item in finding.measurements}


def test_outline_lies_where_the_network_drew_it(detector, study: Study, phantom: Phantom) -> None:
    mask = detector().run(study).masks[0].array.astype(bool)
    truth = phantom.masks["pneumothorax"].astype(bool)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.95


def test_area_share_and_side_agree_with_the_truth(detector, study: Study, phantom: Phantom) -> None:
    side = "right" if (phantom.masks["pneumothorax"] & phantom.masks["right_lung"]).any() else "left"
    measured = values(detector().run(study))
    truth = phantom.study_labels
    assert measured[f"Pneumothorax area, {side}"] == pytest.approx(truth["pneumothorax_area_mm2"], rel=0.05)
    assert measured[f"Share of the {side} hemithorax"] == pytest.approx(100 * truth["pneumothorax_share"], rel=0.1)


def test_area_is_not_stated_where_the_pixel_size_is_unknown(detector, study: Study) -> None:
    finding = detector().run(replace(study, pixel_spacing_known=False))
    assert not [item for item in finding.measurements if item.unit == "mm2"]
    assert [item for item in finding.measurements if item.unit == "%"]


def test_mirrored_pictures_are_averaged_in_the_right_place(detector, study: Study) -> None:
    made = detector()
    made.run(study)
    (_, batch), *_ = made.predictor.seen
    assert len(batch) == 2
    np.testing.assert_array_equal(batch[1], batch[0][..., ::-1])


@pytest.mark.parametrize(
    ("whole", "outline", "label"),
    [(0.9, True, "positive"), (0.9, False, "indeterminate"), (0.3, True, "negative"), (0.3, False, "negative")],
)
def test_probability_and_outline_decide_after_the_empty_rule(
    detector, study: Study, whole: float, outline: bool, label: str
) -> None:
    finding = detector(whole=whole, outline=outline).run(study)
    assert finding.verdict.label == label
    assert finding.masks[0].array.any() == (label == "positive")


@pytest.mark.parametrize(("views", "warned"), [((0.1, 0.85, 0.05), False), ((0.2, 0.1, 0.7), True)])
def test_a_lungs_model_that_knows_the_view_states_it_and_warns_of_a_lateral_one(
    detector, study: Study, views: tuple[float, ...], warned: bool
) -> None:
    finding = detector(views=views).run(study)
    told = {name: value for name, value in values(finding).items() if name.startswith("View")}
    assert told == pytest.approx(
        {"View probability: AP": views[0], "View probability: PA": views[1], "View probability: lateral": views[2]}
    )
    assert ("looks-lateral" in {notice.code for notice in finding.warnings}) == warned
    assert finding.verdict.label == "positive"


def test_a_lungs_model_that_knows_no_view_says_nothing_of_it(detector, study: Study) -> None:
    assert not [name for name in values(detector().run(study)) if name.startswith("View")]


def test_answer_that_survives_the_removal_of_the_lungs_is_warned_of(detector, study: Study) -> None:
    leaning = detector(removed=0.8).run(study)
    honest = detector(removed=0.1).run(study)
    assert "shortcut-outside-lungs" in {notice.code for notice in leaning.warnings}
    assert "shortcut-outside-lungs" not in {notice.code for notice in honest.warnings}
    assert values(leaning)["Pneumothorax probability, lungs removed"] == pytest.approx(0.8)


@pytest.mark.parametrize(("whole", "words"), [(0.9, "is still 0.80"), (0.3, "rises from 0.30 to 0.80")])
def test_the_warning_says_what_removing_the_lungs_did(detector, study: Study, whole: float, words: str) -> None:
    notices = detector(whole=whole, removed=0.8).run(study).warnings
    assert words in next(notice.text for notice in notices if notice.code == "shortcut-outside-lungs")


def test_chest_drain_is_covered_and_warned_of(detector, study: Study) -> None:
    with_drain = detector(drain=0.9, removed=0.8).run(study)
    without = detector(drain=0.1).run(study)
    assert "shortcut-chest-drain" in {notice.code for notice in with_drain.warnings}
    assert "Pneumothorax probability, tubes covered" in values(with_drain)
    assert "Pneumothorax probability, tubes covered" not in values(without)


def test_answer_that_falls_where_the_tubes_are_covered_leans_on_them() -> None:
    def codes(covered: float, tubes: list[str]) -> list[str]:
        return [one.code for one in shortcut_notices(0.9, {"tubes covered": covered}, tubes, 0.6)]

    assert codes(0.3, ["chest_drain"]) == ["shortcut-leans-on-tubes"]
    assert codes(0.3, ["endotracheal"]) == ["shortcut-leans-on-tubes"]
    assert codes(0.8, ["chest_drain"]) == ["shortcut-chest-drain"]
    assert codes(0.8, ["endotracheal"]) == []


def test_lungs_that_give_way_to_a_flat_field_alone_do_not_rouse_the_check(detector, study: Study) -> None:
    """A lung without markings is what a pneumothorax looks like, so a flat field may well be called one."""
    image, lungs = study.array[0], split_lungs(study.array[0] < 0.5)
    flat, *textured = altered_pictures(image, lungs)["lungs removed"]
    assert flat[lungs.both].std() < 1e-6
    assert all(one[lungs.both].std() > 0.3 * image.std() for one in textured)
    assert len({one.tobytes() for one in textured}) == len(textured) >= 3
    outside = ~binary_dilation(lungs.both, iterations=5)
    assert all(np.array_equal(one[outside], image[outside]) for one in textured)
    found = detector(flat=0.9, removed=0.1).run(study)
    assert values(found)["Pneumothorax probability, lungs removed"] == pytest.approx(0.1)
    assert "shortcut-outside-lungs" not in {notice.code for notice in found.warnings}


@pytest.mark.parametrize("shape", [(300, 410), (256, 256), (97, 64), (128, 300)])
def test_textures_are_stretched_as_scikit_image_stretches_them(shape: tuple[int, int]) -> None:
    transform = pytest.importorskip("skimage.transform")
    for grains in (96, 256):
        size = [round(side * grains / max(shape)) for side in shape]
        drawn = np.random.default_rng(0).normal(size=size).astype(np.float32)
        assert np.array_equal(stretched(drawn, shape), transform.resize(drawn, shape, order=1))


def test_tubes_and_findings_stand_beside_the_pneumothorax(detector, study: Study) -> None:
    assert set(detector().run(study).labels) == set(CHEST)


def test_run_stops_when_asked(detector, study: Study) -> None:
    made = detector()
    with pytest.raises(CancelledError):
        made.run(study, cancelled=lambda: bool(made.lungs.predictor.seen))
    assert not made.predictor.seen


def test_lungs_are_told_apart_by_the_side_of_the_picture() -> None:
    mask = np.zeros((20, 40), bool)
    mask[4:16, 3:15] = mask[4:16, 25:37] = True
    lungs = split_lungs(mask)
    assert lungs.right[:, :20].sum() == lungs.left[:, 20:].sum() == 144
    assert lungs.found


def test_touching_lungs_are_divided_midway() -> None:
    mask = np.zeros((20, 40), bool)
    mask[4:16, 4:36] = True
    lungs = split_lungs(mask)
    assert lungs.right.sum() == lungs.left.sum()


def test_only_the_two_largest_parts_stay_and_holes_are_filled() -> None:
    mask = np.zeros((20, 40), bool)
    mask[2:18, 2:15] = mask[2:18, 25:38] = mask[0, 20] = True
    mask[8, 8] = False
    kept = two_largest(mask)
    assert kept[8, 8]
    assert not kept[0, 20]
