from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.detectors.hemorrhage.slab_scorer import SlabScorer
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import CancelledError, EvaluationError
from AcuteFindingsLib.evaluation import explain
from AcuteFindingsLib.evaluation.explain import ExplainRequest, explain_images
from AcuteFindingsLib.models.predictor import Explained
from AcuteFindingsLib.models.public.card import card_of
from AcuteFindingsLib.models.public.recommended import read_description
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.resources import resource_path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("radiographs")
    y, x = np.mgrid[-1:1:90j, -1:1:80j]
    for number in range(3):
        gray = 200 - 150 * np.exp(-((np.abs(x) - 0.45) ** 2 * 12 + y**2 * (2 + number)))
        sitk.WriteImage(sitk.GetImageFromArray(gray.astype(np.uint8)), str(folder / f"{number}.png"))
    return sorted(folder.iterdir())


def picture(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.parametrize(("task", "label"), [("chest", "effusion"), ("pneumothorax", None)])
def test_radiographs_get_a_sheet_a_picture_each_and_a_report(
    task: str, label: str | None, radiographs, small_models: Path, tmp_path: Path
) -> None:
    request = ExplainRequest(task, tuple(radiographs), tmp_path, label, count=2, model_folders=(small_models,))
    result = explain_images(request)
    assert (result.images, result.shown, result.label) == (3, 2, "Effusion" if label else "Pneumothorax")
    assert [path.name for path in result.pictures] == ["001.png", "002.png"]
    assert picture(result.sheet)[..., :3].std() > 15
    page = result.report.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "Trained on computer-made phantoms only" in page
    assert "<script" not in page


@pytest.mark.parametrize(("kind", "task"), [("head-ct", "hemorrhage"), ("ctpa", "pe")])
def test_the_most_probable_slices_of_a_study_are_shown(
    kind: str, task: str, small_models: Path, tmp_path: Path
) -> None:
    spacing = {"head-ct": 10, "ctpa": 8}[kind]
    study = write_phantom(make_phantom(kind, 900_001, positive=True, matrix=96, slice_spacing=spacing), tmp_path)
    request = ExplainRequest(task, (study / "dicom",), tmp_path / "out", count=3, model_folders=(small_models,))
    result = explain_images(request)
    assert result.shown == 3
    assert result.images > 5
    page = result.report.read_text(encoding="utf-8")
    captions = [part.split("</figcaption>")[0] for part in page.split("<figcaption>")[1:]]
    probabilities = [float(caption.rsplit(" ", 1)[1]) for caption in captions]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all("slice" in caption for caption in captions)
    assert "attention mask" in page


def test_a_label_of_the_whole_study_cannot_be_shown_in_one_image(radiographs, small_models: Path, tmp_path) -> None:
    request = ExplainRequest("chest", tuple(radiographs), tmp_path / "out", "nodule", model_folders=(small_models,))
    with pytest.raises(EvaluationError, match="--label nodule: the model small-chest explains pneumothorax, effusion"):
        explain_images(request)
    assert not (tmp_path / "out").exists()


def test_a_ct_is_no_radiograph(small_models: Path, tmp_path: Path) -> None:
    study = write_phantom(make_phantom("head-ct", 900_001, positive=False, matrix=64, slice_spacing=20), tmp_path)
    request = ExplainRequest("chest", (study / "dicom",), tmp_path / "out", model_folders=(small_models,))
    with pytest.raises(Exception, match="radiograph"):
        explain_images(request)


def test_a_cancelled_run_writes_nothing(radiographs, small_models: Path, tmp_path: Path) -> None:
    request = ExplainRequest("chest", tuple(radiographs), tmp_path / "out", model_folders=(small_models,))
    with pytest.raises(CancelledError):
        explain_images(request, cancelled=lambda: True)
    assert not (tmp_path / "out").exists()


class Draws:
    """A predictor of slabs that draws one faint square, whatever it is shown."""

    version, sha256, device, runtime, notices = "1", "0" * 64, "cpu", "Script 1", ()
    explanation, one_pass = "Mean map of the decoders", True

    def __init__(self) -> None:
        description = read_description(resource_path("Imports") / "hemorrhage-slab-sequence.yaml")
        self.card = card_of(description).model_copy(update={"preprocessing": {"size": 64}})

    def predict(self, batch: np.ndarray, *, part: str) -> dict[str, np.ndarray]:
        if part == "context":
            return {"slice": np.full((1, batch.shape[1], 6), 3.0), "study": np.full((1, 6), 3.0)}
        return {"encoding": np.zeros((len(batch), 3)), "slice": np.full((len(batch), 6), 3.0)}

    def predict_explained(self, batch: np.ndarray, *, outputs: tuple[str, ...], part: str, then: str = "") -> Explained:
        maps = np.zeros((len(batch), 6, 16, 16), np.float32)
        maps[:, 5, 4:8, 4:8] = 0.25
        return Explained(self.predict(batch, part=part), {name: maps for name in outputs})


def test_maps_that_a_model_draws_itself_are_shown_as_they_are_and_called_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(explain, "load_scorer", lambda *_, **__: SlabScorer(Draws()))
    shown: list[np.ndarray] = []
    draw = explain._panels

    def panels(seen: explain.Seen, evidence: explain.Evidence, *rest: str) -> list:
        shown.append(evidence.heat)
        return draw(seen, evidence, *rest)

    monkeypatch.setattr(explain, "_panels", panels)
    study = write_phantom(make_phantom("head-ct", 900_001, positive=True, matrix=64, slice_spacing=20), tmp_path)
    result = explain_images(ExplainRequest("hemorrhage", (study / "dicom",), tmp_path / "out", "subdural", count=2))
    assert [round(float(heat.max()), 3) for heat in shown] == [0.25, 0.25]
    page = result.report.read_text(encoding="utf-8")
    assert "what the model itself draws for the label" in page
    assert "Mean map of the decoders" in page
    assert "stored program" not in page
    assert "reaches as high" not in page
