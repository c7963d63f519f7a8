"""The public radiograph models: graphs that ship, filled with random weights, against timm, torchvision and smp."""

import re

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision

from AcuteFindingsLib.cli.public_models import beside
from AcuteFindingsLib.detectors.registry import find_task
from AcuteFindingsLib.models.graphs.check import check_graph
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.models.public.card import card_of
from AcuteFindingsLib.models.public.recommended import find_description, graph_bytes, shipped_descriptions
from AcuteFindingsLib.models.runtime.session import open_session

WIDTHS = (256, 128, 64, 32, 16)
GRAPH = "models/graphs/forward.onnx"
RADIOGRAPHS = [one for one in shipped_descriptions() if one.task in ("pneumothorax", "lungs", "chest")]


def settled(network: torch.nn.Module, *pictures: torch.Tensor) -> torch.nn.Module:
    """Batch norms with the statistics of their own activations: otherwise these reach a million."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(*pictures)
    return network.eval()


def source_tensors(description, state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """What tensors of the description's file are called in the package."""
    (file,) = description.files.values()
    assert file.prefix == ""
    named = {}
    for name, value in state.items():
        fitting = (rename for rename in file.renames if re.fullmatch(rename.pattern, name))
        rename = next(fitting, None)
        named[re.sub(rename.pattern, rename.to, name, count=1) if rename else name] = value.numpy()
    return named


def said(description, state: dict[str, torch.Tensor], pictures: torch.Tensor, *outputs: str) -> list[np.ndarray]:
    """What ONNX Runtime says of pictures by the graph that ships, filled with a source's tensors, as probabilities."""
    graph, tensors = graph_bytes(description)[GRAPH], source_tensors(description, state)
    lacking = check_graph(graph, name="graph").lacking
    assert {name: shape for name, (shape, _) in lacking.items()} == {name: tensors[name].shape for name in lacking}
    assert not {name for name in set(tensors) - set(lacking) if "num_batches_tracked" not in name}
    session = open_session(fill_graph(graph, tensors), device="cpu", threads=1, name="graph")
    values = session.run(list(outputs), {session.inputs[0].name: pictures.numpy()})
    return [1 / (1 + np.exp(-value.astype(np.float64))) for value in values]


class UNetOfParts(torch.nn.Module):
    """timm's maps, the decoder of segmentation-models-pytorch, one linear layer on the mean of the deepest map."""

    def __init__(self, classes: int, labels: int) -> None:
        super().__init__()
        self.encoder = timm.create_model("tf_efficientnetv2_s", features_only=True, in_chans=1)
        unet = smp.Unet(
            "tu-tf_efficientnetv2_s", encoder_weights=None, in_channels=1, classes=classes, decoder_channels=WIDTHS
        )
        self.decoder, self.head = unet.decoder, unet.segmentation_head
        self.classifier = torch.nn.Linear(256, labels)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.encoder(pictures)
        return self.head(self.decoder([pictures, *maps])), self.classifier(maps[-1].mean((2, 3)))

    def as_published(self) -> dict[str, torch.Tensor]:
        named = {}
        for name, value in self.state_dict().items():
            name = re.sub(r"^(decoder\.blocks\.\d\.conv\d)\.0\.", r"\1.conv.", name)
            name = re.sub(r"^(decoder\.blocks\.\d\.conv\d)\.1\.", r"\1.norm.", name)
            named[name.replace("head.0.", "segmentation_head.conv.")] = value
        return named


@pytest.mark.parametrize(("name", "classes", "labels"), [("pneumothorax-cxr", 1, 1), ("chest-x-ray-basic", 4, 5)])
def test_a_u_net_s_graph_answers_as_timm_and_smp(name: str, classes: int, labels: int) -> None:
    description = find_description(name)
    torch.manual_seed(23)
    network = UNetOfParts(classes, labels)
    pictures = torch.rand(1, 1, *description.image.shape) * 2 - 1
    settled(network, pictures)
    with torch.no_grad():
        drawn, told = network(pictures)
    outputs = description.graphs.parts[""].outputs
    mask, other = said(description, network.as_published(), pictures, *outputs)
    if outputs == ["mask", "empty"]:
        np.testing.assert_allclose(mask, drawn.sigmoid(), atol=1e-4)
        np.testing.assert_allclose(1 - other, told.sigmoid(), atol=1e-4)
    else:
        assert outputs == ["mask", "views"]
        np.testing.assert_allclose(mask, drawn.softmax(1)[:, 1:3].sum(1, keepdim=True), atol=1e-4)
        np.testing.assert_allclose(other, told[:, 1:4].softmax(1), atol=1e-4)


def test_the_graph_of_torchxrayvision_s_resnet_answers_as_its_own_program() -> None:
    xrv = pytest.importorskip("torchxrayvision")
    description = find_description("xrv-resnet50-res512-all")
    torch.manual_seed(23)
    network = torchvision.models.resnet50(num_classes=18)
    network.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    pictures = (torch.rand(2, 1, 512, 512) * 2 - 1) * 1024
    settled(network, pictures)
    facts = xrv.models.model_urls["resnet50-res512-all"]
    with torch.no_grad():
        expected = xrv.models.op_norm(network(pictures).sigmoid(), torch.tensor(facts["op_threshs"]))
    (given,) = said(description, network.state_dict(), pictures, "pathologies")
    trained = [number for number, point in enumerate(facts["op_threshs"]) if not np.isnan(point)]
    np.testing.assert_allclose(given, expected[:, trained], atol=1e-4)
    names = [facts["labels"][number].lower().replace(" ", "_") for number in trained]
    assert [label.name for label in description.labels] == names


@pytest.mark.parametrize("description", [one for one in RADIOGRAPHS if not one.needs], ids=lambda one: one.id)
def test_a_card_of_a_description_fits_the_scorer_of_its_task(description) -> None:
    card = card_of(description)
    task = find_task(card.task)
    settings = task.load_settings(card.form).model_validate(card.preprocessing)
    assert [settings.size, settings.size] == description.image.shape
    low, high = ((value - settings.mean) / settings.std for value in (0, 1))
    assert (low, high) == description.image.value_range

    class Silent:
        pass

    silent = Silent()
    silent.card = card
    assert task.load_scorer(card.form)(silent).settings == settings


@pytest.mark.parametrize("description", [one for one in RADIOGRAPHS if one.needs], ids=lambda one: one.id)
def test_what_cannot_be_imported_says_what_it_needs(description) -> None:
    assert description.needs.strip().endswith(".")
    assert description.sources


def test_three_published_operating_points_stand_in_the_description() -> None:
    points = find_description("hf:vasandesh/pneumothorax-unet-efficientnet-b4").operating_points
    assert {point.threshold for point in points if point.level == "study"} == {0.3, 0.5, 0.68}
    assert all("sensitivity" in point.chosen for point in points)


def test_after_the_import_of_a_pneumothorax_model_the_one_for_lungs_and_view_is_named() -> None:
    assert [one.id for one in beside("pneumothorax", set())] == ["chest-x-ray-basic"]
    assert beside("pneumothorax", {"chest-x-ray-basic"}) == []
    assert beside("hemorrhage", set()) == beside("lungs", set()) == []
