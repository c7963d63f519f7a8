"""A finding is the same whether PyTorch or ONNX Runtime computed it: on phantoms, and on real images where they are."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.detector import Detector
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.load import load_kind
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind, kinds
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

PROBABILITY = 1e-3
"""A tenth of the last digit that people are shown."""
DICE = 0.999

MODELS = resource_path("Models")
KINDS = [kind.id for kind in kinds()]
REAL = {"pe": "chest-ct-dicom", "hemorrhage": "head-ct-dicom", "pneumothorax": "chest-xray-dicom"}
SAID_BY = {"torch": "PyTorch", "onnx": "ONNX Runtime"}

_loaded: dict[tuple[str, str], Detector] = {}


def detector_of(kind: DetectorKind, runtime: str) -> Detector:
    if (kind.id, runtime) not in _loaded:
        own = [folder for folder in sorted(MODELS.iterdir()) if folder.is_dir()]
        model = next(folder for folder in own if read_package(folder).card.task == kind.task.made_for)
        load = partial(load_predictor, runtime=runtime)
        _loaded[kind.id, runtime] = load_kind(
            kind, model=str(model), device="cpu", folders=(MODELS,), load=load
        ).detector
    return _loaded[kind.id, runtime]


def require_same(torch: Finding, onnx: Finding) -> None:
    assert onnx.verdict.label == torch.verdict.label
    assert onnx.verdict.probability == pytest.approx(torch.verdict.probability, abs=PROBABILITY)
    assert onnx.positive_runs == torch.positive_runs
    assert [item.index for item in onnx.slices] == [item.index for item in torch.slices]
    for ours, theirs in zip(onnx.slices, torch.slices, strict=True):
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=PROBABILITY)
    assert [mask.name for mask in onnx.masks] == [mask.name for mask in torch.masks]
    for ours, theirs in zip(onnx.masks, torch.masks, strict=True):
        total = np.count_nonzero(ours.array) + np.count_nonzero(theirs.array)
        both = np.count_nonzero((ours.array > 0) & (theirs.array > 0))
        assert total == 0 or 2 * both / total >= DICE, f"{ours.name}: {2 * both / total:.5f}"
    assert (onnx.heatmap is None) == (torch.heatmap is None)
    if onnx.heatmap is not None and torch.heatmap is not None:
        apart = np.abs(onnx.heatmap.array.astype(np.float32) - torch.heatmap.array.astype(np.float32))
        # In 255 steps; where a map is stretched from few cells, rounding moves a value to the next step.
        assert apart.max() <= 1
    said = {item.name: item.value for item in torch.measurements}
    for item in onnx.measurements:
        assert item.value == pytest.approx(said[item.name], rel=2e-3, abs=PROBABILITY)


def compare(kind: DetectorKind, study: Study) -> None:
    findings = {runtime: detector_of(kind, runtime).run(study) for runtime in SAID_BY}
    for runtime, finding in findings.items():
        assert finding.model.runtime.startswith(SAID_BY[runtime])
    require_same(findings["torch"], findings["onnx"])


@pytest.mark.slow
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_a_phantom_gets_the_same_finding(name: str, positive: bool) -> None:
    kind = find_kind(name)
    assert kind.phantoms is not None
    phantom = make_phantom(kind.phantoms.generator, kind.phantoms.seed, positive=positive, **kind.phantoms.options)
    compare(kind, phantom_study(phantom))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_real_study_gets_the_same_finding(name: str, data_folder: Path) -> None:
    kind = find_kind(name)
    path = data_folder / REAL[name]
    if name == "pneumothorax":
        path = next(file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix in (".dcm", ""))
    compare(kind, read_study(path, requirements=kind.requirements, one_examination=True))
