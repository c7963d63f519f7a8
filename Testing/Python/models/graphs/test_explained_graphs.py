"""Graphs that answer and say where the network looked: the same maps as torch's, in one run."""

from typing import Any

import numpy as np
import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.explain import export_explained
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.models.heat import scale_maps
from AcuteFindingsLib.models.runtime.gradcam import run_with_maps
from AcuteFindingsLib.models.runtime.graph_predictor import map_name
from AcuteFindingsLib.models.runtime.session import open_session
from AcuteFindingsLib.networks import build_network

BACKBONE = {"backbone": "regnety_002"}
MONAI_UNET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
SMALL: dict[str, tuple[str, dict[str, Any], int]] = {
    "one label by a linear layer": ("chest_classifier", {**BACKBONE, "pathologies": ["a"], "tubes": []}, 64),
    "labels of two kinds, bent to their points": (
        "chest_classifier",
        {**BACKBONE, "pathologies": ["a", "b"], "tubes": ["c"], "point_norm": True},
        64,
    ),
    "labels that exclude each other": (
        "chest_classifier",
        {**BACKBONE, "pathologies": ["a", "b", "c"], "tubes": [], "exclusive": True},
        64,
    ),
    "a head with ReLU": ("pe", {"encoder": {**BACKBONE, "in_channels": 1}}, 64),
    "a head that reads a mask too": ("pe", {"encoder": {**BACKBONE, "in_channels": 1, "decoder": True}}, 64),
    "peaks of a mask in fields": (
        "pe",
        {
            "encoder": {**BACKBONE, "in_channels": 1, "decoder": True, "fields": 4, "encoding": 16},
            "sequence": {"encoding": 16},
        },
        64,
    ),
    "dense layers after a pool": (
        "pe_slice_cnn",
        {"filters": [8, 8], "dense": [16], "in_channels": 1, "size": 64},
        64,
    ),
    "an LSTM of slices by themselves": (
        "radnet",
        {**BACKBONE, "decoder": True, "pooling": "avgmax", "mask_features": True},
        64,
    ),
    "a mask through a decoder": ("pneumothorax_segmenter", {"encoder": "regnety_002", "empty_branch": True}, 64),
    "a mask from scratch": ("lung_unet", {"channels": [4, 8, 16]}, 64),
    "a mask of several scales": ("lung_unet", {"channels": [4, 8], "scales": [0.5, 1.0]}, 64),
    "a mask of another library": ("monai", {"arguments": MONAI_UNET}, 64),
}


EXPLAINED = {
    "chest_classifier": ("pathologies", "", ""),
    "pe": ("slice", "encode", ""),
    "pe_slice_cnn": ("slice", "", ""),
    "radnet": ("slice", "features", "head"),
}


def made(name: str, arguments: dict[str, Any], seed: int = 5) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(name, arguments).eval().requires_grad_(False)


def one_that_looks(name: str, arguments: dict[str, Any], images: np.ndarray) -> torch.nn.Module:
    """Return a network of random weights whose map is not dark everywhere."""
    output, part, then = EXPLAINED.get(name, ("mask", "", ""))
    for seed in range(5, 60):
        network = made(name, arguments, seed)
        _, maps = run_with_maps(network, torch.from_numpy(images), outputs=(output,), part=part, then=then)
        if float(maps[output][:, 0].max()) > 0:
            return network
    raise AssertionError("every map is dark")


def compare(network: torch.nn.Module, images: np.ndarray) -> None:
    """Ask a graph made for two images about all of `images`; answers and maps must be torch's."""
    given = export_explained(network, torch.from_numpy(images[:2]))
    model = fill_graph(given.written.graph, {name: value.numpy() for name, value in network.state_dict().items()})
    session = open_session(model, device="cpu", name="the graph")
    outputs, maps = run_with_maps(
        network, torch.from_numpy(images), outputs=given.outputs, part=given.part, then=given.then
    )
    names = [*outputs, *map(map_name, maps)]
    assert [output.name for output in session.outputs] == names
    values = dict(zip(names, session.run(names, {"input": images}), strict=True))
    for name, value in outputs.items():
        np.testing.assert_allclose(values[name], value.numpy(), atol=2e-4, rtol=1e-3)
    for name, theirs in maps.items():
        ours = values[map_name(name)]
        assert ours.shape == theirs.shape
        for number in range(theirs.shape[1]):
            size, certain = images.shape[-2:], np.ones(len(images))
            expected = scale_maps(theirs[:, number].numpy(), certain, size)
            np.testing.assert_allclose(scale_maps(ours[:, number], certain, size), expected, atol=1e-3)
    assert any(float(theirs.max()) > 0 for theirs in maps.values())


@pytest.mark.slow
@pytest.mark.parametrize("case", SMALL)
def test_maps_of_the_graph_are_those_of_torch_for_any_number_of_images(case: str) -> None:
    name, arguments, size = SMALL[case]
    images = np.random.default_rng(0).random((3, 1, size, size), dtype=np.float32)
    compare(one_that_looks(name, arguments, images), images)


@pytest.mark.slow
def test_the_published_encoder_of_pe_is_explained_by_its_graph() -> None:
    network = made("pe", {"encoder": {"backbone": "inception_resnet_v2", "in_channels": 1}})
    images = np.random.default_rng(1).uniform(-1, 1, (3, 1, 139, 139)).astype(np.float32)
    compare(network, images)


def test_a_network_that_gives_neither_labels_nor_a_mask_says_so() -> None:
    with pytest.raises(ModelError, match="gives classes, and neither labels nor a mask"):
        export_explained(made("densenet40", {"in_channels": 1}), torch.rand(2, 1, 32, 32))


def test_a_layer_that_gives_numbers_says_so() -> None:
    densenet = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "init_features": 8, "block_config": [1, 1]}
    network = made("monai", {"target": "DenseNet", "arguments": densenet, "output": "pathologies"})
    with pytest.raises(ModelError, match="gives numbers, not maps"):
        export_explained(network, torch.rand(2, 1, 64, 64))


def test_tracing_leaves_torch_as_it_was() -> None:
    images = torch.rand(2, 3, 8, 8)
    before = torch.nn.functional.interpolate(images, size=(13, 11), mode="bilinear")
    kernels = dict(torch.ops.aten.upsample_bilinear2d.vec.py_kernels)
    export_explained(made("lung_unet", {"channels": [2, 4], "scales": [0.5]}), torch.rand(2, 1, 16, 16))
    assert torch.ops.aten.upsample_bilinear2d.vec.py_kernels == kernels
    torch.testing.assert_close(torch.nn.functional.interpolate(images, size=(13, 11), mode="bilinear"), before)


class Draws(torch.nn.Module):
    """A network that says itself where it looked, and hands an encoding on."""

    graph_parts = {"encode": ""}  # noqa: RUF012
    explanation = "Own maps"

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3, padding=1)

    def encode(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"slice": self.conv(images).mean(dim=(2, 3))}

    def encode_explained(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        maps = self.conv(images)
        return {"slice": maps.mean(dim=(2, 3))}, {"slice": maps.sigmoid()}


def test_a_network_that_draws_its_maps_itself_is_asked_for_these_in_torch_and_as_a_graph():
    torch.manual_seed(2)
    network, images = Draws().eval(), torch.rand(3, 1, 8, 8)
    outputs, maps = run_with_maps(network, images, outputs=("slice",), part="encode")
    expected = network.conv(images).sigmoid().detach()
    assert torch.equal(maps["slice"], expected)
    assert not maps["slice"].requires_grad
    made = export_explained(network, images[:2])
    assert (made.part, made.outputs, made.then) == ("encode", ("slice",), "")
    assert made.written.outputs == ("slice", map_name("slice"))
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    session = open_session(fill_graph(made.written.graph, tensors), device="cpu", name="own maps")
    said, drawn = session.run(["slice", map_name("slice")], {"input": images.numpy()})
    assert np.allclose(said, outputs["slice"].numpy(), atol=1e-6)
    assert np.allclose(drawn, expected.numpy(), atol=1e-6)
    with pytest.raises(ModelError, match="no output 'mask'"):
        run_with_maps(network, images, outputs=("mask",), part="encode", model="x")
