import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.networks.chest import PointNorm


def test_a_gray_picture_is_repeated_and_each_channel_normalized():
    torch.manual_seed(0)
    color = build_network("chest_classifier", {"backbone": "resnet10t", "in_channels": 3}).eval()
    gray = build_network(
        "chest_classifier",
        {"backbone": "resnet10t", "in_channels": 3, "grey_mean": [0.4, 0.5, 0.6], "grey_std": [0.2, 0.25, 0.3]},
    ).eval()
    gray.load_state_dict(color.state_dict())
    picture = torch.rand(2, 1, 40, 40)
    channels = torch.cat([(picture - 0.4) / 0.2, (picture - 0.5) / 0.25, (picture - 0.6) / 0.3], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(gray(picture)["pathologies"], color(channels)["pathologies"])


def test_as_many_means_as_channels_are_demanded():
    with pytest.raises(ModelError, match="takes 3 channels; give as many grey_mean and grey_std"):
        build_network("chest_classifier", {"backbone": "resnet10t", "in_channels": 3, "grey_mean": [0.5]})


def test_an_operating_point_comes_to_lie_at_half_as_in_torchxrayvision():
    xrv = pytest.importorskip("torchxrayvision")
    norm = PointNorm(4)
    norm.points.copy_(torch.tensor([0.02, 0.5, 0.9, -1.0]))
    logits = torch.linspace(-12, 12, 49)[:, None].repeat(1, 4)
    points = torch.tensor([0.02, 0.5, 0.9, float("nan")])
    expected = xrv.models.op_norm(torch.sigmoid(logits), points)
    torch.testing.assert_close(torch.sigmoid(norm(logits)), expected, atol=1e-6, rtol=0)
    assert (norm(logits)[1:, :3] > norm(logits)[:-1, :3]).all()


def test_points_that_are_settings_are_no_weights_and_answer_as_those_that_are(answer):
    made = {"backbone": "resnet10t", "pathologies": ["a", "b"], "tubes": [], "point_norm": True}
    fixed = build_network("chest_classifier", {**made, "points": [0.1, -1]})
    stored = build_network("chest_classifier", made)
    assert set(stored.state_dict()) - set(fixed.state_dict()) == {"point_norm.points"}
    stored.load_state_dict({**fixed.state_dict(), "point_norm.points": torch.tensor([0.1, -1])})
    pictures = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(answer(fixed, pictures), answer(stored, pictures))


def test_there_is_one_point_for_each_pathology():
    with pytest.raises(ModelError, match="one for each of the pathologies"):
        build_network("chest_classifier", {"backbone": "resnet10t", "point_norm": True, "points": [0.1]})
