"""What a slab model is shown, against the published preparation written anew, and how its logits are blended."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from AcuteFindingsLib.detectors.hemorrhage.slab_images import nearest_sampled, sampled_slices, slab_images
from AcuteFindingsLib.detectors.hemorrhage.slab_scorer import SlabScorer
from AcuteFindingsLib.detectors.hemorrhage.slab_settings import SlabSettings
from AcuteFindingsLib.errors import StudyRefusedError
from AcuteFindingsLib.study.study import SourceSlice, Study

LABELS = ["any", "epidural", "subdural"]
WINDOWS = ((40.0, 80.0), (80.0, 200.0), (600.0, 2800.0))
SMALL = SlabSettings(size=32, whole_above=40)


def head(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (5.0, 0.5, 0.5), *, step: int = 1) -> Study:
    """Return noise in HU whose slices ascend from the feet (`step` 1) or from the head (-1)."""
    array = np.random.default_rng(5).uniform(-1100, 2100, shape).astype(np.float32)
    dz, dy, dx = spacing
    ijk_to_ras = np.diag([-dx, -dy, dz * step, 1.0])
    center = (shape[2] - 1) / 2, (shape[1] - 1) / 2
    sources = tuple(
        SourceSlice(k, None, 0, f"1.{k}", tuple((ijk_to_ras @ (*center, k, 1.0))[:3]), float(k), dz)
        for k in range(shape[0])
    )
    return Study(array, ijk_to_ras, "CT", "HU", "axial", sources)


def published(slices: list[np.ndarray | None], size: int) -> np.ndarray:
    """Return one slab of slices that have the size already, as the model's card describes it."""
    channels = []
    for hu in slices:
        for level, width in WINDOWS:
            if hu is None:
                channels.append(np.zeros((size, size)))
                continue
            low, high = level - width / 2, level + width / 2
            channels.append((np.clip(hu.astype(np.float64), low, high) - low) / width)
    return np.stack(channels)


def test_a_slab_holds_three_slices_in_three_windows_and_zeros_beyond_the_ends() -> None:
    study = head((4, 32, 32))
    slabs = slab_images(study, SMALL)[:]
    around = [None, *study.array, None]
    expected = np.stack([published(list(around[k : k + 3]), 32) for k in range(4)])
    assert slabs.dtype == np.float32
    assert np.allclose(slabs, expected, atol=1e-5)
    assert not slabs[0, :3].any()
    assert not slabs[-1, 6:].any()


def test_some_slabs_are_the_same_as_all() -> None:
    images = slab_images(head((7, 32, 32)), SMALL)
    whole = images[:]
    assert len(images) == 7
    assert np.array_equal(np.concatenate([images[0:2], images[2:3], images[3:7]]), whole)
    assert np.array_equal(images[5:2:-2], whole[5:2:-2])


@pytest.mark.parametrize("sides", [(36, 36), (33, 35), (31, 30), (20, 40), (27, 34)])
def test_slices_are_cut_and_padded_about_their_middle_as_by_the_public_program(sides: tuple[int, int]) -> None:
    study = head((1, *sides))
    expected = np.full((32, 32), -5000.0)
    plane = study.array[0]
    for axis, count in enumerate(sides):
        cut = max((count - 32) // 2, 0)
        plane = np.take(plane, range(cut, min(cut + 32, count)), axis=axis)
    top, left = ((32 - count) // 2 for count in plane.shape)
    expected[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
    assert np.allclose(slab_images(study, SMALL)[:][0, 3:6], published([expected], 32), atol=1e-5)


def test_a_large_slice_is_shown_whole_by_the_mean_of_its_pixels() -> None:
    study = head((1, 64, 64))
    means = study.array[0].reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.allclose(slab_images(study, SMALL)[:][0, 3:6], published([means], 32), atol=1e-4)


def test_a_series_that_runs_from_the_head_is_read_from_the_feet_and_answered_in_its_own_order() -> None:
    up, down = head((5, 32, 32)), head((5, 32, 32), step=-1)
    down = replace(down, array=up.array[::-1])
    images = slab_images(down, SMALL)
    assert np.array_equal(images[:], slab_images(up, SMALL)[:])
    assert images.at_sources(np.arange(5)[:, None])[:, 0].tolist() == [4, 3, 2, 1, 0]


def test_pixels_that_are_not_square_are_made_so() -> None:
    study = head((1, 10, 32), (5.0, 2.0, 0.5))
    study = replace(study, array=np.full_like(study.array, 40.0))
    shown = slab_images(study, SMALL)[:][0, 3]
    # 20 mm of a picture of 16 mm: it reaches past the field above and below.
    assert np.allclose(shown, 0.5, atol=1e-4)
    assert slab_images(study, SMALL).on_grid(0, np.ones((32, 32), np.float32)).shape == (10, 32)


@pytest.mark.parametrize("side", [32, 38, 64])
def test_the_field_follows_slices_that_wander_where_a_tilt_was_undone(side: int) -> None:
    """Whether a slice is shown whole is asked of its own size: the grid of the undone tilt is taller."""
    straight = head((3, side, side))
    array = np.full((3, side + 8, side), -1000.0, np.float32)
    sources = []
    for k, source in enumerate(straight.sources):
        array[k, 4 * k : 4 * k + side] = straight.array[k]
        x, y, z = source.position_ras
        sources.append(replace(source, position_ras=(x, y - 0.5 * 4 * k, z)))
    tilted = slab_images(replace(straight, array=array, sources=tuple(sources)), SMALL)
    same = slab_images(straight, SMALL)
    assert np.allclose(tilted[:], same[:], atol=1e-5)
    square = np.arange(32.0 * 32, dtype=np.float32).reshape(32, 32)
    assert np.array_equal(tilted.on_grid(2, square)[8:], same.on_grid(2, square))
    assert not tilted.on_grid(2, square)[:8].any()


@pytest.mark.parametrize("sides", [(32, 32), (36, 30), (33, 31), (64, 48)])
def test_a_map_returns_to_where_its_slice_was(sides: tuple[int, int]) -> None:
    study = head((1, *sides))
    array = np.zeros_like(study.array)
    array[0, sides[0] // 2 : sides[0] // 2 + 4, 8:14] = 40.0
    images = slab_images(replace(study, array=array), SMALL)
    back = images.on_grid(0, images[:][0, 3])
    assert back.shape == sides
    middles = [np.argwhere(one).mean(axis=0) for one in (back > 0.2, array[0] > 0)]
    assert np.allclose(*middles, atol=0.5 if max(sides) > 40 else 0)


def test_a_picture_in_one_window_is_refused_in_a_sentence() -> None:
    study = replace(head((2, 32, 32)), intensity="windowed")
    with pytest.raises(StudyRefusedError, match=r"burned into the images.*reads 3 windows.*original DICOM"):
        slab_images(study, SMALL)


def test_long_series_are_sampled_evenly_and_restored_to_the_nearest_slice_the_lower_of_two() -> None:
    assert sampled_slices(64, 64).tolist() == list(range(64))
    sampled = sampled_slices(9, 5)
    assert sampled.tolist() == [0, 2, 4, 6, 8]
    assert sampled[nearest_sampled(9, sampled)].tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8]
    long = sampled_slices(300, 64)
    assert long[0] == 0
    assert long[-1] == 299
    restored = long[nearest_sampled(300, long)]
    assert all(abs(k - near) == np.abs(long - k).min() for k, near in enumerate(restored))


def scorer_of(scripted, card, *, longest: int, batch: int, seen: dict[str, np.ndarray]) -> SlabScorer:
    """Return a scorer whose network gives logits by the slice's brightness, and as series what it is handed."""
    scale = np.array([1.0, -2.0, 3.0])

    def encode(slabs: np.ndarray) -> dict[str, np.ndarray]:
        bright = slabs[:, 3].mean(axis=(1, 2))
        encoding = np.stack([bright, np.zeros_like(bright)], 1)
        return {"encoding": encoding, "slice": (bright[:, None] - 0.5) * 8 * scale}

    def context(encodings: np.ndarray) -> dict[str, np.ndarray]:
        seen["encodings"] = encodings
        bright, place = encodings[..., :1], encodings[..., 1:]
        return {"slice": (bright + place) * scale, "study": (bright.mean(axis=1) - 0.2) * scale}

    settings = {
        "size": 32,
        "longest": longest,
        "batch": batch,
        "slice_context": [1.0, 0.75, 0.75],
        "study_context": [0.5, 0.25, 1.0],
    }
    points = [("slice", "any", 0.5), ("study", "any", 0.5)]
    made = card("hemorrhage", labels=LABELS, points=points, form="slab-sequence", preprocessing=settings)
    return SlabScorer(scripted(made, {"encode": encode, "context": context}))


@pytest.mark.parametrize(("count", "longest", "batch"), [(1, 64, 4), (6, 64, 4), (6, 64, 1), (11, 5, 2)])
def test_logits_of_slices_and_series_are_blended_as_published(scripted, card, count: int, longest: int, batch: int):
    seen: dict[str, np.ndarray] = {}
    study = head((count, 32, 32))
    scorer = scorer_of(scripted, card, longest=longest, batch=batch, seen=seen)
    answer = scorer.infer(scorer.prepare(study))
    alone = (np.clip(study.array / 80, 0, 1).mean(axis=(1, 2))[:, None] - 0.5) * 8 * np.array([1.0, -2.0, 3.0])
    sampled = np.arange(count) if count <= longest else np.rint(np.linspace(0, count - 1, longest)).astype(int)
    assert seen["encodings"].shape == (1, len(sampled), 2)
    assert np.allclose(seen["encodings"][0, :, 1], sampled / max(count - 1, 1))
    bright = alone[:, :1] / 8 + 0.5
    for k in range(count):
        near = min(sampled, key=lambda s: (abs(s - k), s))
        context = (bright[near] + near / max(count - 1, 1)) * [1.0, -2.0, 3.0]
        expected = expit((1 - np.array([1.0, 0.75, 0.75])) * alone[k] + [1.0, 0.75, 0.75] * context)
        assert np.allclose(answer.images[k], expected, atol=1e-5)
    highest = logit(np.clip(expit(alone).max(axis=0), 1e-6, 1 - 1e-6))
    series = (bright[sampled].mean() - 0.2) * np.array([1.0, -2.0, 3.0])
    expected = expit((1 - np.array([0.5, 0.25, 1.0])) * highest + [0.5, 0.25, 1.0] * series)
    assert list(answer.study) == LABELS
    assert np.allclose(list(answer.study.values()), expected, atol=1e-5)


def test_single_slices_are_scored_each_by_itself(scripted, card) -> None:
    seen: dict[str, np.ndarray] = {}
    scorer = scorer_of(scripted, card, longest=64, batch=2, seen=seen)
    studies = [replace(head((1, 32, 32)), array=np.full((1, 32, 32), hu, np.float32)) for hu in (10, 40, 70)]
    scores = scorer.score(studies)
    alone = expit((np.array([[10.0], [40.0], [70.0]]) / 80 - 0.5) * 8 * np.array([1.0, -2.0, 3.0]))
    assert np.allclose(scores.probabilities, alone, atol=1e-5)
    assert not seen


def test_a_card_whose_shares_do_not_fit_its_labels_is_refused(scripted, card) -> None:
    points = [("slice", "any", 0.5), ("study", "any", 0.5)]
    made = card("hemorrhage", labels=LABELS, points=points, form="slab-sequence")
    with pytest.raises(ValueError, match="blends 6 labels, but its card names 3"):
        SlabScorer(scripted(made, {}))
