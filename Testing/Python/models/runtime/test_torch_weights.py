import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("writer", ["pickle", "torch", "torch-legacy"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(tmp_path, writer):
    trap, path = tmp_path / "trap", tmp_path / "model.pt"
    data = {"weight": Malicious(trap)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(data))
    else:
        torch.save(data, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(ModelError, match="could run code when opened; ask for the weights as safetensors"):
        read_state_dict(path)
    assert not trap.exists()


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="holds more than tensors"):
        read_state_dict(tmp_path / "model.pt")


def test_plain_state_dicts_are_read_also_from_a_checkpoint(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "model.pt")
    torch.save({"epoch": 3, "state_dict": network.state_dict()}, tmp_path / "run.ckpt")
    for name in ("model.pt", "run.ckpt"):
        state = read_state_dict(tmp_path / name)
        assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())


def test_half_precision_becomes_float32_and_integers_stay(tmp_path):
    save_file(
        {"a": torch.ones(2).half(), "b": torch.ones(2).bfloat16(), "n": torch.tensor(7)}, tmp_path / "m.safetensors"
    )
    state = read_state_dict(tmp_path / "m.safetensors")
    assert [state[name].dtype for name in "abn"] == [torch.float32, torch.float32, torch.int64]
    assert int(state["n"]) == 7


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x02}"])
def test_a_damaged_file_is_a_sentence_that_names_it(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        read_state_dict(tmp_path / name)


def test_a_file_without_named_tensors_is_refused(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "m.pt")
    with pytest.raises(ModelError, match="no tensors by name"):
        read_state_dict(tmp_path / "m.pt")
