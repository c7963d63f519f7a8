"""Every network leaves Python: TorchScript, `torch.export` and ONNX give its outputs, name by name."""

import pytest
import torch

from AcuteFindingsLib.networks import build_network, list_networks

pytestmark = pytest.mark.slow

# Name, arguments, shape of the input. Big networks take small pictures.
CASES = {
    "pe_slice_encoder": ({}, (2, 1, 80, 80)),
    "pe_sequence": ({}, (2, 96, 64)),
    "pe_sequence-published": ({"exam_head": False, "mask_padding": False}, (2, 96, 64)),
    "pe_slice_encoder-decoder": ({"backbone": "resnet10t", "decoder": True}, (2, 1, 80, 80)),
    "pe_slice_encoder-fields": ({"backbone": "resnet10t", "decoder": True, "fields": 8}, (2, 1, 80, 80)),
    "pe_slice_encoder-windows": ({"backbone": "resnet10t", "windows": [[0.2, 1.0], [-1.0, 0.2]]}, (2, 1, 80, 80)),
    "pe": ({"encoder": {"backbone": "resnet10t"}, "sequence": {"length": 6}}, (2, 6, 1, 64, 64)),
    "pe_slice_cnn": ({"filters": [8, 8, 4], "size": 64}, (2, 3, 64, 64)),
    "densenet40": ({}, (2, 3, 32, 32)),
    "radnet": ({}, (2, 3, 1, 50, 50)),
    "radnet-plain": ({"backbone": "resnet10t", "attention": False, "recurrent": False}, (2, 3, 1, 50, 50)),
    "radnet-lite0": (
        {"backbone": "tf_efficientnet_lite0", "decoder": True, "pooling": "avgmax", "mask_features": True},
        (2, 3, 1, 50, 50),
    ),
    "pneumothorax_classifier": ({}, (2, 1, 64, 64)),
    "pneumothorax_segmenter": ({"empty_branch": True}, (2, 1, 64, 64)),
    "pneumothorax_segmenter-scratch": ({"encoder": "scratch"}, (2, 1, 40, 40)),
    "pneumothorax_segmenter-resnet34": ({"encoder": "resnet34"}, (2, 1, 64, 64)),
    "pneumothorax_segmenter-seresnext": ({"encoder": "se_resnext50_32x4d"}, (2, 1, 64, 64)),
    "pneumothorax_segmenter-lite0": ({"encoder": "tf_efficientnet_lite0", "dropout": 0.2}, (2, 1, 50, 50)),
    "pneumothorax_segmenter-plusplus": ({"architecture": "unetplusplus", "encoder": "resnet34"}, (2, 1, 64, 64)),
    "pneumothorax_segmenter-deeplab": ({"architecture": "deeplabv3plus", "encoder": "resnet34"}, (2, 1, 64, 64)),
    "chest_classifier": ({"backbone": "resnet10t"}, (2, 1, 64, 64)),
    "chest_classifier-tubes": ({"backbone": "resnet10t", "pathologies": []}, (2, 1, 64, 64)),
    "chest_classifier-points": (
        {
            "backbone": "resnet10t",
            "point_norm": True,
            "in_channels": 2,
            "grey_mean": [0.4, 0.5],
            "grey_std": [0.2, 0.3],
        },
        (2, 1, 64, 64),
    ),
    "timm_classifier": ({"backbone": "test_resnet", "outputs": 3, "classes": [1], "softmax": True}, (2, 1, 64, 64)),
    "image_features": ({"backbone": "resnet10t"}, (2, 1, 64, 64)),
    "radiograph_unet": ({"backbone": "resnet10t", "labels": 3, "views": [0, 1, 2]}, (2, 1, 64, 64)),
    "residual_unet": (
        {"features": [4, 8], "blocks": [1, 1], "strides": [[1, 1, 1], [2, 2, 2]], "decoder_convolutions": [1]},
        (2, 1, 4, 6, 8),
    ),
    "lung_unet": ({}, (2, 1, 50, 50)),
    "lung_unet-scales": ({"channels": [4, 8], "scales": [0.5, 1.0]}, (2, 1, 50, 50)),
    "monai": (
        {
            "target": "BasicUNet",
            "arguments": {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "features": [8, 8, 8, 8, 8, 8]},
            "softmax": True,
            "classes": [1],
        },
        (2, 1, 32, 32),
    ),
}
# ONNX takes seconds a network, so these stand for the kinds of layers: recurrent, deconvolution, resizing, padding.
ONNX_CASES = ["pe_sequence", "radnet-lite0", "lung_unet"]
# Decoders that TorchScript cannot read are traced.
TRACED = ["pneumothorax_segmenter-plusplus", "radiograph_unet", "residual_unet"]


def build(case):
    arguments, shape = CASES[case]
    return build_network(case.partition("-")[0], arguments).eval(), torch.rand(shape)


def assert_same(given, expected):
    assert list(given) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(given[name], value, atol=2e-4, rtol=1e-3)


def test_every_network_of_the_list_is_tried():
    # Those of slabs are written and compared part by part, in their own tests.
    assert {case.partition("-")[0] for case in CASES} | {"slab_sequence", "slab_reader"} == set(list_networks())


@pytest.mark.parametrize("case", CASES)
def test_torchscript_gives_the_same_answer_at_another_batch_size(case):
    network, images = build(case)
    with torch.no_grad():
        scripted = torch.jit.trace(network, images, strict=False) if case in TRACED else torch.jit.script(network)
        other = images[:1]
        assert_same(scripted(other), network(other))


@pytest.mark.parametrize("case", TRACED)
def test_traced_networks_are_those_that_cannot_be_scripted(case):
    with pytest.raises(RuntimeError):
        torch.jit.script(build(case)[0])


@pytest.mark.parametrize("case", CASES)
def test_torch_export_gives_the_same_answer_at_another_batch_size(case):
    network, images = build(case)
    with torch.no_grad():
        program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        other = torch.cat([images, images])[:3]
        assert_same(program.module()(other), network(other))


@pytest.mark.parametrize("case", ONNX_CASES)
def test_onnx_runtime_gives_the_same_answer(case, tmp_path):
    pytest.importorskip("onnxscript", reason="torch.onnx.export needs onnxscript")
    runtime = pytest.importorskip("onnxruntime", reason="running the exported file needs onnxruntime")
    network, images = build(case)
    with torch.no_grad():
        expected = network(images)
        target = tmp_path / "network.onnx"
        torch.onnx.export(
            network, (images,), target, input_names=["input"], output_names=list(expected), dynamo=True, verbose=False
        )
    session = runtime.InferenceSession(target, providers=["CPUExecutionProvider"])
    values = session.run(None, {"input": images.numpy()})
    assert_same(
        {output.name: torch.from_numpy(value) for output, value in zip(session.get_outputs(), values, strict=True)},
        expected,
    )


@pytest.mark.parametrize("case", CASES)
def test_the_grad_cam_layer_gives_maps_that_the_first_output_depends_on(case):
    network, images = build(case)
    if case.startswith("pe_sequence"):
        assert not hasattr(network, "gradcam_layer")
        return
    kept = []
    network.get_submodule(network.gradcam_layer).register_forward_hook(lambda _m, _i, maps: kept.append(maps))
    output = next(iter(network(images).values()))
    (gradient,) = torch.autograd.grad(output.sum(), kept)
    assert gradient.ndim == (5 if case == "residual_unet" else 4)
    assert gradient.any()
