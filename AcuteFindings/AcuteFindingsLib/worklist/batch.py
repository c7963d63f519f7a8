"""Many examinations read, each exactly once, however often the batch is stopped, killed or started twice."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.worklist.engines.engine import READER, Answer, Engine, MakeReader
from AcuteFindingsLib.worklist.exams import Exam, Found
from AcuteFindingsLib.worklist.reading import AUTO, Outcome, ReadSettings
from AcuteFindingsLib.worklist.records import ResultsFolder, now

_AGAIN_SECONDS, _LONGEST_PAUSE = 1.0, 30.0


@dataclass
class BatchResult:
    """What a batch did.

    Attributes
    ----------
    done, refused, failed
        Readings of this run, one a study and detector.
    skipped
        Readings of earlier runs that still count.
    fits_none
        Examinations for which no detector is made.
    lost
        Examinations of which nothing can be kept, with the sentence that says why.
    seconds
        How long it took.
    """

    done: int = 0
    refused: int = 0
    failed: int = 0
    skipped: int = 0
    fits_none: int = 0
    lost: list[tuple[Exam, str]] = field(default_factory=list)
    seconds: float = 0.0
    failed_before: int = 0

    @property
    def wrong(self) -> bool:
        """Whether any study of the batch has failed, in this run or in one before."""
        return bool(self.failed or self.failed_before or self.lost)

    @property
    def read(self) -> int:
        """How many readings this run made."""
        return self.done + self.refused + self.failed

    def line(self) -> str:
        """Return the counts in words."""
        parts = [f"{self.done} done", f"{self.refused} refused", f"{self.failed + len(self.lost)} failed"]
        if self.skipped:
            parts.append(f"{self.skipped} as before")
        if self.fits_none:
            parts.append(f"{self.fits_none} fit no detector")
        return ", ".join(parts)


def read_batch(
    found: Found,
    settings: ReadSettings,
    engine: Engine,
    *,
    reader: MakeReader = READER,
    told: Callable[[Exam, Answer], None] = lambda _exam, _answer: None,
    begun: Callable[[Exam], None] = lambda _exam: None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> BatchResult:
    """Read examinations by an engine; those that were read before, by the same files and model, are skipped.

    Parameters
    ----------
    found
        What there is (`exams.find_exams`).
    settings
        How, and into which folder of results.
    engine
        Which reads them.
    reader
        What its workers do.
    told
        Hears what became of each examination, in this process.
    begun
        Hears of each examination that it is being read, as often as the engine says so.
    progress, cancelled
        As everywhere.

    Raises
    ------
    DataError
        The folder of results cannot be used.
    ModelError
        The model asked for is not there.
    EngineError
        The engine cannot start.
    CancelledError
        When `cancelled` says so; what was read stays.
    """
    ResultsFolder(settings.out)
    _check_model(settings)
    result = BatchResult()
    started = time.monotonic()
    count = len(found.exams)
    answered = 0
    elsewhere: list[Exam] = []

    def done(exam: Exam, answer: Answer) -> None:
        nonlocal answered
        if not isinstance(answer, str) and any(one.record.state == "reading" for one in answer):
            elsewhere.append(exam)
            return
        answered += 1
        _count(result, exam, answer)
        told(exam, answer)
        progress(_line(result, answered, count, time.monotonic() - started), answered / count)

    progress(f"Reading {counted(count, 'examination')}", 0.0)
    when = now()
    left = [exam if exam.arrived else replace(exam, arrived=when) for exam in found.exams]
    pause = _AGAIN_SECONDS
    while left:
        engine.run(
            left,
            settings,
            done=done,
            cancelled=cancelled,
            reader=reader,
            told=lambda exam, _text, _fraction: begun(exam),
        )
        # What another batch is reading is looked at again: it is done then, or its reader is gone.
        left, elsewhere = elsewhere, []
        if left:
            stop_if(cancelled)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
    result.seconds = time.monotonic() - started
    return result


def _check_model(settings: ReadSettings) -> None:
    """Raise where the model that is named for one detector is not there: no study could be read."""
    if settings.detector == AUTO:
        return
    from AcuteFindingsLib.detectors.registry import find_kind
    from AcuteFindingsLib.worklist.reading import weights_of

    weights_of(find_kind(settings.detector).task.made_for, settings.model, settings.model_folders)


def _count(result: BatchResult, exam: Exam, answer: Answer) -> None:
    if isinstance(answer, str):
        result.lost.append((exam, answer))
        return
    result.fits_none += not answer
    for outcome in answer:
        _count_one(result, outcome)


def _count_one(result: BatchResult, outcome: Outcome) -> None:
    state = outcome.record.state
    if outcome.skipped:
        result.skipped += 1
        result.failed_before += state == "failed"
    elif state == "done":
        result.done += 1
    elif state == "refused":
        result.refused += 1
    else:
        result.failed += 1


def _line(result: BatchResult, answered: int, count: int, seconds: float) -> str:
    """Say what is done, how fast, and how long the rest will take by the rate of what this run read itself."""
    text = f"{answered} of {count} examinations: {result.line()}"
    read = answered - result.skipped
    if read > 0 and seconds > 0 and answered < count:
        text += f"; {60 * read / seconds:.1f} a minute, about {_duration((count - answered) * seconds / read)} left"
    return text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
