"""A reader for the tests of the server: it does as the content of an upload says, and writes a small finding."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.code import ALTERED
from AcuteFindingsLib.detectors.finding import Finding, Heatmap, Mask, ModelIdentity, SliceResult, Verdict
from AcuteFindingsLib.jobs.results_folder import results_folder
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import Outcome, ReadSettings
from AcuteFindingsLib.worklist.records import RECORD, UPLOAD, Record, ResultsFolder, instances_of, now, record_bytes

REFERENCE = f"{__name__}:make"
DETECTOR = "hemorrhage"


def finding(probability: float = 0.1) -> Finding:
    """Return a finding of four slices, two masks that overlap in one voxel, and a heat map."""
    first, second = np.zeros((2, 4, 5, 6), np.uint8)
    first[1, 2, 3] = 1
    second[1, 2, 3:5] = 1
    slices = [
        SliceResult(k, (0.0, 0.0, 2.0 * k), f"1.2.{k}", {"any": probability if k == 1 else 0.01, "sah": 0.01}, float(k))
        for k in range(4)
    ]
    return Finding(
        detector=DETECTOR,
        model=ModelIdentity("pretended", "1", "0" * 64, "nothing"),
        verdict=Verdict("positive" if probability > 0.5 else "negative", probability, 0.5, "rule", "explanation"),
        slices=tuple(slices),
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=np.diag([-0.5, -0.5, 2.0, 1.0]),
        display_window=(40.0, 80.0),
        positive_runs=((1, 1),) if probability > 0.5 else (),
        masks=(
            Mask("First", first, ALTERED, ALTERED, None, (1.0, 0.0, 0.0)),
            Mask("Second", second, ALTERED, ALTERED, None, (0.0, 1.0, 0.0)),
        ),
        heatmap=Heatmap("Heat", np.full((2, 3, 4), 7, np.uint8), np.diag([-1.0, -1.0, 4.0, 1.0])),
    )


def write_result(folder: ResultsFolder, record: Record, found: Finding | None = None) -> Record:
    """Write results as a run does, with their record."""
    found = found or finding()
    record = replace(
        record, state="done", verdict=found.verdict.label, probability=found.verdict.probability, finished=now()
    )
    with results_folder(folder.results(record.key), entries=("finding.json", "masks", "heatmap.nrrd", RECORD)) as work:
        found.save(work)
        (work / RECORD).write_bytes(record_bytes(record))
    return record


class PretendedUploads:
    """Reads a text: ``slow 2`` takes two seconds, ``fail``, ``refuse`` and ``die`` do as they say."""

    def __init__(self, settings: ReadSettings) -> None:
        self.settings = settings

    def read(self, exam: Exam, *, progress: Progress = no_progress) -> list[Outcome]:
        """Write a record and a finding; a study that another process reads, or that was read, is told as such."""
        folder = ResultsFolder(self.settings.out)
        words = exam.source.read_text().split()
        instances = instances_of(exam)
        key = folder.key_of_upload(DETECTOR, instances, "")
        with folder.alone(key) as alone:
            record = Record(
                key, DETECTOR, "reading", instances=instances, arrived=exam.arrived, started=now(), attempts=1,
                origin=UPLOAD,
            )  # fmt: skip
            before = folder.read(key)
            if not alone:
                return [Outcome(record)]
            if before is not None:
                return [Outcome(before, skipped=True)]
            seconds = float(words[words.index("slow") + 1]) if "slow" in words else 0.0
            for step in range(10):
                progress(f"Pretending to read: {step} of 10", step / 10)
                time.sleep(seconds / 10)
            if "die" in words:
                os._exit(9)
            for word, state in (("fail", "failed"), ("refuse", "refused")):
                if word in words:
                    record = replace(record, state=state, said=f"It was told to {word}.", finished=now())
                    folder.write(record)
                    return [Outcome(record)]
            record = write_result(folder, record, finding(0.9 if "positive" in words else 0.1))
            with (self.settings.out / "kept.txt").open("a") as stream:
                stream.write(f"{key}\n")
            return [Outcome(record)]


def make(settings: ReadSettings) -> PretendedUploads:
    """Return the reader of a worker."""
    return PretendedUploads(settings)


def kept(out: Path) -> list[str]:
    """Return the keys of all readings that were kept, each as often as it was."""
    return (out / "kept.txt").read_text().split() if (out / "kept.txt").exists() else []
