"""What every engine does; one contract test runs against all of them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import AcuteFindingsLib
from AcuteFindingsLib.last_resort import sentence
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.progress import Cancelled, Progress, no_progress
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import Outcome, Reader, ReadSettings

Answer = list[Outcome] | str
"""What became of an examination, or the sentence that says why nobody knows: its worker was lost."""

Done = Callable[[Exam, Answer], None]
"""Called in the driver's process once for each examination, in the order in which they end."""

Told = Callable[[Exam, str, float], None]
"""Told in the driver's process what is being done with an examination, and the share of it that is done, 0..1."""

MakeReader = str
"""``"module:name"`` of what makes a `Reader` of `ReadSettings`; another one in tests."""

READER: MakeReader = "AcuteFindingsLib.worklist.engines.engine:make_reader"


def tell_nobody(_exam: Exam, _text: str, _fraction: float) -> None:
    """Tell nobody."""


class Engine(Protocol):
    """Reads examinations by workers, each of which keeps its networks in memory.

    A worker that is lost (killed, out of memory) is replaced; its examination is tried once more and then answered with
    a sentence. When the driver's process ends, however that ends, what its workers were reading is whole or not there.

    Attributes
    ----------
    name
        As on the command line.
    workers
        How many examinations are read at once.
    """

    name: str
    workers: int

    def run(
        self,
        exams: Sequence[Exam],
        settings: ReadSettings,
        *,
        done: Done,
        cancelled: Cancelled,
        reader: MakeReader = READER,
        told: Told = tell_nobody,
    ) -> None:
        """Read every examination; return when all are answered.

        Workers on other computers may tell nothing of what they are doing.

        Raises
        ------
        CancelledError
            When `cancelled` says so; the workers are ended.
        EngineError
            The engine is not installed, or cannot start.
        """
        ...


def make_reader(settings: ReadSettings) -> Reader:
    """Return what reads examinations in a worker."""
    return Reader(settings)


def reader_of(reference: MakeReader, settings: ReadSettings) -> Any:
    """Return what a reference makes of the settings."""
    return load_reference(reference)(settings)


def answer_of(reader: Any, exam: Exam, progress: Progress = no_progress) -> Answer:
    """Return what became of an examination, in a worker; what ends in a sentence concerns the folder of results."""
    try:
        answer: Answer = reader.read(exam, progress=progress)
    # What is wrong with a study is a record; this is a folder that cannot be used.
    except Exception as error:
        return sentence(error, kept=True)
    return answer


def library_paths() -> str:
    """Return a ``PYTHONPATH`` by which workers find this library, where it is not installed."""
    library = str(Path(AcuteFindingsLib.__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH", "")]))
