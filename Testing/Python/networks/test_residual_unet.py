"""The three-dimensional network is the public one, tensor by tensor, and its graph takes blocks of any size."""

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.check import check_graph
from AcuteFindingsLib.models.graphs.export import export_graphs
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.models.runtime.session import open_session
from AcuteFindingsLib.networks.residual_unet import ResidualUNet

STRIDES = [[1, 1, 1], *[[2, 2, 2]] * 2, [1, 2, 2]]
SMALL = {"features": [4, 8, 6, 6], "blocks": [1, 2, 1, 2], "strides": STRIDES, "decoder_convolutions": [1, 2, 1]}


def public_network(features, blocks, strides, decoder_convolutions, classes=2):
    """Build nnU-Net's own network."""
    torch.manual_seed(23)
    network = ResidualEncoderUNet(
        1,
        len(features),
        features,
        torch.nn.Conv3d,
        3,
        strides,
        blocks,
        classes,
        decoder_convolutions,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    return network.eval().requires_grad_(False)


def with_weights_of(public, **arguments):
    """Build ours with the tensors of the same names."""
    network = ResidualUNet(**arguments)
    state = public.state_dict()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_answers_as_the_public_network_whose_tensors_it_takes(classes):
    public = public_network(**SMALL, classes=classes)
    network = with_weights_of(public, **SMALL, classes=classes)
    volumes = torch.randn(2, 1, 8, 16, 24)
    mask = network(volumes)["mask"]
    assert mask.shape == volumes.shape
    torch.testing.assert_close(mask[:, 0].sigmoid(), public(volumes).softmax(1)[:, 1], atol=1e-5, rtol=1e-5)


def test_of_the_published_size_it_has_every_tensor_of_the_public_network_but_those_of_deep_supervision():
    arguments = {"features": [32, 64, 128, 256, 320, 320, 320], "blocks": [1, 3, 4, 6, 6, 6, 6]}
    with torch.device("meta"):
        ours = {name: value.shape for name, value in ResidualUNet().state_dict().items()}
        public = public_network(
            **arguments, strides=[[1, 1, 1], *[[2] * 3] * 5, [1, 2, 2]], decoder_convolutions=[1] * 6
        )
    theirs = {
        name: value.shape
        for name, value in public.state_dict().items()
        if ".all_modules." not in name and not name.startswith("decoder.encoder.")
    }
    assert ours.items() <= theirs.items()
    assert {name.rpartition(".")[0] for name in theirs.keys() - ours.keys()} == {
        f"decoder.seg_layers.{number}" for number in range(5)
    }


def test_its_graph_takes_blocks_of_any_size_and_answers_as_torch_does():
    network = with_weights_of(public_network(**SMALL), **SMALL)
    assert network.divisor == [4, 8, 8]
    graph = export_graphs(network, torch.randn(2, 1, 8, 8, 8))[""].graph
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    assert set(check_graph(graph, name="it").lacking) == set(tensors)
    session = open_session(fill_graph(graph, tensors), device="cpu")
    for shape in [(1, 1, 8, 8, 8), (1, 1, 12, 16, 24), (2, 1, 4, 16, 32)]:
        volumes = torch.randn(shape)
        said = session.run(["mask"], {"input": volumes.numpy()})[0]
        np.testing.assert_allclose(said, network(volumes)["mask"].numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"blocks": [1, 2]}, "name as many"), ({"finding": 2}, "name one of the 2"), ({"classes": 1}, "at least 2")],
)
def test_stages_that_do_not_match_and_a_class_that_is_not_there_are_refused(change, told):
    with pytest.raises(ModelError, match=told):
        ResidualUNet(**SMALL | change)
