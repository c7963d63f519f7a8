"""The worker as the application starts it, and how it bears jobs that misbehave."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import AcuteFindingsLib
from AcuteFindingsLib.detectors.finding import Code, Finding, Mask, ModelIdentity, Verdict
from AcuteFindingsLib.jobs.arrays import save_result

LIBRARY = str(Path(AcuteFindingsLib.__file__).parents[1])
PATIENCE_S = 120

# Jobs that the worker does not have, to see how it bears them; run as the application runs the real ones.
STRANGE_JOBS = f"""
import os, sys, time
sys.path.insert(0, {LIBRARY!r})
from AcuteFindingsLib.jobs.worker import main
from AcuteFindingsLib.jobs.worker_jobs import JOBS

def noise(request, tools):
    print("from Python")
    sys.__stdout__.write("from Python's own stdout\\n"); sys.__stdout__.flush()
    os.write(1, b"from a library in C\\n")
    os.system("echo from a child")
    return {{"read": sys.stdin.read()}}

def fail(request, tools):
    raise {{"memory": MemoryError(), "disk": OSError(28, "No space left on device", "/out"), "exit": SystemExit(3),
           "value": ValueError("a\\nvalue"), "package": ModuleNotFoundError("x", name="torch")}}[request.text("how")]

def steps(request, tools):
    count = request.fields.get("count", 400)
    for number in range(count):
        tools.at("Stepping", number / count)
        time.sleep(0.005)
    return {{}}

def deaf(request, tools):
    tools.at("Sleeping", 0.0)
    time.sleep(600)

def not_a_number(request, tools):
    return {{"value": float("nan")}}

def half_a_result(request, tools):
    import numpy
    from AcuteFindingsLib.jobs.arrays import load_result, save_result
    finding, save = load_result(request.path("result")), numpy.save
    def slowly(path, array, **options):
        save(path, array, **options)
        tools.at("Halfway", 0.5)
        time.sleep(600)
    numpy.save = slowly
    save_result(finding, request.path("out"))

JOBS.update({{job.__name__: job for job in (noise, fail, steps, deaf, not_a_number, half_a_result)}})
sys.exit(main())
"""


@pytest.fixture
def strange(start_worker: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    client = start_worker(tmp_path, "-c", STRANGE_JOBS)
    yield client
    client.kill()


@pytest.fixture
def finding() -> Finding:
    """A finding with two masks: enough to be written half."""
    code = Code("SCT", "50960005", "Hemorrhage")
    array = np.ones((2, 3, 4), np.uint8)
    return Finding(
        detector="hemorrhage",
        model=ModelIdentity("m", "1.0.0", "cd" * 32, "phantoms"),
        verdict=Verdict("positive", 0.8, 0.5, "a rule", "met"),
        slices=(),
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=np.eye(4),
        display_window=(40.0, 80.0),
        masks=tuple(Mask(name, array, code, code, None, (1.0, 0.0, 0.0)) for name in ("one", "two")),
    )


def test_it_says_that_it_is_ready_and_which_version_it_is(worker: Any) -> None:
    assert worker.ready == {"event": "ready", "version": AcuteFindingsLib.__version__}


@pytest.mark.parametrize(
    "line", [b"{", b"\xff\xfe", b"[]", b"7", b'{"id": 1}', b'{"do": "ping"}', b'{"id": [], "do": "ping"}']
)
def test_a_line_that_is_no_request_is_told_and_survived(worker: Any, line: bytes) -> None:
    worker.send(b"  ")
    worker.send(line)
    answer = worker.answer()
    assert (answer["event"], answer["id"], answer["kind"]) == ("error", None, "MessageError")
    assert worker.result("ping") == {}


def test_an_unknown_job_is_told_with_those_there_are(worker: Any) -> None:
    answer = worker.run("dance")
    assert answer["kind"] == "MessageError"
    assert "detect" in answer["text"]


def test_a_cancel_of_something_finished_or_never_asked_is_nothing(worker: Any) -> None:
    worker.cancel(1)
    worker.cancel(100_000)
    assert worker.result("ping") == {}


def test_nothing_but_json_lines_comes_out(strange: Any) -> None:
    assert strange.result("noise") == {"read": ""}
    status, errors = strange.finish()
    assert [json.loads(line)["event"] for line in strange.lines] == ["ready", "done"]
    assert status == 0
    for text in ("from Python", "own stdout", "from a library in C", "from a child"):
        assert text in errors


def test_every_error_is_an_event_and_the_next_job_runs(strange: Any) -> None:
    answers = {how: strange.run("fail", how=how) for how in ("memory", "disk", "package", "exit", "value")}
    assert {answer["event"] for answer in answers.values()} == {"error"}
    assert "not enough memory" in answers["memory"]["text"]
    assert answers["disk"]["text"].startswith("The disk is full, so nothing more could be written: /out")
    assert "pip install 'acutefindings[torch]'" in answers["package"]["text"]
    assert "(ValueError: a value)" in answers["value"]["text"]
    assert strange.run("not_a_number")["kind"] == "ValueError"
    assert strange.result("ping") == {}
    errors = strange.finish()[1]
    # The application keeps what stands on stderr: a message may hold a name. Where it came from is in a log.
    assert "value" not in errors
    assert ".log tells where." in answers["value"]["text"]
    assert not any(text in errors for text in ("MemoryError", "/out", "No space"))


@pytest.mark.slow
def test_progress_is_told_at_most_twenty_times_a_second(strange: Any) -> None:
    told: list[float] = []
    begun = time.monotonic()
    strange.run("steps", on_progress=lambda number, message: told.append(message["fraction"]))
    assert 5 < len(told) <= 1 + 20 * (time.monotonic() - begun)


def test_a_request_that_waits_can_be_cancelled_before_it_begins(strange: Any) -> None:
    running, waiting = strange.request("steps"), strange.request("ping")
    strange.cancel(waiting)
    strange.cancel(running)
    ends = []
    while len(ends) < 2:
        answer = strange.answer()
        if answer["event"] != "progress":
            ends.append(answer)
    assert ends == [{"id": running, "event": "cancelled"}, {"id": waiting, "event": "cancelled"}]


@pytest.mark.slow
@pytest.mark.parametrize(("job", "status"), [("steps", 0), ("deaf", 1)])
def test_the_end_of_the_input_ends_the_process_while_a_job_runs(strange: Any, job: str, status: int) -> None:
    strange.request(job, count=100_000)
    assert strange.answer()["event"] == "progress"
    begun = time.monotonic()
    assert strange.finish()[0] == status
    assert time.monotonic() - begun < 30


def test_an_idle_process_ends_well_with_its_input(strange: Any) -> None:
    assert strange.finish()[0] == 0


def test_an_application_that_reads_no_more_ends_the_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STRANGE_JOBS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert b"ready" in process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b'{"id": 1, "do": "steps"}\n')
        process.stdin.flush()
        assert process.wait(PATIENCE_S) == 1


@pytest.mark.slow
def test_a_killed_worker_leaves_no_half_result(strange: Any, finding: Finding, tmp_path: Path) -> None:
    save_result(finding, tmp_path / "given")
    strange.request("half_a_result", result=tmp_path / "given", out=tmp_path / "out")
    assert strange.answer()["text"] == "Halfway"
    strange.kill()
    assert not (tmp_path / "out").exists()
