from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageSettings
from AcuteFindingsLib.networks.radnet import RADnet
from AcuteFindingsLib.training import real_heads
from AcuteFindingsLib.training.real_heads import (
    RealHeads,
    cross_validate,
    fit_to_heads,
    mask_heads,
    read_heads,
    score_heads,
)
from AcuteFindingsLib.training.real_heads_card import mask_panels, score_tables
from AcuteFindingsLib.training.remembered import Remembered

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


def test_fitting_goes_on_from_the_weights_given_and_stays_near_them(
    heads: RealHeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = network()
    given = {name: value.clone() for name, value in start.state_dict().items()}

    def fitted(share: float) -> RADnet:
        again = network()
        again.load_state_dict(given)
        monkeypatch.setattr(real_heads, "ON_THE_WAY", share)
        return fit_to_heads(again, heads, np.arange(20), phantoms, steps=2)

    whole, between = fitted(1.0), fitted(0.7)
    after = score_heads(between, heads.images)
    assert after.shape == (20,)
    assert ((after >= 0) & (after <= 1)).all()
    assert not np.allclose(score_heads(start.eval(), heads.images), after)
    ends = whole.state_dict()
    for name, value in between.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.3 * given[name] + 0.7 * ends[name], rtol=1e-4, atol=1e-6)
    # The first layers were held, the later ones are free again.
    first = next(name for name, _ in whole.backbone.named_parameters())
    torch.testing.assert_close(ends[f"backbone.{first}"], given[f"backbone.{first}"], rtol=0, atol=0)
    assert all(value.requires_grad for value in whole.parameters())


def test_every_slice_is_scored_in_both_versions_beside_what_its_look_tells(
    heads: RealHeads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Remembered(tmp_path, "these slices")
    scores = cross_validate(network, heads, phantoms, steps=1, kept=kept)
    for name in ("images", "neutral", "look"):
        assert scores[name].shape == (20,)
        assert ((scores[name] >= 0) & (scores[name] <= 1)).all()
    assert set(scores["fold"]) == {1, 2, 3, 4, 5}
    for group in set(heads.groups):
        assert len(set(scores["fold"][heads.groups == group])) == 1, "near-duplicates are held out together"

    def refuse(*_: object, **__: object) -> RADnet:
        raise AssertionError("a fold that is done is not fitted again")

    monkeypatch.setattr(real_heads, "fit_to_heads", refuse)
    again = cross_validate(network, heads, phantoms, steps=1, kept=Remembered(tmp_path, "these slices"))
    assert all(np.array_equal(again[name], scores[name]) for name in scores)
    with pytest.raises(AssertionError, match="not fitted again"):
        cross_validate(network, heads, phantoms, steps=1, kept=Remembered(tmp_path, "other slices"))


def test_tables_hold_the_scores_to_the_last_digit(heads: RealHeads) -> None:
    score = np.random.default_rng(0).random(20)
    scores = {"images": score, "neutral": score.astype(np.float32), "look": score, "fold": np.arange(20) % 5 + 1}
    tables = score_tables(heads, scores)
    for file, values in (("cross-validation.csv", score), ("cross-validation-neutral.csv", scores["neutral"])):
        rows = [line.split(",") for line in tables[file].decode().splitlines()]
        assert rows[0] == ["image", "any"]
        assert [float(row[1]) for row in rows[1:]] == values.tolist()
    assert tables["folds.csv"].decode().splitlines()[:2] == ["image,fold", "000.png,1"]


def test_a_sheet_for_a_package_shows_nothing_of_the_slices_but_where_the_head_is(heads: RealHeads) -> None:
    masks = mask_heads(network().eval(), heads.images)
    assert masks.shape == heads.images.shape
    shown = mask_panels(heads, masks, np.zeros(20), 0.5, images=True)
    flat = mask_panels(heads, masks, np.zeros(20), 0.5, images=False)
    assert len(shown) == len(flat) == 10, "one for each slice with a bleed"
    assert all(len(np.unique(panel.image)) <= 2 for panel in flat)
    assert all(len(np.unique(panel.image)) > 2 for panel in shown)
