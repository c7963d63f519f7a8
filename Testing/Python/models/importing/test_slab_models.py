"""A researcher's slice networks for CT: slabs of slices and windows, a GRU or LSTM over the series, and its pooling."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from AcuteFindingsLib.detectors.importing import import_model
from AcuteFindingsLib.detectors.load import load_detector
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.proof import TOLERANCE
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct

SIZE = 64
RSNA = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")


class Reader(nn.Module):
    """What a training script has: a slice network, a recurrent layer, layers behind it."""

    def __init__(self, kind: type[nn.RNNBase], outputs: int, *, pooling: str = "", both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.backbone = timm.create_model("test_resnet", in_chans=9, num_classes=0)
        self.rnn = kind(self.backbone.num_features, 8, 2, batch_first=True, bidirectional=True)
        self.pooling = pooling
        if both or not pooling:
            self.slice_head = nn.Linear(16, outputs)
        if pooling:
            self.study_head = nn.Linear(16, outputs)
        if pooling == "attention":
            self.attention = nn.Sequential(nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 1))
        self.train()
        with torch.no_grad():
            self.backbone(torch.rand(8, 9, SIZE, SIZE))
        self.eval()

    def forward(self, slabs: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        read = self.rnn(self.backbone(slabs)[None])[0]
        slices = self.slice_head(read)[0] if hasattr(self, "slice_head") else None
        if not self.pooling:
            return slices, None
        if self.pooling == "attention":
            pooled = (self.attention(read).softmax(1) * read).sum(1)
        else:
            pooled = read.mean(1) if self.pooling == "mean" else read.amax(1)
        return slices, self.study_head(pooled)[0]


def _import(tmp_path: Path, network: nn.Module, **options):
    torch.save({"state_dict": network.state_dict()}, tmp_path / "best.ckpt")
    given = Options(**{"task": "hemorrhage", "size": SIZE, "network": "test_resnet", **options})
    package = import_model(tmp_path / "best.ckpt", architecture="timm", out=tmp_path / "model", options=given)
    assert package.card.form == "slab-sequence"
    assert package.card.origin.largest_difference <= TOLERANCE
    return package


def _read(package, slabs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predictor = load_predictor(package, device="cpu")
    encodings = predictor.predict(slabs, part="encode")["encoding"]
    said = predictor.predict(encodings[None], part="context")
    return said["slice"][0], said["study"][0]


SLABS = np.random.default_rng(3).random((5, 9, SIZE, SIZE)).astype(np.float32)
ANY_FIRST = [5, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_series_answers_for_each_slice_whatever_the_order_of_labels(tmp_path: Path, kind) -> None:
    network = Reader(kind, 6)
    package = _import(tmp_path, network, labels=RSNA)
    assert [label.name for label in package.card.labels] == ["any", *RSNA[:5]]
    slices, study = _read(package, SLABS)
    with torch.inference_mode():
        expected = network(torch.from_numpy(SLABS))[0][:, ANY_FIRST].numpy()
    np.testing.assert_allclose(slices, expected, atol=1e-5)
    np.testing.assert_allclose(study, expected.max(0), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
@pytest.mark.parametrize("both", [False, True])
def test_a_study_is_read_from_the_pooled_series(tmp_path: Path, pooling: str, both: bool) -> None:
    network = Reader(nn.GRU, 1, pooling=pooling, both=both)
    package = _import(tmp_path, network, pooling=pooling)
    slices, study = _read(package, SLABS)
    with torch.inference_mode():
        expected = network(torch.from_numpy(SLABS))
        alone = torch.stack([network(torch.from_numpy(SLABS[n : n + 1]))[1] for n in range(5)])
    np.testing.assert_allclose(study, expected[1].numpy(), atol=1e-5)
    # Without a layer for slices each is read as a series of one.
    np.testing.assert_allclose(slices, (expected[0] if both else alone).numpy(), atol=1e-5)


def test_channels_of_slices_and_windows_are_put_in_the_networks_order_and_its_softmax_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", in_chans=6, num_classes=2).eval()
    mean, std = tuple(np.linspace(0.1, 0.6, 6)), (0.3,) * 6
    windows = ((40.0, 80.0), (80.0, 200.0))
    package = _import(tmp_path, network, windows=windows, window_first=True, channel=1, mean=mean, std=std)
    slabs = SLABS[:, :6]
    slices, study = _read(package, slabs)
    # Slice by slice, two windows each: all slices of the first window, then all of the second.
    shown = (slabs[:, [0, 2, 4, 1, 3, 5]] - np.reshape(mean, (1, 6, 1, 1))) / 0.3
    with torch.inference_mode():
        expected = network(torch.from_numpy(shown.astype(np.float32))).softmax(1)[:, 1].numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-slices[:, 0])), expected, atol=1e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-study[0])), expected.max(), atol=1e-5)


@pytest.mark.parametrize("task", ["hemorrhage", "pe"])
def test_the_detector_reads_a_study_with_it(tmp_path: Path, task: str) -> None:
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", in_chans=5, num_classes=1).eval()
    with torch.no_grad():
        network.get_classifier().bias += 2
    package = _import(tmp_path, network, task=task, slices=5, windows=((100.0, 700.0),))
    detector = load_detector(task, model=str(package.folder), device="cpu").detector
    make = make_head_ct if task == "hemorrhage" else make_ctpa
    study = phantom_study(make(3, positive=True, matrix=SIZE, slice_spacing=10.0))
    finding = detector.run(study)
    prepared = detector.scorer.prepare(study)
    with torch.inference_mode():
        expected = network(torch.from_numpy(prepared[:])).sigmoid().numpy()
    given = np.array([list(one.probabilities.values()) for one in finding.slices])
    np.testing.assert_allclose(given, prepared.at_sources(expected), atol=1e-5)
    assert finding.detector == task
    assert finding.verdict.label == "positive"
    assert finding.verdict.probability == pytest.approx(expected.max(), abs=1e-5)
    assert finding.heatmap is not None
    words = finding.verdict.explanation + finding.verdict.rule
    assert ("hemorrhage" in words) <= (task == "hemorrhage")


@pytest.mark.parametrize(
    ("network", "options", "told"),
    [
        (Reader(nn.GRU, 1), {"slices": 5}, "takes 9 channels; 5 slices in 3 windows are 15"),
        (Reader(nn.GRU, 1), {"slices": 2}, "an odd number"),
        (Reader(nn.GRU, 1, pooling="mean"), {"pooling": "attention"}, "whose name says attention"),
        (Reader(nn.GRU, 1, pooling="mean", both=True), {}, r"\(slice_head \(1, 16\), study_head \(1, 16\)\)"),
        (Reader(nn.GRU, 6), {}, "--labels a,b,c"),
        (Reader(nn.GRU, 2), {"labels": ("epidural", "subdural")}, "needs one called any"),
        (Reader(nn.RNN, 1), {}, "neither a GRU nor an LSTM"),
    ],
)
def test_what_does_not_show_is_asked(tmp_path: Path, network: nn.Module, options: dict, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        _import(tmp_path, network, **options)


def test_a_layer_whose_use_does_not_show_is_refused(tmp_path: Path) -> None:
    network = Reader(nn.GRU, 1)
    network.norm = nn.LayerNorm(16)
    with pytest.raises(ModelError, match=r"what norm\.weight does beside the recurrent layer does not show"):
        _import(tmp_path, network)
