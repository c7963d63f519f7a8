"""The words of the list, which commands and panels offer before anything heavy is loaded."""

from typing import Literal, get_args

State = Literal["waiting", "reading", "done", "refused", "failed"]
ReaderAnswer = Literal["agree", "disagree", "unsure"]

ENGINES = ("local", "ray", "slurm")
"""Where a batch computes: `worklist.engines.choose.make_engine`."""

STATES: tuple[State, ...] = get_args(State)
ANSWERS: tuple[ReaderAnswer, ...] = get_args(ReaderAnswer)
