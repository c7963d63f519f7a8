"""Detectors of the form volume-mask: from a study to what a person sees, or to nothing at all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Finding, load_finding
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.load import load_kind
from AcuteFindingsLib.detectors.pe.kind import KIND
from AcuteFindingsLib.detectors.pe.volume_detector import PEVolumeDetector
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.detectors.scoring import load_scorer
from AcuteFindingsLib.detectors.volume_scorer import VolumeInput
from AcuteFindingsLib.errors import CancelledError, ModelError
from AcuteFindingsLib.evaluation.mask_files import find_masks, score_masks
from AcuteFindingsLib.export.report import render_report
from AcuteFindingsLib.models.default_model import Choice
from AcuteFindingsLib.models.metadata import Card, Metadata
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.task import VOLUME_MASK
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.phantoms.write_truth import write_truth
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.scene.picture_plan import plan_pictures
from AcuteFindingsLib.study.study import Study

SETTINGS = {
    "lowest_hu": -195.0,
    "highest_hu": 305.0,
    "mean_hu": 37.0,
    "deviation_hu": 92.0,
    "spacing_mm": [5.0, 3.0, 3.0],
    "tile": [32, 64, 64],
    "smallest_tile": [32, 64, 64],
    "divisor": [32, 64, 64],
}


class DrawnScorer:
    """Answers with what is drawn already, in ten blocks."""

    labels = ("pe",)
    box: tuple[slice, slice, slice] | None = None

    def __init__(self, drawn: np.ndarray) -> None:
        self.drawn = drawn

    def prepare(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled):
        progress("Resampling", 0.5)
        axial = to_axial(study)
        whole = tuple(slice(0, count) for count in axial.array.shape)
        return VolumeInput(axial.array, self.box or whole, axial, study.sources)

    def infer(self, volume: VolumeInput, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled):
        for block in range(10):
            stop_if(cancelled)
            progress("Reading block 1 of 10, about 12 minutes on this CPU", block / 10)
        return self.drawn

    def restore(self, volume: VolumeInput, logits: np.ndarray) -> np.ndarray:
        return np.where(logits, 0.9, 0.02).astype(np.float32)


def package_of(card: Card) -> ModelPackage:
    metadata = Metadata(
        version="1.0.0",
        changelog={},
        monai_version="",
        pytorch_version="",
        numpy_version="",
        task="PE",
        description="",
        authors="",
        copyright="",
        network_data_format={},
        acutefindings=card,
    )
    return ModelPackage(Path(), metadata, {"models/model.safetensors": "ab" * 32})


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom("ctpa", 2, positive=True, matrix=96, slice_spacing=5.0)


@pytest.fixture
def made(card):
    points = [("mask", "pe", 0.5)]
    return card("pe", labels=["pe"], points=points, form=VOLUME_MASK, preprocessing=SETTINGS)


@pytest.fixture
def detector(scripted, made, phantom: Phantom) -> PEVolumeDetector:
    detector = PEVolumeDetector(scripted(made, {}))
    detector.scorer = DrawnScorer(phantom.masks["embolus"])
    return detector


@pytest.fixture
def finding(detector: PEVolumeDetector, phantom: Phantom) -> Finding:
    return detector.run(phantom_study(phantom))


def test_a_card_of_this_form_is_given_to_the_detector_that_draws(scripted, made) -> None:
    choice = Choice(package_of(made), "chosen by the test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("AcuteFindingsLib.detectors.load.default_choice", lambda *_, **__: choice)
        loaded = load_kind(KIND, load=lambda *_, **__: scripted(made, {}))
    assert isinstance(loaded.detector, PEVolumeDetector)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.id)
def test_what_the_forms_of_a_kind_name_is_there(kind: DetectorKind) -> None:
    for form in kind.task.forms:
        assert kind.load_detector_class(form.id).name == kind.id
        assert kind.load_rule(form.id)
        assert {"prepare", "infer"} <= set(dir(kind.scorer(form.id)))
        assert (form.id == VOLUME_MASK) == bool(form.part and form.measure)
        assert form.id != VOLUME_MASK or kind.segments


@pytest.mark.parametrize("lacking", [{"points": []}, {"rule": {"minimum_consecutive": 3}}, {"preprocessing": {}}])
def test_what_a_card_lacks_is_found_before_the_network_runs(scripted, card, lacking: dict) -> None:
    fields = {"points": [("mask", "pe", 0.5)], "preprocessing": SETTINGS, "form": VOLUME_MASK}
    with pytest.raises((ValueError, KeyError)):
        PEVolumeDetector(scripted(card("pe", labels=["pe"], **{**fields, **lacking}), {}))


def test_the_verdict_the_mask_and_the_sides_are_those_of_what_was_drawn(finding: Finding, phantom: Phantom) -> None:
    assert finding.verdict.label == "positive"
    assert np.array_equal(finding.masks[0].array, phantom.masks["embolus"])
    volumes = {item.name: item.value for item in finding.measurements if item.unit == "mm3"}
    total = phantom.masks["embolus"].sum() * float(np.prod(phantom_study(phantom).spacing))
    assert volumes["Volume of all clots"] == pytest.approx(total)
    sides = [value for name, value in volumes.items() if name.startswith("Volume of clot ") and "lung" in name]
    assert len(sides) == 3
    assert sum(sides) == pytest.approx(total)
    assert {"preprocess", "network", "postprocess"} <= set(finding.timings)


def test_the_estimated_time_reaches_the_progress_which_never_goes_back(detector, phantom: Phantom) -> None:
    told: list[tuple[str, float]] = []
    detector.run(phantom_study(phantom), progress=lambda text, fraction: told.append((text, fraction)))
    assert any("about 12 minutes on this CPU" in text for text, _ in told)
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_what_was_not_read_of_a_study_is_said(detector, phantom: Phantom) -> None:
    study = phantom_study(phantom)
    assert "region-read" not in {notice.code for notice in detector.run(study).warnings}
    detector.scorer.box = (slice(5, 25), slice(10, 50), slice(10, 60))
    (notice,) = [notice for notice in detector.run(study).warnings if notice.code == "region-read"]
    pixel = study.spacing[2]
    assert notice.severity == "info"
    assert f"{50 * pixel:.0f} × {40 * pixel:.0f} mm of 20 slices (100 mm)" in notice.text


@pytest.mark.parametrize("asked", [1, 5, 11, 12])
def test_a_study_that_was_stopped_gives_no_finding(detector, phantom: Phantom, asked: int) -> None:
    count = 0

    def cancelled() -> bool:
        nonlocal count
        count += 1
        return count >= asked

    with pytest.raises(CancelledError):
        detector.run(phantom_study(phantom), cancelled=cancelled)


def test_a_finding_comes_back_from_its_files(finding: Finding, tmp_path: Path) -> None:
    again = load_finding(finding.save(tmp_path))
    assert again.measurements == finding.measurements
    assert again.verdict == finding.verdict
    assert np.array_equal(again.masks[0].array, finding.masks[0].array)
    entry = json.loads((tmp_path / "finding.json").read_text(encoding="utf-8"))["masks"][0]
    assert (entry["file"], entry["code"]["value"]) == ("masks/pulmonary-embolism.nrrd", "59282003")


def test_pictures_show_the_mask_and_stand_where_it_is(finding: Finding, phantom: Phantom) -> None:
    study = phantom_study(phantom)
    plans = plan_pictures(finding, study)
    assert {plan.masks for plan in plans if plan.kind in ("slice", "reformat")} == {"filled"}
    reformat = next(plan for plan in plans if plan.kind == "reformat")
    i, j, k, _ = np.linalg.inv(study.ijk_to_ras) @ [*reformat.position_ras, 1.0]
    assert finding.masks[0].array[round(k), round(j), round(i)] == 1


def test_the_report_names_clots_in_cubic_millimeters(finding: Finding, phantom: Phantom, made) -> None:
    page = render_report(finding, study=phantom_study(phantom), package=package_of(made), pictures=())
    assert "Volume of clot 1" in page
    assert "mm³" in page
    assert "Volume of clot in the right lung" in page


def test_masks_are_compared_with_the_truth_of_a_phantom(finding: Finding, phantom: Phantom, tmp_path: Path) -> None:
    finding.save(tmp_path / "results" / "one")
    write_truth(phantom, tmp_path / "truths" / "one" / "truth")
    scored, _ = score_masks(find_masks(tmp_path / "results"), find_masks(tmp_path / "truths"))
    ((_, (row,)),) = [value for name, value in scored.items() if "embol" in name]
    assert row.dice == pytest.approx(1.0)


def test_a_model_that_reads_volumes_is_not_asked_about_images(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("AcuteFindingsLib.detectors.scoring.default_package", lambda *_, **__: package_of(made))
    with pytest.raises(ModelError, match="reads a whole volume at once"):
        load_scorer("pe")


@pytest.fixture
def bright(phantom: Phantom) -> tuple[Study, np.ndarray]:
    """The phantom without anything above -100 HU, but for one brick in the left lung; and the brick."""
    study = phantom_study(phantom)
    array = np.minimum(study.array, -100)
    brick = np.zeros(array.shape, bool)
    z, y, x = np.argwhere(phantom.masks["embolus"])[-1]
    brick[z - 1 : z + 2, y - 2 : y + 3, x - 2 : x + 3] = True
    array[brick] = 900
    return replace(study, array=array), brick


@pytest.fixture
def threshold_network(scripted, made):
    """A network that draws what is brighter than 100 HU, through the scorer that reads block by block."""
    level = (100 - SETTINGS["mean_hu"]) / SETTINGS["deviation_hu"]
    settings = SETTINGS | {"tile": [32, 64, 64], "smallest_tile": [32, 64, 64], "region": "chest"}
    card = made.model_copy(update={"preprocessing": settings})
    return PEVolumeDetector(scripted(card, {"": lambda batch: {"mask": 20 * (batch - level)}}))


def test_through_all_blocks_what_the_network_draws_is_where_it_is(threshold_network, bright) -> None:
    study, brick = bright
    told: list[tuple[str, float]] = []
    finding = threshold_network.run(study, progress=lambda text, fraction: told.append((text, fraction)))
    assert finding.verdict.label == "positive"
    assert np.mean(finding.masks[0].array[brick]) > 0.8
    assert finding.masks[0].voxels < 1.5 * brick.sum()
    values = {item.name: item.value for item in finding.measurements}
    assert values["Number of clots"] == 1
    assert values["Volume of clot in the left lung"] > 0
    assert values["Volume of clot in the right lung"] == 0
    assert any("block" in text and "on this processor" in text for text, _ in told)
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert "region-read" in {notice.code for notice in finding.warnings}


def test_stopping_between_blocks_gives_no_finding(threshold_network, bright) -> None:
    count = 0

    def progress(text: str, fraction: float) -> None:
        nonlocal count
        count += text.startswith("Reading block")

    with pytest.raises(CancelledError):
        threshold_network.run(bright[0], progress=progress, cancelled=lambda: count >= 2)
    assert count == 2
