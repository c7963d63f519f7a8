"""Many studies read once, by a plain loop or by an engine, with the time of each answer as JSON on standard output.

``python Testing/Benchmarks/batch_once.py STUDIES OUT loop|local|ray WORKERS``; `batch.measure_batch` starts it.
"""

import json
import sys
import time
from pathlib import Path

from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.jobs.tools import WarmModels
from AcuteFindingsLib.threads import core_count, use_threads
from AcuteFindingsLib.worklist.batch import read_batch
from AcuteFindingsLib.worklist.batch_list import BatchList
from AcuteFindingsLib.worklist.engines.choose import make_engine
from AcuteFindingsLib.worklist.engines.engine import Answer
from AcuteFindingsLib.worklist.exams import Exam, Found, find_exams
from AcuteFindingsLib.worklist.reading import ReadSettings


def by_loop(found: Found, out: Path) -> dict[str, list[float]]:
    """Read one study after the other in this process, the networks staying in memory."""
    use_threads(core_count())
    models = WarmModels()
    answers = []
    clock = time.perf_counter()
    for number, exam in enumerate(found.exams):
        run_study(StudyRequest(exam.source, out / str(number), device="cpu"), load=models.load)
        answers.append(time.perf_counter() - clock)
    return {"answers": answers}


def by_engine(found: Found, out: Path, engine: str, workers: int) -> dict[str, list[float]]:
    """Read by an engine and keep the list, as the command `batch` does.

    ``driver`` is how much of its own time the driver had spent at each answer: on the list, by the clock, and on
    everything else, of the processor.
    """
    answers, driver = [], []
    listed = listed_processor = 0.0
    reads = make_engine(engine, workers=workers)
    shown = BatchList(out)
    shown.waiting(found.exams)
    clock, processor = time.perf_counter(), time.process_time()

    def told(exam: Exam, answer: Answer) -> None:
        nonlocal listed, listed_processor
        if isinstance(answer, str) or [one.record.state for one in answer] != ["done"]:
            raise RuntimeError(f"a study was not read: {answer}")
        before, before_processor = time.perf_counter(), time.process_time()
        shown.heard(exam, answer)
        listed += time.perf_counter() - before
        listed_processor += time.process_time() - before_processor
        answers.append(time.perf_counter() - clock)
        driver.append(listed + time.process_time() - processor - listed_processor)

    read_batch(found, ReadSettings(out, device="cpu"), reads, told=told)
    shown.finish()
    return {"answers": answers, "driver": driver}


def main() -> None:
    """Read and print."""
    studies, out, engine, workers = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    found = find_exams(studies)
    print(json.dumps(by_loop(found, out) if engine == "loop" else by_engine(found, out, engine, workers)))


if __name__ == "__main__":
    main()
