from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from AcuteFindingsLib.detectors.hemorrhage import HemorrhageSettings
from AcuteFindingsLib.networks.radnet import RADnet
from AcuteFindingsLib.training.real_heads import RealHeads, cross_validate, fit_to_heads, read_heads, score_heads

SETTINGS = HemorrhageSettings(pixel_mm=2.5, size=96)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> RealHeads:
    """Twenty drawn heads, half of them with a bright spot; two of them nearly the same."""
    folder = tmp_path_factory.mktemp("heads")
    (folder / "images").mkdir()
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    rows = ["image,hemorrhage,duplicate_group"]
    for number in range(20):
        radius = np.hypot(y / 0.9, x / (0.7 + 0.005 * number))
        picture = np.where(radius < 0.9, 90, 0) + np.where((radius >= 0.82) & (radius < 0.9), 160, 0)
        picture = picture - 45 * (np.hypot(y, x) < 0.15)
        if number % 2:
            picture = np.where(np.hypot(y - 0.3, x - 0.2) < 0.15, 200, picture)
        Image.fromarray(picture.astype(np.uint8)).save(folder / "images" / f"{number:03d}.png")
        rows.append(f"{number:03d}.png,{number % 2},{max(number, 3)}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return read_heads(folder, SETTINGS)


def network() -> RADnet:
    torch.manual_seed(0)
    return RADnet(backbone="resnet10t", taps=(4, 8, 16), hidden=8, pooling="avgmax", mask_features=True, decoder=True)


def phantoms(steps: int, generator: np.random.Generator) -> Iterator[dict[str, Tensor]]:
    for _ in range(steps):
        images = torch.from_numpy(generator.random((4, 1, 96, 96), np.float32))
        yield {"images": images, "mask": torch.zeros(4, 1, 96, 96), "labels": torch.zeros(1, 4, 6)}


def test_slices_are_read_as_the_detector_reads_them(heads: RealHeads) -> None:
    assert heads.images.shape == heads.neutral.shape == (20, 96, 96)
    assert heads.bleeding.sum() == 10
    assert heads.look.shape == (20, 36)
    assert np.abs(heads.images - heads.neutral).mean() < 0.05


def test_fitting_goes_on_from_the_weights_given(heads: RealHeads) -> None:
    start = network()
    before = score_heads(start.eval(), heads.images)
    fitted = fit_to_heads(start, heads, np.arange(20), phantoms, steps=2)
    after = score_heads(fitted, heads.images)
    assert after.shape == (20,)
    assert ((after >= 0) & (after <= 1)).all()
    assert not np.allclose(before, after)


def test_every_slice_is_scored_in_both_versions_beside_what_its_look_tells(heads: RealHeads) -> None:
    scores = cross_validate(network, heads, phantoms, steps=1)
    assert set(scores) == {"images", "neutral", "look"}
    for values in scores.values():
        assert values.shape == (20,)
        assert ((values > 0) & (values < 1) | (scores["look"] == values)).all()
