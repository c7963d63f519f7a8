"""Which examination is whose, and how often it was tried: shared by engines whose workers may be lost."""

from collections import deque
from collections.abc import Sequence

from AcuteFindingsLib.worklist.engines.engine import Done
from AcuteFindingsLib.worklist.exams import Exam

_TRIES = 2
LOST = (
    "The process that read the study was ended by the system, twice, most often because memory ran out; read it alone "
    "with fewer workers, or on a computer with more memory."
)


class Tries:
    """Hands out examinations, those of lost workers once more, and answers for those that are lost twice."""

    def __init__(self, exams: Sequence[Exam], done: Done) -> None:
        self._exams, self._done = exams, done
        self._left = deque(range(len(exams)))
        self._tries = [0] * len(exams)

    @property
    def left(self) -> bool:
        """Whether any is still to be handed out."""
        return bool(self._left)

    def next(self) -> tuple[int, Exam] | None:
        """Return the next one and its number; None where all are handed out."""
        if not self._left:
            return None
        number = self._left.popleft()
        self._tries[number] += 1
        return number, self._exams[number]

    def answered(self, number: int, answer: object) -> None:
        """Hand an answer on."""
        self._done(self._exams[number], answer)  # type: ignore[arg-type]

    def lost(self, number: int) -> None:
        """Hear that a worker was lost with an examination."""
        if self._tries[number] < _TRIES:
            self._left.append(number)
        else:
            self._done(self._exams[number], LOST)
