"""A reader for the tests of batches and engines: it writes down that it read, and does as the names of files say."""

import os
import time
from dataclasses import replace
from pathlib import Path

from AcuteFindingsLib.jobs.results_folder import results_folder
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import Outcome, ReadSettings
from AcuteFindingsLib.worklist.records import RECORD, Record, ResultsFolder, instances_of, now, record_bytes

REFERENCE = f"{__name__}:make"


class PretendReader:
    """Takes and keeps studies as `reading.Reader` does, and answers without looking at an image."""

    def __init__(self, settings: ReadSettings) -> None:
        self.settings = settings

    def read(self, exam: Exam, *, progress: Progress = no_progress) -> list[Outcome]:
        """Write a record and a file of results; ``die`` ends the process, ``fail`` and ``refuse`` do as they say."""
        folder = ResultsFolder(self.settings.out)
        instances = instances_of(exam)
        key = folder.key(exam, "pretended", instances)
        with folder.alone(key) as alone:
            record = Record(
                key, "pretended", "reading", instances=instances, arrived=exam.arrived, started=now(), attempts=1
            )
            if not alone:
                return [Outcome(record)]
            before = folder.read(key)
            if (
                before is not None
                and before.instances == instances
                and not (before.state == "failed" and self.settings.retry_failed)
            ):
                return [Outcome(before, skipped=True)]
            progress("Pretending to read", 0.5)
            time.sleep(float(self.settings.device) if self.settings.device != "auto" else 0.0)
            name = exam.source.stem
            if "die" in name:
                os._exit(9)
            for word, state in (("fail", "failed"), ("refuse", "refused")):
                if word in name:
                    record = replace(record, state=state, said=f"It was told to {word}.", finished=now())
                    folder.write(record)
                    return [Outcome(record)]
            record = replace(record, state="done", verdict="negative", probability=0.1, finished=now())
            with results_folder(folder.results(key), entries=("finding.json", RECORD)) as work:
                (work / "finding.json").write_text("{}")
                (work / RECORD).write_bytes(record_bytes(record))
            _note(self.settings.out, key)
            return [Outcome(record)]


def make(settings: ReadSettings) -> PretendReader:
    """Return the reader of a worker."""
    return PretendReader(settings)


def _note(out: Path, key: str) -> None:
    """Write down that a reading was kept: what is there twice was read twice."""
    with (out / "kept.txt").open("a") as stream:
        stream.write(f"{key}\n")


def kept(out: Path) -> list[str]:
    """Return the keys of all readings that were kept, each as often as it was."""
    return (out / "kept.txt").read_text().split() if (out / "kept.txt").exists() else []
