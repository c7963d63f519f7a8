"""Heat maps come with the answer: no network reads an image a second time for them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.examples import phantom_images
from AcuteFindingsLib.detectors.hemorrhage.scorer import HemorrhageScorer
from AcuteFindingsLib.detectors.load import load_kind
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.evaluation.explain import ExplainRequest, explain_images
from AcuteFindingsLib.models.heat import scale_maps
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.runtime import graph_predictor
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.resources import resource_path

MODELS = resource_path("Models")
PACKAGES = sorted(folder.name for folder in MODELS.iterdir() if folder.is_dir())


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many images each graph has read."""
    counts: Counter[str] = Counter()
    plain = graph_predictor.run_graph

    def run(session, names, batch, **asked):
        counts[session.name] += len(batch)
        return plain(session, names, batch, **asked)

    monkeypatch.setattr(graph_predictor, "run_graph", run)
    return counts


def images_of(counts: Counter[str], word: str) -> int:
    return sum(count for name, count in counts.items() if word in name)


@pytest.mark.slow
def test_pe_encodes_each_slice_once_heat_map_included(read: Counter[str]) -> None:
    kind = find_kind("pe")
    phantom = make_phantom("ctpa", kind.phantoms.seed, positive=True, **kind.phantoms.options)
    detector = load_kind(kind, model="pe-sequence-small", device="cpu", folders=(MODELS,)).detector
    finding = detector.run(phantom_study(phantom))
    assert finding.heatmap is not None
    assert finding.heatmap.name == "Grad-CAM of the slice encoder"
    assert finding.heatmap.array.max() > 200
    assert images_of(read, "encode") == len(finding.heatmap.array)
    # The plain graph of the encoder is not even opened.
    assert not images_of(read, "(encode.onnx)")


@pytest.mark.slow
def test_the_chest_model_reads_a_radiograph_once_for_probabilities_and_all_maps(read: Counter[str]) -> None:
    kind = find_kind("pneumothorax")
    phantom = make_phantom(kind.phantoms.generator, kind.phantoms.seed, positive=True, **kind.phantoms.options)
    detector = load_kind(kind, model="pneumothorax-unet-small", device="cpu", folders=(MODELS,)).detector
    finding = detector.run(phantom_study(phantom))
    assert finding.heatmap is not None
    # The picture and its mirror image.
    assert images_of(read, "chest") == 2


@pytest.mark.slow
def test_explain_encodes_each_slice_once(read: Counter[str], tmp_path: Path) -> None:
    study = write_phantom(make_phantom("head-ct", 900_001, positive=True, matrix=96, slice_spacing=10), tmp_path)
    result = explain_images(ExplainRequest("hemorrhage", (study / "dicom",), tmp_path / "out", device="cpu", count=3))
    assert (result.way, result.shown) == ("Grad-CAM", 3)
    assert images_of(read, "features") == result.images


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_maps_of_shipped_packages_are_those_of_torch(package: str) -> None:
    stored = read_package(MODELS / package)
    stated = stored.card.graphs.explaining
    images, _ = phantom_images(stored.card)
    maps = {}
    for runtime in ("torch", "onnx"):
        predictor = load_predictor(stored, device="cpu", runtime=runtime)
        maps[runtime] = predictor.predict_explained(
            images, outputs=stated.explains, part=stated.part, then=stated.then
        ).maps
    certain = np.ones(len(images))
    for name, theirs in maps["torch"].items():
        for number in range(theirs.shape[1]):
            expected = scale_maps(theirs[:, number], certain, images.shape[-2:])
            given = scale_maps(maps["onnx"][name][:, number], certain, images.shape[-2:])
            np.testing.assert_allclose(given, expected, atol=1e-3)
    assert any(value.max() > 0 for value in maps["torch"].values())


@pytest.mark.slow
def test_what_hangs_on_many_passes_is_not_asked_of_a_whole_series(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = load_predictor(read_package(MODELS / "hemorrhage-radnet-small"), device="cpu")
    monkeypatch.setattr(predictor, "one_pass", False)
    answer = HemorrhageScorer(predictor).infer(np.zeros((4, 1, 200, 200), np.float32), explain=True)
    assert answer.looked is None
    assert answer.drawn.mask is not None
