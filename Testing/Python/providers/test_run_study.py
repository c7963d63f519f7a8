"""The whole way, from DICOM to a report, with a provider as the model."""

import pytest
import torch

from AcuteFindingsLib.detectors.finding import load_finding
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import ConsentError
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.providers.torchxrayvision import load
from AcuteFindingsLib.providers.torchxrayvision import networks as provider

pytestmark = pytest.mark.slow

xrv = pytest.importorskip("torchxrayvision", reason="TorchXRayVision is not installed (extra [test])")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return write_phantom(make_phantom("chest-xray", 3, positive=True), tmp_path_factory.mktemp("study")) / "dicom"


@pytest.fixture
def random_weights(monkeypatch):
    """The package's DenseNet with random weights; lungs are what is dark."""
    torch.manual_seed(0)

    class Dark(torch.nn.Module):
        targets = xrv.baseline_models.chestx_det.PSPNet.targets

        def forward(self, images):
            mask = torch.full((len(images), len(self.targets), *images.shape[2:]), -5.0)
            mask[:, self.targets.index("Left Lung")] = torch.where(images[:, 0] < 0, 5.0, -5.0)
            return mask

    def predictor(network, task):
        card = provider.package_of(task=task, version="1.5.7", sha256="ab" * 32).card
        return TorchPredictor(network, card=card, version="1.5.7", sha256="ab" * 32, device="cpu")

    dense = xrv.models.DenseNet(num_classes=18, op_threshs=torch.full((18,), 0.5))
    monkeypatch.setattr(load, "load_chest", lambda **_n: predictor(provider.ChestFindings(dense), "chest"))
    monkeypatch.setattr(load, "load_lungs", lambda **_n: predictor(provider.LungFields(Dark()), "lungs"))


def test_without_consent_nothing_is_written(picture, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConsentError):
        run_study(StudyRequest(picture, out, detector="pneumothorax", model="torchxrayvision", device="cpu"))
    assert not out.exists()


def test_finding_scene_and_report_are_written_and_name_the_model(picture, tmp_path, all_agreed, random_weights) -> None:
    told = []
    request = StudyRequest(picture, tmp_path, detector="pneumothorax", model="torchxrayvision", device="cpu")
    result = run_study(request, progress=lambda text, share: told.append(share))
    assert told == sorted(told)
    finding = load_finding(result.finding_file)
    assert finding.model.id == "torchxrayvision"
    assert len(finding.labels) == 18
    page = result.report.read_text(encoding="utf-8")
    for text in ("TorchXRayVision", "Apache-2.0", "arxiv.org/abs/2111.00595", "Enlarged cardiomediastinum", "PSPNet"):
        assert text in page
    assert "phantoms only" not in page
    assert result.pictures


def test_our_outlines_with_their_lungs_and_findings(picture, tmp_path, all_agreed, random_weights) -> None:
    request = StudyRequest(
        picture, tmp_path, detector="pneumothorax", model="pneumothorax-unet-small+torchxrayvision", device="cpu"
    )
    finding = run_study(request).finding
    assert finding.model.id == "pneumothorax-unet-small"
    assert "beside-provider" in {notice.code for notice in finding.warnings}
    assert "Probability: Cardiomegaly" in {item.name for item in finding.measurements}
    assert [mask.name for mask in finding.masks] == ["Pneumothorax", "Right lung", "Left lung"]
