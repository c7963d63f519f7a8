import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.radnet import HEMORRHAGE_LABELS, AttentionHead, RADnet

ATTENTION = ["attention_x2", "attention_x4", "attention_x8"]
BACKBONES = ["densenet40", "tf_efficientnet_lite0", "resnet34"]


def shapes(outputs):
    return {name: tuple(value.shape) for name, value in outputs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("decoder", [False, True])
def test_masks_are_exactly_the_size_of_the_slices_at_250_pixels(answer, backbone, decoder):
    outputs = answer(RADnet(backbone=backbone, decoder=decoder), torch.rand(1, 2, 1, 250, 250))
    masks = dict.fromkeys([*ATTENTION, "mask"], (1, 2, 1, 250, 250))
    assert shapes(outputs) == {"slice": (1, 2, len(HEMORRHAGE_LABELS)), **masks}


@pytest.mark.slow
def test_backbones_without_padding_give_masks_of_the_right_size_too(answer):
    outputs = answer(RADnet(backbone="inception_v4", decoder=True), torch.rand(1, 1, 1, 100, 90))
    assert all(outputs[name].shape[-2:] == (100, 90) for name in [*ATTENTION, "mask"])


def test_the_ablation_without_attention_and_lstm_is_densenet40_with_six_labels(weights, answer):
    network = RADnet(attention=False, recurrent=False)
    plain = 1_019_722 - 2 * 16 * 9 - (448 * 10 + 10) + (448 * 6 + 6)
    assert weights(network) == plain
    assert shapes(answer(network, torch.rand(2, 3, 1, 48, 48))) == {"slice": (2, 3, 6)}
    assert not hasattr(network, "lstm")


def test_the_ablation_with_attention_adds_three_masks_and_nothing_else(weights, answer):
    network = RADnet(recurrent=False)
    heads = (160 + 1 + 4**2) + (304 + 1 + 8**2) + (448 + 1 + 16**2)
    assert weights(network) - weights(RADnet(attention=False, recurrent=False)) == heads
    assert not hasattr(network, "lstm")
    assert list(answer(network, torch.rand(1, 1, 1, 48, 48))) == ["slice", *ATTENTION, "mask"]


def test_radnet_adds_one_bidirectional_lstm(weights):
    lstm = 2 * (4 * 128 * (448 + 128) + 2 * 4 * 128)
    heads = (2 * 128 - 448) * 6
    assert weights(RADnet()) - weights(RADnet(recurrent=False)) == lstm + heads


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_slice_sees_its_neighbors_only_through_the_lstm(answer, recurrent):
    network, scan = RADnet(recurrent=recurrent), torch.rand(1, 5, 1, 48, 48)
    changed = scan.clone()
    changed[0, 2] = 1 - changed[0, 2]
    first, second = answer(network, scan), answer(network, changed)
    moved = (first["slice"] - second["slice"]).abs().amax(-1)[0] > 0
    assert moved.tolist() == ([True] * 5 if recurrent else [False, False, True, False, False])
    assert torch.equal(first["mask"][0, [0, 1, 3, 4]], second["mask"][0, [0, 1, 3, 4]])


@pytest.mark.parametrize("pooling", ["avg", "avgmax"])
def test_slices_in_batches_and_the_head_once_give_what_the_whole_scan_gives(answer, pooling):
    network, scan = (
        RADnet(backbone="resnet10t", taps=[4, 8], decoder=True, pooling=pooling).eval(),
        torch.rand(5, 1, 50, 50),
    )
    with torch.inference_mode():
        parts = [network.features(part) for part in scan.split(2)]
        slices = network.head(torch.cat([part["features"] for part in parts])[None])["slice"]
    whole = answer(network, scan[None])
    torch.testing.assert_close(slices, whole["slice"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.cat([part["mask"] for part in parts])[None], whole["mask"], atol=1e-4, rtol=1e-4)


def test_the_classifier_reads_area_and_height_of_the_mask_and_teaches_it_nothing():
    network = RADnet(backbone="resnet10t", taps=[4, 8], mask_features=True, decoder=True).train()
    torch.nn.init.zeros_(network.decoder.output.bias)
    outputs = network.features(torch.rand(2, 1, 64, 64))
    shown = outputs["mask"].sigmoid().flatten(1)
    areas = torch.stack([(shown >= 0.5).float().sum(dim=1), shown.sum(dim=1)], dim=1).log1p()
    expected = torch.cat([areas, shown.amax(dim=1, keepdim=True)], dim=1)
    torch.testing.assert_close(outputs["features"][:, -3:], expected)
    network.head(outputs["features"][None])["slice"].sum().backward()
    assert network.decoder.output.weight.grad is None
    assert network.output.weight.grad[:, -3:].abs().min() > 0


def test_dropout_leaves_what_the_mask_shows():
    network = RADnet(backbone="resnet10t", taps=[4, 8], mask_features=True, recurrent=False, dropout=0.9999).train()
    features = torch.ones(1, 4, network.output.in_features)
    last = network.output.weight[:, -3:].sum(dim=1) + network.output.bias
    torch.testing.assert_close(network.head(features)["slice"][0, 0], last)


def test_padding_of_a_shorter_scan_changes_nothing(answer):
    network, scans = RADnet(backbone="resnet10t", taps=[4, 8]), torch.rand(2, 4, 1, 48, 48)
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    other = scans.clone()
    other[1, 2:] = 9.0
    first, second = answer(network, scans, valid)["slice"], answer(network, other, valid)["slice"]
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[1, :2], second[1, :2])
    torch.testing.assert_close(answer(network, scans[1:, :2])["slice"][0], first[1, :2])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_deconvolution_starts_as_bilinear_interpolation(factor):
    head = AttentionHead(1, factor)
    torch.nn.init.ones_(head.conv.weight)
    torch.nn.init.zeros_(head.conv.bias)
    maps = torch.rand(1, 1, 6, 6)
    expected = torch.nn.functional.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)
    inner = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(head(maps)[inner], expected[inner])


@pytest.mark.slow
def test_masks_lie_on_what_they_show(answer):
    """A bright square moves the finest mask there, so that padding and deconvolution shift nothing."""
    network, images = RADnet(recurrent=False).eval(), torch.zeros(1, 1, 1, 250, 250)
    marked = images.clone()
    marked[..., 180:196, 60:76] = 1
    first, second = answer(network, images), answer(network, marked)
    difference = (first["attention_x2"] - second["attention_x2"]).abs()[0, 0, 0]
    rows, columns = torch.nonzero(difference > 0.5 * difference.max(), as_tuple=True)
    assert rows.float().mean().item() == pytest.approx(187.5, abs=6)
    assert columns.float().mean().item() == pytest.approx(67.5, abs=6)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["slice", "mask", *ATTENTION])
def test_classification_and_every_mask_teach_the_first_layer(output):
    network = RADnet().train()
    network(torch.rand(1, 3, 1, 48, 48))[output].square().sum().backward()
    assert network.backbone.stem.weight.grad.abs().sum() > 0


def test_every_weight_learns_from_all_outputs(without_gradient):
    network = RADnet(backbone="tf_efficientnet_lite0", decoder=True).train()
    outputs = network(torch.rand(2, 3, 1, 64, 64))
    assert without_gradient(network, sum(value.square().sum() for value in outputs.values())) == []


def test_the_light_decoder_is_light(weights):
    small = {"backbone": "tf_efficientnet_lite0", "recurrent": False}
    assert weights(RADnet(**small, decoder=True)) - weights(RADnet(**small)) < 30_000


def test_masks_start_nearly_empty(answer):
    outputs = answer(RADnet(decoder=True, backbone="resnet10t", taps=[4]), torch.rand(1, 1, 1, 64, 64))
    assert outputs["mask"].sigmoid().mean() < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "max"}, "no pooling 'max'; choose avg or avgmax"),
        ({"taps": [2, 16]}, r"'densenet40' has no stage at 1/16; choose taps among \[2, 4, 8, 8\]"),
        ({"mask_features": True, "attention": False}, "mask_features needs a mask"),
        ({"pretrained": True}, "DenseNet-40 has no ImageNet weights"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        RADnet(**arguments)
