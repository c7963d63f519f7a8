"""The command line and the worker do one job: the same words, the same sentences, the same finding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import SceneError, StudyRefusedError
from AcuteFindingsLib.jobs.arrays import load_result, save_study
from AcuteFindingsLib.jobs.messages import Request
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.jobs.worker_jobs import JOBS
from AcuteFindingsLib.scene import pictures
from AcuteFindingsLib.study.reader import read_study

REPORT_WORDS = ["Writing the finding", "Drawing the pictures", "Writing the report", "Done"]


@pytest.fixture(autouse=True)
def without_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes longest: this machine has no Slicer libraries."""

    def missing(*_, **__):
        raise SceneError("Slicer's libraries could not be loaded")

    monkeypatch.setattr("AcuteFindingsLib.scene.bundle.write_scene", missing)
    monkeypatch.setattr(pictures, "offscreen_rendering_problem", lambda: "Slicer's libraries could not be loaded")


def ask(job: str, told: list[str], **fields: Any) -> dict[str, Any]:
    tools = Tools(progress=lambda text, _fraction: told.append(text), cancelled=lambda: False)
    given = {name: value if isinstance(value, bool | list) else str(value) for name, value in fields.items()}
    return JOBS[job](Request(1, job, given), tools)


def stages(told: list[str]) -> list[str]:
    """Each stage once, in order."""
    return list(dict.fromkeys(told))


def same(finding: Finding, other: Finding) -> bool:
    return {**finding.to_dict(), "timings": 0} == {**other.to_dict(), "timings": 0}


@pytest.mark.slow
@pytest.mark.parametrize(("detector", "files"), [("hemorrhage", "head_ct"), ("pneumothorax", "chest_xray")])
def test_worker_and_command_say_the_same_words_and_find_the_same(
    detector: str, files: str, tiny_models: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(files)
    study = read_study(source, requirements=find_kind(detector).requirements)
    save_study(study, tmp_path / "study", dtype=np.float32)
    by_worker, by_command, of_report = [], [], []
    shared = {"study": tmp_path / "study", "folders": [str(tiny_models)]}
    ask("detect", by_worker, detector=detector, out=tmp_path / "result", device="cpu", force=True, **shared)
    page = ask("report", of_report, result=tmp_path / "result", out=tmp_path / "page", **shared)
    result = run_study(
        StudyRequest(source, tmp_path / "out", detector, device="cpu", force=True, model_folders=(tiny_models,)),
        progress=lambda text, _fraction: by_command.append(text),
    )
    assert same(result.finding, load_result(tmp_path / "result"))
    start = by_command.index("Checking the study")
    # What a detector calls "Done" is not yet written.
    detecting = [text for text in stages(by_command[start:]) if text not in REPORT_WORDS]
    assert [text for text in stages(by_worker) if text in detecting] == detecting
    assert set(stages(by_worker)) - {*detecting, "Done"} == {"Reading the study", "Writing the result"}
    assert stages(of_report) == ["Reading the result", *REPORT_WORDS]
    assert [text for text in by_command[start:] if text in REPORT_WORDS][-4:] == REPORT_WORDS
    written = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {path.relative_to(tmp_path / "page") for path in (tmp_path / "page").rglob("*") if path.is_file()}
    assert page["remarks"] == [remark for remark in result.remarks if not remark.startswith("No scene")]


def test_a_refusal_is_one_sentence_and_the_command_adds_how_to_go_on(
    empty_ct: Path, tiny_models: Path, tmp_path: Path
) -> None:
    save_study(read_study(empty_ct), tmp_path / "study")
    with pytest.raises(StudyRefusedError) as by_worker:
        ask("detect", [], study=tmp_path / "study", detector="hemorrhage", out=tmp_path / "result")
    with pytest.raises(StudyRefusedError) as by_command:
        run_study(StudyRequest(empty_ct, tmp_path / "out", "hemorrhage", model_folders=(tiny_models,)))
    assert str(by_command.value) == f"{by_worker.value} (--force runs it anyway.)"
    assert [notice.code for notice in by_worker.value.notices] == ["constant-image"]
    assert by_worker.value.notices == by_command.value.notices
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study"]
