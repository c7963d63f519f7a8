"""A CT becomes a probability volume as the public program of the network makes it, within memory and until stopped."""

from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from AcuteFindingsLib.detectors import volume_scorer
from AcuteFindingsLib.detectors.volume_scorer import VolumeScorer
from AcuteFindingsLib.errors import CancelledError, DetectionError, ModelError
from AcuteFindingsLib.networks.residual_unet import ResidualUNet
from AcuteFindingsLib.study.study import SourceSlice, Study

SMALL = {"features": [4, 6, 8], "blocks": [1, 2, 1], "strides": [[1] * 3, [2] * 3, [1, 2, 2]]}
NUMBERS = {
    "lowest_hu": -195.0,
    "highest_hu": 305.0,
    "mean_hu": 37.0602,
    "deviation_hu": 92.3437,
    "spacing_mm": [1.0, 0.75, 0.75],
    "tile": [8, 16, 16],
    "smallest_tile": [8, 16, 16],
    "divisor": [2, 4, 4],
    "bytes_per_voxel": 650,
}


def ct(shape: tuple[int, int, int], spacing: tuple[float, float, float], *, up: bool = True) -> Study:
    """Soft tissue with smooth lumps of contrast and air."""
    rough = np.random.default_rng(5).normal(size=shape)
    array = (40 + 4000 * gaussian_filter(rough, [2 / spacing[0], 2 / spacing[1], 2 / spacing[2]])).astype(np.float32)
    matrix = np.diag([-spacing[2], -spacing[1], spacing[0] if up else -spacing[0], 1.0])
    sources = tuple(SourceSlice(k, None, 0, "", (0.0, 0.0, float(matrix[2, 2] * k)), k) for k in range(shape[0]))
    return Study(array, matrix, "CT", "HU", "axial", sources)


@pytest.fixture(scope="module")
def public() -> torch.nn.Module:
    """The network of nnU-Net, small, with random weights."""
    torch.manual_seed(23)
    network = ResidualEncoderUNet(
        1,
        3,
        SMALL["features"],
        torch.nn.Conv3d,
        3,
        SMALL["strides"],
        SMALL["blocks"],
        2,
        [1, 1],
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return network.eval().requires_grad_(False)


@pytest.fixture
def scorer(public, scripted, card):
    """The scorer with our network, which has the same weights."""
    network = ResidualUNet(**SMALL, decoder_convolutions=[1, 1])
    network.load_state_dict({name: public.state_dict()[name] for name in network.state_dict()})
    network.eval().requires_grad_(False)

    def make(**numbers) -> VolumeScorer:
        made = card("pe", labels=["pe"], points=[("mask", "pe", 0.5)], preprocessing=NUMBERS | numbers)
        parts = {"": lambda batch: {"mask": network(torch.from_numpy(batch))["mask"].numpy()}}
        return VolumeScorer(scripted(made, parts))

    return make


def by_the_public_program(network: torch.nn.Module, hu: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Normalize, resample, read tile by tile, resample the logits, softmax: whole volumes and nothing clever."""
    target = NUMBERS["spacing_mm"]
    volume = (np.clip(hu, -195, 305) - 37.0602) / 92.3437
    shape = [round(a / b * n) for a, b, n in zip(spacing, target, hu.shape, strict=True)]
    volume = stretched(volume, shape, 3, thick=max(spacing) / min(spacing) > 3)
    side = [min(own, ceil(n / by) * by) for own, n, by in zip(NUMBERS["tile"], shape, NUMBERS["divisor"], strict=True)]
    padded = np.pad(volume, [(0, max(0, own - n)) for own, n in zip(side, shape, strict=True)])
    weights = np.zeros(side)
    weights[side[0] // 2, side[1] // 2, side[2] // 2] = 1
    weights = gaussian_filter(weights, [own / 8 for own in side], mode="constant")
    weights /= weights.max()
    total, seen = np.zeros((2, *padded.shape)), np.zeros(padded.shape)
    for corner in product(*(evenly(n, own) for n, own in zip(padded.shape, side, strict=True))):
        place = tuple(slice(start, start + own) for start, own in zip(corner, side, strict=True))
        logits = network(torch.from_numpy(padded[place].astype(np.float32))[None, None])[0].numpy()
        total[(slice(None), *place)] += logits * weights
        seen[place] += weights
    logits = (total / seen)[(slice(None), *map(slice, shape))]
    thick = max(spacing) / min(spacing) > 3
    background, finding = (stretched(one, hu.shape, 1, thick=thick) for one in logits)
    return np.exp(finding) / (np.exp(finding) + np.exp(background))


def evenly(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    steps = ceil((length - side) / (side // 2))
    return [round((length - side) / steps * number) for number in range(steps + 1)]


def stretched(array: np.ndarray, shape, order: int, *, thick: bool) -> np.ndarray:
    options = {"order": order, "mode": "edge", "anti_aliasing": False, "preserve_range": True}
    if not thick:
        return resize(array, shape, **options)
    planes = np.stack([resize(plane, shape[1:], **options) for plane in array])
    return planes[((np.arange(shape[0]) + 0.5) / shape[0] * len(planes)).astype(int)]


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((22, 30, 40), (0.8, 0.7, 0.6)), ((6, 40, 36), (4.0, 0.6, 0.6)), ((5, 12, 10), (1.0, 0.75, 0.75))],
    ids=["thin-slices", "thick-slices", "smaller-than-a-block"],
)
def test_every_voxel_has_the_probability_of_the_public_program(scorer, public, shape, spacing) -> None:
    study = ct(shape, spacing)
    expected = by_the_public_program(public, study.array, spacing)
    assert expected.min() < 0.4 < 0.6 < expected.max()
    given = scorer().probability(study)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected, atol=1e-3)


def test_slices_from_the_head_down_are_read_like_those_from_the_feet_up(scorer) -> None:
    up = ct((22, 30, 40), (0.8, 0.7, 0.6))
    down = replace(ct((22, 30, 40), (0.8, 0.7, 0.6), up=False), array=up.array[::-1].copy())
    np.testing.assert_allclose(scorer().probability(down), scorer().probability(up)[::-1], atol=1e-6)


def test_a_coronal_series_is_read_like_an_axial_one(scorer) -> None:
    axial = ct((22, 30, 40), (0.8, 0.7, 0.6))
    # Slices from the front to the back, rows from the head to the feet.
    coronal = np.zeros((4, 4))
    coronal[0, 0], coronal[2, 1], coronal[1, 2], coronal[3, 3] = -0.6, -0.8, -0.7, 1
    study = replace(
        axial,
        array=np.ascontiguousarray(axial.array[::-1].transpose(1, 0, 2)),
        ijk_to_ras=coronal,
        orientation="coronal",
        sources=tuple(SourceSlice(k, None, 0, "", (0.0, -0.7 * k, 0.0), k) for k in range(30)),
    )
    given = scorer().probability(study)
    np.testing.assert_allclose(given.transpose(1, 0, 2)[::-1], scorer().probability(axial), atol=1e-6)


def test_the_time_is_told_before_the_first_block_and_the_rest_after_each(scorer) -> None:
    told: list[tuple[str, float]] = []
    made = scorer()
    volume = made.prepare(ct((22, 30, 40), (0.8, 0.7, 0.6)))
    made.infer(volume, progress=lambda text, fraction: told.append((text, fraction)))
    texts = [text for text, _ in told]
    assert texts[1].startswith("Reading 36 blocks, about ")
    assert texts[1].endswith(" on this processor")
    assert texts[2].startswith("Reading block 2 of 36, about ")
    assert texts[2].endswith(" left")
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    # What was measured is not measured again.
    asked = len(made.predictor.seen)
    assert made.estimate(volume) > 0
    assert len(made.predictor.seen) == asked == 2 + 36


def test_it_stops_between_blocks_and_says_nothing_of_the_study(scorer) -> None:
    made = scorer()
    volume = made.prepare(ct((22, 30, 40), (0.8, 0.7, 0.6)))
    with pytest.raises(CancelledError):
        made.infer(volume, cancelled=lambda: len(made.predictor.seen) >= 5)
    assert len(made.predictor.seen) == 5


def test_blocks_get_smaller_where_the_memory_does_not_suffice(scorer, monkeypatch) -> None:
    made = scorer(tile=[16, 32, 32])
    volume = made.prepare(ct((22, 30, 40), (0.8, 0.7, 0.6)))
    answer = made.predictor.parts[""]

    def full(batch: np.ndarray) -> dict[str, np.ndarray]:
        if batch.size > 8 * 16 * 16:
            try:
                raise MemoryError("unable to allocate")
            except MemoryError as error:
                raise ModelError("It needs more memory than there is left.") from error
        return answer(batch)

    made.predictor.parts[""] = full
    logits = made.infer(volume)
    assert made.predictor.seen[-1][1].shape == (1, 1, 8, 16, 16)
    np.testing.assert_allclose(logits, scorer().infer(volume), atol=1e-5)
    # Not even the smallest fits.
    made.predictor.parts[""] = lambda batch: full(np.zeros((1, 1, 16, 32, 32)))
    with pytest.raises(ModelError, match="more memory than there is left"):
        made.infer(volume)
    # Less is free from the start.
    monkeypatch.setattr(volume_scorer, "free_memory", lambda: 650 * 8 * 16 * 16 / 0.79)
    made = scorer(tile=[16, 32, 32])
    made.infer(volume)
    assert {batch.shape[2:] for _, batch in made.predictor.seen[2:]} == {(8, 16, 16)}
    monkeypatch.setattr(volume_scorer, "free_memory", lambda: 100_000)
    with pytest.raises(ModelError, match=r"needs .* GB of free memory, and 0\.0 GB are free"):
        scorer().infer(volume)


def test_an_error_that_is_not_about_memory_is_raised_as_it_is(scorer) -> None:
    made = scorer()
    volume = made.prepare(ct((5, 12, 10), (1.0, 0.75, 0.75)))
    made.predictor.parts[""] = lambda batch: {"mask": batch[..., 1:]}
    with pytest.raises(ModelError, match="one logit a voxel is expected"):
        made.infer(volume)


def test_beside_the_box_of_the_chest_the_probability_is_zero(scorer, monkeypatch) -> None:
    box = (slice(3, 19), slice(4, 28), slice(6, 38))
    asked = {}
    monkeypatch.setattr(volume_scorer, "chest_box", lambda study, axial, **how: asked.update(how) or box)
    study = ct((22, 30, 40), (0.8, 0.7, 0.6), up=False)
    made = scorer(region="chest", margin_mm=12.0)
    given = made.probability(study)
    assert asked == {"margin_mm": 12.0}
    inside = np.zeros(given.shape, bool)
    # The study's slices run from the head down; the box is one of the axial view.
    inside[:, box[1], box[2]] = True
    inside[~np.isin(np.arange(22), 21 - np.arange(3, 19))] = False
    assert not given[~inside].any()
    assert (given[inside] > 0).all()
    cut = replace(study, array=study.array[3:19, 4:28, 6:38].copy(), sources=study.sources[:16])
    np.testing.assert_allclose(given[3:19, 4:28, 6:38], scorer().probability(cut), atol=1e-6)


def test_a_study_without_hounsfield_units_is_refused_before_anything_is_computed(scorer) -> None:
    with pytest.raises(DetectionError, match="no Hounsfield units"):
        scorer().prepare(replace(ct((5, 12, 10), (1.0, 0.75, 0.75)), intensity="windowed"))
