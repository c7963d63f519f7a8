"""The worker process as the application sees it: requests, cancels, deaths, and the end of the application."""

import os
import signal
from pathlib import Path

import pytest

# A worker in miniature: what it is asked to "do" is how it behaves.
TOY = """
import json, os, sys, time
say = lambda **message: print(json.dumps(message), flush=True)
say(event="started", process=os.getpid())
for line in sys.stdin:
    message = json.loads(line)
    if "cancel" in message:
        continue
    number, do = message["id"], message["do"]
    if do == "echo":
        print("a library prints this")
        say(id=number, event="progress", text="halfway", fraction=0.5)
        say(id=number, event="done", result={"text": message["text"]})
    elif do == "slowly":
        answer = {"id": number, "event": "done", "result": {"text": message["text"]}}
        data = (json.dumps(answer, ensure_ascii=False) + "\\n").encode()
        for place in range(len(data)):
            sys.stdout.buffer.write(data[place:place + 1])
            sys.stdout.buffer.flush()
            time.sleep(0.002)
    elif do == "fail":
        say(id=number, event="error", text="No.", kind="StudyError")
    elif do == "die":
        print("first complaint", file=sys.stderr)
        print("last complaint", file=sys.stderr, flush=True)
        os._exit(3)
    elif do == "hang":
        say(id=number, event="progress", text="hanging", fraction=0.1)
        time.sleep(600)
"""


class Heard:
    """Remembers what a request's callbacks were told."""

    def __init__(self):
        self.progress, self.ends = [], []

    @property
    def callbacks(self):
        return {
            "progress": lambda text, fraction: self.progress.append((text, fraction)),
            "done": lambda result: self.ends.append(("done", result)),
            "failed": lambda text, kind: self.ends.append(("failed", text, kind)),
            "cancelled": lambda: self.ends.append(("cancelled",)),
        }


@pytest.fixture
def make_worker(host):
    from AcuteFindingsLib.widgets.worker.process import WorkerProcess

    made = []

    def make(**options):
        made.append(WorkerProcess(**options))
        return made[-1]

    yield make
    for worker in made:
        worker.stop()


@pytest.fixture
def toy(make_worker):
    return make_worker(program=TOY, patience_ms=300)


def ask(worker, do, **fields):
    heard = Heard()
    heard.number = worker.request(do, fields, **heard.callbacks)
    return heard


def alive(process_id):
    try:
        # A zombie is gone for every purpose but its parent's.
        return Path(f"/proc/{process_id}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def test_the_real_worker_answers_and_stays(host, make_worker):
    worker = make_worker()
    assert not worker.running
    first, second = ask(worker, "ping"), ask(worker, "ping")
    host.wait_until(lambda: second.ends, 60)
    assert first.ends == second.ends == [("done", {})]
    assert worker.running
    assert not worker.busy


@pytest.mark.slow
def test_the_real_worker_reports_an_error_with_its_kind(host, make_worker, tmp_path):
    heard = ask(make_worker(), "check", study=tmp_path / "nothing", detector="pe")
    host.wait_until(lambda: heard.ends, 60)
    kind, text, error = heard.ends[0]
    assert (kind, error) == ("failed", "StudyError")
    assert text


def test_progress_and_result_reach_the_caller_whatever_libraries_print(host, toy):
    heard = ask(toy, "echo", text="Größe 5 µm")
    host.wait_until(lambda: heard.ends)
    assert heard.progress == [("halfway", 0.5)]
    assert heard.ends == [("done", {"text": "Größe 5 µm"})]


def test_a_line_is_put_together_from_single_bytes(host, toy):
    heard = ask(toy, "slowly", text="Größe 5 µm – ∅")
    host.wait_until(lambda: heard.ends)
    assert heard.ends == [("done", {"text": "Größe 5 µm – ∅"})]


def test_an_error_keeps_the_process(host, toy):
    heard, after = ask(toy, "fail"), ask(toy, "echo", text="x")
    host.wait_until(lambda: after.ends)
    assert heard.ends == [("failed", "No.", "StudyError")]
    assert after.ends == [("done", {"text": "x"})]


def test_a_death_is_told_with_the_last_words_and_the_next_request_works(host, toy):
    heard, waiting = ask(toy, "die"), ask(toy, "echo", text="waited")
    host.wait_until(lambda: heard.ends and waiting.ends)
    assert heard.ends[0][0] == "failed"
    assert heard.ends[0][2] == "WorkerStopped"
    assert "last complaint" in heard.ends[0][1]
    assert "out of memory" in heard.ends[0][1]
    assert waiting.ends == [("done", {"text": "waited"})]


def test_a_kill_from_outside_is_an_error_and_the_next_request_works(host, toy):
    heard = ask(toy, "hang")
    host.wait_until(lambda: heard.progress)
    os.kill(toy.process_id, signal.SIGKILL)
    host.wait_until(lambda: heard.ends)
    assert heard.ends[0][0] == "failed"
    after = ask(toy, "echo", text="x")
    host.wait_until(lambda: after.ends)
    assert after.ends == [("done", {"text": "x"})]


def test_a_program_that_ends_at_once_fails_what_was_asked_and_is_not_started_for_ever(host, make_worker):
    worker = make_worker(program="raise SystemExit('there is no numpy')")
    first, second = ask(worker, "ping"), ask(worker, "ping")
    host.wait_until(lambda: first.ends and second.ends)
    assert "there is no numpy" in first.ends[0][1]
    assert second.ends[0][0] == "failed"
    assert not worker.running


def test_a_process_that_cannot_be_started_is_told(host, toy, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    heard = ask(toy, "echo", text="x")
    host.wait_until(lambda: heard.ends)
    assert heard.ends[0][0] == "failed"
    assert "could not be started" in heard.ends[0][1]


@pytest.mark.slow
def test_one_that_does_not_stop_is_killed_and_others_are_asked_again(host, toy):
    heard, waiting = ask(toy, "hang"), ask(toy, "echo", text="waited")
    host.wait_until(lambda: heard.progress)
    hanging = toy.process_id
    toy.cancel(heard.number)
    host.wait_until(lambda: heard.ends and waiting.ends)
    assert heard.ends == [("cancelled",)]
    assert waiting.ends == [("done", {"text": "waited"})]
    assert not alive(hanging)


def test_one_that_has_not_begun_is_taken_back_at_once(host, toy):
    heard, waiting = ask(toy, "hang"), ask(toy, "echo", text="x")
    toy.cancel(waiting.number)
    assert waiting.ends == [("cancelled",)]
    assert not heard.ends
    toy.cancel(waiting.number)
    assert waiting.ends == [("cancelled",)]


def test_stop_ends_a_busy_process_and_calls_nobody(host, toy):
    heard = ask(toy, "hang")
    host.wait_until(lambda: heard.progress)
    hanging = toy.process_id
    toy.stop()
    host.process_events()
    assert not toy.running
    assert not alive(hanging)
    assert not heard.ends


def test_the_shared_worker_ends_with_the_application(host, monkeypatch):
    from AcuteFindingsLib.widgets.worker import process as worker_process

    monkeypatch.setattr(worker_process, "_shared", None)
    worker = worker_process.shared_worker()
    assert worker_process.shared_worker() is worker
    heard = ask(worker, "ping")
    host.wait_until(lambda: heard.ends, 60)
    number = worker.process_id
    host.quit_signal()
    assert not worker.running
    assert not alive(number)


@pytest.mark.slow
def test_a_request_is_told_what_it_waits_for_until_its_turn_comes(host, toy):
    held, heard = Heard(), Heard()
    number = toy.request("hang", {}, what="the run of PE Detect", **held.callbacks)
    toy.request("echo", {"text": "x"}, **heard.callbacks)
    host.wait_until(lambda: held.progress)
    assert held.progress == [("hanging", 0.1)]
    assert heard.progress == [("Waiting for the run of PE Detect", 0.0)]
    toy.cancel(number)
    host.wait_until(lambda: heard.ends)
    assert heard.progress[-1] == ("halfway", 0.5)
    assert heard.ends == [("done", {"text": "x"})]


@pytest.mark.slow
def test_who_waits_behind_two_is_told_of_the_second_when_the_first_is_done(host, toy):
    heard = Heard()
    toy.request("echo", {"text": "x"}, what="an export")
    number = toy.request("hang", {}, what="the run of PE Detect")
    toy.request("echo", {"text": "x"}, **heard.callbacks)
    host.wait_until(lambda: ("Waiting for the run of PE Detect", 0.0) in heard.progress)
    assert heard.progress[0] == ("Waiting for an export", 0.0)
    toy.cancel(number)
    host.wait_until(lambda: heard.ends)


@pytest.mark.parametrize(("chosen", "used"), [(None, None), (0, None), (3, "3"), ("many", None)])
def test_the_worker_computes_on_as_many_threads_as_the_settings_say(host, make_worker, monkeypatch, chosen, used):
    import qt

    from AcuteFindingsLib.widgets.worker import process

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    program = process._PROGRAM.replace("sys.exit(main())", "print(os.environ.get('OMP_NUM_THREADS'), file=sys.stderr)")
    monkeypatch.setattr(process, "_PROGRAM", program)
    settings = qt.QSettings()
    if chosen is None:
        settings.remove(process.THREADS_KEY)
    else:
        settings.setValue(process.THREADS_KEY, chosen)
    try:
        ends = []
        make_worker().request("ping", {}, failed=lambda text, _kind: ends.append(text))
        host.wait_until(lambda: ends, 30)
        assert ends[0].endswith(f" {used}")
    finally:
        settings.remove(process.THREADS_KEY)
