"""A study through a network that draws in the whole volume: from the package to every file of the results."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from highdicom.seg import segread

from AcuteFindingsLib.detectors.finding import load_finding
from AcuteFindingsLib.errors import CancelledError, SceneError
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.jobs.write_results import StudyResult
from AcuteFindingsLib.models.metadata import Card, Label, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.models.task import VOLUME_MASK
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.scene import pictures
from AcuteFindingsLib.study.reader import read_study

pytestmark = pytest.mark.slow

NETWORK = Network(
    name="residual_unet",
    arguments={
        "features": [4, 6],
        "blocks": [1, 1],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "decoder_convolutions": [1],
    },
)
NUMBERS = {
    "lowest_hu": -195.0,
    "highest_hu": 305.0,
    "mean_hu": 37.0,
    "deviation_hu": 92.0,
    "spacing_mm": [5.0, 4.0, 4.0],
    "tile": [32, 64, 64],
    "smallest_tile": [32, 64, 64],
    "divisor": [2, 4, 4],
    "region": "chest",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of this form; its weights are random and draw about half of the voxels."""
    folder = tmp_path_factory.mktemp("volume-models")
    torch.manual_seed(7)
    point = OperatingPoint(level="mask", label="pe", threshold=0.5, chosen="for the test")
    card = Card(
        id="tiny-volume",
        task="pe",
        form=VOLUME_MASK,
        title="Tiny volumes",
        network=NETWORK,
        preprocessing=NUMBERS,
        labels=[Label(name="pe", meaning="Pulmonary embolism", code="59282003")],
        operating_points=[point],
        training_data=TrainingData(summary="nothing: random weights", phantoms_only=True, count="0"),
        evaluation=[],
        license="Apache-2.0",
        intended_use="Tests.",
        limitations="Knows nothing.",
    )
    write_package(
        folder / card.id,
        state_dict=build_network(NETWORK.name, NETWORK.arguments).state_dict(),
        card=card,
        version="0.0.1",
        changelog={"0.0.1": "random"},
        description="Random weights.",
        authors="AcuteFindings",
        copyright="AcuteFindings contributors",
        network_data_format={"inputs": {"image": {"num_channels": 1, "spatial_shape": [32, 64, 64]}}, "outputs": {}},
        card_text="",
        license_text="Apache-2.0",
        # Graphs of such networks are tested in `models/`.
        graphs=False,
    )
    return folder


@pytest.fixture(scope="module", autouse=True)
def without_scene() -> Iterator[None]:
    """Leave out what takes longest."""

    def missing(*_, **__):
        raise SceneError("Slicer's libraries could not be loaded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("AcuteFindingsLib.scene.bundle.write_scene", missing)
        patch.setattr(pictures, "offscreen_rendering_problem", lambda: "Slicer's libraries could not be loaded")
        yield


@pytest.fixture(scope="module")
def request_of(models: Path, ctpa: Path):
    def make(out: Path, **fields) -> StudyRequest:
        given = {"source": ctpa, "out": out, "detector": "pe", "model": "tiny-volume", "model_folders": (models,)}
        return StudyRequest(**{**given, "force": True, **fields})

    return make


@pytest.fixture(scope="module")
def done(request_of, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return run_study(request_of(tmp_path_factory.mktemp("volume-run") / "out", dicom=True))


def test_finding_mask_and_model_are_those_of_the_package(done: StudyResult) -> None:
    finding = load_finding(done.finding_file)
    assert finding.model.id == "tiny-volume"
    assert [mask.name for mask in finding.masks] == ["Pulmonary embolism"]
    assert 0 < finding.masks[0].voxels < finding.masks[0].array.size
    assert finding.heatmap is None
    positive = finding.masks[0].array.any(axis=(1, 2))
    assert [item.probabilities["pe"] >= finding.slice_threshold for item in finding.slices] == positive.tolist()


def test_the_segmentation_in_dicom_holds_the_mask(done: StudyResult, ctpa: Path) -> None:
    (file,) = [path for path in done.dicom if path.name == "segmentation.dcm"]
    segmentation = segread(file)
    assert segmentation.get_segment_description(1).segmented_property_type.value == "59282003"
    uids = [source.sop_instance_uid for source in read_study(ctpa).sources]
    pixels = segmentation.get_pixels_by_source_instance(
        uids, assert_missing_frames_are_empty=True, combine_segments=True
    )
    assert np.array_equal(pixels > 0, done.finding.masks[0].array > 0)


def test_a_report_tells_the_clots_and_the_rule(done: StudyResult) -> None:
    page = done.report.read_text(encoding="utf-8")
    assert "Volume of clot 1" in page
    assert done.finding.verdict.rule in page


def test_a_run_that_is_stopped_leaves_no_results(request_of, tmp_path: Path) -> None:
    begun = False

    def progress(text: str, fraction: float) -> None:
        nonlocal begun
        begun = begun or (text.startswith("Reading ") and "block" in text)

    with pytest.raises(CancelledError):
        run_study(request_of(tmp_path / "out"), progress=progress, cancelled=lambda: begun)
    assert begun
    assert not (tmp_path / "out").exists()
