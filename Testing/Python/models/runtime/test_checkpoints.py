"""State dicts inside what training scripts save, and tensors that are no plain numbers."""

import argparse
import pathlib
import sys
import types

import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict

WEIGHTS = {"weight": torch.full((2, 2), 3.0), "bias": torch.ones(2)}


class Settings(dict):
    """A class that no reader has."""


WRAPPED = {
    "tutorial": {"epoch": 1, "model_state_dict": WEIGHTS, "optimizer_state_dict": {"state": {0: {"m": torch.ones(9)}}}},
    "namespace": {"args": argparse.Namespace(lr=1), "model": WEIGHTS},
    "lightning": {"state_dict": WEIGHTS, "hyper_parameters": Settings(a=1, p=pathlib.PosixPath("/x")), "callbacks": {}},
    "deep": {"model": {"state_dict": WEIGHTS}},
    "own name": {"thing": WEIGHTS, "epoch": 3},
    "beside numbers": {**WEIGHTS, "epoch": 3},
    "beside an average": {"state_dict": WEIGHTS, "state_dict_ema": {k: v * 0 for k, v in WEIGHTS.items()}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_weights_of_a_checkpoint_are_found_whatever_lies_beside_them(tmp_path, kind, monkeypatch):
    foreign = types.ModuleType("foreign_training")
    monkeypatch.setitem(sys.modules, "foreign_training", foreign)
    monkeypatch.setattr(Settings, "__module__", "foreign_training")
    foreign.Settings = Settings
    torch.save(WRAPPED[kind], tmp_path / "m.pt")
    monkeypatch.delitem(sys.modules, "foreign_training")
    state = read_state_dict(tmp_path / "m.pt")
    assert {name: value.sum().item() for name, value in state.items()} == {"weight": 12.0, "bias": 2.0}
    assert "foreign_training" not in sys.modules


ODD = {
    "sparse": {"a": torch.eye(3).to_sparse()},
    "meta": {"a": torch.empty(3, device="meta")},
    "complex": {"a": torch.ones(3, dtype=torch.complex64)},
    "claims 1,000,000,000,000": {"a": torch.ones(1).expand(10**12)},
    "no names": {0: torch.ones(1)},
    "its entries are 'one', 'two'": {"one": WEIGHTS, "two": WEIGHTS},
    "no tensors by name": torch.ones(3),
    "holds more than tensors": {"model": torch.nn.Linear(1, 1)},
}


@pytest.mark.parametrize("told", ODD)
def test_what_holds_no_plain_numbers_by_name_is_a_sentence(tmp_path, told):
    torch.save(ODD[told], tmp_path / "m.pt")
    with pytest.raises(ModelError, match=told):
        read_state_dict(tmp_path / "m.pt")


def test_a_number_by_itself_is_a_tensor(tmp_path):
    torch.save({"a": torch.tensor(3.0)}, tmp_path / "m.pt")
    assert read_state_dict(tmp_path / "m.pt")["a"].shape == ()


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_a_sentence(tmp_path, keep):
    torch.save(WEIGHTS, tmp_path / "m.pt")
    data = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ModelError, match=r"m\.pt"):
        read_state_dict(tmp_path / "m.pt")
