"""The proof of an import goes as far as what the detector says."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torchvision.models import densenet121

from AcuteFindingsLib.detectors import import_proof, radiograph
from AcuteFindingsLib.detectors.hemorrhage import detector as hemorrhage_detector
from AcuteFindingsLib.detectors.hemorrhage import scorer as hemorrhage
from AcuteFindingsLib.detectors.import_proof import detector_difference
from AcuteFindingsLib.detectors.importing import import_model
from AcuteFindingsLib.detectors.pe import scorer as pe
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing import import_model as module
from AcuteFindingsLib.models.importing import proof
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.proof import TOLERANCE

pytestmark = pytest.mark.slow

UNFIT_SHOWN = radiograph.unfit_shown
UNET = Options(size=64, channel=1, encoder="resnet18", decoder="unet")


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory) -> Path:
    torch.manual_seed(5)
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=2)
    path = tmp_path_factory.mktemp("unet") / "unet.pt"
    torch.save(network.state_dict(), path)
    return path


def segmenter(path, out, task="pneumothorax", **changes):
    options = dataclasses.replace(UNET, task=task, **changes)
    return import_model(path, architecture="segmentation-model", out=out, options=options, say=detector_difference)


@pytest.fixture
def alter(monkeypatch):
    """Let an import go wrong: `alter(lambda converted: ...)`."""

    def _alter(change):
        plain, told = module._ARCHITECTURES["segmentation-model"]
        monkeypatch.setitem(module._ARCHITECTURES, "segmentation-model", (lambda *asked: change(plain(*asked)), told))

    return _alter


@pytest.mark.parametrize("task", ["pneumothorax", "lungs"])
@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_the_mask_of_a_segmenter_is_that_of_its_source(two_classes, tmp_path, task, head):
    package = segmenter(two_classes, tmp_path / "m", task, head=head, mean=(0.4,), std=(0.3,))
    assert 0 <= package.card.origin.detector_difference < TOLERANCE
    assert "in the detector's answers for a phantom" in package.read_card_text()


def with_sigmoid_of_one_class(converted):
    """The package draws class 1 with a sigmoid, the source with a softmax of two."""
    head = "parts.segmentation_head.0."
    state = {name: value[1:2] if name.startswith(head) else value for name, value in converted.state.items()}
    kept = {name: value for name, value in converted.network.arguments.items() if name not in ("classes", "channel")}
    network = converted.network.model_copy(update={"arguments": kept})
    return dataclasses.replace(converted, state=state, network=network)


@pytest.mark.parametrize("task", ["pneumothorax", "lungs"])
def test_a_sigmoid_in_the_place_of_a_softmax_is_refused(two_classes, tmp_path, alter, task):
    alter(with_sigmoid_of_one_class)
    with pytest.raises(ModelError, match="differ by"):
        segmenter(two_classes, tmp_path / "m", task)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("task", ["pneumothorax", "lungs"])
def test_the_detector_alone_finds_a_wrong_activation(two_classes, tmp_path, alter, monkeypatch, task):
    alter(with_sigmoid_of_one_class)
    monkeypatch.setattr(proof, "largest_difference", lambda *_asked: 0.0)
    with pytest.raises(ModelError, match="of the same phantom segmentation-models-pytorch and the detector"):
        segmenter(two_classes, tmp_path / "m", task)


def test_a_card_that_normalizes_otherwise_than_the_source_is_refused(two_classes, tmp_path, alter):
    alter(lambda converted: dataclasses.replace(converted, preprocessing={**converted.preprocessing, "mean": 0.3}))
    with pytest.raises(ModelError, match="although the networks agree"):
        segmenter(two_classes, tmp_path / "m")


@pytest.mark.parametrize(
    ("detector", "task", "name", "fault"),
    [
        (radiograph, "pneumothorax", "expit", lambda value: 1 / (1 + np.exp(-1.1 * value))),
        (radiograph, "pneumothorax", "unfit_shown", lambda *asked: UNFIT_SHOWN(*asked)[::-1]),
        (radiograph, "lungs", "unfit_square", lambda square, shape: radiograph.fit_square(square, max(shape))[:, :128]),
    ],
)
def test_a_fault_behind_the_network_is_found(two_classes, tmp_path, monkeypatch, detector, task, name, fault):
    monkeypatch.setattr(detector, name, fault)
    with pytest.raises(ModelError, match="although the networks agree"):
        segmenter(two_classes, tmp_path / "m", task)


def test_findings_of_a_chest_model_are_those_of_its_source(tmp_path, monkeypatch):
    torch.manual_seed(0)
    torch.save(densenet121(num_classes=14).state_dict(), tmp_path / "chest.pth")
    asked = {"architecture": "densenet121", "options": Options(size=64), "say": detector_difference}
    package = import_model(tmp_path / "chest.pth", out=tmp_path / "chest", **asked)
    assert package.card.origin.detector_difference < TOLERANCE
    monkeypatch.setattr(radiograph, "fit_square", lambda image, size: radiograph.unfit_square(image, (size, size)))
    with pytest.raises(ModelError, match="although the networks agree"):
        import_model(tmp_path / "chest.pth", out=tmp_path / "bad", **asked)


def test_of_a_part_no_detector_is_asked(tmp_path):
    torch.save(densenet121().state_dict(), tmp_path / "imagenet.pth")
    package = import_model(
        tmp_path / "imagenet.pth", architecture="densenet121", out=tmp_path / "part", say=detector_difference
    )
    assert package.card.origin.detector_difference is None
    assert package.card.origin.largest_difference < TOLERANCE


class Slices(torch.nn.Module):
    """First part of both detectors of CT: numbers of the slice, and the slice's or a mask's logit."""

    def __init__(self, *, masks: bool) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, images):
        numbers = torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)
        return numbers, 4 * (images - 0.4) if self.masks else numbers.mean(dim=1, keepdim=True)


class Exam(torch.nn.Module):
    def forward(self, encodings):
        marks = encodings.mean(dim=2) - 0.2
        return marks, marks.amax(dim=1, keepdim=True)


class Head(torch.nn.Module):
    def forward(self, features):
        return features.mean(dim=2, keepdim=True) * torch.arange(1.0, 7.0) - 1


def script(network, path):
    torch.jit.script(network).save(str(path))
    return path


def ct_model(folder, task):
    if task == "pe":
        slices, second = Slices(masks=False), {"sequence": script(Exam(), folder / "second.ts")}
        outputs = {"encode": ("encoding", "slice"), "sequence": ("slice", "stack")}
    else:
        slices, second = Slices(masks=True), {"head": script(Head(), folder / "second.ts")}
        outputs = {"features": ("features", "mask"), "head": ("slice",)}
    options = Options(task=task, size=64, also=second, outputs=outputs, probabilities=False)
    first = script(slices, folder / "first.ts")
    return import_model(
        first, architecture="torchscript", out=folder / "m", options=options, replace=True, say=detector_difference
    )


@pytest.mark.parametrize(("task", "detector"), [("pe", pe), ("hemorrhage", hemorrhage)])
def test_the_detectors_of_ct_say_what_the_source_says(tmp_path, monkeypatch, task, detector):
    assert ct_model(tmp_path, task).card.origin.detector_difference < TOLERANCE
    monkeypatch.setattr(detector, "expit", lambda value: 1 / (1 + np.exp(-1.1 * value)))
    with pytest.raises(ModelError, match="although the networks agree"):
        ct_model(tmp_path, task)


def test_a_mask_of_a_hemorrhage_put_elsewhere_is_found(tmp_path, monkeypatch):
    plain = hemorrhage_detector.unfit_in_plane
    monkeypatch.setattr(hemorrhage_detector, "unfit_in_plane", lambda *asked, **told: plain(*asked, **told)[:, ::-1])
    with pytest.raises(ModelError, match="although the networks agree"):
        ct_model(tmp_path, "hemorrhage")


def test_slices_of_the_phantoms_show_something(tmp_path, monkeypatch):
    """A black picture would let any two networks agree."""
    seen = []
    plain = proof.Source.ask

    def ask(self, part, shown):
        seen.append(shown)
        return plain(self, part, shown)

    monkeypatch.setattr(import_proof.Source, "ask", ask)
    for task in ("pe", "hemorrhage"):
        ct_model(tmp_path, task)
    assert all(np.ptp(slice_) > 0.3 for batch in (seen[0], seen[2]) for slice_ in batch)


@pytest.mark.parametrize(
    "values", [np.linspace(0.2, 0.8, 500), np.full(500, 0.7), np.repeat([0.0, 1.0], 250), 0.5 + 1e-8 * np.arange(500)]
)
def test_thresholds_lie_clear_of_every_number(values):
    assert np.abs(values - import_proof.between(values)).min() > 4e-6
