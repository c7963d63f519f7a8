from pathlib import Path

import numpy as np
import pytest
import torch

from AcuteFindingsLib.training.remembered import Remembered, digest_of


def test_a_part_is_made_once_and_again_when_anything_it_was_made_of_changed(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"values": np.arange(3) / 7}

    first = Remembered(tmp_path, {"weight": torch.ones(2)}, np.arange(4), 180)
    assert np.array_equal(first.part("fold-1", make)["values"], np.arange(3) / 7)
    same = Remembered(tmp_path, {"weight": torch.ones(2)}, np.arange(4), 180)
    assert np.array_equal(same.part("fold-1", make)["values"], np.arange(3) / 7)
    assert len(made) == 1
    same.part("fold-2", make)
    Remembered(tmp_path, {"weight": torch.zeros(2)}, np.arange(4), 180).part("fold-1", make)
    Remembered(tmp_path, {"weight": torch.ones(2)}, np.arange(4), 181).part("fold-1", make)
    assert len(made) == 4


def test_without_a_folder_nothing_is_kept() -> None:
    made = []
    for _ in range(2):
        Remembered(None).part("part", lambda: made.append(1) or {"values": np.zeros(1)})
    assert len(made) == 2


def test_an_interrupted_part_leaves_nothing_behind(tmp_path: Path) -> None:
    kept = Remembered(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        kept.part("part", _interrupted)
    assert not list(tmp_path.iterdir())


def test_digests_tell_shapes_and_kinds_of_numbers_apart() -> None:
    things = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((2, 3), np.float32), np.zeros(6), "zeros", 0]
    assert len({digest_of([thing]) for thing in things}) == len(things)


def _interrupted() -> dict[str, np.ndarray]:
    raise KeyboardInterrupt
