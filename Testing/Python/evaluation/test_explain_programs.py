"""`explain` for models that are stored programs, and what its maps are scaled to."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from AcuteFindingsLib.detectors.importing import import_model
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph_scorers import ChestScorer
from AcuteFindingsLib.evaluation import explain
from AcuteFindingsLib.evaluation.explain import ExplainRequest, explain_images
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.phantoms.write_dicom import write_phantom

pytestmark = pytest.mark.slow

SIZE = 32


class Slices(torch.nn.Module):
    """Numbers of the upper left quarter alone, and a mask or the slice's logit."""

    def __init__(self, *, masks: bool) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, images):
        numbers = torch.nn.functional.adaptive_avg_pool2d(images[..., :16, :16], 4).flatten(1)
        return numbers, 9 * (images - 0.4) if self.masks else numbers.mean(dim=1, keepdim=True)


class Head(torch.nn.Module):
    def forward(self, features):
        return features.mean(dim=2, keepdim=True) * torch.arange(1.0, 7.0) - 1


class Exam(torch.nn.Module):
    def forward(self, encodings):
        marks = encodings.mean(dim=2)
        return marks, marks.amax(dim=1, keepdim=True)


class Corner(torch.nn.Module):
    def forward(self, images):
        return (images[:, 0, :16, :16].mean(dim=(1, 2)) * 8 - 4)[:, None]


def script(network: torch.nn.Module, path: Path) -> Path:
    torch.jit.script(network).save(str(path))
    return path


def onnx(network: torch.nn.Module, path: Path) -> Path:
    torch.onnx.export(
        network.eval(),
        (torch.rand(1, 1, SIZE, SIZE),),
        str(path),
        input_names=["images"],
        output_names=["pathologies"],
        dynamic_axes={"images": {0: "n"}, "pathologies": {0: "n"}},
        dynamo=False,
    )
    return path


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[explain.Evidence]:
    """What is shown beside the pictures."""
    kept: list[explain.Evidence] = []
    plain = explain._evidence
    monkeypatch.setattr(explain, "_evidence", lambda *asked: kept.extend(plain(*asked)) or kept[-len(asked[1]) :])
    return kept


def radiographs(folder: Path) -> tuple[Path, ...]:
    y, x = np.mgrid[-1:1:90j, -1:1:80j]
    for number in range(2):
        gray = 200 - 150 * np.exp(-((np.abs(x) - 0.45) ** 2 * 12 + y**2 * (2 + number)))
        sitk.WriteImage(sitk.GetImageFromArray(gray.astype(np.uint8)), str(folder / f"{number}.png"))
    return tuple(sorted(folder.glob("*.png")))


@pytest.mark.parametrize("task", ["hemorrhage", "pe"])
def test_slices_of_a_study_are_explained_by_covering_with_a_torchscript_model(
    task: str, tmp_path: Path, shown: list[explain.Evidence]
) -> None:
    masks = task == "hemorrhage"
    second = {"head": Head()} if masks else {"sequence": Exam()}
    outputs = (
        {"features": ("features", "mask"), "head": ("slice",)}
        if masks
        else {"encode": ("encoding", "slice"), "sequence": ("slice", "stack")}
    )
    also = {part: script(network, tmp_path / f"{part}.ts") for part, network in second.items()}
    options = Options(task=task, size=SIZE, also=also, outputs=outputs, probabilities=False)
    first = script(Slices(masks=masks), tmp_path / "first.ts")
    package = import_model(first, architecture="torchscript", out=tmp_path / "m", options=options)
    kind, spacing = ("head-ct", 12) if masks else ("ctpa", 10)
    study = write_phantom(make_phantom(kind, 900_001, positive=True, matrix=64, slice_spacing=spacing), tmp_path)
    request = ExplainRequest(task, (study / "dicom",), tmp_path / "out", count=2, model=str(package.folder))
    result = explain_images(request)
    assert (result.way, result.shown) == ("Occlusion map", 2)
    page = result.report.read_text(encoding="utf-8")
    assert "covered" in page
    assert "Grad-CAM" not in page
    for evidence in shown:
        assert evidence.heat.shape == (SIZE, SIZE)
        # The answer hangs on one quarter of the picture; covers reach half a square further.
        assert evidence.heat[20:, 20:].max() <= 0.05 * max(evidence.heat.max(), 1e-6)
        assert (evidence.mask is not None) == masks


def test_radiographs_are_explained_by_covering_with_an_onnx_model(
    tmp_path: Path, shown: list[explain.Evidence]
) -> None:
    options = Options(task="chest", size=SIZE, labels=("pneumothorax",))
    package = import_model(
        onnx(Corner(), tmp_path / "c.onnx"), architecture="onnx", out=tmp_path / "m", options=options
    )
    result = explain_images(ExplainRequest("chest", radiographs(tmp_path), tmp_path / "out", model=str(package.folder)))
    assert result.way == "Occlusion map"
    for evidence in shown:
        assert evidence.heat.shape == (90, 80)
        assert evidence.heat[:45, :40].max() > 10 * evidence.heat[60:, 60:].max()


def test_a_map_reaches_as_high_as_the_probability_that_predict_gives(
    small_models: Path, tmp_path: Path, shown: list[explain.Evidence]
) -> None:
    package = find_package(str(small_models / "small-chest"))
    request = ExplainRequest("chest", radiographs(tmp_path), tmp_path / "out", "effusion", model=str(package.folder))
    result = explain_images(request)
    assert result.way == "Grad-CAM"
    scorer = ChestScorer(load_predictor(package, device="cpu"))
    pictures = [sitk.GetArrayFromImage(sitk.ReadImage(str(file))) / np.float32(255) for file in request.files]
    expected = sorted(scorer.probabilities(pictures)[:, 1], reverse=True)
    heights = [evidence.heat.max() for evidence in shown]
    for height, probability in zip(heights, expected, strict=True):
        assert height <= probability + 1e-6
        assert height == pytest.approx(probability, abs=0.1) or height == 0
