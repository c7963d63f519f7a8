"""The network of slabs and sequences against timm, `nn.GRU` and segmentation-models-pytorch, put together anew here."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPPSeparableConv, DeepLabV3PlusDecoder
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.check import check_graph
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.models.public.recommended import read_description
from AcuteFindingsLib.models.runtime.graph_predictor import map_name
from AcuteFindingsLib.models.runtime.session import open_session
from AcuteFindingsLib.networks import build_network

TIMM = {
    "img_size": 64,
    "embed_dim": [8, 8, 16, 16],
    "depths": [1, 1, 1, 1],
    "stem_width": 8,
    "head_hidden_size": 16,
    "transformer_dim_head": 8,
}
SMALL: dict[str, Any] = {
    "backbone_arguments": TIMM,
    "hidden": 8,
    "attention": 4,
    "folds": 2,
    "decoder_features": 8,
    "order": [5, 0, 1, 2, 3, 4],
}
RATES = (6, 12, 18, 24)
IMPORTS = Path(__file__).parents[3] / "Resources" / "Imports"


def made(arguments: dict[str, Any], slabs: Tensor) -> nn.Module:
    """Return the network with random weights; its batch norms know such slabs."""
    torch.manual_seed(3)
    network = build_network("slab_sequence", arguments).requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # The statistics of what is seen next.
            module.momentum = 1.0
    with torch.no_grad():
        network.train()
        network.encode_explained(slabs)
    return network.eval()


class Published(nn.Module):
    """The public composition: which module does what, by the tensors of the model's seven files."""

    def __init__(self, state: dict[str, Tensor], *, hidden: int, features: int, folds: int, **options: Any) -> None:
        super().__init__()

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

        backbone = part("classifier.backbone.")
        self.encoder = timm.create_model("maxvit_tiny_tf_512", features_only=True, in_chans=9, **options)
        self.encoder.load_state_dict(
            {
                name.replace("stages.", "stages_", 1) if name.startswith("stages.") else name: value
                for name, value in backbone.items()
                if not name.startswith("head.")
            }
        )
        whole = timm.create_model("maxvit_tiny_tf_512", num_classes=0, global_pool="", in_chans=9, **options)
        whole.load_state_dict(backbone)
        self.head = whole.head
        self.linear = part("classifier.linear.")
        self.reader = part("sequence.")
        self.wide = self.reader["projection.weight"].shape[0]
        self.gru = nn.GRU(self.wide + 1, hidden, 2, batch_first=True, bidirectional=True)
        self.gru.load_state_dict(part("sequence.sequence."))
        channels = self.encoder.feature_info.channels()
        self.decoders, self.heads = [], []
        for fold in range(folds):
            decoder = DeepLabV3PlusDecoder(
                [9, *channels], 5, features, RATES[:3], 16, aspp_separable=True, aspp_dropout=0.1
            )
            pooling = decoder.aspp[0]
            pooling.convs.insert(4, ASPPSeparableConv(channels[-1], features, RATES[3]))
            pooling.project[0] = nn.Conv2d(6 * features, features, 1, bias=False)
            decoder.up = nn.Upsample(scale_factor=8, mode="bilinear", align_corners=False)
            decoder.load_state_dict(part(f"fold{fold}.decoder."))
            head = nn.Conv2d(features, 6, 3, padding=1)
            head.load_state_dict(part(f"fold{fold}.segmentation_head.conv."))
            self.decoders.append(decoder.eval())
            self.heads.append(head)
        self.eval()

    def slices(self, slabs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, logits and the mean of the folds' probabilities at the size of the slabs."""
        maps = self.encoder(slabs * 2.0 - 1.0)
        pooled = self.head(maps[-1], pre_logits=True).mean((-2, -1))
        logits = nn.functional.linear(pooled, self.linear["weight"], self.linear["bias"])
        drawn = [
            nn.functional.interpolate(head(decoder([slabs, *maps])), size=slabs.shape[-2:], mode="bilinear").sigmoid()
            for decoder, head in zip(self.decoders, self.heads, strict=True)
        ]
        return pooled, logits, torch.stack(drawn).mean(0)

    def series(self, pooled: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of one series' slices and its own."""
        state, wide = self.reader, self.wide
        x = nn.functional.layer_norm(pooled[None], (wide,), state["input_norm.weight"], state["input_norm.bias"])
        x = nn.functional.gelu(nn.functional.linear(x, state["projection.weight"], state["projection.bias"]))
        x = nn.functional.layer_norm(x, (wide,), state["projection_norm.weight"], state["projection_norm.bias"])
        x = torch.cat([x, place[None, :, None]], -1)
        packed = pack_padded_sequence(x, torch.tensor([len(pooled)]), batch_first=True, enforce_sorted=False)
        read = pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]
        slices = nn.functional.linear(read, state["slice_head.weight"], state["slice_head.bias"])
        scores = nn.functional.linear(
            read, state["sequence_pool.attention.0.weight"], state["sequence_pool.attention.0.bias"]
        )
        scores = nn.functional.linear(
            scores.tanh(), state["sequence_pool.attention.2.weight"], state["sequence_pool.attention.2.bias"]
        )
        weighed = torch.einsum("btc,bth->bch", scores.softmax(1), read)
        study = torch.einsum("bch,ch->bc", weighed, state["sequence_pool.classifier_weight"])
        return slices[0], (study + state["sequence_pool.classifier_bias"])[0]


def differences(network: nn.Module, published: Published, slabs: Tensor, run: Any) -> list[float]:
    """Compare what `run` (part, input) says with the public composition: slices, maps, series.

    The composition has the labels in the order of the files: "any" is last there, and first here.
    """
    pooled, logits, drawn = published.slices(slabs)
    outputs, maps = run("encode", slabs)
    place = torch.linspace(0, 1, len(slabs))
    slices, study = published.series(pooled, place)
    encodings = outputs["encoding"].clone()
    assert not encodings[:, -1].any()
    encodings[:, -1] = place
    read, _ = run("context", encodings[None])
    size = maps.shape[-1]
    coarse = drawn.unflatten(-1, (size, -1)).unflatten(-3, (size, -1)).mean((-1, -3))
    assert coarse.std() > 1e-3
    return [
        float((ours - theirs).abs().max())
        for ours, theirs in (
            (outputs["encoding"][:, :-1], pooled),
            (outputs["slice"].sigmoid(), logits.sigmoid().roll(1, -1)),
            (maps, coarse.roll(1, 1)),
            (read["slice"][0].sigmoid(), slices.sigmoid().roll(1, -1)),
            (read["study"][0].sigmoid(), study.sigmoid().roll(1, -1)),
        )
    ]


def by_torch(network: Any) -> Any:
    def run(part: str, inputs: Tensor) -> tuple[dict[str, Tensor], Any]:
        if part == "encode":
            outputs, maps = network.encode_explained(inputs)
            return outputs, maps["slice"]
        return network.context(inputs), None

    return run


def by_graphs(description: ImportDescription, network: nn.Module) -> Any:
    """Run the graphs that lie beside the description, filled with the network's tensors."""
    stated = description.graphs
    assert stated is not None
    assert stated.explaining is not None
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    files = {
        "encode": (stated.explaining.file, [*stated.explaining.outputs, map_name("slice")]),
        "context": (stated.parts["context"].file, stated.parts["context"].outputs),
    }
    sessions = {
        part: open_session(
            fill_graph((IMPORTS / description.id / Path(file).name).read_bytes(), tensors), device="cpu", name=part
        )
        for part, (file, _) in files.items()
    }

    def run(part: str, inputs: Tensor) -> tuple[dict[str, Tensor], Any]:
        names = files[part][1]
        found = sessions[part].run(names, {"input": inputs.numpy()})
        given = {name: torch.from_numpy(value) for name, value in zip(names, found, strict=True)}
        return given, given.pop(map_name("slice"), None)

    return run


def test_slices_maps_and_series_are_those_of_the_public_composition():
    slabs = torch.rand(5, 9, 64, 64)
    network = made(SMALL, slabs)
    published = Published(network.state_dict(), hidden=8, features=8, folds=2, **TIMM)
    with torch.no_grad():
        assert max(differences(network, published, slabs, by_torch(network))) < 1e-5
        # One slice is a series too.
        assert max(differences(network, published, slabs[:1], by_torch(network))) < 1e-5


def test_the_shipped_graphs_with_random_weights_answer_as_the_public_composition():
    """At full size, once: two slabs, and a longer series of the same encodings."""
    description = read_description(IMPORTS / "hemorrhage-slab-sequence.yaml")
    assert description.network is not None
    slabs = torch.rand(2, 9, 512, 512)
    slabs[1] *= 0.1
    network = made(description.network.arguments, slabs)
    published = Published(network.state_dict(), hidden=256, features=256, folds=5)
    with torch.no_grad():
        run = by_graphs(description, network)
        assert max(differences(network, published, slabs, run)) < 1e-4
        encodings, place = torch.randn(37, 512), torch.linspace(0, 1, 37)
        slices, study = published.series(encodings, place)
        read, _ = run("context", torch.cat([encodings, place[:, None]], 1)[None])
    assert (read["slice"][0].sigmoid() - slices.sigmoid().roll(1, -1)).abs().max() < 1e-4
    assert (read["study"][0].sigmoid() - study.sigmoid().roll(1, -1)).abs().max() < 1e-4


def test_the_seven_files_hold_each_tensor_of_the_graphs_once_and_in_its_shape():
    """Counts of tensors are facts of the published files: 560 of the classifier, 30 of the sequence, 68 of a fold."""
    description = read_description(IMPORTS / "hemorrhage-slab-sequence.yaml")
    assert description.network is not None
    with torch.device("meta"):
        network = build_network(description.network.name, description.network.arguments)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    by_file = Counter(name.partition(".")[0] for name in shapes)
    assert by_file == {"classifier": 560, "sequence": 30, **{f"fold{k}": 68 for k in range(5)}}
    assert set(by_file) == set(description.files)
    lacking = {}
    for file in sorted((IMPORTS / description.id).glob("*.onnx")):
        lacking |= check_graph(file.read_bytes(), name=file.name).lacking
    assert {name: shape for name, (shape, _) in lacking.items()} == {
        name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    ("wrong", "told"), [({"folds": 0}, "at least one decoder"), ({"order": [0, 1]}, "each of the 6")]
)
def test_arguments_that_leave_something_out_are_refused(wrong, told):
    with pytest.raises(ModelError, match=told):
        build_network("slab_sequence", SMALL | wrong)


def test_a_whole_scan_at_once_is_the_same_as_part_by_part():
    slabs = torch.rand(4, 9, 64, 64)
    network = made(SMALL, slabs)
    with torch.no_grad():
        encodings = network.encode(slabs)["encoding"]
        encodings[:, -1] = torch.linspace(0, 1, 4)
        parts, whole = network.context(encodings[None]), network(slabs[None])
    assert all(torch.allclose(parts[name], whole[name], atol=1e-6) for name in ("slice", "study"))
