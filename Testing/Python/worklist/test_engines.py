"""The contract of engines: every examination answered once, whatever becomes of the workers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pretend
import pytest

from AcuteFindingsLib.errors import CancelledError, EngineError
from AcuteFindingsLib.progress import never_cancelled
from AcuteFindingsLib.worklist.engines.choose import make_engine
from AcuteFindingsLib.worklist.engines.engine import Answer, Engine
from AcuteFindingsLib.worklist.engines.slurm import SlurmEngine, _jobs_of
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import ReadSettings
from AcuteFindingsLib.worklist.words import ENGINES


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    if request.param == "slurm":
        for name, value in request.getfixturevalue("slurm").items():
            monkeypatch.setenv(name, value)
        return make_engine("slurm", workers=2)
    if request.param == "ray":
        return make_engine("ray", workers=2, address=request.getfixturevalue("ray_cluster"))
    return make_engine(request.param, workers=2)


def _run(engine: Engine, folder: Path, out: Path, cancelled: Callable[[], bool] = never_cancelled) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}

    def done(exam: Exam, answer: Answer) -> None:
        assert exam.source.stem not in answers, "answered twice"
        answers[exam.source.stem] = answer

    exams = [Exam(file) for file in sorted(folder.iterdir())]
    engine.run(exams, ReadSettings(out), done=done, cancelled=cancelled, reader=pretend.REFERENCE)
    return answers


def test_every_examination_is_answered_once_as_it_was_read(engine: Engine, pretended, tmp_path: Path) -> None:
    folder = pretended(*(f"study{number}" for number in range(7)), "fail1", "refuse1")
    answers = _run(engine, folder, tmp_path / "out")
    states = {name: [one.record.state for one in answer] for name, answer in answers.items()}
    assert states == {**{f"study{n}": ["done"] for n in range(7)}, "fail1": ["failed"], "refuse1": ["refused"]}
    assert len(pretend.kept(tmp_path / "out")) == 7


def test_a_study_that_ends_its_worker_is_answered_with_a_sentence_and_the_others_are_read(
    engine: Engine, pretended, tmp_path: Path
) -> None:
    answers = _run(engine, pretended("study1", "die1", "study2", "study3"), tmp_path / "out")
    assert isinstance(answers["die1"], str)
    assert "ended" in answers["die1"]
    assert [answers[f"study{n}"][0].record.state for n in (1, 2, 3)] == ["done"] * 3


def test_a_wish_to_stop_ends_the_run_and_leaves_whole_results_alone(engine: Engine, pretended, tmp_path: Path) -> None:
    asked = iter([False, False, False])
    with pytest.raises(CancelledError):
        _run(engine, pretended(*(f"study{n}" for n in range(30))), tmp_path / "out", lambda: next(asked, True))
    keys = pretend.kept(tmp_path / "out")
    assert len(keys) == len(set(keys)) < 30


def test_nothing_to_read_is_done_at_once(engine: Engine, tmp_path: Path) -> None:
    engine.run([], ReadSettings(tmp_path), done=lambda *_: pytest.fail("nothing was asked"), cancelled=never_cancelled)


def test_workers_of_this_computer_tell_what_they_are_doing_with_each_examination(pretended, tmp_path: Path) -> None:
    heard: list[tuple[str, str, float]] = []
    exams = [Exam(file) for file in sorted(pretended("study1", "study2").iterdir())]
    make_engine("local", workers=2).run(
        exams,
        ReadSettings(tmp_path / "out"),
        done=lambda _exam, _answer: None,
        cancelled=never_cancelled,
        reader=pretend.REFERENCE,
        told=lambda exam, text, fraction: heard.append((exam.source.stem, text, fraction)),
    )
    assert sorted(heard) == [("study1", "Pretending to read", 0.5), ("study2", "Pretending to read", 0.5)]


def test_an_engine_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(EngineError, match="local"):
        make_engine("none")


@pytest.mark.parametrize("executor", ["local", "debug"])
def test_arrays_run_on_this_computer_too(executor: str, pretended, tmp_path: Path) -> None:
    answers = _run(SlurmEngine(2, executor=executor), pretended("study1", "refuse1"), tmp_path / "out")
    assert {name: answer[0].record.state for name, answer in answers.items()} == {
        "study1": "done",
        "refuse1": "refused",
    }
    assert not list((tmp_path / "out").glob(".jobs-*")), "what is sent to jobs names files"


def test_what_a_killed_driver_sent_to_its_jobs_is_swept_away(pretended, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / "out" / f"{_jobs_of(gone.pid)}1"
    mine = tmp_path / "out" / f"{_jobs_of(os.getpid())}1"
    for folder in (left, mine):
        folder.mkdir(parents=True)
    _run(SlurmEngine(1, executor="debug"), pretended("study1"), tmp_path / "out")
    assert not left.exists()
    assert mine.exists()


def test_a_cluster_without_room_or_address_is_told(ray_cluster: str, pretended, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="graphics cards"):
        _run(make_engine("ray", address=ray_cluster, gpus=1.0), pretended("study1"), tmp_path / "out")


def test_an_engine_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    for name in ("ray", "slurm"):
        with pytest.raises(EngineError, match=f"acutefindings\\[{name}\\]"):
            make_engine(name)
