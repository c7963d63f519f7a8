"""What one step of fitting in bfloat16 takes on a processor, depthwise convolutions in single precision or not."""

from types import SimpleNamespace

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.training.depthwise import SingleDepthwise


@pytest.mark.benchmark(group="fitting lung_unet, 14 pictures of 192 pixels")
@pytest.mark.parametrize("depthwise", ["bfloat16", "float32"])
def test_step(depthwise: str, benchmark: BenchmarkFixture) -> None:
    torch.manual_seed(0)
    network = build_network("lung_unet", {"encoder": "tf_efficientnet_lite0", "decoder_channels": 32})
    network.to(memory_format=torch.channels_last).train()
    if depthwise == "float32":
        SingleDepthwise().on_fit_start(
            SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu"))), network
        )
    images = torch.randn(14, 1, 192, 192)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(images)["mask"].float().square().mean()
        loss.backward()

    benchmark.pedantic(step, rounds=5, warmup_rounds=2)
