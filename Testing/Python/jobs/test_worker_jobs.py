"""Every job of the worker, asked of a real process with small models."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib.detectors.acquisition import acquisition_of
from AcuteFindingsLib.detectors.finding import load_finding
from AcuteFindingsLib.detectors.load import load_detector
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.jobs.arrays import load_result, load_study, save_study
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import SourceSlice
from AcuteFindingsLib.trust.weigh import weigh

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head(head_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head CT as the application hands it over."""
    return save_study(read_study(head_ct), tmp_path_factory.mktemp("head-study"), dtype=np.int16)


@pytest.fixture(scope="module")
def chest(ctpa: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_study(read_study(ctpa), tmp_path_factory.mktemp("chest-study"), dtype=np.int16)


@pytest.fixture(scope="module")
def radiograph(chest_xray: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = read_study(chest_xray, requirements=find_kind("pneumothorax").requirements)
    return save_study(study, tmp_path_factory.mktemp("radiograph-study"))


@pytest.fixture(scope="module")
def flat(empty_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that the check refuses."""
    return save_study(read_study(empty_ct), tmp_path_factory.mktemp("flat-study"))


@pytest.fixture(scope="module")
def long_head(head_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head CT of forty batches."""
    study = read_study(head_ct)
    count = 640
    long = replace(
        study,
        array=np.resize(study.array, (count, *study.array.shape[1:])),
        sources=tuple(SourceSlice(k, None, 0, "", (0.0, 0.0, 8.0 * k), float(k), 8.0) for k in range(count)),
    )
    return save_study(long, tmp_path_factory.mktemp("long-study"), dtype=np.int16)


@pytest.fixture(scope="module")
def head_result(worker: Any, head: Path, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("head-result") / "out"
    fields = {"study": head, "detector": "hemorrhage", "model": None, "device": "cpu", "out": out, "force": True}
    worker.result("detect", folders=[str(tiny_models)], **fields)
    return out


def test_it_answers(worker: Any) -> None:
    assert worker.result("ping") == {}


def test_check_says_whether_a_study_fits(worker: Any, head: Path, flat: Path) -> None:
    assert worker.result("check", study=head, detector="hemorrhage")["fits"] is True
    wrong = worker.result("check", study=head, detector="pneumothorax")
    assert wrong["fits"] is False
    assert [notice["code"] for notice in wrong["notices"] if notice["severity"] == "refuse"] == ["wrong-modality"]
    assert set(wrong["notices"][0]) == {"code", "severity", "text"}
    assert worker.result("check", study=flat, detector="hemorrhage")["notices"][0]["code"] == "constant-image"


def test_models_are_listed_with_the_damaged_and_missing_ones(
    worker: Any, tiny_models: Path, write_tiny: Callable[..., Path], tmp_path: Path
) -> None:
    damaged = write_tiny("lungs", tmp_path)
    (damaged / "checksums.json").write_text("{}", encoding="utf-8")
    gone = tmp_path / "gone"
    rows = worker.result("models", folders=[str(tiny_models), str(tmp_path), str(gone)])["models"]
    by_folder = {row["folder"]: row for row in rows}
    row = by_folder[str(tiny_models / "tiny-pe")]
    assert {name: row[name] for name in row if name not in ("size_mb", "sha256")} == {
        "id": "tiny-pe",
        "task": "pe",
        "title": "Tiny pe",
        "version": "0.0.1",
        "license": "Apache-2.0",
        "trained_on": "nothing: random weights",
        "phantoms_only": True,
        "folder": str(tiny_models / "tiny-pe"),
        "shipped": False,
        "error": "",
    }
    assert row["size_mb"] > 0
    assert len(row["sha256"]) == 64
    assert "checksums.json" in by_folder[str(damaged)]["error"]
    assert "no longer exists" in by_folder[str(gone)]["error"]
    assert {frozenset(entry) for entry in rows} == {frozenset(row)}
    assert {entry["id"] for entry in rows if entry["shipped"]} >= {"pe-sequence-small", "hemorrhage-radnet-small"}


def test_a_model_card_is_read(worker: Any, tiny_models: Path) -> None:
    folder = tiny_models / "tiny-pe"
    expected = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    assert worker.result("card", folder=folder) == {"text": expected}


def test_verify_tells_a_whole_package_from_a_changed_one(
    worker: Any, tiny_models: Path, write_tiny: Callable[..., Path], tmp_path: Path
) -> None:
    assert worker.result("verify", folder=tiny_models / "tiny-lungs") == {"ok": True, "error": ""}
    changed = write_tiny("lungs", tmp_path)
    (changed / "LICENSE").write_text("other", encoding="utf-8")
    answer = worker.result("verify", folder=changed)
    assert answer["ok"] is False
    assert "LICENSE" in answer["error"]


@pytest.mark.parametrize(
    ("detector", "study"), [("pe", "chest"), ("hemorrhage", "head"), ("pneumothorax", "radiograph")]
)
def test_detect_gives_what_the_detector_gives_in_process(
    worker: Any, detector: str, study: str, tiny_models: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(study)
    told: list[dict] = []
    answer = worker.run(
        "detect",
        study=folder,
        detector=detector,
        model=None,
        device="cpu",
        folders=[str(tiny_models)],
        out=tmp_path / "out",
        force=True,
        on_progress=lambda number, message: told.append(message),
    )
    assert answer["result"] == {"finding": str(tmp_path / "out" / "finding.json")}
    found = load_result(tmp_path / "out")
    loaded = load_detector(detector, device="cpu", folders=(tiny_models,))
    read = load_study(folder)
    expected = loaded.detector.run(read)
    identity = replace(expected.model, chosen=loaded.why, beside=found.model.beside)
    expected = replace(expected, model=identity, acquisition=acquisition_of(read))
    expected = weigh(expected, read, kind=find_kind(detector), package=loaded.package)
    assert {item.task for item in found.model.beside} == set(loaded.companions)
    assert f"tiny-{detector}" == found.model.id
    assert {**found.to_dict(), "timings": 0, "warnings": 0} == {**expected.to_dict(), "timings": 0, "warnings": 0}
    for mask, other in zip(found.masks, expected.masks, strict=True):
        np.testing.assert_array_equal(mask.array, other.array)
    if expected.heatmap is not None:
        np.testing.assert_array_equal(found.heatmap.array, expected.heatmap.array)
    checked = worker.result("check", study=folder, detector=detector)["notices"]
    codes = [notice.code for notice in found.warnings]
    assert codes[: len(checked)] == [notice["code"] for notice in checked]
    assert "model-trained-on-phantoms" in codes[len(checked) :]
    assert {"read", "network", "total"} <= set(found.timings)
    fractions = [message["fraction"] for message in told]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert all(message["text"] for message in told)


def test_a_second_run_finds_the_model_in_memory(
    worker: Any, head: Path, write_tiny: Callable[..., Path], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    weights = write_tiny("hemorrhage", models) / "models" / "model.safetensors"
    fields = {"study": head, "detector": "hemorrhage", "device": "cpu", "force": True, "folders": [str(models)]}
    first = worker.run("detect", out=tmp_path / "first", **fields)
    # Weights that are not read a second time may be gone.
    weights.unlink()
    second = worker.run("detect", out=tmp_path / "second", **fields)
    assert (first["event"], second["event"]) == ("done", "done")
    assert load_result(tmp_path / "first").slices == load_result(tmp_path / "second").slices


def test_a_package_that_changed_is_loaded_anew(
    worker: Any, head: Path, write_tiny: Callable[..., Path], tmp_path: Path
) -> None:
    fields = {"study": head, "detector": "hemorrhage", "device": "cpu", "force": True, "folders": [str(tmp_path / "m")]}
    labels = []
    for threshold in (0.0, 1.0):
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        write_tiny("hemorrhage", tmp_path / "m", threshold=threshold)
        worker.result("detect", out=tmp_path / f"{threshold}", **fields)
        labels.append(load_result(tmp_path / f"{threshold}").verdict.label)
    assert labels == ["positive", "negative"]


def test_cancel_stops_within_a_batch_and_leaves_nothing(
    worker: Any, long_head: Path, tiny_models: Path, tmp_path: Path
) -> None:
    last: list[float] = []

    def stop(number: int, message: dict) -> None:
        last.append(message["fraction"])
        if message["text"] == "Reading slices":
            worker.cancel(number)

    answer = worker.run(
        "detect",
        study=long_head,
        detector="hemorrhage",
        device="cpu",
        folders=[str(tiny_models)],
        out=tmp_path / "out",
        force=True,
        on_progress=stop,
    )
    assert answer["event"] == "cancelled"
    assert last[-1] < 0.5
    assert list(tmp_path.iterdir()) == []
    assert worker.result("ping") == {}


def test_a_refused_study_is_told_in_a_sentence_and_forced_it_runs(
    worker: Any, flat: Path, tiny_models: Path, tmp_path: Path
) -> None:
    fields = {"study": flat, "detector": "hemorrhage", "device": "cpu", "folders": [str(tiny_models)]}
    refused = worker.run("detect", out=tmp_path / "out", **fields)
    assert (refused["event"], refused["kind"]) == ("error", "StudyRefusedError")
    assert refused["text"].startswith("The study does not fit the hemorrhage detector: Every pixel has the same value")
    assert refused["notices"][0]["code"] == "constant-image"
    assert not (tmp_path / "out").exists()
    worker.result("detect", out=tmp_path / "out", force=True, **fields)
    assert "constant-image" in [notice.code for notice in load_result(tmp_path / "out").warnings]


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"model": "nothing-like-it"}, "ModelError", "There is no model 'nothing-like-it'"),
        ({"model": "tiny-pe"}, "ModelError", "made for 'pe'"),
        ({"device": "abacus"}, "ModelError", "no device 'abacus'"),
        ({"detector": "appendicitis"}, "MessageError", "no detector 'appendicitis'"),
        ({"study": "/nowhere"}, "StudyError", "cannot be read"),
        ({"out": ""}, "MessageError", "lacks the text 'out'"),
        ({"folders": "x"}, "MessageError", "must be a list"),
    ],
)
def test_a_request_that_cannot_be_met_is_told_in_a_sentence(
    worker: Any, change: dict, kind: str, text: str, head: Path, tiny_models: Path, tmp_path: Path
) -> None:
    fields = {"study": head, "detector": "hemorrhage", "folders": [str(tiny_models)], "out": tmp_path / "out"}
    answer = worker.run("detect", **{**fields, "force": True, **change})
    assert (answer["event"], answer["kind"]) == ("error", kind)
    assert text in answer["text"]
    assert "\n" not in answer["text"]
    assert not (tmp_path / "out").exists()


def test_report_writes_page_finding_and_pictures(
    worker: Any, head_result: Path, head: Path, tiny_models: Path, tmp_path: Path
) -> None:
    answer = worker.result("report", result=head_result, study=head, out=tmp_path / "out", folders=[str(tiny_models)])
    page = Path(answer["report"]).read_text(encoding="utf-8")
    assert "tiny-hemorrhage" in page
    assert page.count("data:image/png;base64,") == len(answer["pictures"]) > 0
    assert all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in answer["pictures"])
    assert load_finding(Path(answer["finding"])).to_dict() == load_result(head_result).to_dict()


def test_a_worker_that_draws_first_can_detect_afterwards(
    start_worker: Any, head_result: Path, head: Path, tiny_models: Path, tmp_path: Path
) -> None:
    worker, models = start_worker(tmp_path), [str(tiny_models)]
    worker.result("report", result=head_result, study=head, out=tmp_path / "out", folders=models)
    fields = {
        "detector": "hemorrhage",
        "model": "tiny-hemorrhage",
        "folders": models,
        "out": tmp_path / "again",
        "force": True,
        "device": "cpu",
    }
    worker.result("detect", study=head, **fields)
    worker.kill()
    assert load_result(tmp_path / "again").to_dict()["verdict"] == load_result(head_result).to_dict()["verdict"]


def test_a_report_without_its_model_is_refused(
    worker: Any, head_result: Path, head: Path, write_tiny: Callable[..., Path], tmp_path: Path
) -> None:
    answer = worker.run("report", result=head_result, study=head, out=tmp_path / "out", folders=[])
    assert (answer["kind"], "tiny-hemorrhage" in answer["text"]) == ("ModelError", True)
    assert not (tmp_path / "out").exists()


def test_a_phantom_is_written_as_dicom(worker: Any, tmp_path: Path) -> None:
    fields = {"kind": "chest-xray", "seed": 3, "positive": True, "options": {"size": 128}}
    answer = worker.result("phantom", out=tmp_path, **fields)
    assert read_study(Path(answer["dicom"]), requirements=find_kind("pneumothorax").requirements).array.shape == (
        1,
        128,
        128,
    )
    assert (Path(answer["truth"]) / "study.csv").is_file()
    assert worker.run("phantom", out=tmp_path, kind="teapot", seed=1)["kind"] == "MessageError"
    assert worker.run("phantom", out=tmp_path, kind="ctpa", seed="one")["kind"] == "MessageError"
