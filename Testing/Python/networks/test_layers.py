import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from AcuteFindingsLib.networks.layers import BidirectionalLSTM, he_normal, pad_to_multiple


@pytest.mark.parametrize("size", [(250, 250), (64, 65), (32, 32), (1, 31)])
def test_padding_reaches_the_next_multiple_and_leaves_the_picture_at_the_top_left(size):
    images = torch.rand(2, 1, *size)
    padded = pad_to_multiple(images, 32)
    assert [side % 32 for side in padded.shape[-2:]] == [0, 0]
    assert all(0 <= after - before < 32 for after, before in zip(padded.shape[-2:], size, strict=True))
    assert torch.equal(padded[..., : size[0], : size[1]], images)


def test_padding_repeats_the_border_rather_than_inventing_a_gray():
    padded = pad_to_multiple(torch.arange(6.0).reshape(1, 1, 2, 3), 4)
    assert padded[0, 0].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]


def test_the_lstm_reads_each_sequence_as_torch_reads_packed_ones():
    ours, theirs = BidirectionalLSTM(5, 7), nn.LSTM(5, 7, batch_first=True, bidirectional=True)
    weights = {name: value for name, value in ours.forwards.state_dict().items()}
    weights |= {f"{name}_reverse": value for name, value in ours.backwards.state_dict().items()}
    theirs.load_state_dict(weights)
    sequence, lengths = torch.randn(3, 9, 5), torch.tensor([9, 4, 1])
    packed = pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=9)[0]
    given = ours(sequence, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(given[row, :length], expected[row, :length])


def test_he_initialization_keeps_the_variance_through_a_relu():
    layer = nn.Conv2d(64, 256, 3)
    he_normal(layer)
    assert layer.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert not layer.bias.any()
