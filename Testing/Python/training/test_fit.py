import torch
from torch import nn

from AcuteFindingsLib.training.fit import fit


def test_a_few_steps_lower_the_loss(capsys) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    images = torch.rand(32, 1, 8, 8) * torch.linspace(0, 1, 32).reshape(-1, 1, 1, 1)
    batch = {"images": images, "labels": (images.mean((1, 2, 3), keepdim=False)[:, None] > 0.25).float()}

    def loss(model, part):
        return nn.functional.binary_cross_entropy_with_logits(model(part["images"]).float(), part["labels"])

    before = float(loss(network, batch).detach())
    fitted = fit(network, (batch for _ in range(40)), loss, steps=40, rate=0.05, report_every=20)
    assert fitted is network
    assert not network.training
    assert float(loss(network, batch).detach()) < 0.7 * before
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert [line.split(":")[0] for line in told] == ["step 20", "step 40"]


def test_a_network_that_was_in_use_is_put_back_into_training_unless_its_norms_are_held() -> None:
    modes = []

    def loss(model, part):
        modes.append(model.training)
        return model(part).square().mean()

    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    batches = [torch.randn(4, 2) + 3 for _ in range(2)]
    fit(network, iter(batches), loss, steps=2, rate=0.01, hold_norms=True)
    assert torch.equal(network[1].running_mean, torch.zeros(2))
    fit(network, iter(batches), loss, steps=2, rate=0.01)
    assert not torch.equal(network[1].running_mean, torch.zeros(2))
    assert modes == [False, False, True, True]
