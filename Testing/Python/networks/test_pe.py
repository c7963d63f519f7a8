import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.pe import (
    EXAM_LABELS,
    PADDED_LOGIT,
    PEModel,
    SequenceNetwork,
    SliceEncoder,
    lasting_peaks,
)

SMALL = {"encoder": {"backbone": "resnet10t"}, "sequence": {"length": 6}}


def sequence(**arguments):
    return SequenceNetwork(length=12, **arguments).eval()


@pytest.mark.parametrize(("channels", "backbone"), [(1, 54_306_464 - 2 * 32 * 9), (3, 54_306_464)])
def test_the_published_encoder_has_the_weights_of_its_layers(weights, channels, backbone):
    with torch.device("meta"):
        network = SliceEncoder(in_channels=channels)
    dense = (1536 * 512 + 512) + (512 * 64 + 64) + (64 + 1)
    assert weights(network) == backbone + dense


@pytest.mark.slow
def test_the_published_encoder_turns_slices_into_64_numbers_and_a_logit(answer):
    outputs = answer(SliceEncoder(), torch.rand(2, 1, 96, 96) * 2 - 1)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {"encoding": (2, 64), "slice": (2, 1)}


def test_the_encoding_is_linear_and_the_slice_logit_is_read_from_it(answer):
    network = SliceEncoder(backbone="resnet10t")
    outputs = answer(network, torch.randn(8, 1, 64, 64))
    assert outputs["encoding"].min() < 0 < outputs["encoding"].max()
    weight, bias = network.output.weight.detach(), network.output.bias.detach()
    torch.testing.assert_close(outputs["slice"], outputs["encoding"] @ weight.T + bias)


def test_the_decoder_gives_a_mask_at_a_quarter_of_the_size_that_the_slice_loss_does_not_bend():
    network = SliceEncoder(backbone="resnet10t", decoder=True).train()
    outputs = network(torch.rand(4, 1, 96, 96) * 2 - 1)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "encoding": (4, 64),
        "slice": (4, 1),
        "mask": (4, 1, 24, 24),
    }
    outputs["slice"].sum().backward(retain_graph=True)
    assert network.decoder.output.weight.grad is None
    outputs["mask"].sum().backward()
    assert network.decoder.output.weight.grad.abs().sum() > 0


def test_features_and_head_make_the_encoder(answer):
    network, images = SliceEncoder(backbone="resnet10t", decoder=True).eval(), torch.rand(3, 1, 64, 64)
    with torch.inference_mode():
        parts = network.head(network.features(images)["features"])
    torch.testing.assert_close(parts["encoding"], answer(network, images)["encoding"])


def test_in_fields_a_slice_is_what_its_mask_shows_where():
    network, images = SliceEncoder(backbone="resnet10t", decoder=True, fields=8).eval(), torch.rand(3, 1, 128, 128)
    with torch.inference_mode():
        answers = network(images)
        highest = torch.nn.functional.max_pool2d(answers["mask"], 4).flatten(1) / 4
        torch.testing.assert_close(answers["encoding"], highest)
        torch.testing.assert_close(answers["slice"], network.output(highest.amax(dim=1, keepdim=True)))

    torch.nn.init.constant_(network.decoder.output.bias, 1000.0)
    sure = network(images)
    assert (sure["encoding"] == 4).all()
    assert torch.autograd.grad(sure["slice"].sum(), network.decoder.output.bias)[0].any(), "Grad-CAM has a gradient"


@pytest.mark.parametrize("arguments", [{"fields": 8}, {"fields": 7, "decoder": True}])
def test_fields_need_a_mask_and_a_number_each(arguments):
    with pytest.raises(ModelError, match="decoder=True and encoding="):
        SliceEncoder(backbone="resnet10t", **arguments)


def test_the_backbone_sees_every_image_through_every_window():
    windows = [[-0.2, 1.0], [-1.0, -0.2]]
    network = SliceEncoder(backbone="resnet10t", in_channels=3, windows=windows).eval()
    seen = []
    network.backbone.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    images = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    network(images)

    blood, lung = (images + 0.2) / 0.6 - 1, (images + 1) / 0.4 - 1
    torch.testing.assert_close(seen[0], torch.cat([blood, lung], dim=1).clamp(-1, 1))
    assert not [name for name in network.state_dict() if name in {"low", "high"}], "windows are no weights"


@pytest.mark.parametrize("windows", [[], [[0.5, 0.5]], [[-1.0, 0.0], [1.0, 0.0]]])
def test_a_window_runs_from_a_lower_to_a_higher_gray(windows):
    with pytest.raises(ModelError, match="a lower and a higher gray"):
        SliceEncoder(backbone="resnet10t", windows=windows)


def test_a_peak_counts_with_what_a_neighbor_shows_in_the_same_place():
    encodings = torch.full((1, 5, 2), -3.0)
    encodings[0, 0, 0], encodings[0, 1, 0], encodings[0, 3, 1], encodings[0, 4, 1] = 2.0, 1.0, 3.0, 3.0
    inside = torch.tensor([[True, True, True, True, False]])
    assert lasting_peaks(encodings, inside)[0, :, 0].tolist() == [1.5, 1.5, 0.0, 0.0, -0.5]


def test_a_clot_in_one_place_over_two_slices_raises_their_answer_more_than_one_that_jumps():
    network = SequenceNetwork(length=6, encoding=4, residual=True, lasting=True, stack_top=2, exam_head=False).eval()
    torch.nn.init.zeros_(network.slices[-1].weight)
    torch.nn.init.zeros_(network.slices[-1].bias)
    torch.nn.init.ones_(network.own.weight)
    torch.nn.init.zeros_(network.own.bias)
    stays, jumps = torch.full((2, 1, 6, 4), -2.0)
    stays[0, 2, 1] = stays[0, 3, 1] = jumps[0, 2, 1] = jumps[0, 3, 2] = 3.0
    with torch.inference_mode():
        stays, jumps = (network(stack)["slice"][0].tolist() for stack in (stays, jumps))
    assert stays == pytest.approx([-2, 0.5, 3, 3, 0.5, -2])
    assert jumps == pytest.approx([-2, 0.5, 0.5, 0.5, 0.5, -2])


def test_what_lasts_is_added_to_a_slices_own_answer_only():
    with pytest.raises(ModelError, match="choose residual=True"):
        SequenceNetwork(lasting=True)


def test_a_decoder_takes_no_drop_path():
    with pytest.raises(ModelError, match="drop_path and decoder cannot be combined"):
        SliceEncoder(backbone="resnet10t", decoder=True, drop_path=0.1)


def test_the_published_sequence_network_has_the_weights_of_its_layers(weights):
    lstm = 2 * (4 * 64 * (64 + 64) + 2 * 4 * 64)
    dense = (128 * 512 + 512) + (512 * 128 + 128) + (128 + 1) + (96 + 1)
    assert weights(SequenceNetwork(exam_head=False)) == 2 * 64 + lstm + dense
    assert weights(SequenceNetwork()) - weights(SequenceNetwork(exam_head=False)) == (256 * 128 + 128) + (128 * 9 + 9)


def test_stacks_of_96_give_slices_stack_and_nine_exam_labels(answer):
    outputs = answer(SequenceNetwork(), torch.randn(2, 96, 64))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "slice": (2, 96),
        "stack": (2, 1),
        "exam": (2, len(EXAM_LABELS)),
    }
    assert "exam" not in answer(SequenceNetwork(exam_head=False), torch.randn(2, 96, 64))


def test_the_stack_is_read_from_the_slice_probabilities(answer):
    network = sequence()
    outputs = answer(network, torch.randn(3, 12, 64))
    weight, bias = network.stack.weight.detach(), network.stack.bias.detach()
    torch.testing.assert_close(outputs["stack"], outputs["slice"].sigmoid() @ weight.T + bias)


def test_the_stack_read_from_the_most_suspicious_slices_does_not_ask_where_they_lie(answer):
    network, stack = SequenceNetwork(length=12, stack_top=3).eval(), torch.randn(2, 12, 64)
    outputs = answer(network, stack)
    highest = outputs["slice"].sort(dim=1, descending=True).values[:, :3]
    torch.testing.assert_close(outputs["stack"], network.stack(highest))
    network.slices[-1] = torch.nn.Linear(128, 1)
    torch.nn.init.constant_(network.slices[-1].bias, 1000.0)
    torch.testing.assert_close(answer(network, stack)["stack"], network.stack(torch.full((2, 3), 8.0)))
    with pytest.raises(ModelError, match="stack_top is 13; a stack has 12 slices"):
        SequenceNetwork(length=12, stack_top=13)


def test_a_residual_sequence_network_starts_from_the_slices_own_answers(answer):
    network, stack = SequenceNetwork(length=12, residual=True).eval(), torch.randn(2, 12, 64)
    torch.nn.init.zeros_(network.slices[-1].weight)
    torch.nn.init.zeros_(network.slices[-1].bias)
    torch.testing.assert_close(answer(network, stack)["slice"], network.own(stack)[:, :, 0])
    stack[0, 9:] = 0
    assert (answer(network, stack)["slice"][0, 9:] == -30).all()


def test_a_slice_is_read_with_its_neighbors_on_both_sides(answer):
    network, stack = sequence(), torch.randn(1, 12, 64)
    changed = stack.clone()
    changed[0, 5] += 1
    difference = (answer(network, changed)["slice"] - answer(network, stack)["slice"]).abs()[0]
    assert (difference[4] > 0) & (difference[6] > 0)


def test_what_stands_in_the_padding_changes_nothing(answer):
    network, stack = sequence(), torch.randn(2, 12, 64)
    valid = torch.ones(2, 12, dtype=torch.bool)
    valid[1, 7:] = False
    other = stack.clone()
    other[1, 7:] = 100.0
    first, second = answer(network, stack, valid), answer(network, other, valid)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (first["slice"][1, 7:] == PADDED_LOGIT).all()


def test_rows_of_zeros_at_the_end_are_padding_and_rows_of_zeros_between_are_slices(answer):
    network, stack = sequence(), torch.randn(2, 12, 64)
    stack[0, 8:] = 0
    stack[1, 3] = 0
    valid = torch.ones(2, 12, dtype=torch.bool)
    valid[0, 8:] = False
    given, told = answer(network, stack), answer(network, stack, valid)
    assert all(torch.equal(given[name], told[name]) for name in given)


def test_slices_of_a_short_stack_are_read_alike_however_long_the_padding(answer):
    short, stack = SequenceNetwork(length=5).eval(), torch.randn(1, 5, 64)
    long = sequence()
    long.load_state_dict({**short.state_dict(), "stack.weight": long.stack.weight, "stack.bias": long.stack.bias})
    padded = torch.cat([stack, torch.zeros(1, 7, 64)], dim=1)
    torch.testing.assert_close(answer(long, padded)["slice"][:, :5], answer(short, stack)["slice"])
    torch.testing.assert_close(answer(long, padded)["exam"], answer(short, stack)["exam"])


def test_padding_goes_through_as_published_when_asked(answer):
    network, stack = sequence(mask_padding=False), torch.randn(1, 12, 64)
    stack[0, 8:] = 0
    outputs = answer(network, stack)
    assert (outputs["slice"][0, 8:] > PADDED_LOGIT).all()


def test_a_stack_of_padding_alone_gives_finite_numbers(answer):
    assert all(value.isfinite().all() for value in answer(sequence(), torch.zeros(2, 12, 64)).values())


def test_batch_norm_learns_from_slices_and_not_from_padding():
    network, stack = SequenceNetwork(length=12).train(), torch.randn(4, 12, 64) + 5
    stack[:, 6:] = 0
    network(stack)
    expected = stack[:, :6].reshape(-1, 64).mean(0) * network.norm.momentum
    torch.testing.assert_close(network.norm.running_mean, expected)


def test_encode_then_sequence_is_what_the_whole_model_gives(answer):
    network, stacks = PEModel(**SMALL).eval(), torch.rand(2, 6, 1, 64, 64)
    with torch.inference_mode():
        encodings = torch.stack([network.encode(stack)["encoding"] for stack in stacks])
        by_parts = network.sequence(encodings)
    whole = answer(network, stacks)
    assert list(whole) == list(by_parts)
    for name, value in whole.items():
        torch.testing.assert_close(value, by_parts[name])


def test_encoder_and_sequence_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="gives 32 numbers a slice and the sequence network takes 64"):
        PEModel(encoder={"backbone": "resnet10t", "encoding": 32})


@pytest.mark.slow
@pytest.mark.parametrize("output", ["slice", "stack", "exam"])
def test_every_output_teaches_the_first_layer(without_gradient, output):
    network = PEModel(encoder={"backbone": "tf_efficientnet_lite0"}, sequence={"length": 6}).train()
    untaught = without_gradient(network, network(torch.rand(2, 6, 1, 64, 64))[output].square().sum())
    assert not [name for name in untaught if name.startswith(("encoder.backbone", "sequence_network.lstm"))]
