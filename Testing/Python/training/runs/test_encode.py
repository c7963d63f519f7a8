"""Encodings are kept until the encoder, the series or the recipe's changes are others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import silent, small_recipe

from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.encode import encode
from AcuteFindingsLib.training.runs.items import IMAGES, MASKS, TRUTH, Item


def item(folder: Path, *, positive: bool, slices: int = 5) -> Item:
    folder.mkdir()
    labels = np.zeros((slices, 1), np.float32)
    labels[1:3] = positive
    np.save(folder / IMAGES, np.random.default_rng(0).integers(0, 255, (slices, 32, 32), np.uint8))
    np.save(folder / MASKS, np.zeros((slices, 8, 8), np.uint8))
    np.savez(
        folder / TRUTH,
        labels=labels,
        positive=labels[:, 0] > 0,
        mask_known=np.ones(slices, bool),
        exam=np.full(9, np.nan, np.float32),
        keys=np.arange(slices).astype(str),
    )
    return Item(folder.name, folder.name, folder)


@pytest.fixture
def recipe() -> Recipe:
    return small_recipe("pe-model-b", "stages.encode.augmented_positives=2", "stages.encode.augmented=0")


@pytest.fixture
def stacks(recipe: Recipe, tmp_path: Path):
    items = [item(tmp_path / "ill", positive=True), item(tmp_path / "well", positive=False)]
    torch.manual_seed(0)
    network = build_network("pe", recipe.network.arguments)

    def make(*, augmented: bool, seed: int = 0):
        return encode(
            network,
            items,
            recipe,
            tmp_path / "kept",
            augmented=augmented,
            seed=seed,
            device="cpu",
            progress=silent,
        )

    make.network = network
    make.folder = tmp_path / "kept"
    return make


def files(stacks) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in stacks.folder.iterdir()}


def test_positive_series_come_in_changed_versions_too_when_trained_on(stacks) -> None:
    plain, augmented = stacks(augmented=False), stacks(augmented=True)
    assert [len(plain), len(augmented)] == [2, 4]
    assert all(stack["encodings"].shape == (5, 64) for stack in augmented)
    assert np.array_equal(plain[0]["encodings"], augmented[0]["encodings"])
    assert not np.allclose(augmented[0]["encodings"], augmented[1]["encodings"])
    assert augmented[1]["slices"].tolist() == [0, 1, 1, 0, 0]


def test_encodings_are_made_once_and_anew_for_another_encoder(stacks) -> None:
    first = stacks(augmented=True)
    before = files(stacks)
    again = stacks(augmented=True)
    assert files(stacks) == before
    assert all(np.array_equal(a["encodings"], b["encodings"]) for a, b in zip(first, again, strict=True))
    with torch.no_grad():
        stacks.network.encoder.encoding.bias += 1
    other = stacks(augmented=True)
    assert len(files(stacks)) == 2 * len(before)
    assert np.allclose(other[0]["encodings"], first[0]["encodings"] + 1, atol=1e-4)


def test_another_sequence_network_needs_no_new_encodings(stacks) -> None:
    stacks(augmented=False)
    before = files(stacks)
    with torch.no_grad():
        stacks.network.sequence_network.stack.bias += 1
    stacks(augmented=False)
    assert files(stacks) == before
