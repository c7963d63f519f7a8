"""The public PE network: how its files name tensors, the graph that ships, a small one from the hub to a finding."""

import numpy as np
import pytest
import torch
import yaml
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from hub_server import serve_hub
from safetensors.numpy import save_file

from AcuteFindingsLib.detectors.load import load_detector
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.volume_rule import VolumeRule
from AcuteFindingsLib.detectors.volume_scorer import VolumeScorer, VolumeSettings
from AcuteFindingsLib.errors import CancelledError, ConsentError, ModelError
from AcuteFindingsLib.models.graphs.check import check_graph
from AcuteFindingsLib.models.graphs.export import export_graphs
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.public.card import card_of
from AcuteFindingsLib.models.public.hub import Hub
from AcuteFindingsLib.models.public.import_public import import_public
from AcuteFindingsLib.models.public.recommended import find_description, graph_bytes, recommended
from AcuteFindingsLib.models.public.tensors import read_tensors
from AcuteFindingsLib.models.runtime.session import open_session
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.phantoms.as_study import phantom_study

ADDRESS = "hf:yzluka/PulmonaryEmbolismSegmentation"
TINY = [4, 4, 6, 6, 6, 6, 6]
# Smaller still: exporting takes as long as there are layers.
LEAST = {
    "features": [4, 6, 8],
    "blocks": [1, 1, 1],
    "strides": [[1] * 3, [2] * 3, [1, 2, 2]],
    "decoder_convolutions": [1, 1],
}


def public_network(features: list[int], blocks: list[int], strides: list[list[int]]) -> torch.nn.Module:
    """Build nnU-Net's own network, whose encoder and steps stand in several places of its state dict."""
    torch.manual_seed(23)
    network = ResidualEncoderUNet(
        1,
        len(features),
        features,
        torch.nn.Conv3d,
        3,
        strides,
        blocks,
        2,
        [1] * (len(features) - 1),
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def description():
    return find_description(ADDRESS)


@pytest.fixture(scope="module")
def tiny(description) -> torch.nn.Module:
    return public_network(TINY, [1] * 7, description.network.arguments["strides"])


@pytest.fixture(scope="module")
def tiny_state(tiny) -> dict[str, torch.Tensor]:
    """The tensors as the source's file names them."""
    return {f"segmentation_model.{name}": value for name, value in tiny.state_dict().items()}


def converted(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return what the hub's conversion keeps: of the names of one tensor the first of the alphabet."""
    kept: dict[int, str] = {}
    for name in sorted(state):
        kept.setdefault(state[name].data_ptr(), name)
    return {name: state[name].numpy() for name in kept.values()}


def test_it_is_the_one_to_take_and_its_card_fits_the_detector(description) -> None:
    assert recommended("pe") == description
    card = card_of(description)
    settings = VolumeSettings.model_validate(card.preprocessing)
    assert settings.divisor == tuple(np.prod(description.network.arguments["strides"], axis=0))
    assert VolumeRule.model_validate(card.rule) == VolumeRule()
    assert card.threshold("mask", "pe") == 0.5
    low, high = description.image.value_range
    assert low == pytest.approx((settings.lowest_hu - settings.mean_hu) / settings.deviation_hu, abs=1e-3)
    assert high == pytest.approx((settings.highest_hu - settings.mean_hu) / settings.deviation_hu, abs=1e-3)
    assert not description.license.commercial


def test_the_graph_that_ships_answers_as_the_public_network_of_the_published_size(description) -> None:
    arguments = description.network.arguments
    public = public_network(arguments["features"], arguments["blocks"], arguments["strides"])
    (graph,) = graph_bytes(description).values()
    state = {name: value.numpy() for name, value in public.state_dict().items()}
    volume = torch.rand(1, 1, 64, 64, 64) * 5 - 2.5
    expected = public(volume).softmax(1)[:, 1:].numpy()
    del public
    session = open_session(fill_graph(graph, state), device="cpu", keeps_memory=False)
    del state
    (logits,) = session.run(["mask"], {"input": volume.numpy()})
    assert expected.std() > 0.01
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-4)


@pytest.mark.parametrize("form", ["pytorch_model.bin", "model.safetensors"])
def test_tensors_that_stand_in_several_places_are_read_once_whatever_they_are_called(
    description, tiny_state, tmp_path, form
) -> None:
    path = tmp_path / form
    if path.suffix == ".bin":
        torch.save(tiny_state, path)
    else:
        stored = converted(tiny_state)
        assert len(stored) < len(tiny_state) / 2
        save_file(stored, path, metadata={"format": "pt"})
    tensors = read_tensors(description, {"model": path})
    network = build_network("residual_unet", {"features": TINY, "blocks": [1] * 7})
    assert {name: value.shape for name, value in tensors.items()} == {
        name: tuple(value.shape) for name, value in network.state_dict().items()
    }


def test_tensors_of_one_name_that_differ_are_refused(description, tiny_state, tmp_path) -> None:
    state = dict(tiny_state)
    name = "segmentation_model.decoder.encoder.stem.convs.0.all_modules.0.weight"
    state[name] = state[name] + 1
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"would be called encoder\.stem\.convs\.0\.conv\.weight"):
        read_tensors(description, {"model": tmp_path / "pytorch_model.bin"})


def test_every_tensor_that_the_graph_lacks_is_one_of_the_network(description) -> None:
    with torch.device("meta"):
        state = build_network(description.network.name, description.network.arguments).state_dict()
    lacking = check_graph(next(iter(graph_bytes(description).values())), name="graph").lacking
    assert {name: shape for name, (shape, _) in lacking.items()} == {
        name: tuple(one.shape) for name, one in state.items()
    }
    assert sum(value.numel() for value in state.values()) * 4 / 1e6 == pytest.approx(description.megabytes, rel=0.01)


def test_a_small_one_comes_from_the_hub_and_draws_on_a_phantom(description, tmp_path) -> None:
    public = public_network(LEAST["features"], LEAST["blocks"], LEAST["strides"])
    ours = build_network("residual_unet", LEAST).eval().requires_grad_(False)
    ours.load_state_dict({name: public.state_dict()[name] for name in ours.state_dict()})
    stated = description.model_dump(mode="json")
    stated["network"]["arguments"] = LEAST
    stated["image"]["shape"] = [8, 16, 16]
    stated["files"]["model"]["unused"] = [r"segmentation_model\.decoder\.seg_layers\.0\..*"]
    stated["preprocessing"] |= {
        "spacing_mm": [4.0, 3.0, 3.0],
        "divisor": [2, 4, 4],
        "tile": [32, 64, 64],
        "smallest_tile": [8, 16, 16],
    }
    (tmp_path / "descriptions" / description.id).mkdir(parents=True)
    file = tmp_path / "descriptions" / f"{description.id}.yaml"
    file.write_text(yaml.safe_dump(stated), encoding="utf-8")
    graph = export_graphs(ours, torch.rand(2, 1, 8, 16, 16))[""].graph
    (file.parent / description.id / "forward.onnx").write_bytes(graph)
    repository = tmp_path / "hub" / ADDRESS.removeprefix("hf:")
    repository.mkdir(parents=True)
    state = {f"segmentation_model.{name}": value for name, value in public.state_dict().items()}
    torch.save(state, repository / "pytorch_model.bin")
    (repository / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n", encoding="utf-8")
    with serve_hub(tmp_path / "hub") as server:
        hub = Hub(endpoint=server.endpoint, cache=tmp_path / "cache", offline=False)
        with pytest.raises(ConsentError):
            import_public(ADDRESS, description=file, out=tmp_path / "package", hub=hub)
        package = import_public(ADDRESS, description=file, out=tmp_path / "package", hub=hub, agreed=True)
    assert package.card.origin.largest_difference <= 1e-4
    assert (package.folder / "LICENSE").read_text(encoding="utf-8").startswith("Creative Commons Attribution-NonComm")
    loaded = load_detector("pe", model=str(tmp_path / "package"), device="cpu")
    study = phantom_study(make_phantom("ctpa", 2, positive=True, matrix=96, slice_spacing=5.0))
    volume = loaded.detector.scorer.prepare(study)
    assert volume.array.shape[1:] != study.array.shape[1:]
    finding = loaded.detector.run(study)
    assert finding.model.runtime.startswith("ONNX Runtime")
    assert finding.masks[0].array.shape == study.array.shape
    assert len(finding.slices) == len(study.sources)
    by_torch = load_predictor(package, device="cpu", runtime="torch")
    logits = VolumeScorer(by_torch).infer(volume)
    np.testing.assert_allclose(loaded.detector.scorer.infer(volume), logits, atol=1e-3)
    with pytest.raises(CancelledError):
        by_torch.predict_until(np.zeros((1, 1, 8, 16, 16), np.float32), cancelled=lambda: True)
    assert by_torch.predict_until(np.zeros((1, 1, 8, 16, 16), np.float32), cancelled=lambda: False)["mask"].any()
