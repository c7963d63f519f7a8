import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.providers.torchxrayvision.weights_check import prove_harmless


class Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_pickled_network_of_torch_layers_is_harmless(tmp_path, zipped) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.AvgPool2d(2))
    network.pathologies = ["a", np.str_("b")]
    network.best = np.float64(0.5)
    file = tmp_path / "network.pt"
    torch.save(network, file, _use_new_zipfile_serialization=zipped)
    prove_harmless(file)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, zipped) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    network.trap = Trap(tmp_path / "sprung")
    file = tmp_path / "network.pt"
    torch.save(network, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ProviderError, match="could run code"):
        prove_harmless(file)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_file_is_named(tmp_path) -> None:
    file = tmp_path / "network.pt"
    torch.save(nn.Linear(100, 100), file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ProviderError, match=r"network\.pt is damaged"):
        prove_harmless(file)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(ProviderError, match=r"none\.pt"):
        prove_harmless(tmp_path / "none.pt")
